//! A browser without a window, driven by the DevTools protocol over a pipe: messages of JSON, each ended by a zero byte.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest life of a browser in seconds: a test never waits for ever.
const LIFE_SECS: &str = "180";

/// One page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    /// What the page and the browser complained of.
    complaints: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// Chromium, or the reason why nothing that needs it is tested.
fn find() -> Option<OsString> {
    if let Some(program) = std::env::var_os("CILIUMC_CHROMIUM") {
        return Some(program);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("CILIUMC_REQUIRE_CHROMIUM").is_some_and(|value| value == "1");
        assert!(!required, "no Chromium on PATH, and CILIUMC_REQUIRE_CHROMIUM=1 (Debian: apt-get install chromium)");
        eprintln!("skipped: no Chromium on PATH (Debian: apt-get install chromium)");
    }
    found.map(OsString::from)
}

impl Browser {
    /// Starts one, if there is one to start.
    pub fn start() -> Option<Self> {
        let program = find()?;
        let profile = tempfile::tempdir().unwrap();
        // The browser talks on descriptors 3 and 4; as root it runs without its sandbox.
        let mut child = Command::new("sh")
            .args(["-c", "exec timeout \"$2\" \"$0\" --headless --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage \
                          --user-data-dir=\"$1\" --remote-debugging-pipe about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"])
            .arg(program)
            .arg(profile.path())
            .arg(LIFE_SECS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self { child, to, from, session: None, sent: 0, complaints: Vec::new(), _profile: profile };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": page["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({ "width": 1600, "height": 1000, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        Some(browser)
    }

    /// Opens a file and waits until it has been read.
    pub fn open(&mut self, file: &Path) {
        self.complaints.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        self.wait("location.protocol === 'file:' && document.readyState === 'complete'");
    }

    /// The value of an expression.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression holds.
    #[track_caller]
    pub fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != json!(true) {
            assert!(start.elapsed() < Duration::from_secs(30), "never true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses and lets go of a key, as `KeyboardEvent.key` names it; a single character is typed.
    pub fn press(&mut self, key: &str) {
        let codes = [("Enter", 13), ("Escape", 27), ("End", 35), ("Home", 36)];
        let arrows = [("ArrowLeft", 37), ("ArrowUp", 38), ("ArrowRight", 39), ("ArrowDown", 40), ("Tab", 9)];
        let code = codes.iter().chain(&arrows).find(|(name, _)| *name == key).map_or(0, |(_, code)| *code);
        let text = if key.chars().count() == 1 { key } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Clicks in the middle of the first element that a selector finds.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const at = document.querySelector({selector:?}).getBoundingClientRect(); \
             return [at.left + at.width / 2, at.top + at.height / 2]; }})()"
        ));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Writes a picture into the folder that `CILIUMC_SCREENSHOTS` names, if it names one.
    pub fn picture(&mut self, name: &str, scheme: &str) {
        let Some(folder) = std::env::var_os("CILIUMC_SCREENSHOTS") else { return };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
        let shot = self.call("Page.captureScreenshot", json!({}));
        let name = Path::new(&folder).join(format!("{name}-{scheme}.png"));
        fs::write(name, base64(shot["data"].as_str().unwrap())).unwrap();
    }

    /// What was written to the console, thrown, or refused by the policy of the page.
    pub fn complaints(&mut self) -> &[Value] {
        // Whatever was on its way has come when the answer has.
        self.value("0");
        &self.complaints
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser is gone, at {method}");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            let events = ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"];
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            } else if events.iter().any(|event| answer["method"] == *event) {
                self.complaints.push(answer["params"].take());
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // `timeout` passes the signal on to the browser, which ends its own children.
        // The shell's own: the program `kill` is not on every machine.
        let _ = Command::new("sh").args(["-c", "kill $0", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Bytes of a text in base64.
fn base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').map(value).collect();
    let bytes = letters.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().chain(&[0; 4]).take(4).fold(0u32, |bits, six| bits << 6 | u32::from(*six));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}
