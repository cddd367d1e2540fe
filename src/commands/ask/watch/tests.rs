//! The model is told news of made-up rings, and what it draws is read.

use std::time::Duration;

use chord::client::check::Checked;
use chord::client::finding::{Finding, Kind};
use chord::client::walk::{Unreached, Visited, Walk};
use chord::node::report::Report;
use chord::node::state::State;
use chord::{Addr, Id, Peer, Traffic};
use ratatui_core::backend::TestBackend;
use ratatui_core::layout::Rect;
use ratatui_core::style::Color;
use ratatui_core::terminal::Terminal;

use super::events::What;
use super::figures::{Probes, quantile};
use super::keys::Key;
use super::model::{GHOST, Health, News, Standing, Watch, Wish};
use super::render::{render, rows};

const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Its place on the circle is `n` of 256.
fn peer(n: u8) -> Peer {
    Peer { id: Id::from_bytes([n; 20]), addr: Addr::new([127, 0, 0, 1], 9000 + u16::from(n)) }
}

/// A right ring of these, at each of which this many lookups have ended.
fn ring(members: &[u8], lookups: u64) -> Walk {
    let n = members.len();
    let node = |(at, member): (usize, &u8)| {
        let me = peer(*member);
        let successors: Vec<_> = (1..n).map(|step| peer(members[(at + step) % n])).take(3).collect();
        let predecessor = (n > 1).then(|| peer(members[(at + n - 1) % n]));
        let state = State { me, r: 3, successors: successors.clone(), predecessor, fingers: Vec::new() };
        let traffic = Traffic { lookups, ..Traffic::default() };
        let report = Report { state, version: "1".into(), uptime: SECOND, run: 1, traffic };
        let (took, at) = (ms(1), Duration::ZERO);
        Visited { peer: me, run: Some(1), plain: false, took, at, predecessor, successors, report: Some(report) }
    };
    Walk { nodes: members.iter().enumerate().map(node).collect(), took: ms(3), ..Walk::default() }
}

fn silent(n: u8) -> Unreached {
    let why = format!("{} did not answer within 1s", peer(n).addr);
    Unreached { peer: peer(n), named_by: vec![peer(1)], why }
}

fn walked(began: Duration, walk: Walk) -> News {
    News::Walked { began, through: peer(1).addr, walk }
}

fn checked(findings: &[Kind]) -> News {
    let finding = |kind: &Kind| Finding { kind: *kind, node: None, what: format!("{} is found", kind.name()) };
    let findings = findings.iter().map(finding).collect();
    News::Checked(Some(Checked { walk: Walk::default(), findings, fingers: 0, lookups: 0 }))
}

fn watch(members: &[u8]) -> Watch {
    let mut watch = Watch::new(peer(1).addr);
    assert_eq!(watch.learn(Duration::ZERO, walked(Duration::ZERO, ring(members, 0))), [What::Found(members.len())]);
    watch
}

