// Drawn by hand on a 24 x 24 grid. Each meaning has its own outline, so that shape alone tells them apart:
// triangle, diamond and octagon for the three stages, a square for faults, a ring for the rest.
import { s } from "./dom.js";

const DIGIT = {
  1: "M10.4 10.6 12.4 9v7.6",
  2: "M9.8 10.4c.3-1.2 1.2-1.9 2.3-1.9 1.3 0 2.3.8 2.3 2 0 2-4.6 3.4-4.6 6h4.7",
  3: "M9.9 9.6c.4-.8 1.2-1.2 2.1-1.2 1.3 0 2.2.8 2.2 1.9s-.9 1.9-2.1 1.9c1.3 0 2.4.8 2.4 2.1 0 1.2-1 2.1-2.5 2.1-1.1 0-2-.5-2.4-1.4",
};
const SHAPES = {
  good: ["M12 2.8a9.2 9.2 0 1 0 0 18.4 9.2 9.2 0 0 0 0-18.4z", "m7.6 12.3 3.1 3.1 5.8-6.3"],
  ap1: ["M12 3 22 20.5H2z", "M10.6 12.1 12.4 10.8v6.6"],
  ap2: ["M12 1.8 22.2 12 12 22.2 1.8 12z", DIGIT[2]],
  ap3: ["M8 2h8l6 6v8l-6 6H8l-6-6V8z", DIGIT[3]],
  fault: ["M3.2 3.2h17.6v17.6H3.2z", "M12 7.4v6", "M12 16.8v.3"],
  // The same outlines without a digit, for sizes where it would be a blot.
  stage1: ["M12 3 22 20.5H2z"],
  stage2: ["M12 1.8 22.2 12 12 22.2 1.8 12z"],
  stage3: ["M8 2h8l6 6v8l-6 6H8l-6-6V8z"],
  note: ["M12 2.8a9.2 9.2 0 1 0 0 18.4 9.2 9.2 0 0 0 0-18.4z", "M12 11v6", "M12 7.4v.3"],
  stale: ["M3 7.5a10 10 0 0 1 3-2.8M9.5 3a9.6 9.6 0 0 1 5 0M18 4.7a10 10 0 0 1 3 2.8M22 13a9.6 9.6 0 0 1-2 5M16.5 21a9.6 9.6 0 0 1-9 0M4 18a9.6 9.6 0 0 1-2-5", "M9.4 9.6c.2-1.4 1.3-2.3 2.7-2.3 1.5 0 2.7 1 2.7 2.4 0 1.9-2.8 2.3-2.8 4.1", "M12 17v.3"],
  horn: ["M4 9.5v5h3.5l6 4v-13l-6 4z", "M17 9a4.5 4.5 0 0 1 0 6M19.5 6.5a8 8 0 0 1 0 11"],
  silent: ["M4 9.5v5h3.5l6 4v-13l-6 4z", "m17 9.5 5 5m0-5-5 5"],
  mains: ["M9 2.5v5M15 2.5v5M6 7.5h12v4a6 6 0 0 1-12 0zM12 17.5v4"],
  battery: ["M2.5 7.5h16v9h-16zM21.5 10.5v3"],
  wrench: ["M14.5 6.5a4.5 4.5 0 0 1 6-3l-2.8 2.8 2 2 2.8-2.8a4.5 4.5 0 0 1-6 5.8L8 20a2.1 2.1 0 0 1-3-3l8.6-8.6a4.5 4.5 0 0 1 .9-1.9z"],
  home: ["M3 11.5 12 4l9 7.5M5.5 10v10h13V10M10 20v-5.5h4V20"],
  gas: ["M4 16.5a4 4 0 0 1 1-7.8A6 6 0 0 1 16.6 7a4.8 4.8 0 0 1 3 9M8 20.5h5M10.5 16.5H18"],
  panel: ["M3 4h18v16H3z", "M7.5 8.5h1M12 8.5h1M16.5 8.5h1M7.5 12h1M12 12h1M16.5 12h1M7.5 15.5h1M12 15.5h1M16.5 15.5h1"],
  fleet: ["M2.5 16.5v-5l3-5.5h9l4.5 5.5 2.5 1v4h-2.5M8.5 16.5h6M6.5 14.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM17 14.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4z", "M5.5 11.5h13"],
  container: ["M3.5 8 12 3.5 20.5 8v8L12 20.5 3.5 16z", "M3.5 8 12 12.5 20.5 8M12 12.5v8"],
  model: ["M3 18.5 8 12l4 3.5L16.5 7l4.5 4", "M3 21.5h18"],
  list: ["M8 6h13M8 12h13M8 18h13M3.5 6h.5M3.5 12h.5M3.5 18h.5"],
  person: ["M12 12.2a4.2 4.2 0 1 0 0-8.4 4.2 4.2 0 0 0 0 8.4zM3.8 20.5c1-3.6 4.2-5.5 8.2-5.5s7.2 1.9 8.2 5.5"],
  live: ["M12 13.2a1.2 1.2 0 1 0 0-2.4 1.2 1.2 0 0 0 0 2.4z", "M8.2 15.8a5.4 5.4 0 0 1 0-7.6M15.8 8.2a5.4 5.4 0 0 1 0 7.6M5.4 18.6a9.4 9.4 0 0 1 0-13.2M18.6 5.4a9.4 9.4 0 0 1 0 13.2"],
  lost: ["M12 13.2a1.2 1.2 0 1 0 0-2.4 1.2 1.2 0 0 0 0 2.4z", "M5.4 18.6a9.4 9.4 0 0 1 0-13.2M18.6 5.4a9.4 9.4 0 0 1 0 13.2M3 3l18 18"],
  lock: ["M6 11h12v9.5H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11"],
  sound: ["M4 9.5v5h3.5l6 4v-13l-6 4z", "M17 9a4.5 4.5 0 0 1 0 6"],
  stop: ["M6 6h12v12H6z"],
  sliders: ["M5 3v7M5 14v7M12 3v3M12 10v11M19 3v10M19 17v4M2.5 12h5M9.5 8h5M16.5 15h5"],
};

/** An icon by name. It is decoration: the word beside it carries the meaning for screen readers. */
export function icon(name) {
  const paths = (SHAPES[name] ?? SHAPES.note).map((d) => s("path", { d }));
  return s("svg", {
    class: "icon", "data-icon": name, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor",
    "stroke-width": "1.9", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  }, ...paths);
}

/** Replaces the icon `node` when the name changed; answers the one now in place. */
export function swap(node, name) {
  if (node.getAttribute("data-icon") === name) return node;
  const next = icon(name);
  node.replaceWith(next);
  return next;
}
