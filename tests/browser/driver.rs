//! A browser, by the `WebDriver` protocol: JSON over HTTP to chromedriver.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

/// The longest that a page may need to show something.
const SOON: Duration = Duration::from_secs(15);

/// One browser at a time: each needs as much memory as all of the tests.
static ONE: Mutex<()> = Mutex::const_new(());

/// A browser with one window.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    _driver: Child,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Where pictures are kept, if they are.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("VERDIGRIS_SCREENSHOTS").map(PathBuf::from)
}

impl Browser {
    /// None where no chromedriver is installed, or nobody wants it.
    pub async fn start(dark: bool, width: u32) -> Option<Self> {
        let wish = std::env::var("VERDIGRIS_BROWSER").ok();
        if wish.as_deref() == Some("0") {
            eprintln!("left out: VERDIGRIS_BROWSER=0");
            return None;
        }
        let turn = ONE.lock().await;
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(mut driver) = command.spawn() else {
            assert_ne!(wish.as_deref(), Some("1"), "chromedriver is not installed");
            eprintln!("not tested: chromedriver is not installed");
            return None;
        };
        let port = port(&mut driver).await;
        let http = crate::support::daemon::plain().build().unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Tests run as root too, where Chromium's sandbox does not.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            format!("--window-size={width},1000"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" }
        } } });
        let url = format!("http://127.0.0.1:{port}/session");
        let answer: Value =
            http.post(&url).json(&capabilities).send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Some(Self {
            http,
            session: format!("{url}/{id}"),
            _driver: driver,
            _profile: profile,
            _turn: turn,
        })
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.try_post(path, body.clone()).await;
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    async fn try_post(&self, path: &str, body: Value) -> Result<Value, Value> {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await;
        let mut answer: Value = answer.unwrap().json().await.unwrap();
        let value = answer["value"].take();
        if value.get("error").is_some() { Err(value) } else { Ok(value) }
    }

    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What the function body `script` returns.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Wait until `script` returns something true; gives it.
    pub async fn until(&self, script: &str) -> Value {
        let start = tokio::time::Instant::now();
        loop {
            let value = self.run(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!("") {
                return value;
            }
            if start.elapsed() > SOON {
                let page = self.run("return document.body.innerText").await;
                panic!("`{script}` stayed {value}; the page says:\n{}", page.as_str().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Wait until the page shows `text`.
    pub async fn sees(&self, text: &str) {
        self.until(&format!("return document.body.innerText.includes({})", json!(text))).await;
    }

    /// Click the button or link that is called `name`, as a person does.
    pub async fn click(&self, name: &str) {
        let find = format!(
            "return [...document.querySelectorAll('dialog[open] button, button, a')]
                .find((it) => it.innerText.trim() === {})",
            json!(name)
        );
        // What is redrawn between finding and clicking is found again.
        for _ in 0..20 {
            let element = self.until(&find).await;
            let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap();
            let path = format!("/element/{id}/click");
            match self.try_post(&path, json!({})).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error["error"], "stale element reference", "{error}"),
            }
        }
        panic!("`{name}` is redrawn all the time");
    }

    /// Type into whatever has the focus.
    pub async fn keys(&self, text: &str) {
        let keys: Vec<Value> = text
            .chars()
            .flat_map(|c| {
                let key = c.to_string();
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] });
        self.post("/actions", actions).await;
    }

    /// Errors on the console: what the policy blocks is among them.
    pub async fn errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().clone();
        let severe = entries.into_iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Keep a picture, when that is asked for.
    pub async fn picture(&self, name: &str) {
        let Some(directory) = pictures() else { return };
        let answer = self.http.get(format!("{}/screenshot", self.session)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let png = base64(answer["value"].as_str().unwrap());
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), png).unwrap();
    }

    /// Close it; a browser that is not closed lives on.
    pub async fn quit(self) {
        self.http.delete(&self.session).send().await.unwrap();
    }
}

async fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let find = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().unwrap();
            }
        }
        panic!("chromedriver ended");
    };
    let port = tokio::time::timeout(Duration::from_secs(30), find).await.unwrap();
    // Its pipe is read on, or it would stop when that is full.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}

/// Chromedriver's pictures are plain base64 on one line.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let bits =
            chunk.iter().enumerate().fold(0, |bits, (at, c)| bits | digit(*c) << (18 - 6 * at));
        bytes.extend(bits.to_be_bytes()[1..chunk.len()].iter());
    }
    bytes
}
