//! The face of a node over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use chord::Addr;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::process::{CHORD, eventually, free_addrs};
use crate::support::schema::{assert_is, openapi};
use crate::support::service::Service;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// What came back.
struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Got {
    fn data(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }
}

/// A request as it is written here, and its answer.
fn exchange(at: SocketAddr, request: &str) -> std::io::Result<Got> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(Got { status, head: head.to_ascii_lowercase(), body: body.into() })
}

fn get_with(at: SocketAddr, path: &str, headers: &str) -> Got {
    exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{headers}\r\n")).unwrap()
}

fn get(at: SocketAddr, path: &str) -> Got {
    get_with(at, path, "")
}

/// Nodes of one ring; all answer over HTTP.
struct Ring {
    nodes: Vec<Service>,
    addrs: Vec<Addr>,
    http: Vec<SocketAddr>,
}

impl Ring {
    /// Returns when all are ready, and the first knows all others.
    fn start(n: usize) -> Ring {
        let free = free_addrs(2 * n);
        let (addrs, http) = free.split_at(n);
        let http: Vec<SocketAddr> = http.iter().map(|addr| (*addr).into()).collect();
        let seed = addrs[0].to_string();
        let start = |at: usize| {
            let face = http[at].to_string();
            let join: &[&str] = if at == 0 { &[] } else { &["--join", &seed] };
            Service::start(addrs[at], &[&["--http", &face], join].concat())
        };
        let nodes = (0..n).map(start).collect();
        let ring = Ring { nodes, addrs: addrs.to_vec(), http };
        for at in &ring.http {
            eventually(LIMIT, || match exchange(*at, &ready(*at)) {
                Ok(got) if got.status == 200 => Ok(()),
                Ok(got) => Err(got.body),
                Err(why) => Err(why.to_string()),
            });
        }
        eventually(LIMIT, || {
            let got = get(ring.http[0], "/api/v1/ring");
            let members = got.data()["nodes"].as_array().map_or(0, Vec::len);
            if members == n { Ok(()) } else { Err(got.body) }
        });
        ring
    }
}

fn ready(at: SocketAddr) -> String {
    format!("GET /readyz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")
}

