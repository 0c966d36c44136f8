// How the centre itself is doing: alarm quality, self-test, and the configuration in force.
import { request } from "../api.js";
import { h, say, show } from "../dom.js";
import { moment, plain } from "../format.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { act } from "./act.js";
import { badge, rebadge, toast } from "./badge.js";
import { rowsCard } from "./plant.js";

/** A change is in force within seconds; threads of slow buses end first. */
const SWITCH_MS = 30_000;
const CONFIG = "/api/v1/gas/config";

export function quality() {
  const state = badge("good", "");
  const node = rowsCard("quality", t("quality_card.title"), state);
  node.update = ({ quality: now, self_test: test }) => {
    const poor = now.flood || now.chattering.length > 0 || now.stale.length > 0;
    const failed = test !== null && !test.ok;
    rebadge(state, failed ? "fault" : poor ? "note" : "good", t(failed ? "quality_card.failed" : now.flood ? "quality_card.flood" : poor ? "quality_card.poor" : "quality_card.good"));
    node.rows([
      [t("quality_card.ten"), plain(now.last_10_min)],
      [t("quality_card.day"), plain(now.last_day)],
      [t("quality_card.chattering"), now.chattering.join(", ") || "–"],
      [t("quality_card.stale"), now.stale.join(", ") || "–"],
      [t("quality_card.self_test"), test === null ? "–" : test.ok ? t("quality_card.passed", { time: moment(test.unix_ms) }) : test.checks.filter((check) => !check.ok).map((check) => tv("self_test", check.check)).join(", ")],
    ]);
  };
  return node;
}

export function configuration() {
  const edit = act(t("config.edit"), { role: "admin", run: openEditor });
  const node = rowsCard("configuration", t("config.title"), edit);
  node.update = ({ status }) => {
    edit.refresh(!store.stale("gas"));
    node.rows([
      [t("config.version"), plain(status.config_version)],
      [t("config.file"), t(status.config_drift ? "config.drift" : "config.same")],
    ]);
  };
  return node;
}

/** The text as it is, checked by the server when it is saved; what somebody else saved meanwhile is not overwritten. */
async function openEditor() {
  const answer = await fetch(CONFIG, { cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new Error(t("problem.status", { status: answer.status }));
  const tag = answer.headers.get("etag");
  const present = await answer.json();
  const text = h("textarea", { id: "config-text", class: "mono", rows: 20, spellcheck: "false", required: true });
  text.value = present.text;
  const reason = h("input", { id: "config-reason", required: true, maxlength: 200, autocomplete: "off" });
  const mistakes = h("ul", { class: "problem", role: "alert", hidden: true });
  const form = h("form", null,
    h("h2", { id: "config-title" }, t("config.heading", { version: plain(present.version) })),
    h("div", { class: "row" }, h("label", { for: "config-text" }, t("config.text")), text),
    mistakes,
    h("div", { class: "row" }, h("label", { for: "config-reason" }, t("ask.reason")), reason),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, t("ask.cancel")), h("button", { type: "submit", class: "primary" }, t("config.save"))));
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "config-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { text: text.value, reason: reason.value };
    try {
      const done = await request("PUT", CONFIG, body, { headers: { "if-match": tag }, patience: SWITCH_MS });
      toast(done.restart.length > 0 ? t("config.saved_restart", { sections: done.restart.join(", ") }) : t("config.saved", { version: plain(done.version) }));
      dialog.close();
    } catch (problem) {
      show(mistakes, true);
      const found = problem.answer?.diagnostics ?? [];
      mistakes.replaceChildren(...(found.length > 0 ? found.map(mistake) : [h("li", null, problem.message)]));
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function mistake(found) {
  const item = h("li");
  say(item, `${t("config.line", { line: plain(found.line) })} ${found.key}: ${found.message}${found.suggestion ? ` (${t("config.meant", { what: found.suggestion })})` : ""}`);
  return item;
}
