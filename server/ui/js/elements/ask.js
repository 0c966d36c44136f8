// One dialog for all writes that need a reason: fields are described by the caller, the answer is a promise.
import { h } from "../dom.js";
import { t } from "../i18n.js";

/**
 * Asks for `fields` (`{name, label, type: "text" | "select" | "number", options?, value?, optional?}`). Resolves with
 * the values, or null when the person thought better of it. Enter submits, Escape cancels: the platform's dialog
 * keeps focus inside and gives it back.
 */
export function ask(title, text, fields, verb) {
  return new Promise((resolve) => {
    const inputs = {};
    const rows = fields.map((field) => {
      const id = `ask-${field.name}`;
      const input = field.type === "select"
        ? h("select", { id }, field.options.map(([value, label]) => h("option", { value, selected: value === field.value }, label)))
        : h("input", { id, type: field.type ?? "text", value: field.value ?? "", required: !field.optional, maxlength: 200, autocomplete: "off", min: field.min, max: field.max });
      inputs[field.name] = input;
      return h("div", { class: "row" }, h("label", { for: id }, field.label), input);
    });
    let result = null;
    const form = h("form", { method: "dialog" },
      h("h2", { id: "ask-title" }, title), text ? h("p", { class: "quiet" }, text) : null, rows,
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, t("ask.cancel")),
        h("button", { class: "primary", type: "submit" }, verb)));
    const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
    form.addEventListener("submit", () => {
      result = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    form.querySelector("input, select")?.focus();
  });
}
