// What stands around the zones: outputs, power, buses, service. One card each.
import { post, put, seg } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { moment, number, plain, span } from "../format.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { act } from "./act.js";
import { ask } from "./ask.js";
import { badge, rebadge } from "./badge.js";

function card(id, title, ...actions) {
  return h("section", { class: "card", id, "aria-labelledby": `${id}-title` }, h("header", null, h("h2", { id: `${id}-title` }, title), h("div", { class: "actions" }, actions)));
}

/** A table row whose cells know their heading, for the phone's stacked form. */
function row(heads, cells) {
  return h("tr", null, cells.map((cell, index) => h("td", { "data-head": heads[index] }, cell)));
}

const table = (heads, body) => h("table", { class: "stack" }, h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))), body);

async function override(output) {
  const answer = await ask(t("output.title", { id: output.id }), t("output.warning"), [
    { name: "mode", label: t("output.mode"), type: "select", value: output.mode, options: ["auto", "on", "off"].map((mode) => [mode, tv("mode", mode)]) },
    { name: "minutes", label: t("output.minutes"), type: "number", value: 30, min: 1, max: 480 },
    { name: "reason", label: t("ask.reason") },
  ], t("output.verb"));
  if (!answer) return;
  const body = { mode: answer.mode, reason: answer.reason };
  if (answer.mode !== "auto") body.minutes = Number(answer.minutes);
  await put(`/api/v1/gas/outputs/${seg(output.id)}`, body);
}

export function outputs() {
  const heads = [t("output.id"), t("output.kind"), t("output.state"), t("output.mode"), t("output.since"), ""];
  const body = h("tbody");
  const test = act(t("output.lamp_test"), { role: "engineer", run: () => post("/api/v1/gas/outputs/lamp-test", { seconds: 5 }), done: t("output.lamp_test_done") });
  const node = card("outputs", t("output.heading"), test);
  node.append(h("div", { class: "scroll" }, table(heads, body)));
  node.update = (gas) => {
    test.refresh(!store.stale("gas"));
    follow(body, gas.outputs, (output) => output.id, (first) => {
      let output = first;
      const led = h("span", { class: "led" });
      const state = h("span");
      const mode = badge("none", "");
      const since = h("span", { class: "faint" });
      const edit = act(t("output.change"), { role: "engineer", run: () => override(output) });
      const item = row(heads, [h("span", null, h("b", null, first.name || first.id), first.name && first.name !== first.id ? h("span", { class: "mono faint" }, ` ${first.id}`) : null), h("span", null, tv("output_kind", first.kind), first.function === "healthy" ? ` (${t("output.healthy")})` : ""), h("span", null, led, " ", state), mode, since, edit]);
      item.update = (now) => {
        output = now;
        set(led, "data-on", String(now.on));
        set(led, "data-lamp", now.lamp);
        say(state, `${t(now.on ? "output.on" : "output.off")}${now.lamp === "flash" ? ` (${t("output.flash")})` : ""}${now.wired ? "" : ` · ${t("output.not_wired")}`}`);
        const until = now.mode_until_s ? `, ${t("point.until", { span: span(now.mode_until_s * 1000) })}` : "";
        if (now.fault) rebadge(mode, "fault", t("output.fault"));
        else rebadge(mode, now.mode === "auto" ? "none" : "note", `${tv("mode", now.mode)}${until}`);
        set(mode, "title", now.hand ? [now.hand.reason, now.hand.by].filter(Boolean).join(", ") : null);
        say(since, now.since_unix_ms ? moment(now.since_unix_ms) : "–");
        edit.refresh(!store.stale("gas"));
      };
      return item;
    }, (item, output) => item.update(output));
  };
  return node;
}

export function rowsCard(id, title, ...actions) {
  const rows = h("dl", { class: "rows" });
  const node = card(id, title, ...actions);
  node.append(rows);
  node.rows = (items) => follow(rows, items, ([label]) => label, ([label]) => h("div", null, h("dt", null, label), h("dd", { class: "now" })), (item, [, value]) => say(item.lastChild, value));
  return node;
}

