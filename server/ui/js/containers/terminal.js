// A terminal in a container: the screen, the keyboard and the WebSocket between them.
import { seg } from "../api.js";
import { h, say, show } from "../dom.js";
import { t } from "../i18n.js";
import { Screen, keyBytes } from "./screen.js";

const COLUMNS = 80;
const ROWS = 24;

/** Opens a terminal. `closed` is called when it is gone for good. */
export function terminal(uuid, closed) {
  const screen = new Screen(COLUMNS, ROWS);
  const before = document.createTextNode("");
  const cursor = h("span", { class: "cursor" }, " ");
  const after = document.createTextNode("");
  const view = h("pre", { tabindex: "0", role: "textbox", "aria-multiline": "true", "aria-label": t("containers.terminal_of", { uuid: uuid.slice(0, 8) }) }, before, cursor, after);
  const state = h("p", { class: "quiet", role: "status" }, t("containers.connecting"));
  const close = h("button", { type: "button", class: "small", onclick: () => leave() }, t("containers.close"));
  const node = h("section", { class: "card terminal", "aria-labelledby": "terminal" },
    h("header", null, h("h2", { id: "terminal" }, t("containers.terminal_of", { uuid: uuid.slice(0, 8) })), close),
    h("p", { class: "faint" }, t("containers.terminal_keys")), view, state);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/api/v1/containers/${seg(uuid)}/terminal?columns=${COLUMNS}&rows=${ROWS}`);
  socket.binaryType = "arraybuffer";
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let queued = false;

  function draw() {
    if (queued) return;
    queued = true;
    // One redraw for all that came at once: a program that prints fast must not make the page slow.
    setTimeout(() => {
      queued = false;
      const [head, under, tail] = screen.text();
      before.data = head;
      say(cursor, under);
      after.data = tail;
      view.scrollTop = view.scrollHeight;
    }, 16);
  }

  function type(text) {
    if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text));
  }

  function leave() {
    socket.close();
    node.remove();
    closed();
  }

  socket.addEventListener("open", () => {
    show(state, false);
    view.focus();
  });
  socket.addEventListener("message", (event) => {
    if (typeof event.data === "string") return;
    screen.write(decoder.decode(event.data, { stream: true }));
    draw();
  });
  socket.addEventListener("close", () => {
    show(state, true);
    say(state, t("containers.ended"));
  });
  view.addEventListener("keydown", (event) => {
    const bytes = keyBytes(event);
    if (bytes === null) return;
    event.preventDefault();
    type(bytes);
  });
  view.addEventListener("paste", (event) => {
    event.preventDefault();
    type(event.clipboardData.getData("text").replaceAll("\n", "\r"));
  });
  node.leave = leave;
  draw();
  return node;
}
