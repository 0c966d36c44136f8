// The last ten minutes of every cell, kept by this page. A gap in knowledge stays a gap in the line.
import { maybe, seg } from "./api.js";

export const TRACE_MS = 600000;
/** No frame for so long is a gap. */
const GAP_MS = 3500;
const STEP_MS = 1000;

export class Traces {
  #byCell = new Map();

  /** Samples `[t, value|null]` of a cell, oldest first; t is performance.now(). */
  of(id) {
    return this.#byCell.get(id)?.samples ?? [];
  }

  take(gas) {
    const now = performance.now();
    for (const cell of gas?.cells ?? []) {
      let trace = this.#byCell.get(cell.id);
      if (!trace) {
        trace = { samples: [], last: -Infinity };
        this.#byCell.set(cell.id, trace);
        this.#seed(cell.id, trace, now);
      }
      if (now - trace.last < STEP_MS - 50) continue;
      if (now - trace.last > GAP_MS && trace.last > 0) trace.samples.push([trace.last + 1, null]);
      trace.last = now;
      const known = cell.quality === "good" || cell.quality === "warm_up";
      trace.samples.push([now, known ? cell.value : null]);
      while (trace.samples.length > 0 && trace.samples[0][0] < now - TRACE_MS) trace.samples.shift();
    }
  }

  /** The link was lost: what follows does not continue the line. */
  cut() {
    const now = performance.now();
    for (const trace of this.#byCell.values()) trace.samples.push([now, null]);
  }

  async #seed(id, trace, now) {
    try {
      const history = await maybe(`/api/v1/gas/cells/${seg(id)}/history?window=${TRACE_MS / 1000}&step=5`);
      const older = (history?.items ?? [])
        .map((item) => [now - item.age_s * 1000, item.value ?? null])
        .filter(([t]) => t < now);
      trace.samples.unshift(...older);
    } catch {
      // Without history the line starts now.
    }
  }
}
