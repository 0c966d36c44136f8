// A screen of the panel: shows and sounds what is pressed. With ?kiosk=1 nothing but that, filling the screen.
import { get } from "../api.js";
import { h, set } from "../dom.js";
import { siteSpeaks, t } from "../i18n.js";
import { open } from "../shell.js";
import { store } from "../store.js";
import { Clock } from "../panel/clock.js";
import { countPlay, mostPlayedFirst, preload } from "../panel/preload.js";
import { Player } from "../panel/player.js";
import { Socket } from "../panel/socket.js";
import { Debug, Stage } from "../panel/stage.js";
import { Wall } from "../panel/wall.js";

const query = new URLSearchParams(location.search);
const kiosk = query.get("kiosk") === "1";
const silent = query.get("audio") === "0";
const only = query.get("panel");
const own = Math.max(0, Math.min(100, Number(query.get("volume") ?? 100) || 0));
const main = document.querySelector("main");

const audio = h("audio", { preload: "auto" });
const video = h("video", { playsinline: true, preload: "auto", hidden: true });
const socket = new Socket();
const gateway = new Clock();
const debug = new Debug();
let media = [];
let lostAt = Date.now();
let version = null;
let loading = null;

const player = new Player({ audio, video, own, silent, clock: gateway, report: (message) => { debug.log("→", message); socket.send(message); } });
const stage = new Stage({ video, onUnlock: () => unlock(true) });
const wall = kiosk ? null : new Wall();
main.append(h("div", { class: kiosk ? "kiosk" : "panel-page" }, stage.node, wall?.node ?? null), audio, debug.node);
document.documentElement.classList.toggle("is-kiosk", kiosk);

/** Questions right after a connect: one of five is quick even on a busy network. */
const CLOCK_FIRST = 5;

function askClock() {
  gateway.ask((message) => socket.send(message));
}

function hello() {
  const caps = ["image", "video", ...(silent ? [] : ["audio"]), ...(kiosk ? ["kiosk"] : [])];
  const message = { type: "hello", screen: query.get("screen") ?? "", caps, locked: player.locked };
  if (only) message.panel = only;
  const role = query.get("role") ?? (silent ? "image_only" : null);
  if (role) message.role = role;
  socket.send(message);
}

async function unlock(clicked) {
  const may = await player.unlock();
  if (may || clicked) hello();
  stage.fault(clicked && !may ? t("panel.unlock_failed") : "");
  if (clicked && kiosk) document.documentElement.requestFullscreen?.().catch(() => {});
  if (may) load();
}

/** Loads the manifest, then the media, most pressed first. */
async function load() {
  loading?.abort();
  const mine = (loading = new AbortController());
  try {
    const manifest = await get("/api/media");
    media = manifest.items ?? [];
    const result = await preload(mostPlayedFirst(media), { sound: !silent, told: (state) => stage.loaded(state), signal: mine.signal });
    if (mine.signal.aborted) return;
    socket.send({ type: "ready", preloaded: result.done, total: result.total });
    debug.log("preload", result);
  } catch (problem) {
    debug.log("media", problem.message);
  }
  wall?.draw(store.panel, media);
}

const handlers = {
  hello(message) {
    // A new server may have brought new pages; a screen that nobody touches would keep the old ones for ever.
    if (kiosk && version !== null && version !== message.version) location.reload();
    version = message.version;
    if (message.volume !== undefined) player.volume(message.volume);
    if (!message.current) player.stop();
  },
  play(message) {
    if (only && message.panel && message.panel !== only) return;
    stage.fault("");
    if (!message.position_ms) countPlay(message.id);
    player.play(message);
  },
  stop: () => player.stop(),
  volume: (message) => player.volume(message.value),
  screen: (message) => player.screen(message),
  pong: (message) => gateway.answer(message),
  media_changed: () => load(),
};

socket.addEventListener("open", () => {
  stage.link(true);
  debug.log("connected");
  hello();
  gateway.forget();
  for (let i = 0; i < CLOCK_FIRST; i += 1) setTimeout(() => askClock(), i * 120);
  if (media.length === 0) load();
});
socket.addEventListener("lost", () => {
  if (!stage.wasLost) lostAt = Date.now();
  stage.wasLost = true;
  stage.link(false, lostAt);
  debug.log("connection lost");
});
socket.addEventListener("message", ({ detail }) => {
  stage.wasLost = false;
  if (detail.type !== "pong") debug.log("←", detail);
  handlers[detail.type]?.(detail);
});
player.addEventListener("change", () => {
  stage.content(player);
  stage.sound(player);
});
player.addEventListener("locked", () => hello());
player.addEventListener("failed", ({ detail }) => {
  stage.fault(t("panel.failed"));
  debug.log("media error", detail);
});
/** Clocks of computers drift by some ms a minute; a question each half minute follows that. */
setInterval(() => askClock(), 30000);
setInterval(() => {
  player.tick();
  stage.progress(player);
}, 250);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key.toLowerCase() === "d") {
    event.preventDefault();
    debug.toggle();
  } else if (event.key === " " && !event.target.closest("button, input, select, a, summary, textarea")) {
    event.preventDefault();
    player.toggle();
  }
});

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch (error) {
    debug.log("wake lock", error.message); // needs https, or the machine itself
  }
}

async function start() {
  if (kiosk) {
    set(document.body, "data-stale", "false");
    try {
      siteSpeaks((await get("/api/v1/site")).language);
    } catch { /* the socket says that there is no link */ }
    stayAwake();
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") stayAwake(); });
  } else {
    open(() => wall.draw(store.panel, media));
  }
  stage.link(false, lostAt);
  stage.content(player);
  stage.sound(player);
  socket.start();
  // Where the browser allows sound without a click (a kiosk started for it), no button is shown at all.
  unlock(false);
}

start();
