//! Every page on every screen: nothing sticks out, nothing complains, no text is missing.

use leitstand_tests::Server;
use serde_json::json;

use crate::chrome::Chrome;

const SIZES: [(u32, u32); 4] = [(360, 800), (1280, 800), (1920, 1080), (3840, 2160)];
const PAGES: [&str; 8] = [
    "/",
    "/gas",
    "/panel",
    "/panel?kiosk=1",
    "/panel/content",
    "/panel/content?tab#levels",
    "/panel/content?tab#stats",
    "/events",
];

#[test]
fn pages_fit_from_a_phone_to_4k_in_both_languages() {
    let Some(chrome) = Chrome::start("the layout in a browser") else {
        return;
    };
    let server = Server::demo();
    server.wait_for("readings", "/api/v1/gas/snapshot", |gas| {
        (!gas["cells"].as_array()?.is_empty()).then_some(())
    });
    for lang in ["en", "de"] {
        let tab = chrome.tab();
        for page in PAGES {
            let sign = if page.contains('?') { '&' } else { '?' };
            let (path, part) = page.split_once('#').unwrap_or((page, ""));
            tab.screen(1280, 800, lang == "de");
            let url = format!("{}{path}{sign}lang={lang}#{part}", server.base_url());
            tab.open(&url);
            for (width, height) in SIZES {
                let name = format!("{page} {width}x{height} {lang}");
                tab.screen(width, height, lang == "de");
                tab.wait(&format!("{name} is drawn"), "document.querySelector('.hero[data-tone]:not([data-tone=stale]), .cell, .stage .dot[data-good=true], tr[data-seq], .item .file, #page-levels[data-stale=false]:not([hidden]), #page-stats:not([hidden]) rect')");
                assert_eq!(
                    tab.eval("document.documentElement.lang"),
                    json!(lang),
                    "{name}"
                );
                let over = tab.eval("[...document.querySelectorAll('main *, header *, footer *')].filter(n => n.getBoundingClientRect().right > innerWidth + 1 && !n.closest('.scroll, .visually-hidden, [hidden]')).slice(0, 3).map(n => n.outerHTML.slice(0, 120))");
                assert_eq!(over, json!([]), "{name}: sticks out on the right");
                assert_eq!(
                    tab.eval("document.documentElement.scrollWidth <= innerWidth"),
                    json!(true),
                    "{name}: scrolls sideways"
                );
                // A key that has no text is shown as it is: `zone.health`.
                let keys = tab.eval("[...new Set(document.body.innerText.match(/\\b(?:word|verdict|zone|cell|point|state|special|alarm|power|service|panel|content|levels|hours|screens|stats|effect|weekday|screen_role|file_kind|events|nav|sim|act|gas|fault|warning|quality|overlay|output|bus)\\.[a-z_]+\\b/g) ?? [])]");
                assert_eq!(keys, json!([]), "{name}: texts are missing");
                // People and machines find their way: one main, a name for every control.
                let nameless = tab.eval("[...document.querySelectorAll('button, input, select, summary, a')].filter(n => n.checkVisibility() && !(n.innerText || n.ariaLabel || n.title || n.labels?.length)).map(n => n.outerHTML.slice(0, 120))");
                assert_eq!(nameless, json!([]), "{name}: controls without a name");
                assert_eq!(
                    tab.eval("document.querySelectorAll('main').length"),
                    json!(1),
                    "{name}"
                );
                assert_eq!(tab.complaints(), Vec::<String>::new(), "{name}");
            }
        }
    }
}

/// With a keyboard alone: the first Tab offers to skip, and whatever has the focus shows it.
#[test]
fn a_keyboard_is_enough() {
    let Some(chrome) = Chrome::start("the keyboard in a browser") else {
        return;
    };
    let server = Server::demo();
    let tab = chrome.tab();
    tab.screen(1280, 800, false);
    tab.open(&format!("{}/gas?lang=en", server.base_url()));
    tab.wait("cells", "document.querySelector('.cell')");
    tab.key("Tab", "Tab", false);
    assert!(
        tab.eval("document.activeElement.classList.contains('skip')")
            .as_bool()
            .unwrap(),
        "first comes the way past the menu"
    );
    for _ in 0..12 {
        tab.key("Tab", "Tab", false);
        let seen = tab.eval("(() => { const n = document.activeElement; const c = getComputedStyle(n); return n !== document.body && (c.outlineStyle !== 'none' && parseFloat(c.outlineWidth) >= 2) ? '' : n.outerHTML.slice(0, 120) })()");
        assert_eq!(seen, json!(""), "the focus cannot be seen");
    }
    // What has the focus keeps it while values arrive four times a second.
    tab.eval("document.querySelector('.cell summary').focus(); window.kept = document.activeElement; window.n = 0; new MutationObserver(() => window.n++).observe(document.querySelector('main'), {subtree: true, childList: true, characterData: true}); 0");
    tab.wait("the page lives", "window.n > 20");
    assert_eq!(
        tab.eval("document.activeElement === window.kept"),
        json!(true)
    );
}

/// A page that heard nothing yet, or lost the stream before the first frame, claims nothing.
#[test]
fn silence_is_not_shown_as_good() {
    let Some(chrome) = Chrome::start("silence in a browser") else {
        return;
    };
    let server = Server::demo();
    for blocked in [
        vec!["*/api/v1/stream*"],
        vec!["*/api/v1/site*"],
        vec!["*/api/v1/*"],
    ] {
        for page in ["/", "/gas"] {
            let name = format!("{page} without {blocked:?}");
            let tab = chrome.tab();
            tab.screen(1280, 800, false);
            tab.block(&blocked);
            tab.open(&format!("{}{page}?lang=en", server.base_url()));
            tab.wait(&format!("{name} is drawn"), "document.querySelector('.hero .word, .empty').textContent && document.querySelector('.topbar')");
            let from = tab.eval("performance.now()").as_f64().unwrap();
            // Long enough for a frame to have come, had it not been blocked.
            tab.wait(
                "two seconds of silence",
                &format!("performance.now() - {from} > 2000"),
            );
            let text = tab.eval("document.querySelector('main').innerText");
            let text = text.as_str().unwrap();
            // With the stream alone, the gas page may show readings; a word for the whole site needs both.
            for claim in ["Good", "No alarms", "Horn", "All sensors", "All services"] {
                let shown = tab.eval("(document.querySelector('.hero, .bar:not([hidden]) .bar-state') ?? document.querySelector('main')).innerText");
                assert!(
                    !shown.as_str().unwrap().contains(claim),
                    "{name} claims {claim}:\n{text}"
                );
            }
            if page == "/" {
                assert_eq!(
                    tab.eval("document.querySelector('.hero').dataset.tone"),
                    json!("stale"),
                    "{name}"
                );
                assert_eq!(tab.eval("getComputedStyle(document.querySelector('.hero > svg')).color === getComputedStyle(document.querySelector('.hero .word')).color"), json!(true), "{name}: the icon has a colour of its own");
            }
        }
    }
}