#[test]
fn every_answer_is_as_the_description_says() {
    let ring = Ring::start(3);
    let at = ring.http[0];
    let other = get(at, "/api/v1/ring").data()["nodes"][1]["id"].as_str().unwrap().to_string();
    for (path, schema) in [
        ("/healthz", "Health"),
        ("/readyz", "Readiness"),
        ("/api/v1/state", "State"),
        (&format!("/api/v1/state?node={other}"), "State"),
        ("/api/v1/lookup?key=to+be%20or%0A", "Lookup"),
        (&format!("/api/v1/lookup?id={other}"), "Lookup"),
        ("/api/v1/trace?key=Hello", "Trace"),
        ("/api/v1/ring", "Ring"),
        ("/api/v1/check", "Check"),
    ] {
        let got = get(at, path);
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        assert!(got.head.contains("content-type: application/json"), "{}", got.head);
        assert_is(schema, &got.data());
    }
    let state = get(at, &format!("/api/v1/state?node={other}")).data();
    assert_eq!(state["node"]["id"], other);
    let found = get(at, "/api/v1/lookup?key=to+be%20or%0A").data();
    assert_eq!(found["key"], "to be or\n");
    // All paths of the description are answered, and no others.
    let told = get(at, "/nope");
    assert_eq!(told.status, 404);
    assert_is("Error", &told.data());
    let paths: Vec<String> =
        told.data()["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().into()).collect();
    let described = openapi();
    let described = described["paths"].as_object().unwrap();
    let names = || paths.iter().map(|path| path.split('?').next().unwrap());
    assert!(names().all(|path| path == "/" || described.contains_key(path)), "{paths:?}");
    assert!(described.keys().all(|path| names().any(|name| name == path)));
    assert_eq!(get(at, "/api/v1/openapi.json").data(), openapi());
}

#[test]
fn commands_print_what_the_description_says() {
    let ring = Ring::start(2);
    let run = |words: &[&str]| {
        let at = ring.addrs[0].to_string();
        let output = Command::new(CHORD).args(words).args(["--json", "--at", &at]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    for (words, schema, lines) in [
        (&["lookup", "Hello", "to be or not"][..], "Lookup", 2),
        (&["trace", "Hello"], "Trace", 1),
        (&["state"], "State", 1),
        (&["ring"], "Member", 2),
        (&["check"], "Check", 1),
        (&["bench", "--seconds", "1"], "Bench", 1),
        (&["bench", "--seconds", "1", "--rate", "50"], "Bench", 1),
    ] {
        let printed = run(words);
        assert_eq!(printed.len(), lines, "{words:?}");
        printed.iter().for_each(|line| assert_is(schema, line));
    }
    // The second is silent: it is named, and does not answer.
    ring.nodes[1].signal(Signal::STOP);
    let printed = run(&["ring", "--timeout", "200ms"]);
    ring.nodes[1].signal(Signal::CONT);
    printed.iter().for_each(|line| assert_is(if line.get("error").is_some() { "Unreached" } else { "Member" }, line));
    assert!(printed.iter().any(|line| line.get("error").is_some()), "{printed:?}");
}

#[test]
fn wrong_requests_are_told_what_is_expected() {
    let ring = Ring::start(1);
    let at = ring.http[0];
    let long = format!("/api/v1/lookup?key={}", "x".repeat(4097));
    let unknown = format!("/api/v1/state?node={}", "0".repeat(40));
    for (path, status, word) in [
        ("/api/v1/lookup", 400, "key=TEXT or id=HEX"),
        ("/api/v1/lookup?key=", 400, "1 to 4096"),
        (&long, 400, "1 to 4096"),
        ("/api/v1/lookup?id=12", 400, "40 hexadecimal digits"),
        ("/api/v1/trace?keys=1", 400, "key or id"),
        ("/api/v1/trace?key=1&key=2", 400, "one parameter"),
        ("/api/v1/state?node=x", 400, "40 hexadecimal digits"),
        (&unknown, 404, "no such node"),
        ("/api/v2", 404, "/api/v2"),
    ] {
        let got = get(at, path);
        assert_eq!((got.status, got.data()["error"].as_str().unwrap().contains(word)), (status, true), "{}", got.body);
        assert_is("Error", &got.data());
    }
    let post = exchange(
        at,
        &format!("POST /healthz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    );
    let post = post.unwrap();
    assert_eq!((post.status, post.head.contains("allow: get, head")), (405, true), "{}", post.head);
    let head = exchange(at, &format!("HEAD /healthz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")).unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A page of another site whose name was pointed at this machine reads nothing.
    let rebound = exchange(at, "GET /api/v1/state HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(rebound.status, 421, "{}", rebound.body);
}

#[test]
fn node_that_is_cut_off_is_not_ready_but_lives() {
    let mut ring = Ring::start(3);
    let at = ring.http[0];
    for other in &ring.nodes[1..] {
        other.signal(Signal::STOP);
    }
    eventually(10 * SECOND, || match get(at, "/readyz") {
        got if got.status == 503 => {
            assert_is("Readiness", &got.data());
            assert!(got.body.contains("no other node"), "it was a member before: {}", got.body);
            Ok(())
        }
        got => Err(got.body),
    });
    assert_eq!(get(at, "/healthz").status, 200);
    for other in &ring.nodes[1..] {
        other.signal(Signal::CONT);
    }
    eventually(LIMIT, || match get(at, "/readyz") {
        got if got.status == 200 => Ok(()),
        got => Err(got.body),
    });
    // The last one to be left is alone, and says so.
    ring.nodes.drain(1..).for_each(drop);
    eventually(10 * SECOND, || match get(at, "/readyz") {
        got if got.status == 503 => Ok(()),
        got => Err(got.body),
    });
    eventually(LIMIT, || match get(at, "/readyz").body {
        why if why.contains("alone") => Ok(()),
        why => Err(why),
    });
}

#[test]
fn node_that_waits_for_its_ring_lives_and_is_not_ready() {
    let addrs = free_addrs(3);
    let at: SocketAddr = addrs[1].into();
    let joiner = ["--http", &at.to_string(), "--join", &addrs[2].to_string(), "--if-alone", "wait"];
    let _joiner = Service::start(addrs[0], &joiner);
    eventually(LIMIT, || exchange(at, &ready(at)).map(drop).map_err(|why| why.to_string()));
    assert_eq!(get(at, "/healthz").data(), json!({ "healthy": true, "nodes": 0 }));
    let got = get(at, "/readyz");
    assert_eq!((got.status, got.data()["ready"].as_bool()), (503, Some(false)));
    for path in ["/api/v1/state", "/api/v1/ring", "/api/v1/check", "/api/v1/events", "/api/v1/lookup?key=a"] {
        let got = get(at, path);
        assert_eq!((got.status, got.head.contains("retry-after: 1")), (503, true), "{path}");
        assert_is("Error", &got.data());
    }
    assert_eq!(get(at, "/metrics").status, 200);
    let _seed = Service::start(addrs[2], &[]);
    eventually(LIMIT, || match get(at, "/readyz") {
        got if got.status == 200 => Ok(()),
        got => Err(got.body),
    });
}

#[test]
fn port_of_http_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let mut node = Service::start(free_addrs(1)[0], &["--http", &at]);
    let (status, said) = node.end();
    assert_eq!(status, Some(1), "{said}");
    assert!([&at[..], "--http", "in use"].iter().all(|word| said.contains(word)), "{said}");
}

#[test]
fn events_tell_of_a_death() {
    let mut ring = Ring::start(2);
    let mut stream = TcpStream::connect(ring.http[0]).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", ring.http[0]).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == ": events of this node"));
    drop(ring.nodes.pop());
    assert!(lines.any(|line| line == "event: dead"));
    let data = lines.next().unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_is("Event", &data);
    assert_eq!(data["node"]["addr"], ring.addrs[1].to_string());
    // What follows is described, too.
    for line in lines.by_ref().filter(|line| line.starts_with("data: ")) {
        let data: Value = serde_json::from_str(&line["data: ".len()..]).unwrap();
        assert_is("Event", &data);
        if data["event"] == "alone" {
            return;
        }
    }
    panic!("it was not told that the node is alone");
}

#[test]
fn clients_that_only_hold_connections_keep_nobody_out_for_long() {
    let ring = Ring::start(1);
    let at = ring.http[0];
    let idle: Vec<TcpStream> = (0..128).map(|_| TcpStream::connect(at).unwrap()).collect();
    eventually(LIMIT, || {
        let got = exchange(at, &ready(at)).map_err(|why| why.to_string())?;
        if got.status == 503 && got.body.is_empty() { Ok(()) } else { Err(got.body) }
    });
    // They are closed for sending no request.
    eventually(LIMIT, || match exchange(at, &ready(at)) {
        Ok(got) if got.status == 200 => Ok(()),
        Ok(got) => Err(got.head),
        Err(why) => Err(why.to_string()),
    });
    drop(idle);
    let large = get_with(at, "/healthz", &format!("X-Large: {}\r\n", "x".repeat(32 * 1024)));
    assert_eq!(large.status, 431, "{}", large.head);
}

#[test]
fn no_more_than_32_clients_follow_the_events() {
    let ring = Ring::start(1);
    let at = ring.http[0];
    let follow = || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
        let mut stream = BufReader::new(stream);
        let mut status = String::new();
        stream.read_line(&mut status).unwrap();
        (stream, status)
    };
    let followers: Vec<_> = (0..33).map(|_| follow()).collect();
    assert!(followers[..32].iter().all(|(_, status)| status.contains("200")));
    assert!(followers[32].1.contains("503"), "{}", followers[32].1);
    assert_eq!(get(at, "/healthz").status, 200, "others are answered");
    drop(followers);
    eventually(LIMIT, || {
        let (_, status) = follow();
        if status.contains("200") { Ok(()) } else { Err(status) }
    });
}

/// The value of a metric, by its whole line up to the value.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("there is no {name}: {text}")).parse().unwrap()
}

#[test]
fn metrics_count_what_is_done_and_promtool_finds_nothing() {
    let ring = Ring::start(3);
    let at = ring.http[0];
    let before = get(at, "/metrics");
    assert!(before.head.contains("content-type: text/plain; version=0.0.4"), "{}", before.head);
    for key in 0..20 {
        assert_eq!(get(at, &format!("/api/v1/lookup?key={key}")).status, 200);
    }
    let after = get(at, "/metrics").body;
    let grown = |name: &str| metric(&after, name) - metric(&before.body, name);
    assert_eq!(grown("chord_lookups_total{result=\"found\"}"), 20.0);
    assert_eq!(grown("chord_lookup_duration_seconds_count"), 20.0);
    assert_eq!(metric(&after, "chord_nodes"), 1.0);
    assert_eq!(metric(&after, "chord_ready"), 1.0);
    assert_eq!(metric(&after, "chord_successors"), 2.0);
    assert_eq!(metric(&after, "chord_ring_size_estimate"), 3.0);
    assert!(metric(&after, "chord_calls_total{call=\"check_predecessor\",result=\"answered\"}") > 0.0);
    assert!(metric(&after, "chord_calls_served_total{call=\"notify\",result=\"answered\"}") > 0.0);
    assert!(metric(&after, "chord_conversations_total{conversation=\"stabilize\"}") > 0.0);
    let share: f64 = ring.http.iter().map(|at| metric(&get(*at, "/metrics").body, "chord_key_share_ratio")).sum();
    assert!((share - 1.0).abs() < 1e-9, "the keys have one owner each: {share}");
    let open = get_with(at, "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n") && open.body.contains("# TYPE chord_lookups counter\n"));
    promtool(&["check", "metrics"], &after);
}

#[test]
fn questions_about_other_nodes_leave_no_connections_with_them() {
    let ring = Ring::start(6);
    let at = ring.http[0];
    let files = || metric(&get(at, "/metrics").body, "process_open_fds");
    let before = files();
    let nodes = get(at, "/api/v1/ring").data();
    for node in nodes["nodes"].as_array().unwrap() {
        assert_eq!(get(at, &format!("/api/v1/state?node={}", node["id"].as_str().unwrap())).status, 200);
        assert_eq!(get(at, &format!("/api/v1/trace?key={}", node["id"].as_str().unwrap())).status, 200);
    }
    // The nodes at the other ends would close them only after a minute.
    eventually(LIMIT, || match files() {
        now if now <= before => Ok(()),
        now => Err(format!("{now} open files, {before} before")),
    });
}

/// Runs promtool, if it is installed.
fn promtool(words: &[&str], input: &str) {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring");
    let mut command = Command::new("promtool");
    command.args(words).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(mut promtool) => {
            promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let said = promtool.wait_with_output().unwrap();
            let text = [said.stdout, said.stderr].concat();
            assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&text));
            assert!(words != ["check", "metrics"] || text.is_empty(), "{}", String::from_utf8_lossy(&text));
        }
        Err(why) => println!("left out: promtool {words:?} ({why}; Debian has it in the package prometheus)"),
    }
}

