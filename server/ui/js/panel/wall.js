// The wall of buttons: lamps as the board has them, and for operators a press by mouse, finger or keyboard.
import { post } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { t } from "../i18n.js";
import { store } from "../store.js";
import { attempt, roleNote } from "../elements/act.js";
import { badge, rebadge } from "../elements/badge.js";

export class Wall {
  constructor() {
    this.boards = h("div", { class: "column" });
    this.note = roleNote("operator");
    this.stop = h("button", { type: "button", class: "small", onclick: () => attempt(() => post("/api/stop")) }, t("panel.stop"));
    this.node = h("section", { class: "card wall", "aria-labelledby": "wall" }, h("header", null, h("h2", { id: "wall" }, t("panel.wall")), h("a", { class: "button small", href: "/panel/content" }, t("content.link")), this.stop), this.note, this.boards);
    this.titles = new Map();
  }

  /** `media` from the manifest gives the buttons their titles. */
  draw(panel, media) {
    const stale = store.stale("panel");
    this.titles = new Map(media.map((item) => [item.id, item.title]));
    this.stop.disabled = stale || !store.can("operator") || (panel?.current_button ?? null) === null;
    this.note.refresh();
    const boards = panel?.panels?.length ? panel.panels : [{ name: "", online: false, buttons: panel?.num_media ?? 0 }];
    follow(this.boards, boards, (board) => board.name, (board) => this.#board(board), (node, board) => node.update(board, panel, stale));
  }

  #board(first) {
    const state = badge("good", "", "panel");
    const grid = h("div", { class: "lamps" });
    const stuck = h("p", { class: "problem", hidden: true });
    const facts = h("span", { class: "faint" });
    const node = h("div", { class: "board" }, h("header", null, h("h3", null, first.name), state, facts), grid, stuck);
    node.update = (board, panel, stale) => {
      rebadge(state, stale ? "none" : board.online ? "good" : "note", board.online ? t("panel.online") : t("panel.offline"));
      say(facts, [board.fw, board.proto].filter(Boolean).join(" · "));
      show(facts, board.online);
      const offset = board.id_offset ?? 0;
      const count = board.buttons || panel?.num_media || 0;
      const lit = board.lit ? new Set(board.lit) : new Set([panel?.current_button]);
      grid.style.setProperty("--columns", String(count > 20 ? 10 : 5));
      follow(grid, Array.from({ length: count }, (_, index) => index + 1 + offset), (id) => id, (id) => this.#button(id), (button, id) => {
        const on = lit.has(id) && !stale;
        const title = this.titles.get(id);
        set(button, "data-lit", String(on));
        set(button, "aria-pressed", String(on));
        button.disabled = stale || !store.can("operator");
        set(button, "aria-label", `${t("panel.button", { id })}${title ? ` ${title}` : ""}${on ? `, ${t("panel.lit")}` : ""}`);
        set(button, "title", title);
        const label = button.lastElementChild;
        say(label, title ?? "");
      });
      const held = board.stuck ?? [];
      show(stuck, held.length > 0);
      say(stuck, t("panel.stuck", { ids: held.join(", ") }));
    };
    return node;
  }

  #button(id) {
    return h("button", { type: "button", class: "btn-wall", onclick: () => attempt(() => post(`/api/play/${id}`)) }, h("b", null, String(id)), h("span"));
  }
}
