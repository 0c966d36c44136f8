//! Off loopback: the claim code is the only way in, then name and password.

use leitstand_tests::{Server, wait};
use serde_json::json;

use crate::chrome::Chrome;

const CONFIG: &str = r#"
site = "Door"

[gas]
production = false

[[gas.sensors]]
id = "s"
kind = "simulated"
profile = "constant"
low = 1
high = 1

[[gas.cells]]
id = "co_1"
sensor = "s"
channel = 1
gas = "co"
unit = "ppm"
range_lo = 0
range_hi = 300

[[gas.zones]]
id = "hall"
name = "Hall"
cells = ["co_1"]
"#;

fn fill(name: &str, value: &str) -> String {
    format!("document.getElementById('{name}').value = '{value}'; 0")
}

#[test]
fn a_site_is_claimed_and_then_asks_who_comes() {
    let Some(chrome) = Chrome::start("claim and login in a browser") else {
        return;
    };
    let server = Server::run_with(CONFIG, &["--bind", "0.0.0.0:0"]);
    let code = wait::until("the claim code", || {
        let printed = server.printed();
        let (_, rest) = printed.split_once("enter the code ")?;
        Some(rest.split_whitespace().next()?.to_owned())
    });
    let tab = chrome.tab();
    tab.screen(360, 800, false);
    tab.open(&format!("{}/gas", server.base_url()));
    tab.wait(
        "an unknown visitor is led to the door",
        "location.pathname === '/login' && document.querySelector('form')",
    );
    // The refusal of /gas is a line on the console, rightly so; from here on there must be none.
    tab.forgive();
    tab.click(
        "the way to claim",
        "document.querySelector('a[href=\"/claim\"]')",
    );
    tab.wait("the claim page", "document.getElementById('code')");
    let printed = server.printed();
    let (_, rest) = printed.split_once("Certificate (SHA-256): ").unwrap();
    let fingerprint = rest.lines().next().unwrap();
    tab.wait(
        "the fingerprint that the start printed",
        &format!("document.getElementById('fingerprint')?.textContent === '{fingerprint}'"),
    );
    assert_eq!(
        tab.eval("document.documentElement.scrollWidth"),
        json!(360),
        "nothing sticks out on a phone"
    );
    for (name, value) in [
        ("code", code.as_str()),
        ("name", "anna"),
        ("password", "correct horse"),
        ("again", "correct mouse"),
    ] {
        tab.eval(&fill(name, value));
    }
    tab.click("claim", "document.querySelector('form button')");
    tab.wait(
        "a slip of the pen is caught",
        "document.querySelector('.problem:not([hidden])')",
    );
    tab.eval(&fill("again", "correct horse"));
    tab.click("claim", "document.querySelector('form button')");
    tab.wait("the first admin is in", "location.pathname === '/' && document.querySelector('.menu summary').innerText.includes('anna')");
    assert_eq!(tab.complaints(), Vec::<String>::new());

    tab.click(
        "the account menu",
        "document.querySelector('.menu summary')",
    );
    tab.click(
        "sign out",
        "[...document.querySelectorAll('.menu button')].find(b => !b.hidden)",
    );
    tab.wait(
        "out again",
        "location.pathname === '/login' && document.querySelector('form')",
    );
    tab.eval(&fill("name", "anna"));
    tab.eval(&fill("password", "wrong horse"));
    tab.click("sign in", "document.querySelector('form button')");
    tab.wait(
        "a wrong password is refused in words",
        "document.querySelector('.problem:not([hidden])')",
    );
    tab.eval(&fill("password", "correct horse"));
    // A crafted link must not lead to another host after the login.
    tab.eval("history.replaceState(null, '', '/login?next=//example.org/'); 0");
    tab.click("sign in", "document.querySelector('form button')");
    tab.wait(
        "in again, and still here",
        "location.pathname === '/' && document.querySelector('.menu')",
    );
    assert_eq!(tab.eval("location.origin"), json!(server.base_url()));
}
