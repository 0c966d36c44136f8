// A journal entry as a sentence in the reader's language. The journal's own text is English and stays what is
// searched and exported; where an entry's data does not hold what a sentence needs, that text is shown.
import de from "../text/events.de.js";
import en from "../text/events.en.js";
import { plain, unit } from "./format.js";
import { lang, t, tv } from "./i18n.js";

const SENTENCES = { de, en };

/** What sentences are made with. Any missing value gives the sentence up. */
function words(entry) {
  const data = entry.data ?? {};
  const given = (value) => {
    if (value === null || value === undefined || value === "") throw new RangeError("no such value");
    return value;
  };
  return {
    entry,
    has: (name) => data[name] !== null && data[name] !== undefined,
    of: (name) => String(given(data[name])),
    number: (name) => plain(Number(given(data[name]))),
    quantity: (name) => `${plain(Number(given(data[name])))} ${unit(given(data.unit))}`,
    word: (prefix, name) => tv(prefix, given(data[name])),
    /** AP3 in garage (co_ap3), or what the fault is about. */
    subject: () => {
      const id = given(data.alarm);
      if (id.startsWith("fault.") && !data.stage) return t("entry.fault", { id: id.slice("fault.".length) });
      if (!data.stage) return t("entry.alarm", { id });
      return t("entry.point", { stage: data.stage, zone: given(data.zone), point: given(data.setpoint) });
    },
  };
}

/** The sentence of an entry. */
export function sentence(entry) {
  const make = SENTENCES[lang()]?.[entry.kind];
  const own = entry.text || entry.kind;
  if (!make) return own;
  try {
    return make(words(entry)) || own;
  } catch (problem) {
    if (problem instanceof RangeError) return own;
    throw problem;
  }
}
