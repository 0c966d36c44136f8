// What this page knows of the site, and how old that knowledge is. Pages read it and redraw on `change`; they ask
// `stale()` before they call anything present.
import { get, maybe, toLogin } from "./api.js";
import { siteSpeaks } from "./i18n.js";
import { Stream } from "./stream.js";
import { Traces } from "./trace.js";

/** A state frame older than this is history. Reasoning: the service publishes every second; four may get lost. */
const FRESH_MS = 5000;
/** Clock differences below this are noise of the request. */
const SKEW_MS = 2000;
/** Health of the services is asked for, not pushed. */
const SITE_EVERY_MS = 10000;

export const ROLES = ["viewer", "operator", "engineer", "admin"];

class Store extends EventTarget {
  site = null;
  me = null;
  frames = { gas: null, panel: null, fleet: null, containers: null, models: null };
  link = { state: "connecting", since: Date.now() };
  traces = new Traces();
  #at = {};
  #offset = null;
  #fresh = false;
  #queued = false;

  get gas() {
    return this.frames.gas;
  }
  get panel() {
    return this.frames.panel;
  }
  get containers() {
    return this.frames.containers;
  }
  get fleet() {
    return this.frames.fleet;
  }

  get models() {
    return this.frames.models;
  }

  /** Loads the site and follows the stream. Pages call it once. */
  async start() {
    await this.loadSite();
    const stream = new Stream("/api/v1/stream?frames=gas,panel,fleet,containers,models");
    stream.addEventListener("open", () => {
      this.#fresh = true;
      this.#link("live");
      this.loadSite();
    });
    stream.addEventListener("lost", (event) => {
      if (event.detail === 401) toLogin();
      this.traces.cut();
      this.#link("lost");
    });
    stream.addEventListener("state", (event) => this.#state(event.detail));
    stream.addEventListener("entry", (event) => this.dispatchEvent(new CustomEvent("entry", { detail: event.detail })));
    stream.start();
    setInterval(() => this.changed(), 1000);
    setInterval(() => this.loadSite(), SITE_EVERY_MS);
  }

  async loadSite() {
    try {
      const before = performance.now();
      const site = await get("/api/v1/site");
      const now = performance.timeOrigin + (before + performance.now()) / 2;
      this.#offset = (site.clock?.unix_ms ?? now) - now;
      this.site = site;
      this.me = site.me ?? (await maybe("/api/v1/me"));
      siteSpeaks(site.language);
      this.changed();
    } catch (problem) {
      if (problem.status === 401) toLogin();
      // Otherwise the stream's banner says it; the next round tries again.
    }
  }

  /** Whether the reader may do what needs `role`. The server decides; this only saves a vain press. */
  can(role) {
    return ROLES.indexOf(this.me?.role) >= ROLES.indexOf(role);
  }

  /** Whether what is known of `service` must not be shown as present. */
  stale(service) {
    if (this.link.state !== "live" || !this.frames[service]) return true;
    return this.age(service) > FRESH_MS;
  }

  /** Age of the frame in ms; null when there was none. */
  age(service) {
    const at = this.#at[service];
    return at === undefined ? null : performance.now() - at;
  }

  /** When the frame was made, by this device's clock. */
  since(service) {
    const age = this.age(service);
    return age === null ? null : Date.now() - age;
  }

  /** The server's clock now, as far as known. */
  serverNow() {
    return performance.timeOrigin + performance.now() + (this.#offset ?? 0);
  }

  #state({ service, state }) {
    // The first frame after a connect may have been kept for us since its service died: judge it by its own stamp.
    let late = 0;
    if (this.#fresh && this.#offset !== null && state?.unix_ms) late = this.serverNow() - state.unix_ms;
    if (service === "gas") this.#fresh = false;
    this.#at[service] = performance.now() - (late > SKEW_MS ? late : 0);
    this.frames[service] = state;
    if (service === "gas") this.traces.take(state);
    this.changed();
  }

  #link(state) {
    if (this.link.state === state) return;
    this.link = { state, since: state === "lost" ? (this.since("gas") ?? this.since("panel") ?? Date.now()) : Date.now() };
    this.changed();
  }

  /** Redraw soon; several changes in one task are one redraw. Not tied to animation frames, which stop in a hidden tab. */
  changed() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.dispatchEvent(new Event("change"));
    });
  }
}

export const store = new Store();
