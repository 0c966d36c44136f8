// What happened: the journal, filtered, paged, and followed live.
import { get } from "../api.js";
import { stageTone } from "../describe.js";
import { sentence } from "../entry.js";
import { h, say, set, show } from "../dom.js";
import { moment } from "../format.js";
import { t, tv } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { badge } from "../elements/badge.js";

const SEVERITIES = ["info", "warning", "fault", "alarm"];
const TONES = { info: ["none", undefined], warning: ["note", "note"], fault: ["fault", "fault"], alarm: ["ap3", "stage3"] };
const PAGE = 100;
/** A live tail that grows without end would slow the page down. */
const ROWS_MAX = 500;

const query = new URLSearchParams(location.search);
const field = (id, label, input) => h("div", { class: "row" }, h("label", { for: id }, label), input);
const service = h("select", { id: "service" }, h("option", { value: "" }, t("events.all")));
const severity = h("select", { id: "severity" }, SEVERITIES.map((level) => h("option", { value: level === "info" ? "" : level }, tv("severity_least", level))));
const text = h("input", { id: "text", type: "search", placeholder: t("events.search"), maxlength: 100 });
const tail = h("input", { type: "checkbox", id: "tail", checked: true });
const csv = h("a", { class: "button", download: "" }, t("events.csv"));
const status = h("p", { class: "quiet", role: "status" });
const problem = h("p", { class: "problem", role: "alert", hidden: true });
const heads = [t("events.time"), t("events.severity"), t("events.service"), t("events.what"), t("events.actor")];
const body = h("tbody");
const older = h("button", { type: "button" }, t("events.older"));
const newest = h("button", { type: "button", hidden: true }, t("events.newest"));
const form = h("form", { class: "filters", role: "search" }, field("service", t("events.service"), service), field("severity", t("events.severity"), severity),
  field("text", t("events.text"), text), h("label", { for: "tail", class: "check" }, tail, " ", t("events.tail")), csv);
document.querySelector("main").append(h("section", { class: "card", "aria-labelledby": "events" },
  h("header", null, h("h1", { id: "events", class: "page-title" }, t("nav.events")), status), form, problem,
  h("div", { class: "scroll" }, h("table", { class: "stack events" }, h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))), body)),
  h("div", { class: "actions" }, newest, older)));

let next = null;
let first = true;
let ask = 0;

function filters() {
  const params = new URLSearchParams();
  if (service.value) params.set("service", service.value);
  if (severity.value) params.set("severity", severity.value);
  if (text.value.trim()) params.set("text", text.value.trim());
  return params;
}

async function load(until) {
  const mine = ++ask;
  const params = filters();
  const query = params.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  csv.href = `/api/v1/events?${query}${query ? "&" : ""}format=csv`;
  params.set("limit", String(PAGE));
  if (until) params.set("until", until);
  try {
    const page = await get(`/api/v1/events?${params}`);
    if (mine !== ask) return;
    body.replaceChildren(...page.items.map(row));
    next = page.next ?? null;
    first = !until;
    show(problem, false);
    count();
  } catch (error) {
    show(problem, true);
    say(problem, error.message);
  }
  older.disabled = next === null;
  show(newest, !first);
}

function count() {
  say(status, t(first && tail.checked ? "events.count_live" : "events.count", { n: body.children.length }));
}

function row(entry) {
  const [tone, glyph] = entry.severity === "alarm" && entry.data?.stage ? [stageTone(entry.data.stage), undefined] : (TONES[entry.severity] ?? TONES.info);
  const time = h("time", { datetime: new Date(entry.unix_ms).toISOString() }, moment(entry.unix_ms));
  const cells = [
    h("span", { class: "nowrap" }, time, entry.synced ? "" : h("abbr", { title: t("clock.unsynced") }, " ?")),
    badge(tone, tv("severity", entry.severity), glyph),
    h("span", null, tv("service_name", entry.service)),
    h("div", null, h("div", null, sentence(entry)), details(entry)),
    h("span", null, entry.actor ?? ""),
  ];
  return h("tr", { "data-severity": entry.severity, "data-seq": entry.seq }, cells.map((cell, index) => h("td", { "data-head": heads[index] }, cell)));
}

function details(entry) {
  const node = h("details", { class: "more" }, h("summary", null, h("span", { class: "mono" }, entry.kind), ` #${entry.seq}`));
  node.addEventListener("toggle", () => {
    if (node.children.length === 1) node.append(h("pre", { class: "data" }, JSON.stringify(entry.data, null, 2)), h("p", { class: "faint mono" }, entry.hash));
  });
  return node;
}

const rank = (level) => SEVERITIES.indexOf(level);

function matches(entry) {
  const needle = text.value.trim().toLowerCase();
  return (!service.value || entry.service === service.value) && rank(entry.severity) >= rank(severity.value || "info") &&
    (!needle || `${entry.text} ${entry.kind}`.toLowerCase().includes(needle));
}

store.addEventListener("entry", ({ detail }) => {
  if (!first || !tail.checked || !matches(detail)) return;
  if (body.querySelector(`[data-seq="${Number(detail.seq)}"]`)) return;
  const node = row(detail);
  node.classList.add("fresh");
  body.prepend(node);
  while (body.children.length > ROWS_MAX) body.lastElementChild.remove();
  count();
});

let typing = null;
form.addEventListener("submit", (event) => event.preventDefault());
service.addEventListener("change", () => load());
severity.addEventListener("change", () => load());
text.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => load(), 300);
});
tail.addEventListener("change", () => (tail.checked ? load() : count()));
older.addEventListener("click", () => load(next));
newest.addEventListener("click", () => load());

function services() {
  const known = new Set([...service.options].map((option) => option.value));
  for (const { name } of store.site?.services ?? []) if (!known.has(name)) service.append(h("option", { value: name }, tv("service_name", name)));
  for (const name of ["audit", "site"]) if (!known.has(name) && store.site) service.append(h("option", { value: name }, tv("service_name", name)));
  const wanted = query.get("service");
  if (wanted && service.value !== wanted && !services.done) {
    service.value = wanted;
    if (service.value === wanted) load();
  }
  services.done ||= Boolean(store.site);
}

severity.value = query.get("severity") ?? "";
text.value = query.get("text") ?? "";
open(() => { if (!services.done) services(); });
load();
