//! A real Chromium for the tests of the page, and the nodes that it looks at.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::sleep;

/// For whatever a busy machine may take long for.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with its test.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// The `chord` command.
pub fn chord(words: &[&str]) -> Command {
    let program = std::env::var_os("CHORD").expect("CHORD is the path of the program: see make test-browser");
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A file of the project.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}

/// A node as a service, or whatever else runs until its end.
pub fn start(words: &[&str]) -> Process {
    Process(chord(words).spawn().expect("chord starts"))
}

/// Nodes of one ring. The first shows its page.
pub struct Ring {
    pub nodes: Vec<Process>,
    pub ports: Vec<u16>,
    pub page: String,
}

impl Ring {
    pub fn start(n: usize) -> Ring {
        let (http, first) = (free_port(), free_port());
        let mut ring = Ring { nodes: Vec::new(), ports: Vec::new(), page: format!("http://127.0.0.1:{http}/") };
        ring.add(first, &["--http", &http.to_string()]);
        (1..n).for_each(|_| ring.grow());
        ring
    }

    /// Another node joins.
    pub fn grow(&mut self) {
        let seed = format!("127.0.0.1:{}", self.ports[0]);
        self.add(free_port(), &["--join", &seed]);
    }

    fn add(&mut self, port: u16, more: &[&str]) {
        let at = format!("127.0.0.1:{port}");
        let words = [&["serve", "--profile", "test", "--listen", &at][..], more].concat();
        self.nodes.push(start(&words));
        self.ports.push(port);
    }
}

/// A browser; none if it is not installed.
pub struct Browser {
    pub client: Client,
    _driver: Process,
}

impl Browser {
    pub async fn start() -> Option<Browser> {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = match driver {
            Ok(driver) => Process(driver),
            Err(why) => {
                println!("left out: chromedriver does not start ({why}; Debian has it in the package chromium-driver)");
                return None;
            }
        };
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,800",
        ];
        let wants = json!({
            "goog:chromeOptions": { "args": flags }, "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wants: Capabilities = serde_json::from_value(wants).expect("an object");
        let (url, end) = (format!("http://127.0.0.1:{port}"), Instant::now() + LIMIT);
        loop {
            match ClientBuilder::new(HttpConnector::new()).capabilities(wants.clone()).connect(&url).await {
                Ok(client) => return Some(Browser { client, _driver: driver }),
                Err(why) => assert!(Instant::now() < end, "no browser: {why}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression}"), Vec::new()).await.expect(expression)
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        let end = Instant::now() + LIMIT;
        while self.eval(expression).await != true {
            if Instant::now() > end {
                let text = self.eval("document.body.innerText").await;
                panic!("not within {LIMIT:?}: {expression}\n{}", text.as_str().unwrap_or_default());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many elements there are.
    pub async fn count(&self, selector: &str) -> u64 {
        let found = self.eval(&format!("document.querySelectorAll({}).length", json!(selector))).await;
        found.as_u64().expect("a number")
    }

    pub async fn click(&self, selector: &str) {
        self.client.find(Locator::Css(selector)).await.expect(selector).click().await.expect(selector);
    }

    pub async fn type_into(&self, selector: &str, text: &str) {
        self.client.find(Locator::Css(selector)).await.expect(selector).send_keys(text).await.expect(selector);
    }

    /// Has pages see this of the system: `prefers-color-scheme`, `prefers-reduced-motion`.
    pub async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Has the window a size in CSS pixels, also below the least of a real window.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    async fn devtools(&self, command: &str, params: Value) {
        let raw = Raw { path: "goog/cdp/execute", body: json!({ "cmd": command, "params": params }) };
        self.client.issue_cmd(raw).await.expect(command);
    }

    /// What stands in the browser's console.
    pub async fn console(&self) -> Vec<String> {
        let log =
            self.client.issue_cmd(Raw { path: "se/log", body: json!({ "type": "browser" }) }).await.expect("a log");
        log.as_array().into_iter().flatten().map(Value::to_string).collect()
    }

    /// Writes a picture of the window.
    pub async fn picture(&self, path: &std::path::Path) {
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(path, png).expect("the picture is written");
    }

    pub async fn close(self) {
        self.client.close().await.expect("the browser ends");
    }
}

/// A command that the client does not know by itself.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
