// How loud, how bright, when, and on which screen.
import { get, post, put, request, seg } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { attempt, roleNote } from "../elements/act.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** A slider that is sent when it is let go, and shows what the server says as long as nobody holds it. */
function slider(id, label, write) {
  const input = h("input", { type: "range", id, min: 0, max: 100, step: 1 });
  const output = h("output", { for: id });
  let held = false;
  const text = () => say(output, `${input.value} %`);
  input.addEventListener("input", () => {
    held = true;
    text();
  });
  input.addEventListener("change", async () => {
    await attempt(() => write(Number(input.value)));
    held = false;
  });
  const node = h("div", { class: "row" }, h("label", { for: id }, label), input, output);
  node.update = (value, may) => {
    input.disabled = !may;
    if (held || value === undefined) return;
    input.value = value;
    text();
  };
  return node;
}

function loud() {
  const note = roleNote("operator");
  const volume = slider("volume", t("levels.volume"), (value) => post("/api/volume", { value }));
  const brightness = slider("brightness", t("levels.brightness"), (value) => post("/api/brightness", { value }));
  const muted = h("input", { type: "checkbox", id: "muted" });
  muted.addEventListener("change", () => attempt(() => post("/api/mute", { muted: muted.checked })));
  const now = h("p", { class: "quiet" });
  const node = h("section", { class: "card", "aria-labelledby": "levels" }, h("header", null, h("h2", { id: "levels" }, t("levels.heading"))), note,
    h("div", { class: "levels" }, volume, brightness, h("label", { for: "muted" }, muted, " ", t("levels.mute"))), now);
  node.update = (panel, stale) => {
    note.refresh();
    volume.update(panel?.volume, !stale && store.can("operator"));
    brightness.update(panel?.brightness, !stale && store.can("engineer"));
    muted.disabled = stale || !store.can("operator");
    if (panel) muted.checked = panel.muted;
    const lower = panel && (panel.effective.volume !== panel.volume || panel.effective.brightness !== panel.brightness);
    say(now, !panel || stale ? "" : [panel.open ? t("levels.open") : t("levels.closed"), lower ? t("levels.now", panel.effective) : ""].filter(Boolean).join(" · "));
  };
  return node;
}

function week() {
  const always = h("input", { type: "checkbox", id: "always" });
  const days = {};
  const rows = DAYS.map((day) => {
    days[day] = h("input", { id: `hours-${day}`, placeholder: t("hours.none"), maxlength: 60, autocomplete: "off" });
    return h("div", { class: "row" }, h("label", { for: `hours-${day}` }, tv("weekday", day)), days[day]);
  });
  const table = h("div", { class: "hours" }, h("p", { class: "faint" }, t("hours.about")), rows);
  const number = (id, props) => h("input", { type: "number", id, min: 0, max: 100, ...props });
  const inputs = { volume: number("closed-volume"), brightness: number("closed-brightness"), after: number("dim-after", { min: 1, max: 1440 }), dim: number("dim-to") };
  const dims = h("input", { type: "checkbox", id: "dims" });
  const effect = h("select", { id: "effect" }, ["steady", "blink", "pulse"].map((value) => h("option", { value }, tv("effect", value))));
  const row = (input, text) => h("div", { class: "row" }, h("label", { for: input.id }, text), input);
  const dimming = h("div", { class: "pairs" }, row(inputs.after, t("hours.dim_after")), row(inputs.dim, t("levels.brightness_percent")));
  const trouble = h("p", { class: "problem", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "primary" }, t("content.save"));
  const clock = h("span", { class: "faint" });
  const form = h("form", { class: "form" }, h("label", { for: "always" }, always, " ", t("hours.always")), table, h("h3", null, t("hours.closed")),
    h("div", { class: "pairs" }, row(inputs.volume, t("levels.volume_percent")), row(inputs.brightness, t("levels.brightness_percent"))),
    h("label", { for: "dims" }, dims, " ", t("hours.dim")), dimming, h("div", { class: "row" }, h("label", { for: "effect" }, t("hours.effect")), effect), trouble, h("div", { class: "actions" }, save));
  const node = h("section", { class: "card", "aria-labelledby": "hours" }, h("header", null, h("h2", { id: "hours" }, t("hours.heading")), clock), form);
  const shape = () => {
    show(table, !always.checked);
    show(dimming, dims.checked);
  };
  always.addEventListener("change", shape);
  dims.addEventListener("change", shape);
  form.addEventListener("input", () => { form.dataset.dirty = "true"; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const spans = (text) => text.split(/[,;]/).map((span) => span.trim().replace(/\s*[–-]\s*/, "-")).filter(Boolean);
    const value = (input) => Number(input.value || 0);
    const schedule = { hours: always.checked ? null : Object.fromEntries(DAYS.map((day) => [day, spans(days[day].value)])), closed: { volume: value(inputs.volume), brightness: value(inputs.brightness) },
      dim: dims.checked ? { after_s: value(inputs.after) * 60, brightness: value(inputs.dim) } : null, effect: effect.value };
    show(trouble, false);
    attempt(async () => {
      try {
        await put("/api/v1/panel/schedule", schedule);
        form.dataset.dirty = "false";
      } catch (problem) {
        show(trouble, true);
        say(trouble, problem.message);
        throw problem;
      }
    }, t("hours.saved"));
  });
  node.fill = (settings) => {
    say(clock, settings.local_time ? t("hours.clock", { time: settings.local_time }) : "");
    if (form.dataset.dirty === "true") return;
    const { hours, closed, dim } = settings.schedule;
    always.checked = hours === null;
    for (const day of DAYS) days[day].value = (hours?.[day] ?? []).join(", ");
    inputs.volume.value = closed.volume;
    inputs.brightness.value = closed.brightness;
    dims.checked = dim !== null;
    inputs.after.value = Math.max(1, Math.round((dim?.after_s ?? 600) / 60));
    inputs.dim.value = dim?.brightness ?? 20;
    effect.value = settings.schedule.effect;
    shape();
  };
  node.update = (stale) => {
    const may = store.can("engineer") && !stale;
    for (const control of form.elements) control.disabled = !may;
  };
  return node;
}

