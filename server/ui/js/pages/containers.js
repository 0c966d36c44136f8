// Containers: what runs, whose, for how long; start, look in, extend, end.
import { post, request, seg } from "../api.js";
import { follow, h, say, set, show } from "../dom.js";
import { number, plain, span } from "../format.js";
import { t, tv } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { act, roleNote } from "../elements/act.js";
import { ask } from "../elements/ask.js";
import { badge, rebadge } from "../elements/badge.js";
import { terminal } from "../containers/terminal.js";

const path = (uuid, verb = "") => `/api/v1/containers/${seg(uuid)}${verb}`;
const mib = (bytes) => (bytes === null || bytes === undefined ? "–" : `${number(bytes / 1048576, 0)} MiB`);

const tag = badge("stale", t("containers.unknown"));
const status = h("p", { class: "quiet", role: "status" });
const trouble = h("p", { class: "problem", role: "alert", hidden: true });
const notes = h("p", { class: "faint", hidden: true });
const why = roleNote("operator");
const create = act(t("containers.create"), { glyph: "container", kind: "primary", run: make });
const fresh = h("section", { class: "card", hidden: true, "aria-labelledby": "fresh" });
const list = h("div", { class: "list" });
const none = h("p", { class: "empty", hidden: true }, t("containers.none"));
const job = h("section", { class: "card", hidden: true, "aria-labelledby": "job" });
const place = h("div");
const root = h("div", { class: "containers" },
  h("section", { class: "card", "aria-labelledby": "title" },
    h("header", null, h("h1", { id: "title", class: "page-title" }, t("nav.containers")), tag, h("div", { class: "actions" }, create)),
    why, trouble, status, notes),
  fresh, place, h("section", { class: "card", "aria-labelledby": "running" }, h("header", null, h("h2", { id: "running" }, t("containers.heading"))), none, list), job);
document.querySelector("main").append(root);

let shown = null;

async function make() {
  const profiles = store.containers?.profiles ?? [];
  const answer = await ask(t("containers.create"), t("containers.create_about"), [
    { name: "profile", label: t("containers.profile"), type: "select", options: profiles.map((name) => [name, name]) },
    { name: "minutes", label: t("containers.minutes"), type: "number", value: 60, min: 1, max: 1440 },
    { name: "key", label: t("containers.key"), optional: true },
  ], t("containers.start"));
  if (!answer) return;
  const body = { profile: answer.profile, ttl_s: Math.max(1, Number(answer.minutes)) * 60 };
  if (answer.key) body.ssh_public_key = answer.key;
  const made = await post("/api/v1/containers", body);
  const command = `ssh -p ${made.container_listen_port} ${made.container_username}@${location.hostname}`;
  const fact = (label, value) => [h("dt", null, label), h("dd", { class: "secret" }, value)];
  fresh.replaceChildren(
    h("header", null, h("h2", { id: "fresh" }, t("containers.fresh", { uuid: made.container_uuid.slice(0, 8) })),
      h("button", { type: "button", class: "small", onclick: () => { fresh.replaceChildren(); show(fresh, false); } }, t("containers.hide"))),
    h("p", { class: "quiet" }, t("containers.once")),
    h("dl", { class: "facts" }, fact(t("containers.login"), command), fact(t("containers.password"), made.container_password),
      fact(t("containers.host_key"), made.ssh_host_key), fact(t("containers.token"), made.client_token)));
  show(fresh, true);
}

function look(uuid) {
  shown?.leave();
  shown = terminal(uuid, () => { shown = null; });
  place.replaceChildren(shown);
}

function card(item) {
  const state = badge("good", "");
  const rows = ["owner", "profile", "left", "memory", "cpu", "sessions", "ssh"].map((name) => [name, h("dd")]);
  const buttons = [
    act(t("containers.terminal"), { run: () => look(item.uuid) }),
    act(t("containers.extend"), { run: () => post(path(item.uuid, "/extend"), { ttl_s: 3600 }), done: t("containers.extended") }),
    act(t("containers.pause"), { run: () => post(path(item.uuid, "/pause")) }),
    act(t("containers.resume"), { run: () => post(path(item.uuid, "/resume")) }),
    act(t("containers.end"), { run: () => request("DELETE", path(item.uuid)), done: t("containers.gone") }),
  ];
  const node = h("article", { class: "runtime" }, h("header", null, h("h3", null, item.uuid.slice(0, 8)), state),
    h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", null, tv("container_fact", name)), value])), h("div", { class: "actions" }, buttons));
  const before = { cpu: item.cpu_us, at: performance.now() };
  node.update = (now) => {
    const fresh = !store.stale("containers");
    rebadge(state, !fresh ? "stale" : now.state === "paused" ? "note" : "good", tv("container_state", now.state));
    const elapsed = performance.now() - before.at;
    if (elapsed >= 900 && now.cpu_us !== null && before.cpu !== null && now.cpu_us !== before.cpu) {
      before.load = (now.cpu_us - before.cpu) / 1000 / elapsed;
      Object.assign(before, { cpu: now.cpu_us, at: performance.now() });
    } else if (elapsed > 5000) Object.assign(before, { load: 0, at: performance.now() });
    const values = {
      owner: now.owner === null ? t("containers.no_owner") : t("containers.owner", { n: now.owner }),
      profile: now.profile,
      left: span(now.left_s * 1000),
      memory: `${mib(now.memory_bytes)} / ${mib(now.memory_limit_bytes)}`,
      cpu: now.cpu_us === null ? "–" : `${number((before.load ?? 0) * 100, 0)} %`,
      sessions: plain(now.sessions),
      ssh: `${now.username} : ${now.port}`,
    };
    for (const [name, value] of rows) say(value, values[name]);
    const [look, extend, pause, resume, end] = buttons;
    for (const button of [look, extend, end]) button.refresh(fresh);
    pause.refresh(fresh && now.state === "running");
    resume.refresh(fresh && now.state === "paused");
    show(pause, now.state === "running");
    show(resume, now.state === "paused");
  };
  return node;
}

function draw() {
  const state = store.containers;
  why.refresh();
  if (!state) return;
  const fresh = !store.stale("containers");
  set(root, "data-stale", String(!fresh));
  const can = !state.unavailable;
  rebadge(tag, !fresh ? "stale" : !can ? "fault" : state.available > 0 ? "good" : "note",
    !fresh ? t("containers.unknown") : !can ? t("containers.unusable") : t("containers.free", { n: state.available, of: state.max_running }));
  show(trouble, !can);
  say(trouble, state.unavailable ?? "");
  say(status, t("containers.about", { backend: state.backend, limits: state.limits || "–", bind: state.bind }));
  show(notes, state.notes.length > 0);
  say(notes, state.notes.join(" · "));
  create.refresh(fresh && can && state.available > 0);
  show(none, state.items.length === 0);
  follow(list, state.items, (item) => item.uuid, card, (node, item) => node.update(item));
  show(job, state.job);
  if (state.job && !job.firstChild) {
    job.append(h("header", null, h("h2", { id: "job" }, t("containers.job"))), h("p", { class: "quiet" }, t("containers.job_about", { ms: state.job.took_ms })),
      h("pre", null, `$ ${state.job.command}\n${state.job.output}`));
  }
}

draw();
open(draw);
