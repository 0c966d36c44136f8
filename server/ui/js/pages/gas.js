// The gas-warning page: alarms first, then zones with their cells and set points, then the plant around them.
import { post } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { icon, swap } from "../icons.js";
import { t, tv } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { verdict } from "../verdict.js";
import { act, roleNote } from "../elements/act.js";
import "../elements/alarms.js";
import { badge } from "../elements/badge.js";
import { configuration, quality } from "../elements/care.js";
import { buses, outputs, power, service } from "../elements/plant.js";
import { makeZone } from "../elements/zone.js";

let picture = icon("stale");
const word = h("h1", { class: "level-word" });
const reason = h("p", { class: "quiet" });
const marks = h("div", { class: "actions" });
const one = act(t("gas.one"), { glyph: "good", kind: "primary", run: () => post("/api/v1/gas/one-button") });
const ackAll = act(t("gas.ack_all"), { kind: "", run: () => post("/api/v1/gas/alarms/ack-all"), done: t("gas.acked") });
const silence = act(t("gas.silence"), { glyph: "silent", kind: "", run: () => post("/api/v1/gas/horn/silence"), done: t("gas.silenced") });
const note = roleNote("operator");
const bar = h("section", { class: "card bar", "aria-label": t("gas.bar") },
  h("div", { class: "bar-state" }, picture, h("div", null, word, reason)), marks, h("div", { class: "actions" }, silence, ackAll, one), note);
const list = document.createElement("ls-alarms");
const alarms = h("section", { class: "card", "aria-labelledby": "alarms" }, h("header", null, h("h2", { id: "alarms" }, t("gas.alarms"))), list);
const zones = h("div", { class: "column" });
const plant = [outputs(), buses(), power(), service(), quality(), configuration()];
const empty = h("p", { class: "card empty" }, t("verdict.connecting"));
const page = h("div", { class: "column", hidden: true }, bar, alarms, zones, h("div", { class: "plant" }, plant));
document.querySelector("main").append(empty, page);

function draw() {
  const gas = store.gas;
  show(page, gas);
  show(empty, !gas);
  if (!gas) return;
  const stale = store.stale("gas");
  const now = verdict(store);
  set(bar, "data-tone", now.tone);
  picture = swap(picture, now.tone);
  say(word, now.word);
  say(reason, now.reason);
  const { status } = gas;
  follow(marks, [
    ...(status.horn.on ? [["loud", t("horn.on"), "horn"]] : status.horn.silenced ? [["note", t("horn.silenced"), "silent"]] : []),
    ...(status.unacknowledged > 0 ? [["stage", t("gas.unacknowledged", { n: status.unacknowledged }), "note"]] : []),
    ...(status.resettable > 0 ? [["stage", t("gas.resettable", { n: status.resettable }), "note"]] : []),
    [status.healthy_signal ? "none" : "fault", t(status.healthy_signal ? "gas.healthy_on" : "gas.healthy_off"), status.healthy_signal ? "good" : "fault"],
    ...status.special.map((special) => ["note", tv("special", special)]),
  ], ([tone, text]) => `${tone} ${text}`, ([tone, text, glyph]) => badge(tone, text, glyph));
  one.refresh(!stale && (status.unacknowledged > 0 || status.resettable > 0));
  ackAll.refresh(!stale && status.unacknowledged > 0);
  silence.refresh(!stale && status.horn.on);
  note.refresh();
  show(alarms, gas.alarms.length > 0);
  list.draw(gas);
  follow(zones, gas.zones, (zone) => zone.id, makeZone, (node, zone) => node.update(zone, gas));
  for (const card of plant) card.update(gas);
}

draw();
open(draw);