function screens() {
  const list = h("div", { class: "column" });
  const empty = h("p", { class: "empty" }, t("screens.none"));
  const node = h("section", { class: "card", "aria-labelledby": "screens" }, h("header", null, h("h2", { id: "screens" }, t("screens.heading"))), h("p", { class: "quiet" }, t("screens.about")), empty, list);
  let settings = {};
  const path = (name) => `/api/v1/panel/screens/${seg(name)}`;
  const row = (name) => {
    const id = `screen-${name.replace(/\W/g, "_")}`;
    const now = () => ({ role: "auto", volume: 100, muted: false, ...settings[name] });
    const write = (change) => attempt(async () => {
      settings[name] = { ...now(), ...change };
      await put(path(name), settings[name]);
    });
    const role = h("select", { id: `${id}-role`, onchange: () => write({ role: role.value }) }, ["auto", "primary", "mirror", "image_only"].map((value) => h("option", { value }, tv("screen_role", value))));
    const volume = slider(`${id}-volume`, t("levels.volume"), (value) => write({ volume: value }));
    const muted = h("input", { type: "checkbox", id: `${id}-muted`, onchange: () => write({ muted: muted.checked }) });
    const state = h("span", { class: "faint" });
    const forget = h("button", { type: "button", class: "small plain", onclick: () => attempt(async () => {
      await request("DELETE", path(name));
      delete settings[name];
      store.changed();
    }) }, t("screens.forget"));
    const one = h("div", { class: "levels" }, h("h3", null, name, " ", state), h("div", { class: "row" }, h("label", { for: role.id }, t("screens.role")), role), volume,
      h("label", { for: muted.id }, muted, " ", t("screens.mute")), h("div", { class: "actions" }, forget));
    one.update = (connected, stale) => {
      const may = store.can("operator") && !stale;
      const { role: set_role, volume: percent, muted: silent } = now();
      role.disabled = muted.disabled = !may;
      if (document.activeElement !== role) role.value = set_role;
      muted.checked = silent;
      volume.update(percent, may);
      show(forget, name in settings);
      forget.disabled = !may;
      say(state, connected ? t("screens.here") : t("screens.away"));
    };
    return one;
  };
  node.fill = (all) => { settings = { ...all }; };
  node.update = (panel, stale) => {
    const here = new Set((panel?.clients ?? []).map((client) => client.screen).filter(Boolean));
    const names = [...new Set([...here, ...Object.keys(settings)])].sort();
    show(empty, names.length === 0);
    follow(list, names.map((name) => ({ name })), (one) => one.name, (one) => row(one.name), (line, one) => line.update(here.has(one.name), stale));
  };
  return node;
}

export class Levels {
  constructor() {
    this.parts = { loud: loud(), week: week(), screens: screens() };
    this.node = h("div", { class: "two" }, h("div", { class: "column" }, this.parts.loud, this.parts.screens), this.parts.week);
  }

  async load() {
    const settings = await get("/api/v1/panel/settings");
    this.parts.week.fill(settings);
    this.parts.screens.fill(settings.screens);
    this.draw();
  }

  draw() {
    const stale = store.stale("panel");
    set(this.node, "data-stale", String(stale));
    this.parts.loud.update(store.panel, stale);
    this.parts.week.update(stale);
    this.parts.screens.update(store.panel, stale);
  }
}
