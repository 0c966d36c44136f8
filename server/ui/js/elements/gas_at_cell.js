// Gas at the sensor: calibration in two steps, bump test, and what is kept of both.
import { get, post, request, seg } from "../api.js";
import { cellName } from "../describe.js";
import { h } from "../dom.js";
import { sentence } from "../entry.js";
import { moment, plain, unit } from "../format.js";
import { t, tv } from "../i18n.js";
import { ask } from "./ask.js";
import { toast } from "./badge.js";

const base = (cell) => `/api/v1/gas/cells/${seg(cell.id)}`;
/** Writing and reading back takes two scans of a slow bus. */
const WRITE_MS = 45_000;
const POINTS = ["zero", "span"];

/** Asks twice where registers are written: what would change is shown before anything does. */
export async function calibrate(cell) {
  const first = await ask(t("calibrate.title"), t("calibrate.text", { cell: cellName(cell) }), [
    { name: "point", label: t("calibrate.which"), type: "select", value: "zero", options: POINTS.map((point) => [point, tv("calibrate_point", point)]) },
    { name: "ppm", label: t("calibrate.gas", { unit: unit(cell.unit) }), type: "number", value: 0, min: cell.range_lo, max: cell.range_hi },
    { name: "reason", label: t("ask.reason") },
  ], t("calibrate.verb"));
  if (!first) return;
  const wanted = { point: first.point, ppm: Number(first.ppm), reason: first.reason };
  const answer = await post(`${base(cell)}/calibrate`, wanted);
  if (answer.step === "done") {
    toast(t("calibrate.recorded"));
    return;
  }
  const changes = answer.changes.map((change) => t("calibrate.change", change)).join("; ");
  const found = answer.as_found === null ? t("cell.unknown") : `${plain(answer.as_found)} ${unit(cell.unit)}`;
  const sure = await ask(t("calibrate.sure"), t("calibrate.shown", { changes, found, adc: plain(answer.adc) }), [], t("calibrate.write"));
  if (!sure) return;
  await request("POST", `${base(cell)}/calibrate`, { ...wanted, confirm: answer.confirm }, { patience: WRITE_MS });
  toast(t("calibrate.done"));
}

export async function bumpTest(cell) {
  const answer = await ask(t("bump.title"), t("bump.text", { cell: cellName(cell) }), [
    { name: "minutes", label: t("bump.minutes"), type: "number", value: 5, min: 1, max: 60 },
    { name: "target", label: t("bump.target", { unit: unit(cell.unit) }), type: "number", optional: true, min: cell.range_lo, max: cell.range_hi },
    { name: "reason", label: t("ask.reason") },
  ], t("bump.verb"));
  if (!answer) return;
  const body = { minutes: Number(answer.minutes), reason: answer.reason };
  if (answer.target !== "") body.target = Number(answer.target);
  await post(`${base(cell)}/bump-test`, body);
}

/** A dialog with everything that was done to this cell, and how far off it was each time. */
export async function showRecords(cell) {
  const kept = await get(`${base(cell)}/records`);
  const rows = kept.items.map((record) => h("tr", null,
    h("td", { "data-head": t("events.time") }, moment(record.unix_ms)),
    h("td", { "data-head": t("events.what") }, sentence({ ...record, text: record.kind })),
    h("td", { "data-head": t("events.actor") }, record.by ?? "")));
  const trends = POINTS.filter((point) => kept.drift[point].length > 0).map((point) => h("div", null,
    h("dt", null, t("records.drift", { point: tv("calibrate_point", point) })),
    h("dd", null, kept.drift[point].map((step) => trend(step, cell)).join(" → "))));
  const close = h("button", { type: "submit" }, t("sim.close"));
  const table = h("div", { class: "scroll" }, h("table", { class: "stack" }, h("tbody", null, rows)));
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "records-title" }, h("form", { method: "dialog" },
    h("h2", { id: "records-title" }, t("records.title", { cell: cellName(cell) })),
    trends.length > 0 ? h("dl", { class: "rows" }, trends) : null,
    rows.length > 0 ? table : h("p", { class: "quiet" }, t("records.none")),
    h("div", { class: "actions" }, close)));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function trend(step, cell) {
  const deviation = `${step.deviation > 0 ? "+" : ""}${plain(step.deviation)} ${unit(cell.unit)}`;
  return step.per_30_days === null ? deviation : `${deviation} (${t("records.per_month", { value: plain(step.per_30_days) })})`;
}
