//! A real Chromium for the tests of the page, and the nodes that it looks at.

use std::io::{BufRead, BufReader, Lines};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
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

/// An address of this machine that no other test uses.
pub fn own_host() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high & 63, low, LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// A free port there, with it. Each is given once: a node that was started may not listen yet when the next one asks for
/// a port.
pub fn free_addr(host: Ipv4Addr) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let mut ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(1000);
    let free = ports.find(|port| TcpListener::bind((host, *port)).is_ok());
    format!("{host}:{}", free.expect("a free port"))
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
    /// IP and port of each, also of those that are gone.
    pub addrs: Vec<String>,
    pub page: String,
    host: Ipv4Addr,
}

impl Ring {
    pub fn start(n: usize) -> Ring {
        let host = own_host();
        let http = free_addr(host);
        let mut ring = Ring { nodes: Vec::new(), addrs: Vec::new(), page: format!("http://{http}/"), host };
        ring.add(&["--http", &http]);
        (1..n).for_each(|_| ring.grow());
        ring
    }

    /// Another node joins.
    pub fn grow(&mut self) {
        let seed = self.addrs[0].clone();
        self.add(&["--join", &seed]);
    }

    fn add(&mut self, more: &[&str]) {
        let at = free_addr(self.host);
        let words = [&["serve", "--profile", "test", "--listen", &at][..], more].concat();
        self.nodes.push(start(&words));
        self.addrs.push(at);
    }
}

/// A browser; none if it is not installed.
pub struct Browser {
    pub client: Client,
    _driver: Process,
    /// It may end if its output can't be written; that is little.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub async fn start() -> Option<Browser> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
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
        let mut output = BufReader::new(driver.0.stdout.take().expect("its output")).lines();
        let port = output.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver says on which port it listens");
        let (url, end) = (format!("http://127.0.0.1:{port}"), Instant::now() + LIMIT);
        loop {
            match ClientBuilder::new(HttpConnector::new()).capabilities(wants.clone()).connect(&url).await {
                Ok(client) => return Some(Browser { client, _driver: driver, _output: output }),
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
