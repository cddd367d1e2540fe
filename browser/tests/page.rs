//! The page in a real browser.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use chord_browser::{Browser, Ring, chord, file, free_addr, own_host, start};
use serde_json::Value;
use tokio::time::sleep;

/// Opens the page of a ring when all of its nodes are members.
async fn open(browser: &Browser, ring: &Ring) {
    let nodes = ring.nodes.len().to_string();
    let mut check = chord(&["check", "--at", &ring.addrs[0], "--nodes", &nodes, "--wait", "60"]);
    let checked = check.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "the ring is not healthy: {}", String::from_utf8_lossy(&said));
    browser.client.goto(&ring.page).await.unwrap();
    browser.until(&drawn(ring.nodes.len())).await;
}

fn drawn(n: usize) -> String {
    format!("document.documentElement.dataset.drawn === \"{n}\"")
}

#[tokio::test]
async fn nodes_appear_and_a_killed_one_becomes_a_ghost_and_goes() {
    let Some(browser) = Browser::start().await else { return };
    let mut ring = Ring::start(5);
    open(&browser, &ring).await;
    browser.until("document.querySelector('#verdict').dataset.health === 'healthy'").await;
    assert_eq!(browser.count(".node[data-state=member]").await, 5);
    assert_eq!(browser.count("tr[data-id]").await, 5);
    drop(ring.nodes.pop());
    browser.until("document.querySelectorAll('.node[data-state=ghost]').length === 1").await;
    browser.until(&drawn(4)).await;
    ring.grow();
    browser.until(&drawn(5)).await;
    browser.until("document.querySelectorAll('.node[data-state=ghost]').length === 0").await;
    // Whether this node finds the other dead itself, or is told a list without it, is chance.
    browser.until("document.querySelector('#log').innerText.includes('3 in all')").await;
    assert_eq!(browser.console().await, [] as [String; 0]);
    // The node that shows the page goes: the page says so, and keeps what it has.
    drop(ring.nodes.remove(0));
    browser.until("!document.querySelector('#banner').hidden").await;
    browser.close().await;
}

#[tokio::test]
async fn key_is_looked_up_across_the_ring() {
    let Some(browser) = Browser::start().await else { return };
    let ring = Ring::start(8);
    open(&browser, &ring).await;
    let at = &ring.addrs[3];
    for key in ["Hello", "to be or not <b>", "ключ"] {
        let printed = chord(&["lookup", "--json", "--at", at, key]).stdout(Stdio::piped()).output().unwrap();
        let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
        browser.eval("document.querySelector('#key').value = ''").await;
        browser.type_into("#key", &format!("{key}\n")).await;
        browser.until(&format!("document.querySelector('#answer').dataset.owner === {}", printed["owner"]["id"])).await;
        browser.until(&format!("document.querySelector('#answer').innerText.includes({})", Value::from(key))).await;
        let hops = browser.count("#hops li").await;
        browser.until(&format!("document.querySelectorAll('.hop').length === {hops}")).await;
    }
    // A node that is chosen shows its successors and fingers.
    browser.click("tr[data-id] button").await;
    browser.until("document.querySelectorAll('.node[aria-selected=true]').length === 1").await;
    assert_eq!(browser.console().await, [] as [String; 0]);
    browser.close().await;
}

/// Plays a recording; returns the address of its page as well.
fn play(recording: &str) -> (std::process::Child, String) {
    let path = file(recording);
    let mut player = chord(&["play", path.to_str().unwrap(), "--http", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(player.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let page = said.split_once("at ").and_then(|(_, rest)| rest.split(';').next()).expect(&said);
    (player, page.into())
}

#[tokio::test]
async fn lessons_are_stepped_through() {
    let Some(browser) = Browser::start().await else { return };
    for lesson in ["join", "half", "partition", "pseudocode"] {
        let recording = format!("docs/lessons/{lesson}.jsonl");
        let (mut player, page) = play(&recording);
        browser.client.goto(&page).await.unwrap();
        browser.until("Number(document.documentElement.dataset.drawn) > 0").await;
        let text = std::fs::read_to_string(file(&recording)).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let steps: Vec<Value> = events.filter(|event| event["event"] == "say").collect();
        assert!(steps.len() > 3, "{lesson}");
        for (at, step) in steps.iter().enumerate() {
            if at > 0 {
                browser.click("#next").await;
            }
            browser.until(&format!("document.querySelector('#words').innerText === {}", step["text"])).await;
        }
        browser.click("#previous").await;
        let before = &steps[steps.len() - 2]["text"];
        browser.until(&format!("document.querySelector('#words').innerText === {before}")).await;
        assert_eq!(browser.eval("document.querySelector('#banner').hidden").await, true, "{lesson}");
        assert_eq!(browser.console().await, [] as [String; 0], "{lesson}");
        // Errors mean that it has ended already.
        let _ = (player.kill(), player.wait());
    }
    browser.close().await;
}

/// What axe (<https://github.com/dequelabs/axe-core>) would find first: elements without a name, and text that is hard to
/// read (WCAG 2.1, 1.4.3). Returns what is wrong, in words.
const RULES: &str = r##"(() => {
  const wrong = [];
  const visible = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const name = (e) => {
    const labelled = (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    return [labelled, e.getAttribute("aria-label"), ...[...(e.labels ?? [])].map((l) => l.textContent), e.matches("button, a") ? e.textContent : "", e.title].some((t) => t?.trim());
  };
  for (const e of document.querySelectorAll("button, a, input, select, [role=img], [role=listbox], [role=option]"))
    if (visible(e) && !name(e)) wrong.push("no name: " + e.outerHTML.slice(0, 100));
  if (!document.title) wrong.push("no title");
  if (!document.documentElement.lang) wrong.push("no language");
  for (const e of document.querySelectorAll("table")) if (!e.querySelector("th")) wrong.push("a table without heads");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].map((c) => c / 255); };
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; } return [1, 1, 1, 1]; };
  for (const e of document.querySelectorAll("body *:not(svg *, script, style, template)")) {
    if (!visible(e) || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e), large = parseFloat(style.fontSize) >= 24;
    const [a, b] = [light(rgba(style.color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5) && !e.disabled) wrong.push(`contrast ${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than its window: ${document.documentElement.scrollWidth} > ${innerWidth}`);
  return wrong;
})()"##;

