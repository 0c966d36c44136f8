// The frame around every page: ribbon, top bar, banner, footer, announcements, drawer. Pages call `open()` once.
import { maybe, post } from "./api.js";
import { alarmName, alarmText, isUnseen } from "./describe.js";
import { h, say, set, show } from "./dom.js";
import { clock, span } from "./format.js";
import { icon, swap } from "./icons.js";
import { languages, lang, remember, t, tv } from "./i18n.js";
import { store } from "./store.js";
import { verdict } from "./verdict.js";
import { attempt } from "./elements/act.js";

const PAGES = [
  { path: "/", glyph: "home", label: () => t("nav.home"), service: null },
  { path: "/gas", glyph: "gas", label: () => t("nav.gas"), service: "gas" },
  { path: "/panel", glyph: "panel", label: () => t("nav.panel"), service: "panel" },
  { path: "/fleet", glyph: "fleet", label: () => t("nav.fleet"), service: "fleet" },
  { path: "/containers", glyph: "container", label: () => t("nav.containers"), service: "containers" },
  { path: "/models", glyph: "model", label: () => t("nav.models"), service: "models" },
  { path: "/events", glyph: "list", label: () => t("nav.events"), service: null },
];

/** Puts the frame around `<main>` and starts the store. `redraw` runs on every change. */
export function open(redraw, { bare = false } = {}) {
  const main = document.querySelector("main");
  set(main, "tabindex", "-1");
  const parts = bare ? { update() {} } : frame(main);
  const told = announcer();
  let failed = false;
  store.addEventListener("change", () => {
    parts.update();
    told();
    try {
      redraw?.();
      failed = false;
    } catch (error) {
      // One bad frame must not freeze the page on an old picture without a word.
      if (!failed) console.error(error);
      failed = true;
      document.body.dataset.stale = "true";
    }
  });
  return store.start();
}

function frame(main) {
  const ribbon = h("div", { class: "ribbon", hidden: true }, h("span", null, t("ribbon.simulated")));
  const site = h("a", { class: "site", href: "/" });
  const counts = {};
  const links = PAGES.map((page) => {
    counts[page.path] = h("span", { class: "count", hidden: true });
    const here = location.pathname === page.path || (page.path !== "/" && location.pathname.startsWith(`${page.path}/`));
    const node = h("li", null, h("a", { href: page.path, "aria-current": here ? "page" : null }, icon(page.glyph), page.label(), counts[page.path]));
    node.page = page;
    return node;
  });
  const time = h("span", { class: "clock" });
  const linkWord = h("span");
  let linkIcon = icon("lost");
  const link = h("span", { class: "link" }, linkIcon, linkWord);
  const account = accountMenu();
  const top = h("header", { class: "topbar" }, site, h("nav", { "aria-label": t("nav.label") }, h("ul", null, links)), h("div", { class: "aside" }, link, time, account));
  const bannerText = h("span");
  const banner = h("div", { class: "banner", role: "alert", hidden: true }, icon("stale"), bannerText);
  const notice = h("span", { class: "notice" });
  const version = h("span");
  const footer = h("footer", null, notice, version);
  document.body.prepend(h("a", { class: "skip button", href: "#main" }, t("nav.skip")), ribbon, top, banner);
  document.body.append(footer);
  let played = false;

  function update() {
    const { site: about, gas, link: state } = store;
    show(ribbon, about?.simulated || gas?.simulated);
    if (about?.simulated && !played) {
      played = true;
      drawer();
    }
    say(site, about?.site ?? "Leitstand");
    const names = about?.services?.map((service) => service.name);
    for (const node of links) show(node, !node.page.service || !names || names.includes(node.page.service));
    const open = gas?.alarms.length ?? 0;
    show(counts["/gas"], open > 0);
    say(counts["/gas"], String(open));
    set(counts["/gas"], "aria-label", t("nav.alarms", { n: open }));
    const stale = state.state !== "live" || (gas !== null && store.stale("gas"));
    linkIcon = swap(linkIcon, stale ? "lost" : "live");
    say(linkWord, !stale ? t("link.live") : state.state === "connecting" ? t("link.connecting") : t("link.lost"));
    say(time, `${clock(store.serverNow())}${about?.clock && !about.clock.synced ? " " + t("clock.unsynced") : ""}`);
    const since = state.state === "lost" ? state.since : store.since("gas");
    show(banner, stale && state.state !== "connecting");
    if (stale && since) say(bannerText, t("banner.stale", { time: clock(since) }));
    set(banner, "title", since ? span(Date.now() - since) : null);
    document.body.dataset.stale = String(stale);
    const said = gas?.notice ?? (names?.includes("gas") ? about.notice : null);
    say(notice, said ? tv("notice", said) : "");
    say(version, about ? `Leitstand ${about.version}` : "");
    account.update();
    title();
  }
  return { update };
}

