// The panel's back office for the people of the house: what the buttons play, how loud and when, how often.
import { get } from "../api.js";
import { h, say, set, show } from "../dom.js";
import { t } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { attempt, roleNote } from "../elements/act.js";
import { Items, markTargets } from "../content/items.js";
import { Levels } from "../content/levels.js";
import { Stats } from "../content/stats.js";
import { send, Uploads } from "../content/upload.js";

const uploads = new Uploads({ changed: () => load() });
const items = new Items({ add: (...files) => uploads.add(...files), changed: () => load(), can: (role) => store.can(role) });
const levels = new Levels();
const stats = new Stats();
const note = roleNote("engineer");
const summary = h("p", { class: "quiet", role: "status" });
const notes = h("ul", { class: "faint" });
const trouble = h("p", { class: "problem", role: "alert", hidden: true });
let list = null;

function backup() {
  const input = h("input", { type: "file", hidden: true, accept: ".tar,application/x-tar" });
  const restore = h("button", { type: "button", onclick: () => input.click() }, t("content.restore"));
  const said = h("p", { class: "quiet", role: "status" });
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (!file || !confirm(t("content.restore_sure"))) return;
    restore.disabled = true;
    attempt(async () => {
      const answer = await send("PUT", "/api/v1/panel/content.tar", file, (share) => say(said, `${Math.round(share * 100)} %`));
      say(said, t("content.restored", { files: answer.files, removed: answer.removed }));
      await load();
    }).finally(() => { restore.disabled = false; });
  });
  const link = h("a", { class: "button", href: "/api/v1/panel/content.tar", download: "" }, t("content.backup"));
  const node = h("section", { class: "card", "aria-labelledby": "backup" }, h("header", null, h("h2", { id: "backup" }, t("content.backup_heading"))), h("p", { class: "quiet" }, t("content.backup_about")), input, h("div", { class: "actions" }, link, restore, said));
  node.update = () => {
    const may = store.can("engineer");
    restore.disabled = !may;
    show(link, may);
  };
  return node;
}

const archive = backup();
const pages = {
  content: h("div", { class: "column" }, note, uploads.node, h("section", { class: "card", "aria-labelledby": "items" }, h("header", null, h("h2", { id: "items" }, t("content.items")), summary), trouble, notes, items.node), archive),
  levels: levels.node,
  stats: stats.node,
};
const names = { content: t("content.heading"), levels: t("levels.tab"), stats: t("stats.heading") };
const tabs = Object.entries(names).map(([key, label]) => h("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `page-${key}`, onclick: () => choose(key) }, label));
const bar = h("div", { class: "tabs", role: "tablist", "aria-label": t("content.parts") }, tabs);
for (const [key, page] of Object.entries(pages)) {
  set(page, "id", `page-${key}`);
  set(page, "role", "tabpanel");
  set(page, "aria-labelledby", `tab-${key}`);
}
bar.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const keys = Object.keys(pages);
  const next = keys[(keys.indexOf(current) + step + keys.length) % keys.length];
  choose(next);
  document.getElementById(`tab-${next}`).focus();
});

let current = "content";

function choose(key) {
  current = key in pages ? key : "content";
  history.replaceState(null, "", `#${current}`);
  for (const tab of tabs) {
    const mine = tab.id === `tab-${current}`;
    set(tab, "aria-selected", String(mine));
    set(tab, "tabindex", mine ? "0" : "-1");
  }
  for (const [name, page] of Object.entries(pages)) show(page, name === current);
  if (current === "levels") attempt(() => levels.load());
  if (current === "stats") stats.load();
}

/** The list of buttons as the server has it. */
async function load() {
  try {
    list = await get("/api/v1/panel/content");
    show(trouble, false);
  } catch (problem) {
    show(trouble, true);
    say(trouble, problem.message);
  }
  draw();
}

function draw() {
  note.refresh();
  archive.update();
  show(uploads.node, store.can("engineer"));
  if (list) {
    uploads.count = list.items.length;
    items.draw(list.items);
    const whole = list.items.filter((item) => item.complete).length;
    say(summary, t("content.summary", { n: whole, all: list.items.length }));
    notes.replaceChildren(...list.notes.map((text) => h("li", null, text)));
  }
  levels.draw();
  // Somebody else changed something, or a file was copied into the folder.
  if (list && store.panel && store.panel.media_rev !== list.rev && store.panel.media_rev !== asked) {
    asked = store.panel.media_rev;
    load();
  }
}

let asked = null;
document.querySelector("main").append(bar, ...Object.values(pages));
markTargets(items.node);
choose(location.hash.slice(1));
open(draw);
load();
