//! One visit from the first value to the regained server, as a person at the screen sees it.

use leitstand_tests::Server;
use serde_json::json;

use crate::chrome::{Chrome, Tab};

/// Waits until the overview is live, and answers the tab.
pub(crate) fn overview(chrome: &Chrome, server: &Server) -> Tab {
    let tab = chrome.tab();
    tab.screen(1280, 800, false);
    tab.open(&format!("{}/?lang=en", server.base_url()));
    tab.wait(
        "the first live word",
        "document.querySelector('.hero').dataset.tone !== 'stale'",
    );
    tab
}

/// The button of the alarm `id` with this label, once it can be seen.
fn button(label: &str) -> String {
    format!(
        "[...document.querySelectorAll('.alarm[data-tone=ap3] button')].find(b => !b.hidden && b.textContent.includes('{label}'))"
    )
}

/// The state of the CO alarm of stage 3, as the server has it.
fn alarm(server: &Server) -> (String, String) {
    server.wait_for(
        "the direct CO alarm in the snapshot",
        "/api/v1/gas/snapshot",
        |gas| {
            let point = gas["set_points"].as_array()?.iter().find(|point| {
                point["stage"] == 3
                    && point["inputs"][0]["cell"]
                        .as_str()
                        .is_some_and(|cell| cell.starts_with("co"))
            })?;
            Some((
                point["alarm"].as_str()?.to_owned(),
                point["state"].as_str()?.to_owned(),
            ))
        },
    )
}

fn until_state(server: &Server, wanted: &str) {
    leitstand_tests::wait::until(&format!("the alarm is {wanted}"), || {
        (alarm(server).1 == wanted).then_some(())
    });
}

/// A CO cell of the demo.
fn co_cell(server: &Server) -> String {
    server.wait_for("a CO cell with a value", "/api/v1/gas/snapshot", |gas| {
        let cell = gas["cells"]
            .as_array()?
            .iter()
            .find(|cell| cell["gas"] == "co" && cell["quality"] == "good")?;
        Some(cell["id"].as_str()?.to_owned())
    })
}

/// From the alarm to the screen.
const LIMIT_MS: f64 = 1000.0;
/// A machine that is busy with other tests may miss the limit now and then; a slow page misses it always.
const TRIES: usize = 5;

/// Lets gas in and answers how many milliseconds after the station raised the alarm it was on the screen.
fn trip(server: &Server, tab: &Tab, cell: &str) -> f64 {
    // The page itself looks when the alarm is there; a MutationObserver runs right after the change.
    tab.eval(
        "window.seen = new Promise(done => { const hero = document.querySelector('.hero');
           const look = () => hero.dataset.tone === 'ap3' && done(Date.now());
           new MutationObserver(look).observe(hero, {attributes: true}); look(); }); 0",
    );
    let tripped = tab.eval(&format!(
        "(async () => {{ const at = Date.now(); await fetch('/api/v1/sim/cell', {{method: 'POST', headers: {{'content-type': 'application/json'}}, body: JSON.stringify({{cell: '{cell}', value: 290}})}}); return at }})()"
    ));
    let seen = tab.eval("window.seen").as_f64().unwrap();
    let raised = server.wait_for("the alarm's stamp", "/api/v1/gas/snapshot", |gas| {
        let alarms = gas["alarms"].as_array()?;
        alarms.iter().find(|alarm| alarm["stage"] == 3)?["since_unix_ms"].as_f64()
    });
    eprintln!(
        "browser: alarm on the screen {:.0} ms after the gas, {:.0} ms after the station raised it",
        seen - tripped.as_f64().unwrap(),
        seen - raised
    );
    seen - raised
}

/// Takes the gas away and resets the alarm.
fn settle(server: &Server, tab: &Tab, cell: &str) {
    let _ = server
        .post("/api/v1/sim/cell", &json!({"cell": cell, "value": 0.0}))
        .ok();
    until_state(server, "latched_unack");
    let path = format!("/api/v1/gas/alarms/{}", alarm(server).0);
    let _ = server.post(&format!("{path}/ack"), &json!({})).ok();
    until_state(server, "latched_ack");
    let _ = server.post(&format!("{path}/reset"), &json!({})).ok();
    until_state(server, "normal");
    tab.wait(
        "the page follows",
        "document.querySelector('.hero').dataset.tone !== 'ap3'",
    );
}

