// What a screen shows: who it is linked to, the number, the picture, the caption, how far it has come.
import { h, say, set, show } from "../dom.js";
import { clock, mmss, plain } from "../format.js";
import { icon, swap } from "../icons.js";
import { t } from "../i18n.js";

/** How long one of several pictures stands. */
const SLIDE_MS = 8000;

export class Stage {
  constructor({ onUnlock, video }) {
    this.linkIcon = icon("lost");
    this.linkText = h("span");
    this.soundIcon = icon("lock");
    this.soundText = h("span");
    this.id = h("p", { class: "id", "aria-live": "off" }, "---");
    this.title = h("h1", { class: "title" });
    this.picture = h("img", { alt: "", hidden: true });
    this.video = video;
    this.caption = h("p", { class: "caption", "aria-live": "polite" });
    this.fill = h("i");
    this.bar = h("div", { class: "progress", role: "progressbar", "aria-label": t("panel.progress"), "aria-valuemin": 0, "aria-valuemax": 100 }, this.fill);
    this.time = h("p", { class: "time" });
    this.wait = h("p", { class: "wait" }, t("panel.wait"));
    this.preload = h("p", { class: "faint" });
    this.unlock = h("button", { type: "button", class: "primary unlock", onclick: onUnlock }, icon("sound"), t("panel.unlock"));
    this.trouble = h("p", { class: "problem", role: "alert", hidden: true });
    this.node = h("section", { class: "stage", "aria-label": t("panel.stage") },
      h("div", { class: "dots" },
        h("span", { class: "dot", "data-of": "link" }, this.linkIcon, this.linkText),
        h("span", { class: "dot", "data-of": "sound" }, this.soundIcon, this.soundText), this.preload),
      h("div", { class: "show" }, this.picture, video, this.wait),
      h("div", { class: "words" }, this.id, h("div", null, this.title, this.caption)),
      h("div", { class: "run" }, this.bar, this.time), this.trouble, this.unlock);
    this.picture.addEventListener("error", () => show(this.picture, false));
  }

  link(open, since) {
    this.linkIcon = swap(this.linkIcon, open ? "live" : "lost");
    set(this.linkIcon.parentNode, "data-good", String(open));
    say(this.linkText, open ? t("link.live") : t("panel.lost_since", { time: clock(since) }));
  }

  sound(player) {
    const good = !player.locked && !player.silent;
    this.soundIcon = swap(this.soundIcon, player.silent ? "silent" : good ? "sound" : "lock");
    set(this.soundIcon.parentNode, "data-good", String(good || player.silent));
    say(this.soundText, player.silent ? t("panel.silent") : good ? t("panel.sound_on") : t("panel.sound_locked"));
    show(this.unlock, !good && !player.silent);
  }

  loaded({ done, total, failed, skipped }) {
    const rest = [failed > 0 ? t("panel.preload_failed", { n: failed }) : "", skipped > 0 ? t("panel.preload_skipped", { n: skipped }) : ""];
    say(this.preload, done === total ? "" : [t("panel.preload", { done, total }), ...rest].filter(Boolean).join(" · "));
  }

  #picture(image) {
    if (this.picture.getAttribute("src") === image) return;
    this.picture.src = image;
    show(this.picture, true);
  }

  /** Draws what plays, or the idle screen. */
  content(player) {
    const frame = player.frame;
    set(this.node, "data-idle", String(!frame));
    show(this.wait, !frame);
    say(this.id, frame ? String(frame.id).padStart(3, "0") : "---");
    say(this.title, frame?.title ?? "");
    say(this.caption, frame?.caption ?? "");
    for (const text of [this.title, this.caption]) set(text, "lang", frame?.language);
    show(this.video, frame?.video);
    const image = frame && !frame.video ? this.#slide(frame, player) : null;
    if (image) this.#picture(image);
    if (!image) {
      show(this.picture, false);
      this.picture.removeAttribute("src");
    }
    this.picture.alt = frame?.title ?? (frame ? t("panel.picture", { id: frame.id }) : "");
    this.progress(player);
  }

  /** Several pictures share the length of the sound; where that is unknown, each stands for a while. */
  #slide(frame, player) {
    const images = frame.images ?? [];
    if (images.length < 2) return frame.image;
    const each = player.duration && !frame.loop ? player.duration / images.length : SLIDE_MS;
    return images[Math.floor(player.position / each) % images.length];
  }

  progress(player) {
    const frame = player.frame;
    if (frame?.images && !frame.video) this.#picture(this.#slide(frame, player));
    const duration = frame ? player.duration : null;
    const position = frame ? Math.min(player.position, duration ?? Infinity) : 0;
    const share = duration ? Math.min(1, position / duration) : 0;
    this.fill.style.width = `${share * 100}%`;
    set(this.bar, "aria-valuenow", Math.round(share * 100));
    say(this.time, frame ? `${mmss(position)} / ${duration ? mmss(duration) : "–:––"}${player.paused ? ` ${t("panel.paused")}` : ""}` : "");
  }

  fault(text) {
    show(this.trouble, text);
    say(this.trouble, text);
  }
}

/** Ctrl+D: what went over the wire, newest first, as text. */
export class Debug {
  #lines = [];
  node = h("pre", { class: "debug", hidden: true, tabindex: "0" });

  log(...parts) {
    this.#lines.unshift(`${clock(Date.now())} ${parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ")}`);
    this.#lines.length = Math.min(this.#lines.length, 50);
    if (!this.node.hidden) this.node.textContent = this.#lines.join("\n");
  }

  toggle() {
    this.node.hidden = !this.node.hidden;
    this.node.setAttribute("aria-label", t("panel.debug"));
    this.node.textContent = this.#lines.join("\n") || plain(0);
  }
}
