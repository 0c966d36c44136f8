// Texts. One flat file a language; a test compares them with each other and with the keys used in the code, so
// every key appears here as a literal: t("key") or, for a value of a closed list, tv("prefix", value).
import en from "../text/en.js";
import de from "../text/de.js";

const ALL = { en, de };
let language = "en";

// Read once: pages rewrite their address.
const asked = new URLSearchParams(location.search).get("lang");

function stored(name) {
  try {
    return localStorage.getItem(`leitstand.${name}`);
  } catch {
    return null; // private mode
  }
}

function store(name, value) {
  try {
    localStorage.setItem(`leitstand.${name}`, value);
  } catch { /* private mode */ }
}

/** By ?lang, then what the reader chose earlier, then the site as last seen, then the browser. */
function choose() {
  language = [asked, stored("lang"), stored("site_lang"), navigator.language?.slice(0, 2)].find((code) => code in ALL) ?? "en";
  document.documentElement.lang = language;
}

/**
 * The site's own language, once known. When it changes what this page should speak, the page is loaded anew: half of
 * it is written already. Where nothing can be remembered, it stays as it is instead of loading for ever.
 */
export function siteSpeaks(code) {
  if (!(code in ALL) || stored("site_lang") === code) return;
  store("site_lang", code);
  if (stored("site_lang") !== code) return;
  const before = language;
  choose();
  if (language !== before) location.reload();
}

/** Remembers the reader's choice and loads the page anew in it. */
export function remember(code) {
  store("lang", code);
  const url = new URL(location.href);
  url.searchParams.delete("lang");
  // Private mode: the address carries it.
  if (stored("lang") !== code) url.searchParams.set("lang", code);
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

choose();
