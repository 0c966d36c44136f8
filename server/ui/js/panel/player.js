// Plays one thing at a time: a picture with its sound, or a film. Reports to the server what it did, always with the
// `seq` of the play it belongs to, so that a late report about the last play cannot end this one.

/** A pause longer than this counts as the end. Reasoning: nobody comes back after a minute, and the button must live. */
const PAUSE_MAX_MS = 60000;
/** A screen that counts along is given this much, so that it does not go dark before the others fall silent. */
const END_GRACE_MS = 500;
/** Who is closer than this to the others is not moved: the jump would be heard more than the difference. */
const DRIFT_MS = 250;
/** A start later than this begins in the middle, where the others are. Below, the beginning matters more. */
const LATE_MS = 120;

export class Player extends EventTarget {
  #report;
  #frame = null;
  #at = 0;
  #pauseTimer = null;
  #startTimer = null;
  #global = 100;
  #share = 1;

  /** `audio` and `video` are elements, `report(message)` sends to the server, `own` is this screen's volume in percent,
   *  `clock` the gateway's. */
  constructor({ audio, video, report, clock, own = 100, silent = false }) {
    super();
    this.clock = clock;
    this.audio = audio;
    this.video = video;
    this.own = own;
    this.silent = silent;
    this.always = silent;
    this.locked = true;
    this.#report = report;
    for (const element of [audio, video]) {
      element.addEventListener("loadedmetadata", () => this.#metadata(element));
      element.addEventListener("playing", () => this.#started(element));
      element.addEventListener("ended", () => this.#ended(element));
      element.addEventListener("error", () => this.#failed(element, "cannot be decoded or loaded"));
      element.addEventListener("timeupdate", () => this.#tell());
    }
  }

  get frame() {
    return this.#frame;
  }
  get element() {
    return this.#frame?.video ? this.video : this.audio;
  }
  get paused() {
    return Boolean(this.#frame?.paused);
  }
  /** Where the content is, in ms: by the element where it sounds, else by the clock. */
  get position() {
    if (!this.#frame) return 0;
    if (this.#frame.sounding) return this.element.currentTime * 1000;
    return Math.max(0, this.#due(this.#frame));
  }

  /** Where the others are: ms since the beginning, negative while it is still to come. */
  #due(frame) {
    const now = this.clock?.now() ?? null;
    if (now !== null && frame.at_ms !== undefined) return now - frame.at_ms;
    return (frame.position_ms ?? 0) + performance.now() - this.#at;
  }
  get duration() {
    const seconds = this.element.duration;
    return this.#frame?.duration_ms ?? (Number.isFinite(seconds) ? seconds * 1000 : null);
  }

  /** Asks the browser for permission to sound: needs a click, or a kiosk's autoplay flag. Answers whether it may. */
  async unlock() {
    if (this.silent) return false;
    try {
      const context = new AudioContext();
      if (context.state === "suspended") await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 300))]);
      const source = context.createBufferSource();
      source.buffer = context.createBuffer(1, 1, 22050);
      source.connect(context.destination);
      source.start();
      context.close();
      if (!this.#frame) this.audio.src = "/ui/sound/silence.wav";
      this.audio.muted = false;
      await this.audio.play();
      this.locked = false;
    } catch (error) {
      // A play that arrived meanwhile took the element over (AbortError): that is no refusal.
      this.locked = error.name === "NotAllowedError";
    }
    if (!this.locked && this.#frame && !this.#frame.sounding) this.#begin(this.position);
    this.#tell();
    return !this.locked;
  }

  play(frame) {
    const same = this.#frame && this.#frame.id === frame.id && this.#frame.seq === frame.seq;
    if (same) {
      // The link came back while this very play went on.
      this.#at = performance.now();
      Object.assign(this.#frame, { at_ms: frame.at_ms, position_ms: frame.position_ms ?? 0 });
      this.#together();
      return;
    }
    this.stop();
    this.#at = performance.now();
    this.#frame = { ...frame, position_ms: frame.position_ms ?? 0, sounding: false, started: false, paused: false, share: this.#global > 0 ? (frame.volume ?? 100) / this.#global : 1 };
    const due = this.#due(this.#frame);
    const mine = this.#frame;
    if (due < 0) {
      // Loaded by then, so that nothing but the clock decides.
      this.#prepare();
      this.#startTimer = setTimeout(() => this.#frame === mine && this.#begin(0), -due);
    } else this.#begin(due > LATE_MS ? due : 0);
    this.#tell();
  }

  /** Back to where the others are, when the difference is worth a jump. */
  #together() {
    if (!this.#frame?.sounding || this.paused || this.#frame.loop) return;
    const due = this.#due(this.#frame);
    if (Math.abs(this.position - due) > DRIFT_MS && due < (this.duration ?? Infinity)) this.element.currentTime = Math.max(0, due) / 1000;
  }

  #prepare() {
    const source = this.#frame.video ?? this.#frame.audio;
    if (source && this.element.getAttribute("src") !== source) this.element.src = source;
  }

  #begin(position) {
    const frame = this.#frame;
    const source = frame.video ?? frame.audio;
    if (!source) {
      if (!this.locked && !this.silent) this.#send({ type: "error", reason: "no sound" });
      return;
    }
    const element = this.element;
    this.volume(this.#global);
    this.#prepare();
    element.loop = Boolean(frame.loop);
    // A film may run without sound on a locked or silent screen; a picture then simply stands.
    element.muted = this.locked || this.silent;
    if (element.muted && element === this.audio) return;
    if (position > 0) element.currentTime = position / 1000;
    element.play().catch((error) => {
      if (this.#frame !== frame || error.name === "AbortError") return;
      if (error.name === "NotAllowedError") {
        this.locked = true;
        this.dispatchEvent(new Event("locked"));
      } else this.#failed(element, error.message);
    });
  }

  stop() {
    clearTimeout(this.#pauseTimer);
    clearTimeout(this.#startTimer);
    // Idle already: do not cut off the clip that asks for permission to sound.
    if (!this.#frame) return;
    this.#frame = null;
    for (const element of [this.audio, this.video]) {
      element.pause();
      if (element.hasAttribute("src")) {
        element.removeAttribute("src");
        element.load();
      }
    }
    this.#tell();
  }

  /** Space: pause or go on. Nothing when idle. */
  toggle() {
    const frame = this.#frame;
    if (!frame?.sounding) return;
    frame.paused = !frame.paused;
    if (frame.paused) {
      this.element.pause();
      this.#pauseTimer = setTimeout(() => {
        if (this.#frame !== frame || !frame.paused) return;
        this.#send({ type: "ended" });
        this.stop();
      }, PAUSE_MAX_MS);
    } else {
      clearTimeout(this.#pauseTimer);
      this.element.play().catch(() => this.#failed(this.element, "cannot resume"));
    }
    this.#tell();
  }

  /** What the house set for this screen: its part, and its share of the volume. */
  screen({ role, volume, muted }) {
    this.silent = this.always || role === "image_only";
    this.#share = muted ? 0 : volume / 100;
    for (const element of [this.audio, this.video]) element.muted = this.locked || this.silent;
    this.volume(this.#global);
    this.#tell();
  }

  /** The site's volume in percent; the button's share and this screen's own are kept. */
  volume(global) {
    this.#global = global;
    const share = this.#frame?.share ?? 1;
    for (const element of [this.audio, this.video]) element.volume = Math.max(0, Math.min(1, (global / 100) * share * (this.own / 100) * this.#share));
  }

  #metadata(element) {
    if (!this.#mine(element)) return;
    const ms = Math.round(element.duration * 1000);
    if (!this.#frame.duration_ms && Number.isFinite(ms)) this.#report({ type: "media_info", id: this.#frame.id, duration_ms: ms });
  }

  #started(element) {
    if (!this.#mine(element)) return;
    this.#frame.sounding = true;
    if (!this.#frame.started && !this.locked && !this.silent) this.#send({ type: "started", latency_ms: Math.round(performance.now() - this.#at) });
    this.#frame.started = true;
    this.#tell();
  }

  #ended(element) {
    if (!this.#mine(element)) return;
    if (!this.locked && !this.silent) this.#send({ type: "ended" });
    // The server does not say `stop` to an end that it was told of.
    this.stop();
  }

  /** To be called a few times a second: a screen without sound has only the clock to know the end by. */
  tick() {
    const frame = this.#frame;
    if (!frame || frame.loop || frame.sounding || !(this.locked || this.silent)) return;
    if (this.duration === null || this.position <= this.duration + END_GRACE_MS) return;
    // Heard only where no screen sounds: then the picture is all there is, and its end the end.
    if (this.silent) this.#send({ type: "ended" });
    this.stop();
  }

  #failed(element, reason) {
    if (!this.#mine(element)) return;
    if (!this.locked && !this.silent) this.#send({ type: "error", reason });
    this.dispatchEvent(new CustomEvent("failed", { detail: reason }));
  }

  /** Whether an event of `element` belongs to what plays: the unlocking clip also ends. */
  #mine(element) {
    return this.#frame !== null && element === this.element && element.hasAttribute("src") && !element.src.endsWith("/silence.wav");
  }

  #send(message) {
    this.#report({ ...message, id: this.#frame.id, seq: this.#frame.seq });
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
