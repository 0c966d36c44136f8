// How often which button plays: bars drawn by hand, with the numbers beside them for those who do not see bars.
import { get } from "../api.js";
import { h, s, say, show } from "../dom.js";
import { plain } from "../format.js";
import { t } from "../i18n.js";

const DAY_MS = 86_400_000;
const WIDE = 720;
const HIGH = 180;
const FOOT = 18;

/** Bars with a label each; `every` so many are written below, so that they never overlap. */
export function bars(rows, label) {
  const top = Math.max(1, ...rows.map((row) => row.value));
  const step = WIDE / Math.max(1, rows.length);
  const every = Math.max(1, Math.ceil(rows.length / 24));
  const nodes = rows.flatMap((row, index) => {
    const height = (row.value / top) * (HIGH - 16);
    const middle = step * (index + 0.5);
    return [
      s("rect", { x: step * index + step * 0.12, y: HIGH - height, width: step * 0.76, height, rx: 2 }, s("title", null, `${row.title}: ${plain(row.value)}`)),
      index % every === 0 ? s("text", { x: middle, y: HIGH + FOOT - 4, "text-anchor": "middle" }, row.label) : null,
    ];
  });
  return s("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH + FOOT}`, role: "img", "aria-label": label },
    s("line", { x1: 0, x2: WIDE, y1: HIGH, y2: HIGH }), s("text", { x: 0, y: 11 }, plain(top)), nodes);
}

export class Stats {
  constructor() {
    this.span = h("select", { id: "span" }, [[7, t("stats.week")], [30, t("stats.month")], [365, t("stats.year")]].map(([days, text]) => h("option", { value: days, selected: days === 30 }, text)));
    this.span.addEventListener("change", () => this.load());
    this.csv = h("a", { class: "button", download: "" }, t("events.csv"));
    this.sum = h("p", { class: "quiet", role: "status" });
    this.trouble = h("p", { class: "problem", role: "alert", hidden: true });
    this.buttons = h("div");
    this.hours = h("div");
    this.days = h("div");
    this.rows = h("tbody");
    const heads = [t("stats.button"), t("content.title"), t("stats.plays"), t("stats.ended")];
    this.heads = heads;
    const part = (id, title, ...body) => h("section", { class: "card", "aria-labelledby": id }, h("header", null, h("h2", { id }, title)), ...body);
    this.node = h("div", { class: "column" },
      h("section", { class: "card", "aria-labelledby": "stats" }, h("header", null, h("h2", { id: "stats" }, t("stats.heading")), this.sum),
        h("div", { class: "filters" }, h("div", { class: "row" }, h("label", { for: "span" }, t("stats.span")), this.span), this.csv), h("p", { class: "faint" }, t("stats.private")), this.trouble),
      part("by-button", t("stats.by_button"), this.buttons), h("div", { class: "two" }, part("by-hour", t("stats.by_hour"), this.hours), part("by-day", t("stats.by_day"), this.days)),
      part("table", t("stats.table"), h("div", { class: "scroll" }, h("table", { class: "stack" }, h("thead", null, h("tr", null, heads.map((head, index) => h("th", { scope: "col", class: index > 1 ? "num" : null }, head)))), this.rows))));
  }

  async load() {
    const from = Date.now() - Number(this.span.value) * DAY_MS;
    this.csv.href = `/api/v1/panel/stats.csv?from=${from}`;
    try {
      const stats = await get(`/api/v1/panel/stats?from=${from}`);
      show(this.trouble, false);
      this.#draw(stats);
    } catch (problem) {
      show(this.trouble, true);
      say(this.trouble, problem.message);
    }
  }

  #draw(stats) {
    say(this.sum, stats.kept_days === 0 ? t("stats.off") : t("stats.sum", { n: plain(stats.plays), ended: plain(stats.ended) }));
    const name = (one) => one.title ?? t("panel.button", { id: one.button });
    this.buttons.replaceChildren(bars(stats.buttons.map((one) => ({ label: String(one.button), title: name(one), value: one.plays })), t("stats.by_button")));
    this.hours.replaceChildren(bars(stats.hours.map((value, hour) => ({ label: String(hour), title: t("stats.hour", { hour }), value })), t("stats.by_hour")));
    this.days.replaceChildren(stats.days.length ? bars(stats.days.map((day) => ({ label: day.date.slice(8), title: day.date, value: day.plays })), t("stats.by_day")) : h("p", { class: "empty" }, t("stats.nothing")));
    const rows = [...stats.buttons].sort((a, b) => b.plays - a.plays || a.button - b.button);
    this.rows.replaceChildren(...rows.map((one) => h("tr", null, [one.button, one.title ?? "", plain(one.plays), plain(one.ended)].map((text, index) => h("td", { "data-head": this.heads[index], class: index > 1 ? "num" : null }, String(text))))));
  }
}