#[test]
fn from_the_first_value_to_the_regained_server() {
    let Some(chrome) = Chrome::start("the visit in a browser") else {
        return;
    };
    let mut server = Server::demo();
    let cell = co_cell(&server);
    let tab = overview(&chrome, &server);

    // A live value changes without a reload.
    tab.wait(
        "a first value",
        "/\\d/.test(document.querySelector('.strip .now').textContent)",
    );
    tab.eval("window.first = document.querySelector('.strip .now').textContent; window.loaded = Math.random();");
    let loaded = tab.eval("window.loaded");
    tab.wait(
        "a value changes",
        "document.querySelector('.strip .now').textContent !== window.first",
    );
    assert!(
        tab.eval("document.querySelector('footer .notice').textContent")
            .as_str()
            .unwrap()
            .contains("Not a type-approved")
    );
    assert_eq!(
        tab.eval("document.querySelector('.ribbon').hidden"),
        json!(false),
        "a simulated site says so"
    );

    // Every other cell is held low, so that nothing but this trip decides.
    let cells: Vec<String> = server.get("/api/v1/gas/snapshot").ok()["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    for one in &cells {
        let _ = server
            .post("/api/v1/sim/cell", &json!({"cell": one, "value": 0.0}))
            .ok();
    }
    let mut delay = trip(&server, &tab, &cell);
    for _ in 1..TRIES {
        if delay < LIMIT_MS {
            break;
        }
        settle(&server, &tab, &cell);
        delay = delay.min(trip(&server, &tab, &cell));
    }
    assert!(
        delay < LIMIT_MS,
        "at best the page showed the alarm {delay} ms after it was raised"
    );
    assert_eq!(tab.eval("window.loaded"), loaded, "without a reload");
    assert_eq!(
        tab.eval("document.querySelector('.hero .word').textContent"),
        json!("Alarm")
    );
    assert!(
        tab.eval("document.title")
            .as_str()
            .unwrap()
            .starts_with("AP3")
    );
    tab.wait(
        "it is spoken",
        "document.querySelector('[aria-live=assertive]').textContent.includes('AP3')",
    );
    tab.wait(
        "the horn is said",
        "!document.querySelector('[data-icon=horn]').closest('.badge').hidden",
    );

    tab.click("Silence horn", "[...document.querySelectorAll('button')].find(b => !b.hidden && b.textContent.includes('Silence'))");
    server.wait_for("the horn is silent", "/api/v1/gas/snapshot", |gas| {
        (gas["status"]["horn"]["on"] == false).then_some(())
    });
    assert_eq!(
        alarm(&server).1,
        "active_unack",
        "silence stops only the horn"
    );

    tab.click("Acknowledge", &button("Acknowledge"));
    until_state(&server, "active_ack");
    let _ = server
        .post("/api/v1/sim/cell", &json!({"cell": cell, "value": 0.0}))
        .ok();
    until_state(&server, "latched_ack");
    tab.click("Reset", &button("Reset"));
    until_state(&server, "normal");
    tab.wait("the alarm leaves the page", "!document.querySelector('.alarm[data-tone=ap3]') && document.querySelector('.hero').dataset.tone !== 'ap3'");

    server.kill_9();
    tab.wait("the banner", "!document.querySelector('.banner').hidden && /since \\d/.test(document.querySelector('.banner').textContent)");
    tab.wait(
        "no word but that nothing is known",
        "document.querySelector('.hero .word').textContent === 'No data'",
    );
    let struck =
        tab.eval("getComputedStyle(document.querySelector('.strip .now')).textDecorationLine");
    assert_eq!(struck, json!("line-through"), "an old value must look old");
    server.restart();
    tab.wait("the page comes back by itself", "document.querySelector('.banner').hidden && document.body.dataset.stale === 'false' && document.querySelector('.hero').dataset.tone !== 'stale'");
    assert_eq!(tab.eval("window.loaded"), loaded, "without a reload");
    assert_eq!(
        tab.eval("getComputedStyle(document.querySelector('.strip .now')).textDecorationLine"),
        json!("none")
    );
}

