// <ls-spark>: a line of the last ten minutes, drawn by hand. Breaks where nothing was known; limits are dashed.
import { TRACE_MS } from "../trace.js";
import { s, set } from "../dom.js";
import { plain, unit } from "../format.js";
import { t } from "../i18n.js";

const W = 300;
const H = 60;

class Spark extends HTMLElement {
  #drawnAt = 0;
  #visible = true;

  connectedCallback() {
    if (this.svg) return;
    this.floor = s("line", { class: "floor", x1: 0, x2: W, y1: H, y2: H });
    this.limits = s("g");
    this.line = s("path");
    this.svg = s("svg", { class: "spark", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img" }, this.floor, this.limits, this.line);
    this.append(this.svg);
    // Sixty cells on a phone: only those in sight are drawn.
    new IntersectionObserver(([entry]) => (this.#visible = entry.isIntersecting)).observe(this);
  }

  /** `limits`: `[{on, stage}]`, those of the unaveraged value. */
  draw(samples, limits, cell) {
    const now = performance.now();
    if (!this.#visible || now - this.#drawnAt < 950) return;
    this.#drawnAt = now;
    let top = 0;
    let bottom = 0;
    for (const [, value] of samples) {
      if (value === null) continue;
      if (value > top) top = value;
      if (value < bottom) bottom = value;
    }
    // A limit is shown once the values come near it; before, it would flatten the line to nothing.
    const near = limits.filter((limit) => limit.on <= Math.max(top * 2.5, (cell.range_hi ?? 0) * 0.1));
    const scale = Math.max(top * 1.12, ...near.map((limit) => limit.on * 1.12), (cell.range_hi ?? 1) * 0.04, 1e-6);
    const y = (value) => (H - ((value - bottom) / (scale - bottom)) * H).toFixed(1);
    const x = (at) => (W - ((now - at) / TRACE_MS) * W).toFixed(1);
    let path = "";
    let pen = "M";
    for (const [at, value] of samples) {
      if (value === null) {
        pen = "M";
        continue;
      }
      if (at < now - TRACE_MS) continue;
      path += `${pen}${x(at)} ${y(value)}`;
      pen = "L";
    }
    set(this.line, "d", path || "M0 0");
    this.limits.replaceChildren(...near.map((limit) => s("line", { class: "limit", "data-stage": limit.stage, x1: 0, x2: W, y1: y(limit.on), y2: y(limit.on) })));
    set(this.svg, "aria-label", t("spark.label", { top: plain(Math.round(top * 10) / 10), unit: unit(cell.unit) }));
  }
}

customElements.define("ls-spark", Spark);
