// The buttons and what they play: pictures, sound, film, texts. Every change is the server's before it is shown.
import { request, post, put, seg } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { mmss } from "../format.js";
import { t, tv } from "../i18n.js";
import { attempt } from "../elements/act.js";
import { badge, rebadge } from "../elements/badge.js";

export class Items {
  /** `add(files, id, append)` takes files for a button, `changed()` loads the list anew. */
  constructor({ add, changed, can }) {
    this.add = add;
    this.changed = changed;
    this.can = can;
    this.node = h("div", { class: "items" });
  }

  draw(items) {
    follow(this.node, items, (item) => item.id, (item) => this.#item(item.id), (node, item) => node.update(item));
  }

  #item(id) {
    const path = `/api/v1/panel/content/${id}`;
    const state = badge("good", "");
    const title = h("h3");
    const thumbs = h("div", { class: "thumbs" });
    const files = h("div");
    const input = h("input", { type: "file", hidden: true, multiple: true, accept: "image/*,audio/*,video/mp4,.svg,.opus,.flac" });
    let append = false;
    input.addEventListener("change", () => {
      this.add([...input.files], id, append);
      input.value = "";
    });
    const choose = (more) => () => {
      append = more;
      input.click();
    };
    const field = (name, props, tag = "input") => h(tag, { id: `${name}-${id}`, ...props });
    const fields = {
      title: field("title", { maxlength: 200 }),
      caption: field("caption", { maxlength: 4000 }, "textarea"),
      language: field("language", { maxlength: 20, placeholder: "de" }),
      volume: field("volume", { type: "number", min: 0, max: 100 }),
      loop: field("loop", { type: "checkbox" }),
    };
    const row = (name, text) => h("div", { class: "row" }, h("label", { for: `${name}-${id}` }, text), fields[name]);
    const save = h("button", { type: "submit", class: "primary small" }, t("content.save"));
    const form = h("form", { class: "form" }, row("title", t("content.title")), row("caption", t("content.caption")), row("language", t("content.language")), row("volume", t("content.volume")),
      h("label", { for: `loop-${id}` }, fields.loop, " ", t("content.loop")), h("div", { class: "actions" }, save));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = (name) => fields[name].value.trim() || null;
      const body = { title: text("title"), caption: text("caption"), language: text("language"), volume: fields.volume.value === "" ? null : Number(fields.volume.value), loop: fields.loop.checked };
      attempt(async () => {
        await put(path, body);
        form.dataset.dirty = "false";
        await this.changed();
      }, t("content.saved"));
    });
    form.addEventListener("input", () => { form.dataset.dirty = "true"; });
    const play = h("button", { type: "button", class: "small", onclick: () => attempt(() => post(`/api/play/${id}`)) }, t("content.play"));
    const replace = h("button", { type: "button", class: "small", onclick: choose(false) }, t("content.replace"));
    const more = h("button", { type: "button", class: "small", onclick: choose(true) }, t("content.more"));
    const clear = h("button", { type: "button", class: "small plain", onclick: () => {
      if (confirm(t("content.clear_sure", { id }))) attempt(() => this.#remove(path), t("content.removed"));
    } }, t("content.clear"));
    const node = h("article", { class: "item", "data-id": id, "aria-label": t("panel.button", { id }) }, h("header", null, h("span", { class: "number" }, String(id)), title, state), thumbs, files, input,
      h("div", { class: "actions" }, play, replace, more), h("details", null, h("summary", null, t("content.texts")), form, clear));
    node.update = (item) => {
      const may = this.can("engineer");
      say(title, item.title ?? "");
      rebadge(state, item.complete ? "good" : "note", item.complete ? t("content.complete") : item.files.length ? t("content.part") : t("content.empty"));
      follow(thumbs, item.images.map((url) => ({ url })), (one) => one.url, (one) => h("img", { src: one.url, alt: t("panel.picture", { id }), loading: "lazy" }));
      show(thumbs, item.images.length > 0);
      follow(files, item.files, (file) => file.url, (file) => this.#file(path, file), (line) => { line.lastElementChild.disabled = !this.can("engineer"); });
      for (const control of [replace, more, clear, save]) control.disabled = !may;
      more.disabled = !may || item.images.length === 0;
      play.disabled = !this.can("operator");
      // What somebody is typing is not overwritten by what somebody else stored.
      if (form.dataset.dirty === "true") return;
      for (const name of ["title", "caption", "language"]) fields[name].value = item[name] ?? "";
      fields.volume.value = item.volume;
      fields.loop.checked = item.loop;
    };
    return node;
  }

  #file(path, file) {
    const about = [tv("file_kind", file.kind), file.duration_ms ? mmss(file.duration_ms) : ""].filter(Boolean).join(" · ");
    const remove = h("button", { type: "button", class: "small plain", "aria-label": t("content.remove_file", { name: file.name }), onclick: () => attempt(() => this.#remove(`${path}/${seg(file.name)}`), t("content.removed")) }, t("content.remove"));
    return h("div", { class: "file" }, h("span", null, file.name, " ", h("span", { class: "faint" }, about)), remove);
  }

  async #remove(path) {
    await request("DELETE", path);
    await this.changed();
  }
}

/** Highlights the card under a dragged file. */
export function markTargets(root) {
  let last = null;
  const mark = (node) => {
    if (last !== node) {
      if (last) set(last, "data-over", null);
      if (node) set(node, "data-over", "true");
      last = node;
    }
  };
  root.addEventListener("dragover", (event) => mark(event.target.closest?.(".item") ?? null));
  for (const kind of ["drop", "dragleave"]) document.addEventListener(kind, () => mark(null));
}
