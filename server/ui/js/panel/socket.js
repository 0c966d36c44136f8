// The screen's WebSocket: comes back by itself with growing, jittered pauses, and notices a dead link by silence.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 5000;
const PING_MS = 15000;
/** Two unanswered pings. */
const SILENCE_MS = 31000;

export class Socket extends EventTarget {
  #retry = RETRY_FIRST_MS;
  #socket = null;
  #heard = 0;

  start() {
    this.#connect();
    setInterval(() => {
      if (this.#socket?.readyState !== WebSocket.OPEN) return;
      if (performance.now() - this.#heard > SILENCE_MS) this.#socket.close();
      else this.send({ type: "ping" });
    }, PING_MS);
    return this;
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Sends when connected. What cannot be sent is history by the time it could. */
  send(message) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#heard = performance.now();
      this.#retry = RETRY_FIRST_MS;
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("message", (event) => {
      this.#heard = performance.now();
      let message;
      try {
        message = JSON.parse(event.data);
      } catch {
        return; // not for us
      }
      this.dispatchEvent(new CustomEvent("message", { detail: message }));
    });
    socket.addEventListener("close", () => {
      this.dispatchEvent(new Event("lost"));
      setTimeout(() => this.#connect(), this.#retry * (0.75 + Math.random() * 0.5));
      this.#retry = Math.min(this.#retry * 2, RETRY_MAX_MS);
    });
  }
}
