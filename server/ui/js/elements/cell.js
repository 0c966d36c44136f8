// One measuring cell. A number appears only when there is a trustworthy one; otherwise the fault, and what the last
// good value was and when.
import { post, seg } from "../api.js";
import { cellName, overlayText } from "../describe.js";
import { follow, h, say, set, show } from "../dom.js";
import { digits, formula, number, plain, span, unit, windowOf } from "../format.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { act } from "./act.js";
import { ask } from "./ask.js";
import { badge } from "./badge.js";
import { bumpTest, calibrate, showRecords } from "./gas_at_cell.js";
import "./spark.js";

const base = (cell) => `/api/v1/gas/cells/${seg(cell.id)}`;

async function inhibit(cell) {
  const answer = await ask(t("cell.inhibit_title"), cellName(cell), [
    { name: "minutes", label: t("shelve.for"), type: "number", value: 30, min: 1, max: 480 },
    { name: "reason", label: t("ask.reason") },
  ], t("cell.inhibit"));
  if (answer) await post(`${base(cell)}/inhibit`, { minutes: Number(answer.minutes), reason: answer.reason });
}

async function takeOut(cell) {
  const answer = await ask(t("cell.out_title"), cellName(cell), [{ name: "reason", label: t("ask.reason") }], t("cell.out"));
  if (answer) await post(`${base(cell)}/out-of-service`, { reason: answer.reason });
}

export function makeCell(first) {
  let cell = first;
  const name = h("h3", { class: "name" });
  const marks = h("span", { class: "marks" });
  const number_ = h("div", { class: "number" });
  const spark = document.createElement("ls-spark");
  const means = h("div", { class: "means" });
  const age = h("span", { class: "faint age" });
  const past = h("p", { class: "faint past" });
  const facts = h("dl", { class: "rows" });
  const actions = h("div", { class: "actions" },
    act(t("cell.inhibit"), { role: "engineer", run: () => inhibit(cell) }),
    act(t("cell.out"), { role: "engineer", run: () => takeOut(cell) }),
    act(t("cell.back"), { role: "engineer", run: () => post(`${base(cell)}/return`) }),
    act(t("cell.calibrate"), { role: "engineer", run: () => calibrate(cell) }),
    act(t("cell.bump"), { role: "engineer", run: () => bumpTest(cell) }),
    act(t("cell.records"), { role: "viewer", run: () => showRecords(cell) }));
  const node = h("article", { class: "cell", id: `cell-${first.id}` }, name, h("div", { class: "marks" }, marks, age),
    h("div", { class: "reading" }, number_, spark), past, means,
    h("details", { class: "more" }, h("summary", null, t("cell.details")), facts, actions));

  node.update = (now, gas) => {
    cell = now;
    const places = digits(cell.range_hi);
    const stale = store.stale("gas");
    // Between two frames the age goes on.
    const old = cell.age_ms === null ? null : cell.age_ms + (store.age("gas") ?? 0);
    const broken = cell.fault !== null || cell.quality === "fault";
    const silent = cell.value === null;
    set(node, "data-quality", cell.quality);
    say(name, "");
    name.replaceChildren(cellName(cell), h("span", { class: "mono" }, cell.location ? cell.id : ""));
    const tags = [];
    if (broken) tags.push(["fault", t("word.fault")]);
    else if (cell.quality !== "good") tags.push(["note", tv("quality", cell.quality)]);
    if (cell.overlay) tags.push(["note", tv("overlay", cell.overlay.kind)]);
    else if (cell.inhibited) tags.push(["note", t("cell.inhibited")]);
    if (cell.bump) tags.push(["note", t("bump.waits", { target: `${number(cell.bump.target, places)} ${unit(cell.unit)}`, left: span(cell.bump.left_s * 1000) })]);
    for (const warning of cell.warnings) tags.push(["note", tv("warning", warning)]);
    follow(marks, tags, ([tone, text]) => `${tone} ${text}`, ([tone, text]) => badge(tone, text));
    set(number_, "class", broken || silent ? "number broken" : "number");
    if (broken) number_.replaceChildren(cell.fault ? tv("fault", cell.fault) : t("cell.fault_unknown"));
    else if (silent) number_.replaceChildren(tv("quality", cell.quality));
    else number_.replaceChildren(number(cell.value, places), h("small", null, unit(cell.unit)));
    const shownAge = old === null ? t("cell.never") : t("cell.age", { age: span(old) });
    const last = cell.last_value !== null && cell.last_value !== undefined;
    show(age, !broken && !silent);
    show(past, broken || silent);
    if (broken || silent) past.replaceChildren(...(last ? [`${t("cell.last")} `, h("s", { class: "old" }, `${number(cell.last_value, places)} ${unit(cell.unit)}`), `, ${shownAge}`] : [t("cell.never")]));
    else age.replaceChildren(stale ? h("strong", null, shownAge) : shownAge);
    spark.draw(store.traces.of(cell.id), directLimits(cell, gas), cell);
    follow(means, telling(cell, gas), (mean) => mean.window_s, (mean) => h("span", { title: t("cell.mean", { window: windowOf(mean.window_s) }) }, `Ø ${windowOf(mean.window_s)} `, h("b"), h("span", { class: "faint" })), (item, mean) => {
      const known = mean.value !== null;
      say(item.children[0], known ? number(mean.value, places) : t("cell.unknown"));
      say(item.lastChild, known && mean.partial ? ` ${t("cell.partial", { span: windowOf(mean.covered_s < 120 ? mean.covered_s : Math.floor(mean.covered_s / 60) * 60) })}` : "");
    });
    if (node.lastElementChild.open) details(facts, cell, places);
    for (const button of actions.children) button.refresh(!stale);
    show(actions.children[2], cell.overlay || cell.inhibited);
  };
  return node;
}

