// <ls-alarms>: what is not normal, most urgent first, with what can be done about it.
import { post, seg } from "../api.js";
import { alarmName, alarmText, alarmTone, isUnseen, overlayText, pointValue } from "../describe.js";
import { follow, h, say, set, show } from "../dom.js";
import { span } from "../format.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { act } from "./act.js";
import { ask } from "./ask.js";
import { badge, rebadge } from "./badge.js";

const SPANS_MIN = [5, 15, 30, 60, 120, 240, 480];

/** Path of an alarm's action. */
const at = (alarm, verb) => `/api/v1/gas/alarms/${seg(alarm.id)}/${verb}`;

async function shelve(alarm, gas) {
  const answer = await ask(t("shelve.title"), alarmText(alarm, gas), [
    { name: "minutes", label: t("shelve.for"), type: "select", value: "30", options: SPANS_MIN.map((min) => [String(min), span(min * 60000)]) },
    { name: "reason", label: t("ask.reason") },
  ], t("shelve.verb"));
  if (answer) await post(at(alarm, "shelve"), { minutes: Number(answer.minutes), reason: answer.reason });
}

/** The buttons of one alarm; also used by the set points of the gas page. */
export function alarmActions(alarm) {
  const now = { alarm };
  const ack = act(t("alarm.ack"), { kind: "small primary", run: () => post(at(now.alarm, "ack")) });
  const reset = act(t("alarm.reset"), { run: () => post(at(now.alarm, "reset")) });
  const later = act(t("alarm.shelve"), { run: () => shelve(now.alarm, store.gas) });
  const back = act(t("alarm.unshelve"), { run: () => post(at(now.alarm, "unshelve")) });
  const node = h("div", { class: "actions" }, ack, reset, later, back);
  node.update = (alarm, overlay) => {
    now.alarm = alarm;
    const point = alarm.kind === "set_point";
    const shelved = overlay?.kind === "shelved";
    show(ack, isUnseen(alarm.state));
    show(reset, alarm.resettable ?? alarm.state === "latched_ack");
    show(later, point && alarm.stage !== 3 && !shelved && alarm.state !== "normal");
    show(back, shelved);
    for (const button of [ack, reset, later, back]) button.refresh(!store.stale("gas"));
  };
  return node;
}

class Alarms extends HTMLElement {
  connectedCallback() {
    if (this.list) return;
    this.list = h("ul", { class: "alarms" });
    this.none = h("p", { class: "empty" }, t("alarm.none"));
    this.append(this.list, this.none);
  }

  /** Draws at most `limit` of them. */
  draw(gas, limit = Infinity) {
    const alarms = gas.alarms.slice(0, limit);
    show(this.none, alarms.length === 0);
    follow(this.list, alarms, (alarm) => alarm.id, make, (node, alarm) => node.update(alarm, gas));
  }
}

function make(alarm) {
  const tag = badge("note", "");
  const what = h("div", { class: "what" });
  const state = h("div", { class: "quiet" });
  const actions = alarmActions(alarm);
  const node = h("li", { class: "alarm" }, tag, h("div", null, what, state), actions);
  node.update = (alarm, gas) => {
    const tone = alarmTone(alarm);
    const point = gas.set_points.find((candidate) => candidate.alarm === alarm.id);
    set(node, "data-tone", tone);
    set(node, "data-unseen", String(isUnseen(alarm.state)));
    rebadge(tag, tone, alarmName(alarm));
    say(what, alarmText(alarm, gas));
    const age = alarm.since_unix_ms ? t("alarm.since", { age: span(store.serverNow() - alarm.since_unix_ms) }) : "";
    const value = point && point.value !== null && point.value !== undefined ? t("alarm.now", { value: pointValue(point, gas) }) : "";
    say(state, [tv("state", alarm.state), value, age, overlayText(point?.overlay ?? alarm.overlay)].filter(Boolean).join(" · "));
    actions.update(alarm, point?.overlay ?? alarm.overlay);
  };
  return node;
}

customElements.define("ls-alarms", Alarms);
