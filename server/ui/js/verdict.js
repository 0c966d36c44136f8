// The one word for the whole site, and why. A pure function of what is known, in the field's order of display:
// AP3, AP2, AP1, fault, mains failure, special states, service due, good. Nothing known beats everything.
import { alarmReason, alarmText, alarmTone, isUnseen, levelTone } from "./describe.js";
import { clock } from "./format.js";
import { t, tv } from "./i18n.js";

const OFF_MAINS = new Set(["on_battery", "battery_low", "battery_critical", "battery_fault"]);

function gasParts(gas) {
  const parts = [];
  const { status, power, service } = gas;
  for (const alarm of gas.alarms) {
    const tone = alarmTone(alarm);
    // What has returned but nobody saw is no longer an alarm, and not yet good.
    const over = alarm.state === "rtn_unack";
    parts.push({ id: alarm.id, tone: over ? "note" : tone, text: over ? t("verdict.returned", { what: alarmText(alarm, gas) }) : alarmReason(alarm, gas), unseen: isUnseen(alarm.state) });
  }
  // The level is the authority; a stage without a listed alarm would otherwise be lost here.
  if (status.level !== "normal" && !parts.some((part) => part.tone === levelTone(status.level))) {
    parts.push({ tone: levelTone(status.level), text: tv("level", status.level), unseen: false });
  }
  const starting = status.special.includes("starting");
  if (status.health !== "good" && !parts.some((part) => part.tone === "fault")) {
    parts.push({ tone: "fault", text: tv("health_sentence", status.health) });
  } else if (!status.healthy_signal && !starting && !parts.some((part) => part.tone === "fault")) {
    parts.push({ tone: "fault", text: t("verdict.not_healthy") });
  }
  if (OFF_MAINS.has(power?.state) && !gas.alarms.some((alarm) => alarm.kind === "power")) {
    parts.push({ tone: "fault", text: tv("power_state", power.state) });
  }
  for (const special of status.special) parts.push({ tone: "note", text: tv("special", special), starting });
  if (service?.state === "due") parts.push({ tone: "note", text: t("service.due") });
  if (status.config_drift) parts.push({ tone: "note", text: t("verdict.drift") });
  return parts;
}

const WEIGHT = { ap3: 0, ap2: 1, ap1: 2, fault: 3, note: 4, good: 5 };

/** `{tone, word, reason, also: [{tone, text}], unseen}`. */
export function verdict(store) {
  const services = store.site?.services ?? [];
  const hasGas = Boolean(store.gas) || services.some((service) => service.name === "gas");
  const lost = store.link.state !== "live";
  // Without the list of services nobody knows whether there should be gas: silence is no good news.
  if (lost || !store.site || (hasGas && store.stale("gas"))) {
    const since = lost ? store.link.since : store.since("gas");
    if (store.link.state === "connecting" || (!lost && !store.gas)) return { tone: "stale", word: t("word.wait"), reason: t("verdict.connecting"), also: [] };
    return { tone: "stale", word: t("word.unknown"), reason: t("verdict.stale", { time: clock(since) }), also: [] };
  }
  const parts = store.gas ? gasParts(store.gas) : [];
  for (const service of services) {
    if (service.health === "failed") parts.push({ tone: "fault", text: t("verdict.service_failed", { service: tv("service_name", service.name) }) });
    // The gas service's own degradation is told better by its cells above.
    else if (service.health === "degraded" && service.name !== "gas") parts.push({ tone: "note", text: t("verdict.service_degraded", { service: tv("service_name", service.name) }) });
  }
  parts.sort((a, b) => WEIGHT[a.tone] - WEIGHT[b.tone]);
  const worst = parts[0];
  if (!worst) return { tone: "good", word: t("word.good"), reason: t(store.gas ? "verdict.good" : "verdict.good_no_gas"), also: [] };
  const word = worst.tone.startsWith("ap") ? t("word.alarm") : worst.tone === "fault" ? t("word.fault") : worst.starting ? t("word.starting") : t("word.note");
  const seen = new Set([worst.text]);
  const also = parts.slice(1).filter((part) => !seen.has(part.text) && seen.add(part.text));
  return { tone: worst.tone, word, reason: worst.text, also, unseen: parts.some((part) => part.unseen) };
}
