// The overview's tiles. Each names its state in words first, then a figure, then the few facts behind it.
import { cellName, cellOf, levelTone } from "../describe.js";
import { follow, h, say, set, show } from "../dom.js";
import { digits, number, plain, span, unit } from "../format.js";
import { t, tv } from "../i18n.js";
import { badge, rebadge } from "./badge.js";

const healthTone = { good: "good", degraded: "note", failed: "fault", lost: "fault" };

function tile(title, href, ...body) {
  const tag = badge("good", "");
  const node = h("section", { class: "card tile" }, h("header", null, h("h2", null, href ? h("a", { href }, title) : title), tag), ...body);
  node.tag = tag;
  return node;
}

function zoneTile(id) {
  const figure = h("p", { class: "figure" });
  const rows = h("ul", { class: "strip" });
  const node = tile("", "/gas", figure, rows);
  node.classList.add("wide");
  const title = node.querySelector("h2 a");
  node.update = (store) => {
    const gas = store.gas;
    const zone = gas.zones.find((candidate) => candidate.id === id);
    say(title, zone.name);
    const level = zone.level === "normal" ? (zone.health === "good" ? "good" : "fault") : levelTone(zone.level);
    rebadge(node.tag, level, zone.level === "normal" && zone.health !== "good" ? tv("health", zone.health) : tv("level", zone.level));
    const shown = zone.shown;
    const cell = shown && cellOf(gas, shown.cell);
    figure.replaceChildren(...(shown ? [number(shown.value, digits(cell?.range_hi)), h("small", null, ` ${unit(shown.unit)} ${cell ? cellName(cell) : ""}`)] : [t("zone.no_value")]));
    follow(rows, zone.cells.map((cellId) => cellOf(gas, cellId)).filter(Boolean), (c) => c.id, () => {
      return h("li", null, h("span", { class: "quiet" }), h("b", { class: "now" }));
    }, (row, c) => {
      set(row, "data-quality", c.fault ? "fault" : c.quality);
      say(row.firstChild, cellName(c));
      const known = c.value !== null && c.quality !== "fault";
      say(row.lastChild, known ? `${number(c.value, digits(c.range_hi))} ${unit(c.unit)}` : c.fault ? tv("fault", c.fault) : tv("quality", c.quality));
    });
  };
  return node;
}

function powerTile() {
  const figure = h("p", { class: "figure" });
  const bar = h("i");
  const meter = h("div", { class: "meter", role: "img" }, bar);
  const rest = h("p", { class: "quiet" });
  const node = tile(t("power.title"), "/gas#power", figure, meter, rest);
  node.update = (store) => {
    const power = store.gas.power;
    const good = power.state === "mains";
    rebadge(node.tag, good ? "good" : power.state === "not_wired" ? "none" : "fault", tv("power_short", power.state), power.state === "mains" ? "mains" : "battery");
    const known = power.soc_percent !== null && power.soc_percent !== undefined;
    // A charge cannot be told from the voltage while the battery is being charged: then the voltage is what is known.
    const measured = known ? `${plain(Math.round(power.soc_percent))} %` : power.battery_v ? `${number(power.battery_v, 1)} V` : "–";
    const note = power.charging ? t("power.charging") : known ? t("power.charge") : power.battery_v ? t("power.voltage") : t("power.no_gauge");
    figure.replaceChildren(measured, h("small", null, ` ${note}`));
    show(meter, known);
    bar.style.width = `${known ? power.soc_percent : 0}%`;
    set(meter, "data-tone", power.state === "battery_low" || power.state === "battery_critical" ? "fault" : null);
    set(meter, "aria-label", known ? `${Math.round(power.soc_percent)} %` : null);
    say(rest, [power.remaining_h !== null && power.remaining_h !== undefined ? t("power.remaining", { h: number(power.remaining_h, 1) }) : "",
      known && power.battery_v ? `${number(power.battery_v, 1)} V` : ""].filter(Boolean).join(" · "));
  };
  return node;
}

function serviceTile() {
  const figure = h("p", { class: "figure" });
  const bar = h("i");
  const meter = h("div", { class: "meter" }, bar);
  const rest = h("p", { class: "quiet" });
  const node = tile(t("service.title"), "/gas#service", figure, meter, rest);
  node.update = (store) => {
    const service = store.gas.service;
    rebadge(node.tag, service.state === "ok" ? "good" : "note", tv("service_state", service.state), "wrench");
    figure.replaceChildren(plain(service.days_left), h("small", null, ` ${t("service.days_left")}`));
    bar.style.width = `${Math.min(100, Math.max(0, (service.days_used / service.interval_days) * 100))}%`;
    set(meter, "data-tone", service.state === "ok" ? null : "note");
    say(rest, t("service.operating", { span: span(service.operating_s * 1000), n: service.boot_count }));
  };
  return node;
}

