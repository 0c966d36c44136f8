//! The pictures of the documentation, made from the running demo, only on request.

use std::path::{Path, PathBuf};

use leitstand_tests::Server;
use serde_json::json;

use crate::chrome::{Chrome, Tab};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots")
}

fn hold(server: &Server, cells: &[(&str, f64)]) {
    for (cell, value) in cells {
        let _ = server
            .post("/api/v1/sim/cell", &json!({"cell": cell, "value": value}))
            .ok();
    }
}

fn shoot(tab: &Tab, name: &str) {
    std::fs::create_dir_all(folder()).unwrap();
    // A ring that breathes looks different in every picture.
    tab.eval("for (const a of document.getAnimations()) a.cancel(); 0");
    tab.picture(&folder().join(name));
}

#[test]
fn pictures_for_the_documentation() {
    if std::env::var_os("LEITSTAND_SCREENSHOTS").is_none() {
        return;
    }
    let Some(chrome) = Chrome::start("pictures for the documentation") else {
        return;
    };
    let server = Server::demo();
    let tab = chrome.tab();
    let go = |path: &str, width, height, dark, ready: &str| {
        tab.screen(width, height, dark);
        tab.open(&format!("{}{path}", server.base_url()));
        tab.wait(path, ready);
    };
    server.wait_for("a good site", "/api/v1/gas/snapshot", |gas| {
        (gas["status"]["healthy_signal"] == true).then_some(())
    });
    hold(
        &server,
        &[("co_1", 9.0), ("co_2", 6.0), ("co_3", 4.0), ("co_4", 3.0)],
    );
    go(
        "/?lang=en",
        1280,
        800,
        false,
        "document.querySelector('.hero[data-tone=good]')",
    );
    shoot(&tab, "overview.png");
    // A line worth a look takes a minute of rising gas.
    go(
        "/gas?lang=en",
        1280,
        1000,
        false,
        "document.querySelector('.cell')",
    );
    for step in 1..=30 {
        let share = f64::from(step) / 30.0;
        hold(
            &server,
            &[
                ("co_1", 9.0 + 185.0 * share),
                ("co_2", 6.0 + 120.0 * share),
                ("co_3", 4.0 + 60.0 * share),
                ("co_4", 3.0 + 25.0 * share),
            ],
        );
        let from = tab.eval("performance.now()").as_f64().unwrap();
        tab.wait(
            "two seconds of line",
            &format!("performance.now() - {from} > 2000"),
        );
    }
    tab.wait(
        "the direct alarm",
        "document.querySelector('.bar[data-tone=ap3]')",
    );
    shoot(&tab, "gas-alarm.png");
    go(
        "/?lang=de",
        360,
        800,
        false,
        "document.querySelector('.hero[data-tone=ap3]')",
    );
    shoot(&tab, "phone.png");
    go(
        "/?lang=en",
        1280,
        800,
        true,
        "document.querySelector('.hero[data-tone=ap3]')",
    );
    shoot(&tab, "dark.png");
    go(
        "/events?lang=en",
        1280,
        800,
        false,
        "document.querySelector('tr[data-seq]')",
    );
    shoot(&tab, "events.png");
    go(
        "/panel?lang=en",
        1280,
        800,
        false,
        "document.querySelector('.dot[data-of=sound][data-good=true]')",
    );
    let _ = server.post("/api/v1/sim/press", &json!({"button": 4})).ok();
    tab.wait("the picture", "document.querySelector('.show img').naturalWidth > 0 && document.querySelector('audio').currentTime > 0.5");
    shoot(&tab, "panel.png");
}
