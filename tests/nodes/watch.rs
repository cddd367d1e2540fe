//! `chord watch`: a ring on a terminal, and as lines of JSON.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use chord::Addr;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::alone;
use crate::support::plain::{Manner, Plain, Setup};
use crate::support::process::{CHORD, eventually, free_addrs};
use crate::support::schema::assert_is;
use crate::support::screen::Screen;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_secs(30);

/// Lines of JSON in which something is waited for: figures five times a second, and some events.
const LINES: usize = 300;

/// The last that is written on the terminal: the cursor is shown, and the screen of the shell.
const LEFT: &str = "\x1b[?25h\x1b[?1049l";

/// Services that are one ring.
fn ring(addrs: &[Addr]) -> Vec<Service> {
    let join = addrs[0].to_string();
    let first = Service::start(addrs[0], &[]);
    let others = addrs[1..].iter().map(|addr| Service::start(*addr, &["--join", &join]));
    let ring = std::iter::once(first).chain(others).collect();
    eventually(LIMIT, || {
        let n = addrs.len().to_string();
        let check = ["check", "--nodes", &n, "--at", &join];
        let output = Command::new(CHORD).args(check).output().unwrap();
        output.status.success().then_some(()).ok_or(String::from_utf8_lossy(&output.stdout).into())
    });
    ring
}

fn watch(at: Addr, flags: &[&str]) -> Command {
    // Does not ignore SIGHUP, even where these tests run under nohup.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=HUP", CHORD, "watch", "--every", "200ms", "--timeout", "1s", "--at", &at.to_string()])
        .args(flags);
    command.env_remove("NO_COLOR");
    command
}

#[test]
fn screen_shows_who_dies_and_goes_on_without_the_node_that_was_asked() {
    let _alone = alone();
    let addrs = free_addrs(3);
    let mut nodes = ring(&addrs);
    let mut screen = Screen::start(&mut watch(addrs[0], &[]), 120, 40);
    let [first, second, third] = [0, 1, 2].map(|at: usize| addrs[at].to_string());
    screen.shows(&[
        "● healthy  3 members",
        " ring ─",
        "check: healthy",
        "3 members found",
        "p50 ",
        "lookups/s end at all members",
    ]);
    screen.shows(&[&first, &second, &third]);
    drop(nodes.pop());
    screen.shows(&[&format!("{third} is gone"), "● healthy  2 members", "gone "]);
    drop(nodes.remove(0));
    screen.shows(&[&format!("{first} is silent, through {second}"), "● healthy  1 member "]);
    drop(nodes.pop());
    screen.shows(&["✖ unreachable", "no member answers", "unknown", "failed: "]);
    let _again = Service::start(addrs[0], &[]);
    screen.shows(&[&format!("● healthy  1 member │ {first} │"), &format!("{first} has appeared")]);
    screen.press("?");
    screen.shows(&["The ring is asked from outside"]);
    // Esc closes the help, which stands before this.
    screen.press("\x1b");
    screen.shows(&["lookups of this watch, last minute"]);
    screen.press("q");
    let (status, written) = screen.end();
    assert_eq!(status, Some(0));
    assert!(written.ends_with(LEFT), "{:?}", written.chars().rev().take(60).collect::<String>());
}

type WayOut = fn(&mut Screen);

#[test]
fn terminal_is_restored_on_every_way_out() {
    let _alone = alone();
    let addr = free_addrs(1)[0];
    let _node = ring(&[addr]);
    let ways: [(&str, WayOut); 6] = [
        ("q", |screen| screen.press("q")),
        ("Esc", |screen| screen.press("\x1b")),
        ("Ctrl-C", |screen| screen.press("\x03")),
        ("SIGINT", |screen| screen.signal(Signal::INT)),
        ("SIGTERM", |screen| screen.signal(Signal::TERM)),
        ("SIGHUP", |screen| screen.signal(Signal::HUP)),
    ];
    for (way, end) in ways {
        let mut screen = Screen::start(&mut watch(addr, &[]), 60, 20);
        screen.shows(&["● healthy  1 member", "q quit"]);
        end(&mut screen);
        let (status, written) = screen.end();
        assert_eq!((status, written.ends_with(LEFT)), (Some(0), true), "{way}: {written:?}");
        assert!(written.contains(";32m"), "green");
    }
    let screen = Screen::start(watch(addr, &["--seconds", "1"]).env("NO_COLOR", "1"), 80, 24);
    let (status, written) = screen.end();
    assert_eq!((status, written.ends_with(LEFT)), (Some(0), true), "{written:?}");
    let colours = ["31", "32", "33", "34", "35", "36"].map(|code| format!(";{code}m"));
    assert!(written.contains("healthy") && colours.iter().all(|colour| !written.contains(colour)), "{written:?}");
}

#[test]
fn lines_of_json_are_as_described() {
    let _alone = alone();
    let addrs = free_addrs(3);
    let mut nodes = ring(&addrs);
    let mut child = watch(addrs[0], &["--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events = Vec::new();
    let mut until = |what: &str, is_it: &dyn Fn(&Value) -> bool| {
        for line in lines.by_ref().take(LINES) {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_is(if line.get("event").is_some() { "WatchEvent" } else { "WatchFigures" }, &line);
            events.extend(line["event"].as_str().map(str::to_owned));
            if is_it(&line) {
                return;
            }
        }
        panic!("no line is {what}: {events:?}");
    };
    let event = |line: &Value, name: &str| line["event"] == name;
    until("the first", &|line| event(line, "found") && line["members"] == 3);
    until("healthy", &|line| event(line, "health") && line["health"] == "healthy");
    until("figures", &|line| {
        line["members"] == 3
            && line["health"] == "healthy"
            && line["probes"]["millis"].is_object()
            && line["lookups_per_second"].as_f64() > Some(0.0)
    });
    drop(nodes.pop());
    let gone = addrs[2].to_string();
    until("of the death", &|line| event(line, "gone") && line["node"]["addr"] == *gone);
    until("figures", &|line| line["members"] == 2);
    drop(nodes.remove(0));
    until("the other way", &|line| event(line, "through") && line["through"] == *addrs[1].to_string());
    drop(nodes);
    until("the end of the ring", &|line| event(line, "unreachable"));
    until("figures", &|line| line["health"] == "unreachable");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // In any order: one walk may find the dead node silent and the next gone.
    assert!(["predecessor", "successor"].iter().all(|name| events.iter().any(|event| event == name)), "{events:?}");
}

#[test]
fn ring_is_found_again_through_a_node_that_was_silent() {
    let _alone = alone();
    let silent = Plain::alive(Setup::default());
    let (addr, join) = (free_addrs(1)[0], silent.me().addr.to_string());
    let asked = Service::start(addr, &["--join", &join]);
    let names_it = || {
        let output = Command::new(CHORD).args(["state", "--at", &addr.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(&join).then_some(()).ok_or(format!("{output:?}"))
    };
    eventually(LIMIT, names_it);
    silent.behaves_in("get_successor_list", Manner::Stalls);
    let mut child = watch(addr, &["--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().take(LINES).map(Result::unwrap);
    let mut until = |what: &str| assert!(lines.any(|line| line.contains(what)), "no line has {what}");
    until(r#""members":1,"#);
    drop(asked);
    until(r#""event":"unreachable""#);
    silent.behaves(Manner::Well);
    until(&format!(r#""through":"{join}""#));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let output = Command::new(CHORD).arg("watch").output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), why.lines().count()), (Some(2), 1), "{why}");
    assert!(why.contains("standard output is no terminal") && why.contains("--json"), "{why}");
}