#[test]
fn a_button_plays_on_the_screen_and_lights_up() {
    let Some(chrome) = Chrome::start("the panel in a browser") else {
        return;
    };
    let server = Server::demo();
    server.wait_for("the board answers", "/api/v1/panel/status", |panel| {
        (panel["serial_connected"] == true).then_some(())
    });
    let tab = chrome.tab();
    tab.screen(1280, 800, false);
    tab.open(&format!("{}/panel?lang=en&screen=test", server.base_url()));
    tab.wait(
        "sound is unlocked without a click, as in a kiosk",
        "document.querySelector('.dot[data-of=sound]').dataset.good === 'true'",
    );
    server.wait_for(
        "the screen has its media",
        "/api/v1/panel/status",
        |panel| {
            panel["clients"]
                .as_array()?
                .iter()
                .any(|one| {
                    one["screen"] == "test" && one["ready"] == true && one["locked"] == false
                })
                .then_some(())
        },
    );
    tab.click("button 4", "document.querySelectorAll('.btn-wall')[3]");
    tab.wait(
        "the number",
        "document.querySelector('.stage .id').textContent === '004'",
    );
    tab.wait(
        "the lamp",
        "document.querySelectorAll('.btn-wall')[3].getAttribute('aria-pressed') === 'true'",
    );
    tab.wait(
        "the picture",
        "document.querySelector('.show img').naturalWidth > 0",
    );
    tab.wait("the sound runs", "document.querySelector('audio').currentTime > 0.1 && !document.querySelector('audio').paused");
    assert!(server.get("/api/v1/panel/status").ok()["current_button"] == 4);

    // A press on the board itself preempts; the page follows.
    let _ = server.post("/api/v1/sim/press", &json!({"button": 7})).ok();
    tab.wait(
        "the newest press wins",
        "document.querySelector('.stage .id').textContent === '007'",
    );
    tab.wait("its lamp alone", "[...document.querySelectorAll('.btn-wall')].map((b, i) => b.ariaPressed === 'true' ? i + 1 : 0).filter(Boolean).join() === '7'");
    tab.wait(
        "the end goes back to the server and the screen is idle",
        "document.querySelector('.stage').dataset.idle === 'true'",
    );
    server.wait_for("nothing plays", "/api/v1/panel/status", |panel| {
        panel["current_button"].is_null().then_some(())
    });

    assert_eq!(
        tab.eval("localStorage.getItem('leitstand.plays')"),
        json!("{\"4\":1,\"7\":1}"),
        "what is played most is loaded first next time"
    );
    // What went over the wire can be looked at, as text.
    tab.key("d", "KeyD", true);
    let log = tab.wait(
        "the debug log",
        "(document.querySelector('.debug:not([hidden])') || {}).textContent",
    );
    assert!(
        log.as_str().unwrap().contains("\"type\":\"ended\""),
        "{log}"
    );
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

/// A screen that comes late starts where the others are.
#[test]
fn a_late_screen_joins_at_the_position() {
    let Some(chrome) = Chrome::start("a late screen") else {
        return;
    };
    let server = Server::demo();
    server.wait_for("the board answers", "/api/v1/panel/status", |panel| {
        (panel["serial_connected"] == true).then_some(())
    });
    let first = chrome.tab();
    first.screen(800, 600, false);
    first.open(&format!("{}/panel?kiosk=1&screen=first", server.base_url()));
    first.wait("it is linked", "document.querySelector('.dot[data-of=link]').dataset.good === 'true' && document.querySelector('.dot[data-of=sound]').dataset.good === 'true'");
    let _ = server.post("/api/play/2", &json!({})).ok();
    first.wait(
        "the first plays",
        "document.querySelector('audio').currentTime > 0.5",
    );
    let late = chrome.tab();
    late.screen(800, 600, false);
    late.open(&format!("{}/panel?kiosk=1&screen=late", server.base_url()));
    late.wait(
        "the late one shows the same",
        "document.querySelector('.stage .id').textContent === '002'",
    );
    let at = late.wait("and starts in the middle", "document.querySelector('audio').currentTime > 0.4 && document.querySelector('audio').currentTime");
    assert!(at.as_f64().unwrap() > 0.4);
    assert_eq!(
        late.eval("getComputedStyle(document.body).cursor"),
        json!("none"),
        "a kiosk shows no pointer"
    );
}
