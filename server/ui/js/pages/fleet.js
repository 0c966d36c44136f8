// The fleet: each car with its devices, the newest commands, the modules. Sends a command through a transparent module.
import { post } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { moment, number, plain, span } from "../format.js";
import { icon } from "../icons.js";
import { t, tv } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { act, roleNote } from "../elements/act.js";
import { badge, rebadge } from "../elements/badge.js";

const TONE = { running: "good", connecting: "note", waiting: "none", offline: "fault", stopped: "none" };
const DEVICE_TONE = { connected: "good", asked: "note", refused: "fault", gone: "none" };
const COMMAND_TONE = { queued: "none", sent: "note", acked: "good", refused: "fault", unanswered: "fault", expired: "fault", dropped: "fault" };

const broker = badge("stale", "");
const address = h("span", { class: "quiet mono" });
const reason = h("p", { class: "problem", hidden: true });
const cars = h("div", { class: "fleet-cars" });
const empty = h("p", { class: "empty" }, t("fleet.loading"));
const modules = h("tbody");
const commands = h("tbody");
const none = h("p", { class: "empty", hidden: true }, t("fleet.no_commands"));
const heads = (names) => h("thead", null, h("tr", null, names.map((name) => h("th", { scope: "col" }, name))));
const MODULE_HEADS = [t("fleet.module"), t("fleet.state"), t("fleet.calls"), t("fleet.failed"), t("fleet.late"), t("fleet.mean"), t("fleet.runs")];
const COMMAND_HEADS = [t("fleet.number"), t("fleet.car"), t("fleet.device"), t("fleet.data"), t("fleet.state"), t("fleet.age"), t("fleet.by")];

// The form stands still while values change around it.
const select = (id) => h("select", { id });
const car = select("send-car");
const device = select("send-device");
const data = h("input", { id: "send-data", type: "text", maxlength: 1000, placeholder: "{\"stop\": true}", autocomplete: "off" });
const row = (label, input) => h("div", { class: "row" }, h("label", { for: input.id }, label), input);
const send = act(t("fleet.send"), { kind: "primary", run: sendNow, done: t("fleet.sent") });
const note = roleNote("operator");
const form = h("form", { class: "filters", "aria-label": t("fleet.send") }, row(t("fleet.car"), car), row(t("fleet.device"), device), row(t("fleet.data"), data), send);
form.addEventListener("submit", (event) => { event.preventDefault(); send.click(); });
car.addEventListener("change", () => draw());

const card = (id, title, ...body) => h("section", { class: "card", "aria-labelledby": id }, h("header", null, h("h2", { id }, title)), ...body);
document.querySelector("main").append(h("div", { class: "fleet-page" },
  h("section", { class: "card", "aria-labelledby": "fleet" }, h("header", null, h("h1", { id: "fleet", class: "page-title" }, t("nav.fleet")), broker, address), reason, empty, cars),
  card("commands", t("fleet.commands"), note, form, none, h("div", { class: "scroll" }, h("table", { class: "stack" }, heads(COMMAND_HEADS), commands))),
  card("modules", t("fleet.modules"), h("div", { class: "scroll" }, h("table", { class: "stack" }, heads(MODULE_HEADS), modules)))));

const nameOf = (view) => `${view.company}/${view.name}`;
const shown = (view) => (view ? (view.text ?? view.hex ?? "") : "");
const ago = (ms) => (ms === null || ms === undefined ? "–" : span(ms));

async function sendNow() {
  const [module, type, role] = device.value.split("|");
  await post("/api/v1/fleet/cars/" + car.value + "/commands", { module: Number(module), device_type: Number(type), role, text: data.value });
}

function makeCar(view) {
  const node = h("article", { class: "fleet-car" });
  node.tag = badge("stale", "");
  node.facts = h("dl", { class: "facts" });
  node.devices = h("ul", { class: "rows" });
  node.warning = h("p", { class: "problem", hidden: true }, t("fleet.no_supported_device"));
  node.history = h("ul", { class: "rows" });
  const more = h("details", { class: "more" }, h("summary", null, t("fleet.history")), node.history);
  more.addEventListener("toggle", () => { if (more.open) loadHistory(node, view); });
  node.append(h("header", null, h("h3", null, icon("fleet"), " ", nameOf(view)), node.tag), node.warning, node.facts, node.devices, more);
  return node;
}

async function loadHistory(node, view) {
  try {
    const answer = await fetch("/api/v1/fleet/cars/" + nameOf(view), { credentials: "same-origin" });
    const detail = await answer.json();
    node.history.replaceChildren(...(detail.history ?? []).map((session) => h("li", null,
      h("span", null, moment(session.began_unix_ms)), h("span", { class: "quiet" }, `${span(session.length_ms)} · ${session.ended ? tv("fleet_cause", session.ended) : t("fleet.now")} · ${plain(session.statuses)}`))));
  } catch (problem) {
    node.history.replaceChildren(h("li", null, problem.message));
  }
}

