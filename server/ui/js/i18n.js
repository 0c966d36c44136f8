// Texts. One flat file a language; a test compares them with each other and with the keys used in the code, so
// every key appears here as a literal: t("key") or, for a value of a closed list, tv("prefix", value).
import en from "../text/en.js";
import de from "../text/de.js";

const ALL = { en, de };
const listeners = new Set();
let language = "en";

function stored() {
  try {
    return localStorage.getItem("leitstand.lang");
  } catch {
    return null; // private mode
  }
}

/** Chooses by ?lang, then what the reader chose earlier, then the site, then the browser. */
export function choose(site) {
  const asked = new URLSearchParams(location.search).get("lang");
  const wanted = [asked, stored(), site, navigator.language?.slice(0, 2)].find((code) => code in ALL) ?? "en";
  const changed = wanted !== language;
  language = wanted;
  document.documentElement.lang = language;
  if (changed) listeners.forEach((listener) => listener(language));
}

/** Remembers the reader's choice and loads the page anew in it. */
export function remember(code) {
  try {
    localStorage.setItem("leitstand.lang", code);
  } catch { /* private mode: the address carries it */ }
  const url = new URL(location.href);
  url.searchParams.delete("lang");
  if (stored() !== code) url.searchParams.set("lang", code);
  location.href = url.href;
}

export const languages = Object.keys(ALL);
export const lang = () => language;

/** The text of `key`, with `{name}` replaced. */
export function t(key, values) {
  const text = ALL[language][key] ?? en[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole) : text;
}

/** The text of one value of a list (`state.normal`); a value this page does not know is shown as it came. */
export function tv(prefix, value) {
  const key = `${prefix}.${value}`;
  return ALL[language][key] ?? en[key] ?? String(value).replaceAll("_", " ");
}

choose(null);
