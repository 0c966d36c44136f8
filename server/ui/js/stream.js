// Server-sent events by fetch() instead of EventSource: it shows the status (401 sends to the login), lets us choose
// the back-off, and every byte, also a comment, counts as a sign of life. Without one the link is lost, even when
// TCP has not noticed yet.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5000;
/** Silence after which the link counts as lost. Reasoning: the server sends something at least every 5 s. */
const SILENCE_MS = 12000;

export class Stream extends EventTarget {
  #path;
  #lastId = null;
  #retry = RETRY_FIRST_MS;
  #abort = null;
  #stopped = false;

  constructor(path) {
    super();
    this.#path = path;
  }

  start() {
    this.#run();
    // A laptop that wakes up should not wait for a back-off that began before it slept.
    addEventListener("online", () => this.#abort?.abort());
    return this;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async #run() {
    while (!this.#stopped) {
      try {
        await this.#session();
        this.#tell("lost", null);
      } catch (error) {
        this.#tell("lost", error.status ?? null);
        if (error.status === 401) return;
      }
      // Jitter, so that a hundred screens do not come back in the same instant.
      await new Promise((done) => setTimeout(done, this.#retry * (0.75 + Math.random() * 0.5)));
      this.#retry = Math.min(this.#retry * 2, RETRY_MAX_MS);
    }
  }

  async #session() {
    this.#abort = new AbortController();
    let watch = null;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => this.#abort.abort(), SILENCE_MS);
    };
    alive();
    try {
      const headers = { accept: "text/event-stream" };
      if (this.#lastId) headers["last-event-id"] = this.#lastId;
      const response = await fetch(this.#path, { headers, cache: "no-store", credentials: "same-origin", signal: this.#abort.signal });
      if (!response.ok) throw Object.assign(new Error("stream refused"), { status: response.status });
      this.#tell("open", null);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        alive();
        this.#retry = RETRY_FIRST_MS;
        const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.#block(block);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  #block(block) {
    let type = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon <= 0) continue; // a comment, or a field without a value
      const value = line.slice(colon + 1).replace(/^ /, "");
      switch (line.slice(0, colon)) {
        case "event": type = value; break;
        case "data": data.push(value); break;
        case "id": this.#lastId = value; break;
      }
    }
    if (data.length === 0) return;
    try {
      this.#tell(type, JSON.parse(data.join("\n")));
    } catch (error) {
      console.warn("unreadable frame dropped", error);
    }
  }
}
