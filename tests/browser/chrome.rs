//! A real Chromium, driven over its own debugging protocol.
//!
//! CDP over one WebSocket instead of WebDriver: no second program whose version must fit, input goes through
//! the browser's real event path, and screen size, colour scheme and console are at hand.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

/// The longest that one command may take. Reasoning: a screenshot at 4K takes 2 s on two busy cores.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser. Ends with the value.
pub(crate) struct Chrome {
    child: Child,
    wire: Rc<RefCell<Wire>>,
    _profile: tempfile::TempDir,
}

struct Wire {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    events: VecDeque<Value>,
}

impl Chrome {
    /// Starts the browser, or says visibly why not; with `CI=true` its absence is a failure.
    pub(crate) fn start(what: &str) -> Option<Self> {
        let path =
            leitstand_tests::peer::find(what, &["chromium", "chromium-browser", "google-chrome"])?;
        let profile = tempfile::tempdir().expect("a directory for the profile");
        let mut child = Command::new(path)
            .args([
                "--headless",
                // Tests run as root in containers, where the sandbox cannot start. They open only our own pages.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                // The site certificate is made by the gateway under test; `it` checks it.
                "--ignore-certificate-errors",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                "--mute-audio",
                "--lang=en",
                // As a kiosk is started (docs/operating): sound without a click.
                "--autoplay-policy=no-user-gesture-required",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting chromium");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("DevTools listening on ")
                    .map(|(_, url)| url.trim().to_owned())
            })
            .expect("chromium ended before it listened");
        // Its chatter must be read, or it blocks once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        let (socket, _) = tungstenite::connect(&url).expect("connecting to chromium");
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a read timeout");
        }
        let wire = Wire {
            socket,
            last_id: 0,
            events: VecDeque::new(),
        };
        Some(Self {
            child,
            wire: Rc::new(RefCell::new(wire)),
            _profile: profile,
        })
    }

    /// A fresh tab with storage of its own, as of a visitor who was never here.
    pub(crate) fn tab(&self) -> Tab {
        let context =
            self.call("Target.createBrowserContext", json!({}))["browserContextId"].clone();
        let target = self.call(
            "Target.createTarget",
            json!({"url": "about:blank", "browserContextId": context}),
        );
        let session = self.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        let tab = Tab {
            wire: Rc::clone(&self.wire),
            session: session["sessionId"].as_str().expect("a session").to_owned(),
            complaints: RefCell::default(),
        };
        for domain in ["Page", "Runtime", "Log"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.wire.borrow_mut().call(None, method, params)
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Wire {
    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.try_call(session, method, params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result, or the error that the browser answers.
    fn try_call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.socket
            .send(Message::text(message.to_string()))
            .expect("sending to chromium");
        loop {
            let answer = self
                .socket
                .read()
                .unwrap_or_else(|error| panic!("chromium does not answer {method}: {error}"));
            let Message::Text(text) = answer else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).expect("JSON from chromium");
            if answer["id"] == self.last_id {
                return match &answer["error"] {
                    Value::Null => Ok(answer["result"].clone()),
                    error => Err(error.clone()),
                };
            }
            if answer["id"].is_null() {
                self.events.push_back(answer);
            }
        }
    }
}

/// One page.
pub(crate) struct Tab {
    wire: Rc<RefCell<Wire>>,
    session: String,
    complaints: RefCell<Vec<String>>,
}

impl Tab {
    fn call(&self, method: &str, params: Value) -> Value {
        self.wire
            .borrow_mut()
            .call(Some(&self.session), method, params)
    }

    /// Requests to these addresses (`*` stands for anything) fail from now on.
    pub(crate) fn block(&self, patterns: &[&str]) {
        self.call("Network.enable", json!({}));
        self.call("Network.setBlockedURLs", json!({"urls": patterns}));
    }

    /// Sets the size of the screen and the preferred colours.
    pub(crate) fn screen(&self, width: u32, height: u32, dark: bool) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
        let scheme = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// Opens an address.
    pub(crate) fn open(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(
            answer["errorText"].is_null(),
            "{url}: {}",
            answer["errorText"]
        );
    }

    /// The value of an expression, which may be a promise.
    pub(crate) fn eval(&self, script: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": script, "awaitPromise": true, "returnByValue": true}),
        );
        let failed = &answer["exceptionDetails"];
        assert!(
            failed.is_null(),
            "{script}: {}",
            failed["exception"]["description"]
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true (or anything but false, null, 0 and "") and answers it.
    pub(crate) fn wait(&self, what: &str, script: &str) -> Value {
        let start = Instant::now();
        loop {
            let value = self.peek(script);
            if !matches!(value, Value::Null | Value::Bool(false))
                && value != json!(0)
                && value != json!("")
            {
                return value;
            }
            if start.elapsed() > PATIENCE {
                let shown = self.eval("document.body.innerText");
                panic!(
                    "waited in vain: {what}\nthe page shows:\n{}\n{:?}",
                    shown.as_str().unwrap_or_default(),
                    self.complaints()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks as a hand does: at a place on the screen. Fails when something else lies there. Looks and clicks
    /// again when the page moved the thing away between the look and the click. `script` answers the element.
    pub(crate) fn click(&self, what: &str, script: &str) {
        loop {
            let place = self.wait(
                &format!("{what} can be clicked"),
                &format!(
                    "(() => {{ const node = {script}; if (!node || node.disabled) return null; node.scrollIntoView({{block: 'center', behavior: 'instant'}});
             const r = node.getBoundingClientRect(); const x = r.x + r.width / 2, y = r.y + r.height / 2;
             if (!node.contains(document.elementFromPoint(x, y))) return null;
             window.missed = true; node.addEventListener('click', () => window.missed = false, {{once: true, capture: true}});
             return {{x, y}} }})()"
                ),
            );
            for kind in ["mousePressed", "mouseReleased"] {
                self.call("Input.dispatchMouseEvent", json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1}));
            }
            // A click that leads to another page leaves nothing to ask behind.
            if self.peek("window.missed") != json!(true) {
                return;
            }
        }
    }

    /// As [`eval`](Self::eval), null where there is no page to ask or it throws.
    fn peek(&self, script: &str) -> Value {
        let script = format!("(() => {{ try {{ return {script} }} catch {{ return null }} }})()");
        let params = json!({"expression": script, "returnByValue": true});
        let answer =
            self.wire
                .borrow_mut()
                .try_call(Some(&self.session), "Runtime.evaluate", params);
        answer.map_or(Value::Null, |answer| answer["result"]["value"].clone())
    }

    /// Presses a key, with Control held when `control`.
    pub(crate) fn key(&self, key: &str, code: &str, control: bool) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": code, "modifiers": if control { 2 } else { 0 }, "text": if kind == "keyDown" && key.len() == 1 && !control { key } else { "" }}));
        }
    }

    /// Saves what is on the screen.
    pub(crate) fn picture(&self, file: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(file, base64(answer["data"].as_str().expect("a picture")))
            .expect("writing the picture");
    }

    /// What the page complained about so far: exceptions, errors on the console, blocked by the policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.eval("0");
        let mut wire = self.wire.borrow_mut();
        let mut others = VecDeque::new();
        for event in wire.events.drain(..) {
            if event["sessionId"] != self.session.as_str() {
                others.push_back(event);
                continue;
            }
            let params = &event["params"];
            let text = match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    params["exceptionDetails"]["exception"]["description"].to_string()
                }
                Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                    params["args"].to_string()
                }
                Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                    format!("{} {}", params["entry"]["text"], params["entry"]["url"])
                }
                _ => continue,
            };
            self.complaints.borrow_mut().push(text);
        }
        wire.events = others;
        self.complaints.borrow().clone()
    }

    /// Forgets what the page complained about: a server that was killed on purpose is worth a complaint.
    pub(crate) fn forgive(&self) {
        self.complaints();
        self.complaints.borrow_mut().clear();
    }
}

/// Decodes what chromium encodes; a crate for eight lines would be one more to watch.
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[test]
fn pictures_are_decoded() {
    assert_eq!(base64("TGVpdHN0YW5k"), b"Leitstand");
    assert_eq!(base64("TGVpdA=="), b"Leit");
}