#[tokio::test]
async fn page_can_be_read_by_everyone_light_and_dark_wide_and_narrow() {
    let Some(browser) = Browser::start().await else { return };
    let mut ring = Ring::start(3);
    open(&browser, &ring).await;
    browser.type_into("#key", "Hello\n").await;
    browser.until("document.querySelectorAll('#hops li').length > 0").await;
    browser.click("tr[data-id] button").await;
    // A degraded ring has more to say.
    drop(ring.nodes.pop());
    browser.until("document.querySelectorAll('.node[data-state=ghost]').length === 1").await;
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme).await;
        for width in [1280, 360] {
            browser.resize(width, 800).await;
            browser.until(&format!("innerWidth === {width}")).await;
            assert_eq!(browser.eval(RULES).await, Value::Array(vec![]), "{scheme}, {width}");
        }
    }
    // The rules find what is wrong.
    browser.eval("(document.body.insertAdjacentHTML('beforeend', '<button></button>'), 0)").await;
    browser
        .eval("(document.querySelector('h1, h2, p').style.color = getComputedStyle(document.body).backgroundColor, 0)")
        .await;
    let found = browser.eval(RULES).await;
    assert!(found.as_array().unwrap().len() >= 2, "{found}");
    browser.close().await;
}

/// How long a page takes to draw, and how many frames it shows a second while lookups cross it: `make figures-browser`.
#[tokio::test]
#[ignore = "figures, not a test: they depend on the machine"]
async fn figures() {
    let browser = Browser::start().await.expect("a browser");
    let pictures = std::env::temp_dir().join("chord-page");
    std::fs::create_dir_all(&pictures).unwrap();
    for n in [5, 50, 300] {
        let host = own_host();
        let (at, http) = (free_addr(host), free_addr(host));
        let (first, count) = ((20_000 + n * 10).to_string(), n.to_string());
        let mut swarm = chord(&["swarm", "-n", &count, "-p", &first]);
        let mut swarm = swarm.stdin(Stdio::piped()).spawn().unwrap();
        let (join, page) = (format!("127.0.0.1:{first}"), format!("http://{http}/"));
        let _node = start(&["serve", "--profile", "test", "--listen", &at, "--join", &join, "--http", &http]);
        let all = (n + 1).to_string();
        let healthy = chord(&["check", "--at", &at, "--nodes", &all, "--wait", "60"]).status().unwrap();
        assert!(healthy.code() < Some(2));
        let (mut times, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            browser.client.goto(&page).await.unwrap();
            browser.until(&drawn(n + 1)).await;
            let took = browser.eval("performance.getEntriesByName('drawn')[0].startTime").await;
            times.push(took.as_f64().unwrap());
        }
        for _ in 0..3 {
            browser.eval(LOOKUPS).await;
            sleep(Duration::from_secs(5)).await;
            rates.push(browser.eval("window.frames_seen / 4").await.as_f64().unwrap());
        }
        times.sort_by(f64::total_cmp);
        rates.sort_by(f64::total_cmp);
        println!(
            "{n} nodes: drawn after {:.0} ms ({:.0} to {:.0}); {:.0} frames/s with 10 lookups/s ({:.0} to {:.0})",
            times[2], times[0], times[4], rates[1], rates[0], rates[2]
        );
        browser.type_into("#key", "Hello\n").await;
        browser.until("document.querySelectorAll('#hops li').length > 0").await;
        for scheme in ["light", "dark"] {
            browser.prefer("prefers-color-scheme", scheme).await;
            for width in [1280, 390] {
                browser.resize(width, 800).await;
                sleep(Duration::from_millis(300)).await;
                browser.picture(&pictures.join(format!("{n}-{scheme}-{width}.png"))).await;
            }
        }
        browser.prefer("prefers-color-scheme", "light").await;
        browser.resize(1280, 800).await;
        // Errors mean that it has ended already.
        let _ = (swarm.kill(), swarm.wait());
    }
    println!("pictures are in {}", pictures.display());
    browser.close().await;
}

/// Draws ten lookups a second for four seconds, and counts frames.
const LOOKUPS: &str = r##"(() => {
  const nodes = [...document.querySelectorAll(".node")].map((node) => node.dataset.id);
  const any = () => nodes[Math.floor(Math.random() * nodes.length)];
  const end = performance.now() + 4000;
  let frames = 0;
  const timer = setInterval(() => ring.draw_lookup({ event: "lookup", key: "k", id: any(), path: [1, 2, 3, 4].map(() => ({ id: any(), why: "finger 1", millis: 1 })), owner: any(), millis: 4 }), 100);
  const count = () => { frames += 1; if (performance.now() < end) requestAnimationFrame(count); else { clearInterval(timer); window.frames_seen = frames; } };
  requestAnimationFrame(count);
  return 0;
})()"##;