/** The tab says it too: a second screen is often just a row of tabs. */
function title() {
  const { word, tone } = verdict(store);
  const mark = tone.startsWith("ap") ? `${tone.toUpperCase()} ` : "";
  const text = `${mark}${word} – ${store.site?.site ?? "Leitstand"}`;
  if (document.title !== text) document.title = text;
  const kind = tone.startsWith("ap") ? "alarm" : ["fault", "stale", "note"].includes(tone) ? tone : "good";
  const link = document.querySelector("link[rel=icon]");
  if (link) set(link, "href", `/ui/icons/${kind}.svg`);
}

/** Speaks new alarms once, and nothing else: no number is read out every second. */
function announcer() {
  const region = h("div", { class: "visually-hidden", "aria-live": "assertive", role: "log" });
  document.body.append(region);
  let known = null;
  return () => {
    const gas = store.gas;
    if (!gas || store.stale("gas")) return;
    const unseen = new Map(gas.alarms.filter((alarm) => isUnseen(alarm.state) && alarm.state !== "rtn_unack").map((alarm) => [alarm.id, alarm]));
    const fresh = [...unseen.values()].filter((alarm) => !known?.has(alarm.id));
    known = new Set(unseen.keys());
    if (fresh.length > 0) region.replaceChildren(...fresh.map((alarm) => h("p", null, `${alarmName(alarm)}. ${alarmText(alarm, gas)}`)));
  };
}

function accountMenu() {
  const name = h("span");
  const who = h("p", { class: "quiet" });
  const themes = h("select", { id: "theme", onchange: () => theme(themes.value) },
    [["auto", t("theme.auto")], ["light", t("theme.light")], ["dark", t("theme.dark")]].map(([value, label]) => h("option", { value, selected: value === (document.documentElement.dataset.theme ?? "auto") }, label)));
  const tongues = h("select", { id: "lang", onchange: () => remember(tongues.value) },
    languages.map((code) => h("option", { value: code, selected: code === lang(), lang: code }, tv("language", code))));
  const enter = h("a", { class: "button", href: `/login?next=${encodeURIComponent(location.pathname)}` }, t("account.login"));
  const leave = h("button", { type: "button", onclick: () => attempt(async () => { await post("/logout"); location.href = "/login"; }) }, t("account.logout"));
  const node = h("details", { class: "menu" }, h("summary", { "aria-label": t("account.menu") }, icon("person"), name),
    h("div", null, who,
      h("div", { class: "row" }, h("label", { for: "theme" }, t("account.theme")), themes),
      h("div", { class: "row" }, h("label", { for: "lang" }, t("account.language")), tongues),
      enter, leave));
  document.addEventListener("click", (event) => { if (!node.contains(event.target)) node.open = false; });
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      node.open = false;
      node.querySelector("summary").focus();
    }
  });
  node.update = () => {
    const me = store.me;
    say(name, me?.name ?? "");
    say(who, me ? t("account.who", { name: me.name, role: tv("role", me.role) }) : "");
    // Somebody at the machine itself has no session that could end.
    show(leave, me && me.name !== "local");
    show(enter, !me || me.name === "local");
  };
  return node;
}

function theme(choice) {
  try {
    localStorage.setItem("leitstand.theme", choice);
  } catch { /* private mode: until the page is left */ }
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

/** The simulated site's controls are loaded only where there is one. */
async function drawer() {
  try {
    const sim = await maybe("/api/v1/sim");
    if (!sim) return;
    await import("./elements/sim.js");
    const node = document.createElement("ls-sim");
    document.body.append(node);
    node.open(sim);
  } catch { /* no access, or no link: there is no drawer then */ }
}
