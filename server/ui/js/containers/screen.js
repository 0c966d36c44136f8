// A small terminal: a grid of characters that understands what shells and simple full-screen programs send (cursor,
// erasing, scrolling). Colours and the rest are read and left out. Text only ever becomes a text node.

const ESC = "\x1b";
/** Lines kept above the screen. */
const HISTORY_MAX = 1000;
/** Longest unfinished sequence that is kept for its rest. */
const PENDING_MAX = 256;

export class Screen {
  constructor(columns, rows) {
    this.columns = columns;
    this.rows = rows;
    this.history = [];
    this.lines = Array.from({ length: rows }, () => []);
    this.x = 0;
    this.y = 0;
    this.pending = "";
    this.saved = [0, 0];
  }

  /** Takes text as the program wrote it, in any pieces. */
  write(text) {
    let rest = this.pending + text;
    this.pending = "";
    while (rest) {
      if (rest[0] !== ESC) {
        const end = rest.indexOf(ESC);
        for (const c of end < 0 ? rest : rest.slice(0, end)) this.#put(c);
        rest = end < 0 ? "" : rest.slice(end);
        continue;
      }
      // CSI, OSC (a title), a character set, or a single letter.
      const match = /^\x1b(?:\[([?>=]?)([\d;:]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+].|[^[\]()*+])/s.exec(rest);
      if (!match) {
        if (rest.length < PENDING_MAX) this.pending = rest;
        return;
      }
      if (match[3] && !match[1]) this.#control(match[3], match[2].split(";").map((n) => parseInt(n, 10) || 0));
      else if (match[0] === `${ESC}7`) this.saved = [this.x, this.y];
      else if (match[0] === `${ESC}8`) [this.x, this.y] = this.saved;
      else if (match[0] === `${ESC}M` && this.y > 0) this.y -= 1;
      rest = rest.slice(match[0].length);
    }
  }

  #put(c) {
    if (c === "\r") this.x = 0;
    else if (c === "\n") this.#feed();
    else if (c === "\b") this.x = Math.max(0, this.x - 1);
    else if (c === "\t") this.x = Math.min(this.columns - 1, (Math.floor(this.x / 8) + 1) * 8);
    else if (c >= " ") {
      if (this.x >= this.columns) {
        this.x = 0;
        this.#feed();
      }
      const line = this.lines[this.y];
      while (line.length < this.x) line.push(" ");
      line[this.x] = c;
      this.x += 1;
    }
  }

  #feed() {
    if (this.y < this.rows - 1) {
      this.y += 1;
      return;
    }
    this.history.push(this.lines.shift().join(""));
    if (this.history.length > HISTORY_MAX) this.history.shift();
    this.lines.push([]);
  }

  #control(letter, [a = 0, b = 0]) {
    const n = Math.max(1, a);
    const line = this.lines[this.y];
    const moves = {
      A: () => { this.y -= n; }, B: () => { this.y += n; }, C: () => { this.x += n; }, D: () => { this.x -= n; },
      G: () => { this.x = n - 1; }, d: () => { this.y = n - 1; },
      H: () => { this.y = n - 1; this.x = Math.max(1, b) - 1; }, f: () => { this.y = n - 1; this.x = Math.max(1, b) - 1; },
      J: () => this.#erase(a), K: () => {
        if (a === 0) line.length = Math.min(line.length, this.x);
        else for (let i = 0; i < (a === 1 ? this.x + 1 : line.length); i += 1) line[i] = " ";
      },
      P: () => { line.splice(this.x, n); }, X: () => { for (let i = this.x; i < Math.min(line.length, this.x + n); i += 1) line[i] = " "; },
      "@": () => { line.splice(this.x, 0, ...Array(Math.min(n, this.columns)).fill(" ")); line.length = Math.min(line.length, this.columns); },
      L: () => { this.lines.splice(this.y, 0, ...Array.from({ length: Math.min(n, this.rows) }, () => [])); this.lines.length = this.rows; },
      M: () => { this.lines.splice(this.y, Math.min(n, this.rows)); while (this.lines.length < this.rows) this.lines.push([]); },
    };
    moves[letter]?.();
    this.x = Math.min(Math.max(0, this.x), this.columns);
    this.y = Math.min(Math.max(0, this.y), this.rows - 1);
  }

  #erase(what) {
    if (what === 0) {
      this.lines[this.y].length = Math.min(this.lines[this.y].length, this.x);
      for (let y = this.y + 1; y < this.rows; y += 1) this.lines[y] = [];
    } else this.lines = this.lines.map(() => []);
    if (what === 3) this.history = [];
  }

  /** What is before the cursor, the character under it, and what is after. */
  text() {
    const above = [...this.history, ...this.lines.slice(0, this.y).map((line) => line.join(""))].join("\n");
    const line = this.lines[this.y];
    const padded = line.concat(Array(Math.max(0, this.x - line.length)).fill(" "));
    const below = this.lines.slice(this.y + 1).map((one) => one.join("")).join("\n");
    return [`${above}${above ? "\n" : ""}${padded.slice(0, this.x).join("")}`, padded[this.x] ?? " ", `${padded.slice(this.x + 1).join("")}\n${below}`];
  }
}

const KEYS = {
  Enter: "\r", Backspace: "\x7f", Escape: ESC, ArrowUp: `${ESC}[A`, ArrowDown: `${ESC}[B`, ArrowRight: `${ESC}[C`,
  ArrowLeft: `${ESC}[D`, Home: `${ESC}[H`, End: `${ESC}[F`, Delete: `${ESC}[3~`, PageUp: `${ESC}[5~`, PageDown: `${ESC}[6~`,
};

/** What a key means to a program, or null when it is the browser's. Tab leaves the terminal with Shift. */
export function keyBytes(event) {
  if (event.metaKey || event.isComposing) return null;
  if (event.key === "Tab") return event.shiftKey ? null : "\t";
  if (event.ctrlKey && !event.altKey && event.key.length === 1) {
    // Copying what is selected stays possible.
    if (event.shiftKey || (event.key === "c" && String(getSelection()))) return null;
    const code = event.key.toUpperCase().charCodeAt(0) - 64;
    return code >= 0 && code < 32 && event.key !== "v" ? String.fromCharCode(code) : null;
  }
  if (KEYS[event.key]) return KEYS[event.key];
  if (event.key.length === 1) return event.altKey && !event.ctrlKey ? ESC + event.key : event.key;
  return null;
}
