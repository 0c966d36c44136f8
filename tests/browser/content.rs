//! The panel's back office as a museum's staff uses it: files by drag and drop on a phone, opening hours, numbers.

use leitstand_tests::Server;
use serde_json::json;

use crate::chrome::{Chrome, Tab};

fn office(chrome: &Chrome, server: &Server, part: &str) -> Tab {
    let tab = chrome.tab();
    tab.screen(390, 844, false);
    tab.open(&format!(
        "{}/panel/content?lang=en#{part}",
        server.base_url()
    ));
    tab
}

/// Puts files into the browser's own list, as its chooser and a drop would. `PIXEL` is a picture.
const FILES: &str = "
    window.PIXEL = Uint8Array.from(atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJggg=='), c => c.charCodeAt(0));
    window.files = (...list) => { const data = new DataTransfer(); for (const [name, bytes, type] of list) data.items.add(new File([bytes], name, {type})); return data; };
    window.choose = (...list) => { const input = document.querySelector('#files'); input.files = files(...list).files; input.dispatchEvent(new Event('change')); };
    window.drop = (at, ...list) => document.querySelector(at).dispatchEvent(new DragEvent('drop', {dataTransfer: files(...list), bubbles: true, cancelable: true}));
    0";

#[test]
fn files_find_their_button_and_reach_the_screens() {
    let Some(chrome) = Chrome::start("uploads in a browser") else {
        return;
    };
    let server = Server::demo();
    let screen = chrome.tab();
    screen.screen(800, 600, false);
    screen.open(&format!("{}/panel?kiosk=1&screen=hall", server.base_url()));
    screen.wait(
        "the screen is linked",
        "document.querySelector('.dot[data-of=link]').dataset.good === 'true'",
    );
    let tab = office(&chrome, &server, "content");
    tab.wait(
        "the buttons",
        "document.querySelectorAll('.item').length === 10",
    );
    tab.wait(
        "somebody may",
        "!document.querySelector('.item button:nth-of-type(2)').disabled",
    );
    tab.eval(FILES);
    // Two pictures of button 4 in one go, one that says no number, one that is no picture at all.
    tab.eval("choose(['004 bell.png', PIXEL, 'image/png'], ['4-detail.png', PIXEL, 'image/png'], ['holiday.png', PIXEL, 'image/png'], ['005.jpg', new Uint8Array(500), 'image/jpeg']); 0");
    tab.wait(
        "both are stored",
        "document.querySelectorAll('.queue li[data-state=done]').length === 2 && document.querySelectorAll('.item[data-id=\\'4\\'] .thumbs img').length === 2",
    );
    tab.wait(
        "the refusal says why",
        "[...document.querySelectorAll('.queue li[data-state=failed] .said')].some(n => n.textContent.includes('no known picture'))",
    );
    tab.eval("const choice = document.querySelector('.queue li[data-state=asks] select'); choice.value = '7'; choice.dispatchEvent(new Event('change')); 0");
    tab.wait(
        "the third after its button was chosen",
        "document.querySelectorAll('.queue li[data-state=done]').length === 3",
    );
    // A drop on a card is for that button, whatever the name.
    tab.eval("drop('.item[data-id=\\'9\\']', ['nine.png', PIXEL, 'image/png']); 0");
    tab.wait(
        "the dropped one",
        "document.querySelector('.item[data-id=\\'9\\'] .thumbs img').src.includes('/media/009.png')",
    );
    let media = server.get("/api/media").ok();
    assert_eq!(media["items"][3]["images"].as_array().unwrap().len(), 2);

    // Texts, and the screen that shows them.
    tab.eval("const item = document.querySelector('.item[data-id=\\'4\\']'); item.querySelector('details').open = true; const title = item.querySelector('#title-4'); title.value = 'The bell'; title.dispatchEvent(new Event('input', {bubbles: true})); 0");
    tab.click(
        "save",
        "document.querySelector('.item[data-id=\\'4\\'] button[type=submit]')",
    );
    tab.wait(
        "it is kept",
        "document.querySelector('.item[data-id=\\'4\\'] h3').textContent === 'The bell'",
    );
    tab.click(
        "play",
        "document.querySelector('.item[data-id=\\'4\\'] .actions button')",
    );
    screen.wait(
        "the new picture and title on the screen",
        "document.querySelector('.stage .title').textContent === 'The bell' && document.querySelector('.show img').src.includes('/media/004')",
    );
    tab.click("remove one", "[...document.querySelectorAll('.item[data-id=\\'4\\'] .file button')].find(b => b.ariaLabel.includes('004-2.png'))");
    tab.wait(
        "one picture is left",
        "document.querySelectorAll('.item[data-id=\\'4\\'] .thumbs img').length === 1",
    );
    // The refusal of the server is a complaint of the browser's network log; nothing else may be.
    let rest: Vec<_> = tab
        .complaints()
        .into_iter()
        .filter(|c| !c.contains("422"))
        .collect();
    assert_eq!(rest, Vec::<String>::new());
    shoot(&tab, "panel-content-phone.png");
}

#[test]
fn opening_hours_are_set_and_the_numbers_are_shown() {
    let Some(chrome) = Chrome::start("opening hours in a browser") else {
        return;
    };
    let server = Server::demo();
    let tab = office(&chrome, &server, "levels");
    tab.wait("the settings", "document.querySelector('#page-levels').dataset.stale === 'false' && document.querySelector('#always').checked");
    tab.click("not always open", "document.querySelector('#always')");
    // Never open: every day stays empty, but one with a mistake.
    tab.eval("const mon = document.querySelector('#hours-mon'); mon.value = '9 bis 5'; mon.dispatchEvent(new Event('input', {bubbles: true})); document.querySelector('#closed-volume').value = 4; 0");
    tab.click(
        "save",
        "document.querySelector('#page-levels button[type=submit]')",
    );
    tab.wait("the mistake is said", "[...document.querySelectorAll('#page-levels .problem')].some(n => !n.hidden && n.textContent.includes('9 bis 5'))");
    tab.eval("document.querySelector('#hours-mon').value = ''; 0");
    tab.click(
        "save again",
        "document.querySelector('#page-levels button[type=submit]')",
    );
    server.wait_for("it is closed", "/status", |s| {
        (s["open"] == false && s["effective"]["volume"] == 4).then_some(())
    });
    tab.wait(
        "the page says so",
        "document.querySelector('#page-levels').textContent.includes('Closed')",
    );
    tab.eval("const v = document.querySelector('#volume'); v.value = 55; v.dispatchEvent(new Event('input')); v.dispatchEvent(new Event('change')); 0");
    server.wait_for("the volume", "/status", |s| {
        (s["volume"] == 55).then_some(())
    });
    let settings = server.get("/api/v1/panel/settings").ok();
    assert_eq!(settings["schedule"]["hours"]["mon"], json!([]));

    for button in [2, 2, 6] {
        let _ = server.post(&format!("/api/play/{button}"), &json!({})).ok();
        let _ = server.post("/api/stop", &json!({})).ok();
    }
    tab.click("statistics", "document.querySelector('#tab-stats')");
    tab.wait(
        "the sum",
        "document.querySelector('#page-stats').textContent.includes('3 plays')",
    );
    tab.wait(
        "most played first",
        "document.querySelector('#page-stats tbody tr td').textContent === '2'",
    );
    let bars = tab.eval("[...document.querySelectorAll('#page-stats section[aria-labelledby=by-button] rect')].map(r => Number(r.getAttribute('height')) > 0)");
    assert_eq!(
        bars.as_array()
            .unwrap()
            .iter()
            .filter(|b| **b == json!(true))
            .count(),
        2,
        "{bars}"
    );
    tab.screen(1280, 900, true);
    shoot(&tab, "panel-stats.png");
    // The tabs are one stop of the keyboard, with the arrows between them.
    tab.eval("document.querySelector('#tab-stats').focus()");
    tab.key("ArrowLeft", "ArrowLeft", false);
    tab.wait("the tab beside it", "document.activeElement.id === 'tab-levels' && document.querySelector('#page-stats').hidden");
    let rest: Vec<_> = tab
        .complaints()
        .into_iter()
        .filter(|c| !c.contains("422"))
        .collect();
    assert_eq!(rest, Vec::<String>::new());
}

fn shoot(tab: &Tab, name: &str) {
    if std::env::var_os("LEITSTAND_SCREENSHOTS").is_some() {
        tab.eval("document.querySelector('.toasts')?.remove(); scrollTo(0, 0); 0");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
        tab.picture(&folder.join(name));
    }
}