export function power() {
  const test = act(t("power.test"), { role: "engineer", run: () => post("/api/v1/gas/power/battery-test"), done: t("power.tested") });
  const state = badge("good", "");
  const node = rowsCard("power", t("power.title"), state, test);
  node.update = ({ power }) => {
    rebadge(state, power.state === "mains" ? "good" : power.state === "not_wired" ? "none" : "fault", tv("power_short", power.state), power.state === "mains" ? "mains" : "battery");
    show(test, power.state !== "not_wired");
    test.refresh(!store.stale("gas"));
    const soc = power.soc_percent;
    node.rows([
      [t("power.soc"), soc === null || soc === undefined ? "–" : `${plain(Math.round(soc))} %${power.soc_uncertainty ? ` ± ${plain(Math.round(power.soc_uncertainty))}` : ""}`],
      [t("power.is_charging"), t(power.charging ? "yes" : "no")],
      [t("power.voltage"), power.battery_v === null || power.battery_v === undefined ? "–" : `${number(power.battery_v, 2)} V`],
      [t("power.left"), power.remaining_h === null || power.remaining_h === undefined ? "–" : `${number(power.remaining_h, 1)} h`],
    ]);
  };
  return node;
}

async function serviceDone() {
  const answer = await ask(t("service.done_title"), t("service.done_text"), [
    { name: "by", label: t("service.by"), value: store.me?.name === "local" ? "" : (store.me?.name ?? "") },
    { name: "note", label: t("service.note"), optional: true },
  ], t("service.done"));
  if (answer) await post("/api/v1/gas/service/done", answer);
}

export function service() {
  const state = badge("good", "", "wrench");
  const done = act(t("service.done"), { role: "engineer", run: serviceDone });
  const node = rowsCard("service", t("service.title"), state, done);
  node.update = ({ service: now, uptime_s: uptime }) => {
    rebadge(state, now.state === "ok" ? "good" : "note", tv("service_state", now.state), "wrench");
    done.refresh(!store.stale("gas"));
    node.rows([
      [t("service.left"), t("service.of", { left: plain(now.days_left), all: plain(now.interval_days) })],
      [t("service.hours"), span(now.operating_s * 1000)],
      [t("service.boots"), plain(now.boot_count)],
      [t("service.uptime"), span(uptime * 1000 + (store.age("gas") ?? 0))],
      ...(now.checks ?? []).map((check) => [tv("check", check.check), t("service.of", { left: plain(check.days_left), all: plain(check.interval_days) })]),
    ]);
  };
  return node;
}

export function buses() {
  const list = h("div", { class: "buses" });
  const node = card("buses", t("bus.title"));
  node.append(list);
  node.update = (gas) => follow(list, gas.buses, (bus) => bus.id, makeBus, (item, bus) => item.update(bus));
  return node;
}

function makeBus(first) {
  const heads = [t("bus.sensor"), t("bus.address"), t("bus.state"), t("bus.good"), "timeout", "CRC", t("bus.exception"), t("bus.length"), t("bus.recovered"), t("bus.worst")];
  const state = badge("good", "");
  const facts = h("span", { class: "quiet" });
  const body = h("tbody");
  const node = h("div", null, h("header", { class: "actions" }, h("h3", null, first.id, " ", h("span", { class: "mono quiet" }, first.device)), state, facts), h("div", { class: "scroll" }, table(heads, body)));
  node.update = (bus) => {
    rebadge(state, bus.state === "open" ? "good" : "fault", tv("bus_state", bus.state));
    say(facts, t("bus.cycle", { ms: plain(bus.cycle_ms), percent: plain(Math.round((bus.efficiency ?? 0) * 100)) }));
    follow(body, bus.devices, (device) => device.sensor, (device) => {
      const tag = badge("good", "");
      const counts = Array.from({ length: 6 }, () => h("span"));
      const worst = h("span");
      const item = row(heads, [device.sensor, plain(device.address), tag, ...counts, worst]);
      item.update = (now) => {
        rebadge(tag, now.state === "good" ? "good" : now.state === "probe" ? "fault" : "note", tv("device", now.state));
        [now.good, now.timeout, now.crc, now.exception, now.length, now.recovered].forEach((count, index) => say(counts[index], plain(count)));
        say(worst, span(now.worst_age_ms));
      };
      return item;
    }, (item, device) => item.update(device));
  };
  return node;
}
