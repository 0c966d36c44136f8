// <ls-sim>: the hands of whoever plays with the simulated site. Never present on a real one.
import { get, post } from "../api.js";
import { cellName } from "../describe.js";
import { follow, h, say, show } from "../dom.js";
import { digits, number, unit } from "../format.js";
import { t, tv } from "../i18n.js";
import { icon } from "../icons.js";
import { store } from "../store.js";
import { attempt } from "./act.js";

/** The scenario goes on by itself; while the drawer is open it is looked at so often. */
const LOOK_MS = 2000;

class Sim extends HTMLElement {
  open(sim) {
    this.sim = sim;
    this.dials = h("section");
    this.phase = h("p", { class: "quiet" });
    const mains = h("input", { type: "checkbox", id: "sim-mains", onchange: () => attempt(() => post("/api/v1/sim/mains", { ok: mains.checked })) });
    mains.checked = sim.mains?.ok ?? true;
    this.mains = mains;
    const close = h("button", { type: "button", class: "small", onclick: () => this.toggle(false) }, t("sim.close"));
    this.aside = h("aside", { "aria-label": t("sim.title"), hidden: true, id: "sim-drawer" },
      h("header", null, h("h2", null, t("sim.title")), close),
      h("p", { class: "quiet" }, t("sim.about")), this.phase,
      h("section", null, h("h3", null, t("sim.cells")), this.dials),
      h("section", null, h("h3", null, t("sim.mains")), h("label", { for: "sim-mains" }, mains, " ", t("sim.mains_on")),
        h("div", { class: "actions" }, release(() => post("/api/v1/sim/mains", { ok: null })))),
      this.faults(), this.presses(), this.board());
    this.button = h("button", { type: "button", "aria-controls": "sim-drawer", "aria-expanded": "false", onclick: () => this.toggle(this.aside.hidden) }, icon("sliders"), h("span", null, t("sim.title")));
    this.button.setAttribute("aria-label", t("sim.title"));
    this.append(this.button, this.aside);
    this.classList.add("sim");
    this.addEventListener("keydown", (event) => { if (event.key === "Escape") this.toggle(false); });
    store.addEventListener("change", () => {
      show(this.button, store.can("operator"));
      if (!this.aside.hidden) this.draw();
    });
  }

  async toggle(on) {
    show(this.aside, on);
    this.button.setAttribute("aria-expanded", String(on));
    (on ? this.aside.querySelector("button") : this.button).focus();
    if (on) {
      this.draw();
      this.look();
    }
  }

  async look() {
    clearTimeout(this.next);
    if (this.aside.hidden) return;
    try {
      this.sim = await get("/api/v1/sim");
      this.mains.checked = this.sim.mains?.ok ?? this.mains.checked;
      this.draw();
    } catch { /* the page's banner says that the link is lost */ }
    this.next = setTimeout(() => this.look(), LOOK_MS);
  }

  draw() {
    say(this.phase, this.sim.phase ? t("sim.phase", { phase: tv("phase", this.sim.phase) }) : "");
    follow(this.dials, store.gas?.cells ?? [], (cell) => cell.id, dial, (node, cell) => node.update(cell));
    follow(this.present, this.sim.faults ?? [], (fault) => `${fault.target} ${fault.kind}`, (fault) =>
      h("li", null, h("span", null, `${fault.target}: ${tv("sim_fault", fault.kind)}`),
        h("button", { type: "button", class: "small", onclick: () => attempt(() => post("/api/v1/sim/fault", { target: fault.target, kind: fault.kind, on: false })) }, t("sim.off"))));
  }

  faults() {
    const targets = this.sim.targets ?? [];
    const target = h("select", { "aria-label": t("sim.target") }, targets.map((id) => h("option", { value: id }, id)));
    const kind = h("select", { "aria-label": t("sim.kind") }, (this.sim.fault_kinds ?? []).map((code) => h("option", { value: code }, tv("sim_fault", code))));
    this.present = h("ul", { class: "rows", "aria-label": t("sim.in_force") });
    return h("section", null, h("h3", null, t("sim.faults")), h("div", { class: "actions" }, target, kind,
      h("button", { type: "button", class: "small", onclick: () => attempt(() => post("/api/v1/sim/fault", { target: target.value, kind: kind.value, on: true })).then(() => this.look()) }, t("sim.on"))), this.present);
  }

  presses() {
    const buttons = Math.min(this.sim.buttons ?? 10, 100);
    return h("section", null, h("h3", null, t("sim.press")), h("div", { class: "actions" },
      Array.from({ length: buttons }, (_, index) => h("button", { type: "button", class: "small", onclick: () => attempt(() => post("/api/v1/sim/press", { button: index + 1 })) }, String(index + 1)))));
  }

  board() {
    return h("section", null, h("h3", null, t("sim.board")), h("div", { class: "actions" },
      [["unplug", t("sim.unplug")], ["replug", t("sim.replug")], ["reboot", t("sim.reboot")]].map(([action, label]) =>
        h("button", { type: "button", class: "small", onclick: () => attempt(() => post("/api/v1/sim/board", { action })) }, label))));
  }
}

/** Gives something back to the scenario. */
function release(run, label = t("sim.release")) {
  return h("button", { type: "button", class: "small", title: t("sim.release"), "aria-label": t("sim.release"), onclick: () => attempt(run, t("sim.released")) }, label);
}

function dial(cell) {
  const value = h("output");
  const places = digits(cell.range_hi);
  const slider = h("input", { type: "range", min: cell.range_lo, max: cell.range_hi, step: (cell.range_hi - cell.range_lo) / 300, "aria-label": t("sim.set", { cell: cellName(cell) }) });
  slider.value = cell.value ?? 0;
  slider.addEventListener("input", () => say(value, `${number(Number(slider.value), places)} ${unit(cell.unit)}`));
  slider.addEventListener("change", () => attempt(() => post("/api/v1/sim/cell", { cell: cell.id, value: Number(slider.value) })));
  const back = release(() => post("/api/v1/sim/cell", { cell: cell.id, value: null }), "↺");
  const node = h("div", { class: "dial" }, h("span", null, cellName(cell)), slider, value, back);
  node.update = (now) => {
    if (document.activeElement === slider) return;
    if (now.value !== null) slider.value = now.value;
    say(value, `${number(now.value, places)} ${unit(now.unit)}`);
  };
  return node;
}

customElements.define("ls-sim", Sim);
