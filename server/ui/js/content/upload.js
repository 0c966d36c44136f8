// Files on their way in: dropped anywhere on the page or chosen, given to a button by the number in their name, sent
// three at a time. Each tells how far it is, and why it was refused.
import { h, say, set, show } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { store } from "../store.js";

const AT_ONCE = 3;

/** `005.jpg`, `5 bell.mp3`, `12-2.png` are of button 5, 5 and 12; other names are of none. */
export function buttonOf(name, count) {
  const digits = /^0*(\d{1,3})(?!\d)/.exec(name);
  const id = digits ? Number(digits[1]) : 0;
  return id >= 1 && id <= count ? id : null;
}

const size = (bytes) => (bytes >= 1e6 ? t("content.mb", { n: number(bytes / 1e6, 1) }) : t("content.kb", { n: number(bytes / 1e3, 0) }));

/** Sends one file; `told(share)` while it goes. Resolves with the answer, rejects with a sentence. */
export function send(method, path, body, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && told?.(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(new Error(request.response?.detail ?? t("problem.status", { status: request.status })));
    });
    request.addEventListener("error", () => reject(new Error(t("problem.unreachable"))));
    request.send(body);
  });
}

export class Uploads {
  #running = 0;
  #waiting = [];
  #sent = new Set();

  /** `changed()` after every file that was stored. */
  constructor({ changed }) {
    this.changed = changed;
    this.count = 0;
    this.input = h("input", { type: "file", multiple: true, id: "files", accept: "image/*,audio/*,video/mp4,.svg,.opus,.flac" });
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    this.list = h("ul", { class: "queue", "aria-live": "polite" });
    this.zone = h("div", { class: "drop" }, h("p", null, h("strong", null, t("content.drop"))), h("p", { class: "quiet" }, t("content.drop_about")),
      h("label", { class: "button", for: "files" }, icon("panel"), t("content.choose")), this.input);
    this.node = h("section", { class: "card", "aria-labelledby": "upload" }, h("header", null, h("h2", { id: "upload" }, t("content.upload"))), this.zone, this.list);
    for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => this.#over(event, true));
    document.addEventListener("dragleave", (event) => this.#over(event, event.relatedTarget !== null));
    document.addEventListener("drop", (event) => {
      this.#over(event, false);
      const item = event.target.closest?.(".item");
      this.add([...(event.dataTransfer?.files ?? [])], item ? Number(item.dataset.id) : null);
    });
  }

  #over(event, over) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    set(this.zone, "data-over", String(over));
  }

  /** Takes files; with `id` all are of that button. A second picture of a button becomes one more. */
  add(files, id = null, append = false) {
    if (!store.can("engineer")) return;
    this.#sent.clear();
    for (const file of files) this.#row(file, id ?? buttonOf(file.name, this.count), append);
  }

  #row(file, id, append) {
    const said = h("p", { class: "said" });
    const fill = h("i");
    const meter = h("div", { class: "meter", role: "progressbar", "aria-label": file.name, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
    fill.style.width = "0%";
    const choice = h("select", { "aria-label": t("content.button_of", { name: file.name }) }, h("option", { value: "" }, t("content.which")),
      Array.from({ length: this.count }, (_, index) => h("option", { value: index + 1, selected: index + 1 === id }, t("panel.button", { id: index + 1 }))));
    const node = h("li", null, h("span", { class: "name" }, file.name, " ", h("span", { class: "faint" }, size(file.size))), choice, meter, said);
    const job = { file, append, node, said, tell: (share) => {
      fill.style.width = `${share * 100}%`;
      set(meter, "aria-valuenow", Math.round(share * 100));
    } };
    const state = (name, text) => {
      set(node, "data-state", name);
      say(said, text);
    };
    job.state = state;
    choice.addEventListener("change", () => {
      if (!choice.value) return;
      show(choice, false);
      this.#queue({ ...job, id: Number(choice.value) });
    });
    this.list.prepend(node);
    if (id) {
      show(choice, false);
      this.#queue({ ...job, id });
    } else state("asks", t("content.no_number"));
  }

  #queue(job) {
    // Several pictures of one button in one go: the first takes the place of what is there, the others follow it.
    const picture = job.file.type.startsWith("image/") || /\.(svg|jpe?g|png|webp)$/i.test(job.file.name);
    const again = picture && this.#sent.has(job.id);
    if (picture) this.#sent.add(job.id);
    job.append ||= again;
    job.state("waits", t("content.waits", { id: job.id }));
    this.#waiting.push(job);
    this.#next();
  }

  async #next() {
    // One at a time for a button: its pictures keep the order in which they were given.
    const free = this.#waiting.findIndex((job) => !this.#busy.has(job.id));
    if (this.#running >= AT_ONCE || free < 0) return;
    const [job] = this.#waiting.splice(free, 1);
    this.#running += 1;
    this.#busy.add(job.id);
    job.state("runs", t("content.runs", { id: job.id }));
    this.#next();
    try {
      const answer = await send("POST", `/api/v1/panel/content/${job.id}${job.append ? "?append=true" : ""}`, job.file, job.tell);
      job.tell(1);
      job.state("done", t("content.stored", { id: job.id, name: answer.file }));
      this.changed();
    } catch (error) {
      job.state("failed", error.message);
    }
    this.#running -= 1;
    this.#busy.delete(job.id);
    this.#next();
  }

  #busy = new Set();
}
