// From the service's ids and numbers to sentences, in one place, so that the overview, the gas page and the spoken
// announcement say the same.
import { digits, formula, number, plain, span, unit, windowOf } from "./format.js";
import { t, tv } from "./i18n.js";

export const cellOf = (gas, id) => gas?.cells?.find((cell) => cell.id === id);
export const zoneOf = (gas, id) => gas?.zones?.find((zone) => zone.id === id);
export const zoneName = (gas, id) => zoneOf(gas, id)?.name ?? id;

/** CO ramp, or CO co_1 where nobody wrote a location. */
export function cellName(cell) {
  return cell ? `${formula(cell.gas)} ${cell.location || cell.id}` : "?";
}

export const isActive = (state) => state === "active_unack" || state === "active_ack";
export const isUnseen = (state) => state.endsWith("_unack");

/** Colour and icon of an alarm: its stage, or fault. */
export function alarmTone(alarm) {
  return alarm.kind === "set_point" && alarm.stage ? stageTone(alarm.stage) : "fault";
}

/** There are three colours of alarm; a stage beyond the third is at least as urgent as it. */
export const stageTone = (stage) => `ap${Math.min(stage, 3)}`;
export const levelTone = (level) => (level === "ap4" ? "ap3" : level);

/** AP3, or that it is a fault. */
export const alarmName = (alarm) => (alarm.kind === "set_point" && alarm.stage ? `AP${alarm.stage}` : t("word.fault"));

/** CO, or CO averaged over 15 min. */
function quantity(point, gas) {
  const cell = cellOf(gas, point.inputs?.[0]?.cell);
  const over = point.window_s === null ? "" : windowOf(point.window_s);
  const how = { average: t("point.average", { window: over }), rate: t("point.rate", { window: over }), exposure: t("point.exposure", { window: over }) };
  return `${cell ? formula(cell.gas) : point.id} ${how[point.quantity] ?? ""}`.trim();
}

/** CO, averaged over 15 min, at or above 30 ppm. */
export function condition(point, gas) {
  return `${quantity(point, gas)} ${point.direction === "falling" ? "≤" : "≥"} ${plain(point.on)} ${pointUnit(point)}`;
}

/** The unit of what a set point compares: a rate is counted a minute. */
const pointUnit = (point) => (point.quantity === "rate" ? t("point.per_minute", { unit: unit(point.unit) }) : unit(point.unit));

export function pointValue(point, gas) {
  const cell = cellOf(gas, point.inputs?.[0]?.cell);
  return `${number(point.value, digits(cell?.range_hi))} ${pointUnit(point)}`;
}

/** One line on an alarm, as short as it can be said. */
export function alarmText(alarm, gas) {
  if (alarm.kind === "set_point") {
    const point = gas.set_points.find((candidate) => candidate.alarm === alarm.id);
    if (!point) return alarm.text || alarm.id;
    return `${zoneName(gas, alarm.zone)}: ${condition(point, gas)}`;
  }
  const target = alarm.id.replace(/^fault\./, "");
  if (alarm.kind === "cell_fault") {
    const cell = cellOf(gas, target);
    return cell ? `${cellName(cell)}: ${cell.fault ? tv("fault", cell.fault) : t("cell.fault_unknown")}` : alarm.text || alarm.id;
  }
  if (alarm.kind === "bus_fault") return t("alarm.bus", { bus: target });
  if (alarm.kind === "power") return tv("power_state", gas.power?.state ?? "battery_fault");
  return alarm.text || alarm.id;
}

/** The same with the present value, for the one sentence of the overview. */
export function alarmReason(alarm, gas) {
  const point = gas.set_points.find((candidate) => candidate.alarm === alarm.id);
  if (!point || point.value === null || point.value === undefined) return alarmText(alarm, gas);
  return t("point.reason", { zone: zoneName(gas, alarm.zone), what: quantity(point, gas), value: pointValue(point, gas), limit: plain(point.on) });
}

/** Shelved, 22 min left, fans being cleaned, meier. Empty without an overlay. */
export function overlayText(overlay) {
  if (!overlay) return "";
  const left = overlay.until_s === null || overlay.until_s === undefined ? "" : t("point.until", { span: span(overlay.until_s * 1000) });
  return [tv("overlay", overlay.kind), left, overlay.reason, overlay.by].filter(Boolean).join(", ");
}