fn drawn(watch: &mut Watch, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    watch.fit(rows(Rect::new(0, 0, width, height)));
    terminal.draw(|frame| render(frame, watch)).unwrap();
    let cells = terminal.backend().buffer().content();
    let lines = cells.chunks(usize::from(width.max(1)));
    lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

#[test]
fn who_comes_and_goes_is_told_before_what_that_changes() {
    let mut watch = watch(&[1, 50, 100, 200]);
    let happened = watch.learn(SECOND, walked(SECOND, ring(&[1, 50, 120, 200], 0)));
    assert_eq!(
        happened,
        [
            What::Gone(peer(100)),
            What::Appeared(peer(120)),
            What::Successor(peer(50), Some(peer(120))),
            What::Predecessor(peer(200), Some(peer(120))),
            What::Lists(2),
        ]
    );
    assert!(watch.events[0].what == What::Lists(2) && watch.events[0].at == SECOND, "the latest is the first");
    assert_eq!(watch.learn(2 * SECOND, walked(2 * SECOND, ring(&[1, 50, 120, 200], 0))), [], "nothing changes");
}

#[test]
fn silent_nodes_are_told_of_once_and_then_return_or_go() {
    let mut watch = watch(&[1, 50, 100]);
    let mut without = ring(&[1, 50, 100], 0);
    without.nodes.pop();
    without.unreached = vec![silent(100)];
    let is_silent = What::Silent(peer(100), silent(100).why);
    assert_eq!(watch.learn(SECOND, walked(SECOND, without.clone())), [is_silent]);
    assert_eq!(watch.learn(2 * SECOND, walked(2 * SECOND, without.clone())), []);
    assert!(watch.rows().iter().any(|row| row.standing == Standing::Silent));
    assert_eq!(watch.learn(3 * SECOND, walked(3 * SECOND, ring(&[1, 50, 100], 0))), [What::Returned(peer(100))]);
    watch.learn(4 * SECOND, walked(4 * SECOND, without));
    let happened = watch.learn(5 * SECOND, walked(5 * SECOND, ring(&[1, 50], 0)));
    assert_eq!(happened[0], What::Gone(peer(100)), "{happened:?}");
}

#[test]
fn another_run_at_the_same_address_is_a_restart_and_counts_from_zero() {
    let mut watch = watch(&[1, 50]);
    let mut again = ring(&[1, 50], 100);
    again.nodes[1].run = Some(2);
    assert_eq!(watch.learn(SECOND, walked(SECOND, again)), [What::Restarted(peer(50))]);
    assert_eq!(watch.members.iter().map(|member| member.rate).collect::<Vec<_>>(), [Some(100.0), None]);
    assert_eq!((watch.lookups.now(), watch.lookups.members), (Some(100.0), 1));
}

#[test]
fn those_that_are_gone_are_shown_for_a_while() {
    let mut watch = watch(&[1, 50, 100]);
    watch.learn(SECOND, walked(SECOND, ring(&[1, 50], 0)));
    let standings = |watch: &Watch| watch.rows().iter().map(|row| row.peer).collect::<Vec<_>>();
    watch.pass(SECOND + GHOST - ms(1));
    assert_eq!(standings(&watch), [1, 50, 100].map(peer));
    watch.pass(SECOND + GHOST);
    assert_eq!(standings(&watch), [1, 50].map(peer));
    // Who comes back is no ghost.
    watch.learn(60 * SECOND, walked(60 * SECOND, ring(&[1], 0)));
    watch.learn(61 * SECOND, walked(61 * SECOND, ring(&[1, 50], 0)));
    assert_eq!(standings(&watch), [1, 50].map(peer));
}

#[test]
fn health_is_what_the_check_says_unless_nobody_answers() {
    let mut watch = watch(&[1, 50]);
    assert_eq!(watch.health(), None);
    assert_eq!(watch.learn(SECOND, checked(&[Kind::Members])), [What::Health(Health::Healthy)], "notes are no harm");
    assert_eq!(watch.learn(SECOND, checked(&[])), []);
    assert_eq!(watch.learn(SECOND, checked(&[Kind::Fingers])), [What::Health(Health::Degraded)]);
    assert_eq!(watch.learn(SECOND, checked(&[Kind::Rings])), [What::Health(Health::Broken)]);
    let lost = || News::Lost("refused".into());
    assert_eq!(watch.learn(SECOND, lost()), [What::Lost("refused".into())]);
    assert_eq!(watch.learn(SECOND, lost()), [], "it is told once");
    assert_eq!(watch.health(), Some(Health::Unreachable));
    assert!(watch.rows().iter().all(|row| row.standing == Standing::Lost));
    assert_eq!(watch.learn(SECOND, walked(SECOND, ring(&[1, 50], 0))), []);
    assert_eq!(watch.health(), None, "it is checked anew");
}

#[test]
fn other_way_to_the_ring_is_told() {
    let mut watch = watch(&[1, 50]);
    let through = peer(50).addr;
    let news = News::Walked { began: SECOND, through, walk: ring(&[1, 50], 0) };
    assert_eq!(watch.learn(SECOND, news), [What::Asking(through)]);
    let screen = drawn(&mut watch, 120, 40);
    assert!(screen.contains("127.0.0.1:9001 is silent, through 127.0.0.1:9050"), "{screen}");
}

#[test]
fn percentiles_are_of_the_last_minute() {
    let mut probes = Probes::default();
    for n in 1..=100 {
        probes.add(ms(n * 100), Ok(ms(n)));
    }
    probes.add(10 * SECOND, Err("busy".into()));
    let times = probes.times();
    for (part, expected) in [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)] {
        assert_eq!(quantile(&times, part), Some(ms(expected)), "{part}");
    }
    assert_eq!([0.5, 0.9].map(|part| quantile(&times[..3], part)), [Some(ms(2)), Some(ms(3))], "ranks are rounded up");
    assert_eq!((probes.failed()["busy"], probes.per_second(10 * SECOND)), (1, 10.0));
    assert_eq!(probes.slowest(10 * SECOND)[..2], [Some(100_000), Some(90_000)]);
    probes.forget(65 * SECOND);
    assert_eq!(probes.times().first(), Some(&ms(50)), "what ended five seconds after the start is a minute old");
    probes.forget(71 * SECOND);
    assert_eq!((quantile(&probes.times(), 0.5), probes.failed().len()), (None, 0));
}

