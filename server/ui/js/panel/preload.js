// Fetches pictures and sounds into the browser's own cache, so that a press starts within a breath. The addresses
// carry a content hash and are immutable, hence a later `src` needs no question to the server.

const AT_ONCE = 3;
/** A sound that takes longer is left to load on demand. */
const PATIENCE_MS = 5000;
export const BUDGET_BYTES = 300 * 1024 * 1024;

/**
 * Loads `items` in the order given (most wanted first) until the budget is used. `told({done, total, failed, bytes})`
 * after each. A newer call should abort the older one's `signal`.
 */
export async function preload(items, { budget = BUDGET_BYTES, sound = true, told, signal }) {
  const wanted = [];
  let planned = 0;
  for (const item of items) {
    if (planned + (item.bytes ?? 0) > budget) continue;
    planned += item.bytes ?? 0;
    wanted.push(item);
  }
  const state = { done: 0, total: items.length, failed: 0, bytes: 0, skipped: items.length - wanted.length };
  told?.(state);
  const queue = [...wanted];
  const worker = async () => {
    for (let item = queue.shift(); item && !signal?.aborted; item = queue.shift()) {
      const paths = [...(item.images ?? [item.image]), item.video, sound ? item.audio : null].filter(Boolean);
      const results = await Promise.allSettled(paths.map((path) => fetchOnce(path, signal)));
      for (const result of results) {
        if (result.status === "fulfilled") state.bytes += result.value;
        else state.failed += 1;
      }
      if (results.every((result) => result.status === "fulfilled")) state.done += 1;
      if (!signal?.aborted) told?.(state);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return state;
}

async function fetchOnce(path, signal) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.arrayBuffer()).byteLength;
}

/** How often this screen played each id; kept over reloads, and no more than a number per button. */
function counts() {
  try {
    return JSON.parse(localStorage.getItem("leitstand.plays")) ?? {};
  } catch {
    return {}; // private mode, or nothing readable
  }
}

export function countPlay(id) {
  const plays = counts();
  plays[id] = (plays[id] ?? 0) + 1;
  try {
    localStorage.setItem("leitstand.plays", JSON.stringify(plays));
  } catch { /* private mode: the order of numbers will do */ }
}

/** Most played first, then by number. */
export function mostPlayedFirst(items) {
  const plays = counts();
  return [...items].sort((a, b) => (plays[b.id] ?? 0) - (plays[a.id] ?? 0) || a.id - b.id);
}
