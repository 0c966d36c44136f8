// The site at one glance: one word, why, what to do about it, and a tile for each service.
import { post } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { icon, swap } from "../icons.js";
import { t } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { verdict } from "../verdict.js";
import { act, roleNote } from "../elements/act.js";
import "../elements/alarms.js";
import { badge, rebadge } from "../elements/badge.js";
import { tiles } from "../elements/tiles.js";

/** More than this does not fit a glance; the gas page has all. */
const URGENT = 5;

const word = h("h1", { class: "word" });
const reason = h("p", { class: "reason" });
const also = h("div", { class: "also" });
let picture = icon("stale");
const hero = h("section", { class: "hero", "data-tone": "stale", "aria-label": t("overview.state") }, picture, h("div", { class: "text" }, word, reason, also));

const silence = act(t("gas.silence"), { glyph: "silent", kind: "", run: () => post("/api/v1/gas/horn/silence"), done: t("gas.silenced") });
const ackAll = act(t("gas.ack_all"), { glyph: "good", kind: "primary", run: () => post("/api/v1/gas/alarms/ack-all"), done: t("gas.acked") });
const horn = badge("loud", t("horn.on"), "horn");
const alarms = document.createElement("ls-alarms");
const note = roleNote("operator");
const more = h("a", { href: "/gas" });
// Nothing is claimed before the first frame: no "No alarms", no horn, no good colour.
const urgent = h("section", { class: "card", "aria-labelledby": "urgent", hidden: true },
  h("header", null, h("h2", { id: "urgent" }, t("overview.urgent")), horn, h("div", { class: "actions" }, silence, ackAll)), note, alarms, more);
const zones = h("div", { class: "tiles" });
const grid = h("div", { class: "tiles" });

document.querySelector("main").append(h("div", { class: "overview" }, hero, urgent, zones, grid));

function draw() {
  const now = verdict(store);
  set(hero, "data-tone", now.tone);
  set(hero, "data-unseen", String(Boolean(now.unseen)));
  picture = swap(picture, now.tone);
  say(word, now.word);
  say(reason, now.reason);
  show(also, now.also.length > 0);
  follow(also, now.also.slice(0, 4), (part) => `${part.tone} ${part.id ?? part.text}`, (part) => badge(part.tone, part.text), (node, part) => rebadge(node, part.tone, part.text));

  const gas = store.gas;
  show(urgent, gas && (gas.alarms.length > 0 || gas.status.horn.on));
  if (gas) {
    alarms.draw(gas, URGENT);
    const rest = gas.alarms.length - URGENT;
    show(more, rest > 0);
    say(more, t("overview.more", { n: rest }));
    show(horn, gas.status.horn.on);
    silence.refresh(gas.status.horn.on && !store.stale("gas"));
    show(silence, gas.status.horn.on);
    ackAll.refresh(gas.status.unacknowledged > 0 && !store.stale("gas"));
    show(ackAll, gas.status.unacknowledged > 1);
    note.refresh();
  }
  const list = tiles(store);
  for (const [place, items] of [[zones, list.filter((tile) => tile.zone)], [grid, list.filter((tile) => !tile.zone)]]) {
    follow(place, items, (tile) => tile.id, (tile) => tile.make(), (node) => node.update(store));
  }
}

draw();
open(draw);