#[test]
fn alerts_and_dashboard_are_valid_and_use_metrics_that_exist() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts.test.yml"], "");
    let ring = Ring::start(1);
    let told = get(ring.http[0], "/metrics").body;
    for file in ["alerts.yml", "dashboard.json"] {
        let path = format!("{}/docs/monitoring/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let used: Vec<_> = words.filter(|word| word.starts_with("chord_") || word.starts_with("process_")).collect();
        assert!(used.len() > 10, "{file}");
        for name in used {
            assert!(told.contains(&format!("\n{name}{{")) || told.contains(&format!("\n{name} ")), "{file}: {name}");
        }
    }
}

#[test]
fn load_on_a_ring_is_told_with_what_failed_and_what_was_wrong() {
    let ring = Ring::start(2);
    let bench = |more: &[&str]| {
        let at = ring.addrs[0].to_string();
        let words = ["bench", "--json", "--seconds", "3", "--timeout", "1s", "--at", &at];
        Command::new(CHORD).args(words).args(more).stdout(Stdio::piped()).spawn().unwrap()
    };
    let told = |bench: std::process::Child| {
        let output = bench.wait_with_output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (status, figures) = told(bench(&["--clients", "2"]));
    assert_eq!((status, &figures["wrong"], &figures["failed"]), (Some(0), &json!(0), &json!({})));
    assert!(figures["found"].as_u64() > Some(20), "{figures}");
    // Half of the lookups are asked of a node that is silent.
    let served = || {
        let told = get(ring.http[0], "/metrics").body;
        metric(&told, "chord_calls_served_total{call=\"find_successor\",result=\"answered\"}")
    };
    let before = served();
    let load = bench(&["--rate", "200"]);
    eventually(LIMIT, || if served() > before + 100.0 { Ok(()) } else { Err("no load yet".into()) });
    ring.nodes[1].signal(Signal::STOP);
    let (status, figures) = told(load);
    ring.nodes[1].signal(Signal::CONT);
    assert_eq!(status, Some(1), "{figures}");
    assert!(figures["failed"].as_object().is_some_and(|failed| !failed.is_empty()), "{figures}");
}

#[test]
fn recording_is_shown_and_what_is_none_is_refused() {
    let lesson = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lessons/join.jsonl");
    let play = |file: &str| {
        let mut command = Command::new(CHORD);
        command.args(["play", file, "--http", "0"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut player = play(lesson);
    let mut said = String::new();
    BufReader::new(player.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let at = said.split_once("http://").and_then(|(_, rest)| rest.split('/').next()).unwrap();
    let at: SocketAddr = at.parse().unwrap();
    assert!(at.ip().is_loopback());
    assert!(get(at, "/").body.contains("data-feed=\"recording\""));
    assert_eq!(get(at, "/recording").body, std::fs::read_to_string(lesson).unwrap());
    assert_eq!(get(at, "/api/v1/ring").status, 404, "there is no ring to ask");
    // Errors mean that it has ended already.
    let _ = (player.kill(), player.wait());
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    for (file, word) in [(readme, "no recording"), ("/nowhere/at-all", "can't read")] {
        let output = play(file).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.contains(word) && said.contains(file)), (Some(1), true), "{said}");
    }
}
