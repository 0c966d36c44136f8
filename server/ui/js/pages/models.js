// Models: what watches say, what is kept, what runs.
import { get, post } from "../api.js";
import { follow, h, s, say, set, show } from "../dom.js";
import { clock, number, plain } from "../format.js";
import { t, tv } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { act, roleNote } from "../elements/act.js";
import { badge, rebadge } from "../elements/badge.js";

const W = 300;
const H = 60;
/** Actions shown; the API has all that are kept. */
const ACTIONS = 30;
const PHASE_TONE = { complete: "good", failed: "fault", cancelled: "none" };

const card = (id, title, ...body) => h("section", { class: "card", "aria-labelledby": id }, h("header", null, h("h2", { id }, title)), ...body);
const nothing = (text) => h("p", { class: "quiet", hidden: true }, text);
const watches = h("div", { class: "tiles" });
const noWatch = nothing(t("models.no_watch"));
const table = (heads) => {
  const body = h("tbody");
  return { body, heads, node: h("div", { class: "scroll" }, h("table", { class: "stack" }, h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))), body)) };
};
const kept = table([t("models.id"), t("models.type"), t("models.version"), t("models.bytes"), t("models.state"), t("models.versions")]);
const noModel = nothing(t("models.no_model"));
const ran = table([t("models.id"), t("models.call"), t("models.phase"), t("models.progress"), t("models.user"), t("models.at"), ""]);
const noAction = nothing(t("models.no_action"));
const note = roleNote("operator");
document.querySelector("main").append(h("h1", { class: "page-title" }, t("nav.models")), note, h("div", { class: "models-page" },
  card("watches", t("models.watches"), watches, noWatch), card("kept", t("models.kept"), kept.node, noModel), card("actions", t("models.actions"), ran.node, noAction)));

/** Two lines in one frame: the sample, and under it the score with the limit of three sigmas. */
function chart() {
  const line = () => s("path");
  const value = line();
  const score = line();
  const picture = (path, label) => h("figure", null, s("svg", { class: "spark", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, s("line", { class: "floor", x1: 0, x2: W, y1: H, y2: H }), path), h("figcaption", { class: "quiet" }, label));
  const node = h("div", null, picture(value, t("models.value")), picture(score, t("models.score")));
  node.draw = (points) => {
    set(value, "d", trace(points.map((point) => point.value)));
    set(score, "d", trace(points.map((point) => point.score)));
  };
  return node;
}

/** Breaks where nothing was known: no value is ever drawn through a silence. */
function trace(values) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(...known, 1e-6);
  const bottom = Math.min(...known, 0);
  let path = "";
  let pen = "M";
  values.forEach((value, i) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${((i / Math.max(values.length - 1, 1)) * W).toFixed(1)} ${(H - ((value - bottom) / (top - bottom)) * H).toFixed(1)}`;
    pen = "L";
  });
  return path || "M0 0";
}

function watchTile() {
  const tag = badge("none", "");
  const title = h("h3");
  const figure = h("p", { class: "figure" });
  const rest = h("p", { class: "quiet" });
  const lines = chart();
  const node = h("section", { class: "card tile wide" }, h("header", null, title, tag), figure, lines, rest);
  node.update = (watch, stale) => {
    const score = watch.latest?.score ?? null;
    const silent = !watch.latest || watch.latest.value === null;
    const tone = stale ? "stale" : watch.anomalous ? "note" : silent || score === null ? "none" : "good";
    rebadge(tag, tone, t(stale ? "models.stale" : watch.anomalous ? "models.anomalous" : silent ? "models.silent" : score === null ? "models.learning" : "models.normal"));
    say(title, watch.tag);
    figure.replaceChildren(score === null || stale ? "–" : number(score, 1), h("small", null, ` ${t("models.sigmas")}`));
    lines.draw(watch.points);
    say(rest, t("models.by", { model: watch.model, n: plain(watch.points.length) }));
  };
  return node;
}

function cells(row, heads, values) {
  follow(row, values.map((value, i) => ({ i, value })), (cell) => cell.i, (cell) => h("td", { "data-head": heads[cell.i] }), (node, cell) => {
    if (cell.value instanceof Node) {
      if (node.firstChild !== cell.value) node.replaceChildren(cell.value);
    } else say(node, String(cell.value));
  });
}

/** Kept versions, loaded when somebody looks. */
function versions(id) {
  const list = h("ul", { class: "rows" });
  const node = h("details", { class: "more", ontoggle: async () => {
    if (!node.open) return;
    try {
      const page = await get(`/api/v1/models/${id}/versions`);
      list.replaceChildren(...page.items.map((version) => {
        const restore = act(t("models.restore"), { role: "engineer", run: () => post(`/api/v1/models/${id}/versions/${version.version}/restore`), done: t("models.restored") });
        restore.refresh(true);
        return h("li", null, h("span", null, `${version.version} · ${version.created_at.slice(0, 16).replace("T", " ")} · ${version.created_by} · `, h("span", { class: "mono" }, version.sha256.slice(0, 12))), restore);
      }));
    } catch (error) {
      list.replaceChildren(h("li", { class: "problem" }, error.message));
    }
  } }, h("summary", null, t("models.versions")), list);
  return node;
}

function draw() {
  const state = store.models;
  note.refresh();
  if (!state) return;
  const stale = store.stale("models");
  show(noWatch, state.watches.length === 0);
  follow(watches, state.watches, (watch) => watch.tag, watchTile, (node, watch) => node.update(watch, stale));
  const names = (id) => Object.entries(state.aliases).filter(([, of]) => of === id).map(([name]) => name).join(", ");
  const models = Object.values(state.models);
  show(noModel, models.length === 0);
  follow(kept.body, models, (model) => model.instance_id, (model) => {
    const row = h("tr");
    row.tag = badge("good", "");
    row.more = versions(model.instance_id);
    return row;
  }, (row, model) => {
    rebadge(row.tag, stale ? "stale" : model.available ? "good" : "fault", t(stale ? "models.stale" : model.available ? "models.available" : "models.unavailable"));
    const name = names(model.instance_id);
    cells(row, kept.heads, [name ? `${model.instance_id} (${name})` : model.instance_id, model.model_type, model.version, plain(model.bytes), row.tag, row.more]);
  });
  const actions = Object.entries(state.actions).map(([id, action]) => ({ id: Number(id), ...action })).reverse().slice(0, ACTIONS);
  show(noAction, actions.length === 0);
  follow(ran.body, actions, (action) => action.id, (action) => {
    const row = h("tr");
    row.tag = badge("none", "");
    row.cancel = act(t("models.cancel"), { run: () => post(`/api/v1/models/actions/${action.id}/cancel`), done: t("models.cancel_sent") });
    return row;
  }, (row, action) => {
    const over = action.progress in PHASE_TONE;
    rebadge(row.tag, PHASE_TONE[action.progress] ?? "note", tv("models_phase", action.progress));
    row.cancel.refresh(!over && !stale);
    show(row.cancel, !over);
    const progress = action.error?.message ?? (action.action === undefined ? "" : JSON.stringify(action.action));
    const what = `${action.meta.call} ${action.meta.model ?? action.meta.model_type}`;
    cells(row, ran.heads, [action.id, what, row.tag, progress.slice(0, 200), action.user, clock(Date.parse(action.queued_at)), row.cancel]);
  });
}

draw();
open(draw);
