// Buttons that change something: allowed by role, busy while the answer is out, and honest about the result.
import { h, set } from "../dom.js";
import { t, tv } from "../i18n.js";
import { store } from "../store.js";
import { icon } from "../icons.js";
import { toast } from "./badge.js";

/** Runs a write and says what came of it. Answers whether it worked. */
export async function attempt(run, done) {
  try {
    await run();
    if (done) toast(done);
    return true;
  } catch (problem) {
    toast(problem.message, true);
    return false;
  }
}

/**
 * A button for `role` and above. `run` may open a dialog. `button.refresh(possible)` disables it with the reason in
 * its title: the role first, then that there is nothing to do.
 */
export function act(label, { role = "operator", glyph, kind = "small", run, done }) {
  const node = h("button", { type: "button", class: kind }, glyph ? icon(glyph) : null, h("span", null, label));
  let possible = true;
  let busy = false;
  node.refresh = (now = possible) => {
    possible = now;
    const allowed = store.can(role);
    node.disabled = busy || !possible || !allowed;
    set(node, "title", allowed ? (possible ? null : t("act.nothing")) : t("act.role", { role: tv("role", role) }));
  };
  node.addEventListener("click", async () => {
    busy = true;
    node.refresh();
    await attempt(run, done);
    busy = false;
    node.refresh();
  });
  node.refresh();
  return node;
}

/** A sentence that says why controls are off; empty for those who may use them. */
export function roleNote(role) {
  const text = h("span");
  const node = h("p", { class: "why", hidden: true }, icon("lock"), text);
  node.refresh = () => {
    const allowed = store.can(role);
    node.hidden = allowed || !store.me;
    text.textContent = allowed ? "" : t("act.note", { have: tv("role", store.me?.role ?? "viewer"), role: tv("role", role) });
  };
  node.refresh();
  return node;
}
