// Small shared pieces: badges (icon and word in one colour), and toasts.
import { h, say, set } from "../dom.js";
import { icon, swap } from "../icons.js";

const ICON_OF = { good: "good", ap1: "stage1", ap2: "stage2", ap3: "stage3", fault: "fault", note: "note", stale: "stale" };

export function badge(tone, text, glyph) {
  const node = h("span", { class: "badge", "data-tone": tone });
  const picture = glyph ?? ICON_OF[tone];
  if (picture) node.append(icon(picture));
  node.append(h("span", null, text));
  return node;
}

/** Changes a badge in place. */
export function rebadge(node, tone, text, glyph) {
  set(node, "data-tone", tone);
  say(node.lastElementChild, text);
  const picture = glyph ?? ICON_OF[tone];
  const present = node.querySelector("svg");
  if (present && picture) swap(present, picture);
  else if (picture) node.prepend(icon(picture));
  else present?.remove();
}

let place = null;

/** A short message. Failures interrupt a screen reader, the rest waits its turn. */
export function toast(text, failed = false) {
  if (!place) {
    place = h("div", { class: "toasts" });
    document.body.append(place);
  }
  const node = h("div", { class: "toast", role: failed ? "alert" : "status" }, icon(failed ? "fault" : "good"), h("span", null, text));
  place.append(node);
  setTimeout(() => node.remove(), failed ? 9000 : 3500);
}
