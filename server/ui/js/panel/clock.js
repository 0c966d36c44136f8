// The gateway's clock as this browser sees it. Screens that know it start a sound at the same moment, however long
// their frames took. A few questions over the socket are enough: the quickest answer lies closest to the truth.

const KEPT = 8;

export class Clock {
  #asked = new Map();
  #samples = [];
  #n = 0;

  /** Asks through `send`. */
  ask(send) {
    this.#n += 1;
    this.#asked.set(this.#n, performance.now());
    if (this.#asked.size > KEPT) this.#asked.delete(this.#asked.keys().next().value);
    send({ type: "ping", n: this.#n });
  }

  /** Takes the answer to one of our questions. */
  answer({ n, now_ms }) {
    const asked = this.#asked.get(n);
    if (asked === undefined) return;
    this.#asked.delete(n);
    const now = performance.now();
    this.#samples.push({ took: now - asked, offset: now_ms - (asked + now) / 2 });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** A gateway that was restarted counts from zero again. */
  forget() {
    this.#asked.clear();
    this.#samples.length = 0;
  }

  /** Milliseconds by the gateway's clock, or null while nothing was answered. */
  now() {
    if (this.#samples.length === 0) return null;
    const best = this.#samples.reduce((a, b) => (b.took < a.took ? b : a));
    return performance.now() + best.offset;
  }
}
