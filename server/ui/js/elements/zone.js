// A zone: its level and its health are two statements, never one. Then its set points, then its cells.
import { cellName, cellOf, condition, isActive, levelTone, overlayText, pointValue, stageTone } from "../describe.js";
import { follow, h, say, set, show } from "../dom.js";
import { number, digits, plain, span, unit } from "../format.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { alarmActions } from "./alarms.js";
import { badge, rebadge } from "./badge.js";
import { makeCell } from "./cell.js";

export function makeZone(first) {
  const title = h("h2", { id: `zone-${first.id}` });
  const level = badge("good", "");
  const health = badge("good", "");
  const specials = h("span", { class: "actions" });
  const shown = h("p", { class: "quiet now" });
  const points = h("div", { class: "points" });
  const cells = h("div", { class: "cells" });
  const node = h("section", { class: "card zone", "aria-labelledby": `zone-${first.id}` },
    h("header", null, h("div", null, title, shown), specials,
      h("span", { class: "pair" }, h("span", { class: "faint" }, t("zone.level")), level),
      h("span", { class: "pair" }, h("span", { class: "faint" }, t("zone.health")), health)),
    cells, h("h3", { class: "sub" }, t("zone.points")), points);

  node.update = (zone, gas) => {
    say(title, zone.name);
    rebadge(level, zone.level === "normal" ? "good" : levelTone(zone.level), tv("level", zone.level));
    rebadge(health, zone.health === "good" ? "good" : "fault", tv("health", zone.health));
    follow(specials, zone.special, (special) => special, (special) => badge("note", tv("special", special)));
    const cell = zone.shown && cellOf(gas, zone.shown.cell);
    say(shown, zone.shown ? t("zone.highest", { value: `${number(zone.shown.value, digits(cell?.range_hi))} ${unit(zone.shown.unit)}`, cell: cellName(cell) }) : t("zone.no_value"));
    follow(cells, zone.cells.map((id) => cellOf(gas, id)).filter(Boolean), (one) => one.id, makeCell, (item, one) => item.update(one, gas));
    follow(points, gas.set_points.filter((point) => point.zone === zone.id), (point) => point.id, makePoint, (item, point) => item.update(point, gas));
  };
  return node;
}

function makePoint(first) {
  const stage = badge("stage", first.stage ? `AP${first.stage}` : t("point.no_stage"), "stage1");
  const what = h("div");
  const fill = h("i");
  const value = h("b", { class: "now" });
  const mark = h("u");
  const bar = h("div", { class: "gauge" }, value, h("div", { class: "bar", "aria-hidden": "true" }, fill, mark));
  const state = badge("stage", "");
  const detail = h("div", { class: "faint" });
  const actions = alarmActions(asAlarm(first));
  const node = h("div", { class: "point" }, stage, what, bar, h("div", { class: "state" }, state, detail), actions);

  node.update = (point, gas) => {
    const tone = stageTone(point.stage || 1);
    const on = isActive(point.state) || point.state.startsWith("latched");
    set(node, "data-tone", on ? tone : null);
    rebadge(stage, on ? tone : "stage", point.stage ? `AP${point.stage}` : t("point.no_stage"), point.stage ? `stage${Math.min(point.stage, 3)}` : "note");
    say(what, condition(point, gas));
    // The limit stands at three quarters, so that one can see both how near and how far beyond a value is.
    const share = point.value === null || point.value === undefined ? 0 : Math.max(0, Math.min(1, (point.value / point.on) * 0.75));
    fill.style.width = `${share * 100}%`;
    mark.style.left = "75%";
    say(value, point.value === null || point.value === undefined ? t("cell.unknown") : pointValue(point, gas));
    rebadge(state, on ? tone : point.overlay || point.state === "rtn_unack" ? "note" : "none", point.overlay ? tv("overlay", point.overlay.kind) : tv("state", point.state));
    say(detail, facts(point).join(" · "));
    actions.update(gas.alarms.find((alarm) => alarm.id === point.alarm) ?? asAlarm(point), point.overlay);
  };
  return node;
}

function facts(point) {
  const list = [];
  if (point.overlay) list.push(overlayText(point.overlay));
  if (point.state !== "normal" && point.age_s !== null && point.age_s !== undefined) list.push(t("alarm.since", { age: span(point.age_s * 1000 + (store.age("gas") ?? 0)) }));
  if (point.vote_k > 1 || point.votes > 0) list.push(t("point.votes", { votes: point.votes, k: point.k_eff }));
  if (point.inputs.some((input) => input.frozen)) list.push(t("point.frozen"));
  list.push(t("point.hysteresis", { value: plain(point.hysteresis) }));
  if (point.latching) list.push(t("point.latching"));
  if (point.on_delay_s > 0) list.push(t("point.delay", { span: span(point.on_delay_s * 1000) }));
  return list.filter(Boolean);
}

/** A set point with the fields that the alarm buttons need. */
function asAlarm(point) {
  return { id: point.alarm, kind: "set_point", zone: point.zone, stage: point.stage, state: point.state, resettable: point.state === "latched_ack" };
}
