// The form that login and claim share. These pages load without a session, so they read nothing from the site.
import { post } from "../api.js";
import { h, say, show } from "../dom.js";
import { t } from "../i18n.js";

/** Where to go afterwards: only a path of this site, never another host that a crafted link names. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const url = new URL(wanted, location.origin);
  return url.origin === location.origin && wanted.startsWith("/") ? url.pathname + url.search : "/";
}

export function door({ title, text, fields, verb, path, check, other }) {
  document.title = `${title} – Leitstand`;
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const button = h("button", { class: "primary", type: "submit" }, verb);
  const inputs = fields.map((field) => h("input", { id: field.name, name: field.name, type: field.type ?? "text", required: true, autocomplete: field.autocomplete, autocapitalize: "none", spellcheck: "false", maxlength: 200 }));
  const form = h("form", { class: "form" }, fields.map((field, index) => h("div", { class: "row" }, h("label", { for: field.name }, field.label), inputs[index])), problem, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(fields.map((field, index) => [field.name, inputs[index].value]));
    const mistake = check?.(values);
    if (mistake) return fail(mistake);
    for (const field of fields) if (field.local) delete values[field.name];
    button.disabled = true;
    try {
      await post(path, values);
      location.href = next();
    } catch (error) {
      fail(error.status === 401 && path === "/login" ? t("login.wrong") : error.message);
    }
    button.disabled = false;
  });
  function fail(message) {
    say(problem, message);
    show(problem, true);
    inputs.find((input) => input.type === "password")?.select();
  }
  document.querySelector("main").append(h("div", { class: "door" }, h("div", { class: "card" }, h("h1", null, title), h("p", { class: "quiet" }, text), form, h("p", null, h("a", { href: other.href }, other.label)))));
  inputs[0].focus();
}
