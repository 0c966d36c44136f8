// Numbers, ages and times as people write them.
import { lang, t } from "./i18n.js";

const FORMULA = {
  co: "CO", no2: "NO₂", ch4: "CH₄", c3h8: "C₃H₈", h2: "H₂", nh3: "NH₃", cl2: "Cl₂", co2: "CO₂", o2: "O₂",
  r134a: "R134a", r407c: "R407c",
};
const formats = new Map();

function format(key, make) {
  const name = `${lang()} ${key}`;
  if (!formats.has(name)) formats.set(name, make(lang()));
  return formats.get(name);
}

export const formula = (gas) => FORMULA[gas] ?? gas;

/** A unit as printed: ppm, Vol %, % LEL. */
export function unit(code) {
  if (code === "percent_vol") return t("unit.percent_vol");
  if (code === "percent_lel") return t("unit.percent_lel");
  return code;
}

/** Digits after the point follow the cell's range, not the value, so that numbers do not jump. */
export function digits(range) {
  if (!(range > 0)) return 1;
  return range >= 1000 ? 0 : range > 50 ? 1 : 2;
}

export function number(value, places = 1) {
  if (value === null || value === undefined) return "–";
  return format(`n${places}`, (code) => new Intl.NumberFormat(code, { minimumFractionDigits: places, maximumFractionDigits: places })).format(value);
}

/** A number with as many digits as it needs, at most three: limits and settings. */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  return format("p", (code) => new Intl.NumberFormat(code, { maximumFractionDigits: 3 })).format(value);
}

/** A span of time in its two largest units. */
export function span(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const total = Math.max(0, ms) / 1000;
  if (total < 10) return t("span.s", { s: number(total, 1) });
  if (total < 60) return t("span.s", { s: Math.floor(total) });
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return t("span.min", { min: minutes, s: String(Math.floor(total % 60)).padStart(2, "0") });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return t("span.h", { h: hours, min: String(minutes % 60).padStart(2, "0") });
  return t("span.d", { d: Math.floor(hours / 24) });
}

/** A window in words: 30 s, 15 min. */
export function windowOf(seconds) {
  return seconds % 60 === 0 ? t("window.min", { n: seconds / 60 }) : t("window.s", { n: seconds });
}

export function clock(unixMs) {
  return format("clock", (code) => new Intl.DateTimeFormat(code, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })).format(unixMs);
}

/** Date and time; the date is left out when it is today's. */
export function moment(unixMs) {
  const date = new Date(unixMs);
  if (date.toDateString() === new Date().toDateString()) return clock(unixMs);
  return format("moment", (code) => new Intl.DateTimeFormat(code, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  })).format(unixMs);
}

export function mmss(ms) {
  const total = Math.max(0, Math.floor((ms ?? 0) / 1000));
  return `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
}