function drawCar(node, view, stale) {
  rebadge(node.tag, stale ? "stale" : TONE[view.state], stale ? t("fleet.unknown") : tv("fleet_state", view.state));
  show(node.warning, view.no_supported_device && !stale);
  const facts = [
    [t("fleet.last_message"), ago(view.message_age_ms)],
    [t("fleet.session"), view.session ? `${view.session} · ${span(view.session_age_ms)}` : "–"],
    [t("fleet.open_commands"), `${plain(view.commands_open)} + ${plain(view.commands_waiting)}`],
    [t("fleet.statuses"), plain(view.statuses)],
    [t("fleet.loss"), `${number(view.loss_per_mille, 1)} ‰ · ${t("fleet.missing", { n: view.statuses_missing })}`],
  ];
  follow(node.facts, facts, (fact) => fact[0], ([name]) => h("div", null, h("dt", null, name), h("dd")), (line, fact) => say(line.lastChild, fact[1]));
  follow(node.devices, view.devices, (d) => `${d.module}/${d.device_type}/${d.role}`, () => {
    const line = h("li", { class: "fleet-device" }, h("span"), badge("none", ""), h("code", { class: "fleet-data" }), h("span", { class: "faint" }));
    return line;
  }, (line, d) => {
    const [name, tag, value, age] = line.children;
    say(name, `${d.name || d.role} (${d.module})`);
    rebadge(tag, stale ? "stale" : DEVICE_TONE[d.state], tv("fleet_device", d.state));
    set(tag, "title", d.reason);
    say(value, shown(d.status));
    say(age, d.status ? t("cell.age", { age: span(d.status.age_ms) }) : "");
  });
}

function options(node, list) {
  const before = node.value;
  follow(node, list, (item) => item.value, (item) => h("option", { value: item.value }, item.label), (option, item) => say(option, item.label));
  if (list.some((item) => item.value === before)) node.value = before;
}

function cell(line, index, head, text) {
  const td = line.children[index] ?? line.appendChild(h("td", { "data-head": head }));
  if (td.firstElementChild === null) say(td, text);
  return td;
}

function draw() {
  const fleet = store.fleet;
  const stale = store.stale("fleet");
  note.refresh();
  if (!fleet) return send.refresh(false);
  show(empty, false);
  rebadge(broker, stale ? "stale" : fleet.broker.up ? "good" : "fault", stale ? t("fleet.unknown") : fleet.broker.up ? t("fleet.broker_up") : t("fleet.broker_down"));
  say(address, `MQTT ${fleet.broker.address}`);
  show(reason, !fleet.broker.up && fleet.broker.reason);
  say(reason, fleet.broker.reason ?? "");
  follow(cars, fleet.cars, nameOf, makeCar, (node, view) => drawCar(node, view, stale));

  const open = fleet.modules.filter((m) => m.takes_commands).map((m) => m.id);
  options(car, fleet.cars.map((view) => ({ value: nameOf(view), label: nameOf(view) })));
  const chosen = fleet.cars.find((view) => nameOf(view) === car.value);
  options(device, (chosen?.devices ?? []).filter((d) => open.includes(d.module)).map((d) => ({ value: `${d.module}|${d.device_type}|${d.role}`, label: d.name || d.role })));
  send.refresh(!stale && Boolean(device.value));

  show(none, fleet.commands.length === 0);
  follow(commands, fleet.commands, (c) => String(c.id), () => h("tr"), (line, c) => {
    const texts = [String(c.id), c.car, c.device, shown(c.data), "", ago(c.age_ms), c.by ?? t("fleet.by_module", { module: c.module })];
    texts.forEach((text, index) => cell(line, index, COMMAND_HEADS[index], text));
    const place = line.children[4];
    if (!place.firstElementChild) place.append(badge("none", ""));
    rebadge(place.firstElementChild, COMMAND_TONE[c.state], tv("fleet_command", c.state));
    set(place.firstElementChild, "title", c.reason);
  });
  follow(modules, fleet.modules, (m) => String(m.id), () => h("tr"), (line, m) => {
    const texts = [`${m.id} · ${m.origin}`, "", plain(m.calls), plain(m.failed), plain(m.late), `${plain(m.mean_us)} µs`, plain(m.runs)];
    texts.forEach((text, index) => cell(line, index, MODULE_HEADS[index], text));
    const place = line.children[1];
    if (!place.firstElementChild) place.append(badge("none", ""));
    rebadge(place.firstElementChild, stale ? "stale" : m.up ? (m.note ? "note" : "good") : "fault", m.up ? t("fleet.module_up") : t("fleet.module_down"));
    set(place.firstElementChild, "title", m.note);
  });
}

draw();
open(draw);