#[test]
fn table_scrolls_to_its_ends_and_no_farther() {
    let all: Vec<u8> = (0..50).map(|n| n * 5).collect();
    let mut watch = watch(&all);
    watch.fit(8);
    let mut press = |key| {
        watch.press(key);
        watch.scroll
    };
    let scrolled = [Key::Up, Key::Down, Key::PageDown, Key::End, Key::Down, Key::PageUp, Key::Home].map(&mut press);
    assert_eq!(scrolled, [0, 1, 9, 42, 42, 34, 0]);
    watch.press(Key::End);
    watch.learn(SECOND, walked(SECOND, ring(&all[..5], 0)));
    watch.pass(SECOND + GHOST);
    assert_eq!(watch.scroll, 0, "the ring has become smaller");
    let screen = drawn(&mut self::watch(&all), 80, 24);
    assert!(
        screen.contains("members, 1 to 8 of 50") && screen.contains("●   8 ") && !screen.contains("●   9 "),
        "{screen}"
    );
}

#[test]
fn keys_that_the_watch_does_not_handle_itself_are_wishes() {
    let mut watch = watch(&[1]);
    for (key, wish) in [(Key::Quit, Wish::Quit), (Key::Interrupt, Wish::Quit), (Key::Check, Wish::Check)] {
        assert_eq!(watch.press(key), Some(wish));
    }
    assert!(drawn(&mut watch, 80, 24).contains(" 100.00 % "), "one member owns all keys");
    assert_eq!((watch.press(Key::Help), watch.help), (None, true));
    assert!(drawn(&mut watch, 80, 24).contains("The ring is asked from outside"));
    assert_eq!((watch.press(Key::Escape), watch.help), (None, false));
    assert_eq!(watch.press(Key::Escape), Some(Wish::Quit));
}

/// A ring with one of everything.
fn eventful() -> Watch {
    let mut watch = watch(&[1, 50, 100, 200]);
    watch.learn(SECOND, walked(SECOND, ring(&[1, 50, 200], 0)));
    let mut last = ring(&[1, 50, 200], 30);
    last.nodes[2].plain = true;
    last.unreached = vec![silent(150)];
    watch.learn(3 * SECOND, walked(2 * SECOND, last));
    for n in 1..=10 {
        watch.learn(3 * SECOND, News::Probed(Ok(ms(n))));
    }
    watch.learn(3 * SECOND, News::Probed(Err("can't be reached".into())));
    watch.learn(3 * SECOND, checked(&[Kind::Unreached]));
    watch.pass(5 * SECOND);
    watch
}