/** The averages that decide something; all of them are in the details. */
function telling(cell, gas) {
  const windows = new Set(gas.set_points.filter((point) => point.quantity === "average" && point.inputs.some((input) => input.cell === cell.id)).map((point) => point.window_s));
  const found = cell.averages.filter((mean) => windows.has(mean.window_s));
  return found.length > 0 ? found : cell.averages.slice(0, 1);
}

function details(facts, cell, places) {
  const rows = [
    [t("cell.sensor"), `${cell.sensor} / ${cell.channel}`],
    [t("cell.gas"), formula(cell.gas)],
    [t("cell.range"), `${plain(cell.range_lo)} – ${plain(cell.range_hi)} ${unit(cell.unit)}`],
    [t("cell.raw"), plain(cell.raw)],
    ...(cell.calibration ? [[t("cell.line"), t("cell.line_text", { adc: plain(cell.calibration.adc), zero: plain(cell.calibration.adc_zero), span: plain(cell.calibration.adc_span), gas: plain(cell.calibration.ppm_span) })]] : []),
    [t("cell.zones"), cell.zones.join(", ")],
    ...cell.averages.map((mean) => [`Ø ${windowOf(mean.window_s)}`, mean.value === null ? t("cell.unknown") : `${number(mean.value, places)} ${unit(cell.unit)}`]),
    ...(cell.overlay ? [[t("cell.overlay"), overlayText(cell.overlay)]] : []),
    ...(cell.simulated ? [[t("cell.simulated"), t("yes")]] : []),
  ];
  follow(facts, rows, ([label]) => label, ([label]) => h("div", null, h("dt", null, label), h("dd")), (row, [, value]) => say(row.lastChild, value));
}

/** The limits on the unaveraged value of this cell: only those can be compared with the line. */
function directLimits(cell, gas) {
  return gas.set_points
    .filter((point) => point.quantity === "direct" && point.inputs.some((input) => input.cell === cell.id))
    .map((point) => ({ on: point.on, stage: point.stage }));
}