function panelTile() {
  const figure = h("p", { class: "figure" });
  const rows = h("ul", { class: "rows" });
  const node = tile(t("nav.panel"), "/panel", figure, rows);
  node.update = (store) => {
    const panel = store.panel;
    const boards = panel?.panels ?? [];
    const good = boards.length > 0 && boards.every((board) => board.online);
    rebadge(node.tag, good ? "good" : "note", good ? t("panel.online") : t("panel.offline"), "panel");
    const current = panel?.current_button ?? null;
    figure.replaceChildren(...(current === null ? [t("panel.idle")] : [String(current).padStart(3, "0"), h("small", null, ` ${t("panel.playing")}`)]));
    follow(rows, [
      ...boards.map((board) => ({ id: board.name, label: t("panel.board", { name: board.name }), value: board.online ? t("panel.online") : t("panel.offline") })),
      { id: "screens", label: t("panel.screens"), value: plain(panel?.ws_clients ?? 0) },
      { id: "media", label: t("panel.media_missing"), value: plain(panel?.media_missing ?? 0) },
    ], (row) => row.id, () => h("li", null, h("span", { class: "quiet" }), h("b")), (row, item) => {
      say(row.firstChild, item.label);
      say(row.lastChild, item.value);
    });
  };
  return node;
}

function fleetTile() {
  const figure = h("p", { class: "figure" });
  const rows = h("ul", { class: "rows" });
  const node = tile(t("nav.fleet"), "/fleet", figure, rows);
  node.update = (store) => {
    const { cars, broker } = store.fleet;
    const stale = store.stale("fleet");
    const running = cars.filter((car) => car.state === "running").length;
    const good = broker.up && !cars.some((car) => car.no_supported_device);
    rebadge(node.tag, stale ? "stale" : good ? "good" : "fault", stale ? t("fleet.unknown") : broker.up ? t("fleet.broker_up") : t("fleet.broker_down"));
    figure.replaceChildren(stale ? "–" : plain(running), h("small", null, ` ${t("fleet.running_of", { n: cars.length })}`));
    follow(rows, cars.slice(0, 4), (car) => `${car.company}/${car.name}`, () => h("li", null, h("span", { class: "quiet" }), h("b")), (row, car) => {
      say(row.firstChild, car.name);
      say(row.lastChild, stale ? t("fleet.unknown") : tv("fleet_state", car.state));
    });
  };
  return node;
}

function containersTile() {
  const figure = h("p", { class: "figure" });
  const rest = h("p", { class: "quiet" });
  const node = tile(t("nav.containers"), "/containers", figure, rest);
  node.update = (store) => {
    const state = store.containers;
    const stale = store.stale("containers");
    rebadge(node.tag, stale ? "stale" : state.unavailable ? "fault" : "good", stale ? t("containers.unknown") : state.unavailable ? t("containers.unusable") : t("containers.ready"), stale ? undefined : "container");
    figure.replaceChildren(plain(state.items.length), h("small", null, ` ${t("containers.running")}`));
    say(rest, state.unavailable ?? t("containers.free", { n: state.available, of: state.max_running }));
  };
  return node;
}

function modelsTile() {
  const figure = h("p", { class: "figure" });
  const rows = h("ul", { class: "rows" });
  const node = tile(t("nav.models"), "/models", figure, rows);
  node.update = (store) => {
    const watches = store.models?.watches ?? [];
    const stale = store.stale("models");
    const odd = watches.filter((watch) => watch.anomalous).length;
    const state = stale ? "stale" : odd > 0 ? "anomalous" : watches.length > 0 ? "normal" : "no_action";
    rebadge(node.tag, stale ? "stale" : odd > 0 ? "note" : watches.length > 0 ? "good" : "none", state === "no_action" ? t("panel.idle") : t(`models.${state}`), "model");
    figure.replaceChildren(plain(Object.keys(store.models?.models ?? {}).length), h("small", null, ` ${t("models.kept")}`));
    follow(rows, watches, (watch) => watch.tag, () => h("li", null, h("span", { class: "quiet" }), h("b")), (row, watch) => {
      say(row.firstChild, watch.tag);
      const score = watch.latest?.score ?? null;
      say(row.lastChild, stale || score === null ? "–" : `${number(score, 1)} ${t("models.sigmas")}`);
    });
  };
  return node;
}

function systemTile() {
  const rows = h("ul", { class: "rows" });
  const node = tile(t("system.title"), "/events", rows);
  node.update = (store) => {
    const services = store.site?.services ?? [];
    const worst = services.some((one) => one.health === "failed") ? "failed" : services.some((one) => one.health === "degraded") ? "degraded" : "good";
    rebadge(node.tag, healthTone[worst], tv("health", worst));
    follow(rows, services, (one) => one.name, () => h("li", null, h("span", { class: "quiet" }), h("b")), (row, one) => {
      say(row.firstChild, tv("service_name", one.name));
      say(row.lastChild, tv("health", one.health));
    });
  };
  return node;
}

/** Which tiles this site has, in order. */
export function tiles(store) {
  const list = [];
  if (store.gas) {
    for (const zone of store.gas.zones) list.push({ id: `zone ${zone.id}`, zone: true, make: () => zoneTile(zone.id) });
    if (store.gas.power?.state !== "not_wired") list.push({ id: "power", make: powerTile });
    if (store.gas.service) list.push({ id: "service", make: serviceTile });
  }
  if (store.panel) list.push({ id: "panel", make: panelTile });
  if (store.fleet) list.push({ id: "fleet", make: fleetTile });
  if (store.containers) list.push({ id: "containers", make: containersTile });
  if (store.models) list.push({ id: "models", make: modelsTile });
  if (store.site) list.push({ id: "system", make: systemTile });
  return list;
}