#[test]
fn wide_screen_shows_everything() {
    let screen = drawn(&mut eventful(), 120, 40);
    for text in [
        "▲ degraded  3 members, 1 silent │ 127.0.0.1:9001 │ 0:05 │ walked 2 s ago in 3.00 ms",
        "┌ ring ─",
        "3 members  ",
        "●   1 127.0.0.1:9001 01010101   21.96 %    1.00 ms      30.0",
        "○   3 127.0.0.1:9100 64646464                                gone 4 s",
        "✖   4 127.0.0.1:9150 96969696                                silent",
        "◆   5 127.0.0.1:9200 c8c8c8c8   58.82 %    1.00 ms      30.0 plain",
        "p50 5.00 p90 9.00 p99 10.0 max 10.0 ms",
        "2.0/s answered, 1 failed: 1 can't be reached",
        "90 lookups/s end at all members",
        "check: degraded, 2 s ago",
        "degraded: unreached is found",
        "  -> if it has died, the others drop it",
        " 0:03 the ring is degraded",
        " 0:03 127.0.0.1:9150 did not answer within 1s",
        " 0:01 127.0.0.1:9100 is gone: nobody names it any more",
        "q quit",
    ] {
        assert!(screen.contains(text), "{text:?} is missing:\n{screen}");
    }
    // Clockwise from the top, in the left 38 columns: the first member is at the top, the last at the left.
    let circle: Vec<String> = screen.lines().skip(1).take(20).map(|line| line.chars().take(38).collect()).collect();
    let row = |mark| circle.iter().position(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark}:\n{screen}"));
    let column = |mark| circle[row(mark)].chars().position(|other| other == mark).unwrap();
    assert!(row('●') < 4 && row('◆') < row('✖') && column('◆') < 10, "{screen}");
}

#[test]
fn narrow_screen_drops_the_circle_first() {
    let screen = drawn(&mut eventful(), 60, 20);
    assert!(!screen.contains(" ring ─"), "{screen}");
    let shown = [
        "▲ degraded",
        "●   1 127.0.0.1:9001",
        "p50 5.00",
        "1 failed",
        "check: degraded",
        "the ring is degraded",
        "q quit",
    ];
    assert!(shown.iter().all(|text| screen.contains(text)), "{screen}");
    let screen = drawn(&mut eventful(), 80, 24);
    assert!(screen.contains("lookups/s") && screen.contains("150 did not answer"), "{screen}");
}

#[test]
fn no_size_of_a_screen_is_too_small() {
    let mut unchecked = Watch::new(peer(1).addr);
    let mut helped = eventful();
    helped.help = true;
    for width in [1, 2, 3, 20, 41, 79, 101] {
        for height in [1, 2, 3, 5, 13, 23, 24, 50] {
            for watch in [&mut unchecked, &mut helped, &mut eventful()] {
                drawn(watch, width, height);
            }
        }
    }
    let screen = drawn(&mut eventful(), 20, 5);
    assert!(screen.contains("degraded"), "{screen}");
}

#[test]
fn each_health_has_its_word_sign_and_colour() {
    for (news, said, colour) in [
        (checked(&[]), "● healthy", Color::Green),
        (checked(&[Kind::Successor]), "▲ degraded", Color::Yellow),
        (checked(&[Kind::Alone]), "✖ broken", Color::Red),
        (News::Lost("refused".into()), "✖ unreachable", Color::Red),
    ] {
        let mut watch = watch(&[1, 50]);
        watch.learn(SECOND, news);
        assert!(drawn(&mut watch, 80, 24).contains(said), "{said}");
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| render(frame, &watch)).unwrap();
        assert_eq!(terminal.backend().buffer()[(1, 0)].fg, colour, "{said}");
    }
}
