use super::*;
use crate::protocol::maintenance::Standing;
use crate::sim::numbered;

const SIX: Bits = Bits::new(6).unwrap();

fn id(n: u32) -> Id {
    numbered(n, SIX).id
}

fn recorder() -> Recorder {
    Recorder::new(Header { title: "Title".into(), text: "Text.".into(), r: 2, bits: SIX })
}

/// A member with these neighbours.
fn node(n: u32, predecessor: Option<u32>, successors: &[u32]) -> View {
    View {
        me: numbered(n, SIX),
        standing: Standing::Member,
        predecessor: predecessor.map(id),
        successors: successors.iter().map(|n| id(*n)).collect(),
        fingers: Vec::new(),
    }
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a recording, without its header: each kind with its time.
fn events(recorder: Recorder) -> Vec<(String, f64)> {
    let text = recorder.finish();
    let event = |line: &Value| (line["event"].as_str().unwrap().to_owned(), line["at"].as_f64().unwrap());
    lines(&text)[1..].iter().map(event).collect()
}

/// Three nodes in an ideal ring.
fn ring() -> [View; 3] {
    [node(8, Some(32), &[21, 32]), node(21, Some(8), &[32, 8]), node(32, Some(21), &[8, 21])]
}

#[test]
fn lines_have_the_documented_fields() {
    let mut recorder = recorder();
    let mut first = node(8, None, &[]);
    first.fingers = vec![(1, 160, id(8))];
    recorder.see(ms(2000), first);
    recorder.message(ms(2001), id(8), id(8), "Notify");
    recorder.gone(ms(2002), numbered(8, SIX), Why::Left);
    let text = recorder.finish();
    let eight = id(8).to_string();
    let expected = [
        "{\"recording\":1,\"title\":\"Title\",\"text\":\"Text.\",\"r\":2,\"bits\":6}".to_owned(),
        format!(
            "{{\"at\":0.0,\"event\":\"node\",\"id\":\"{eight}\",\"addr\":\"10.0.0.8:4170\",\"standing\":\"member\",\
             \"predecessor\":null,\"successors\":[],\"fingers\":[[1,160,\"{eight}\"]]}}"
        ),
        format!("{{\"at\":0.001,\"event\":\"message\",\"from\":\"{eight}\",\"to\":\"{eight}\",\"text\":\"Notify\"}}"),
        format!("{{\"at\":0.002,\"event\":\"gone\",\"id\":\"{eight}\",\"why\":\"left\"}}"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn only_changes_are_written() {
    let mut recorder = recorder();
    for at in 0..10 {
        recorder.see_all(ms(at), ring(), &[]);
    }
    recorder.see_all(ms(10), [node(8, Some(21), &[21]), ring()[1].clone()], &[]);
    let written = events(recorder);
    let count = |kind: &str| written.iter().filter(|(event, _)| event == kind).count();
    assert_eq!((count("node"), count("gone")), (4, 1), "{written:?}");
}

#[test]
fn changes_of_fingers_alone_wait_for_a_moment() {
    let mut recorder = recorder();
    for at in 0..1000 {
        let fingers = vec![(1, 160, id(at as u32 % 7))];
        recorder.see(ms(at), View { fingers, ..node(8, None, &[]) });
    }
    let times: Vec<f64> = events(recorder).into_iter().filter(|(event, _)| event == "node").map(|(_, at)| at).collect();
    assert_eq!(times.len(), 5, "at first, four times a second, and at the end: {times:?}");
    assert!(times.is_sorted());
}

#[test]
fn fingers_count_on_the_whole_circle() {
    let (me, other) = (numbered(8, SIX), numbered(42, SIX));
    let mut table = crate::protocol::fingers::FingerTable::alone(me, SIX);
    for i in 1..=6 {
        table.set(i, if i == 6 { me } else { other });
    }
    let neighbors = crate::protocol::neighbors::Neighbors::alone(me, 2);
    let view = View::new(Standing::Member, &neighbors).with_fingers(&table, SIX);
    // Finger i begins at me + 2^(i-1), in units of 2^154.
    assert_eq!(view.fingers.first().map(|run| run.0), Some(1));
    assert_eq!(view.fingers.last().map(|run| run.1), Some(160));
    assert!(view.fingers.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{:?}", view.fingers);
    for (first, last, node) in &view.fingers {
        for i in (*first).max(155)..=*last {
            assert_eq!(*node, table.node(i - 154).id, "finger {i}");
        }
    }
}

#[test]
fn ring_is_judged_by_its_tables() {
    let health = |views: &[View]| {
        let mut recorder = recorder();
        recorder.see_all(ms(0), views.iter().cloned(), &[]);
        let told = lines(&recorder.finish()).into_iter().rfind(|line| line["event"] == "health").unwrap();
        let kinds =
            told["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap().to_owned());
        (told["health"].as_str().unwrap().to_owned(), kinds.collect::<Vec<_>>().join(" "))
    };
    let expect = |health: &str, kinds: &str| (health.to_owned(), kinds.to_owned());
    let [eight, twentyone, thirtytwo] = ring();
    assert_eq!(health(&ring()), expect("healthy", ""));
    assert_eq!(health(&[node(8, None, &[])]), expect("healthy", ""));
    let joiner = View { standing: Standing::Joining, ..node(40, None, &[]) };
    assert_eq!(health(&[&ring()[..], &[joiner]].concat()), expect("healthy", ""), "a joiner is no member");
    let short = node(8, Some(32), &[21]);
    assert_eq!(health(&[short, twentyone.clone(), thirtytwo.clone()]), expect("degraded", "successor_list"));
    let late = node(8, Some(32), &[32, 21]);
    assert_eq!(health(&[late, twentyone.clone(), thirtytwo.clone()]), expect("degraded", "successor"));
    let unaware = node(32, None, &[8, 21]);
    assert_eq!(health(&[eight.clone(), twentyone.clone(), unaware]), expect("degraded", "predecessor"));
    let alone = node(32, Some(21), &[]);
    assert_eq!(health(&[eight, twentyone, alone]), expect("broken", "alone"));
    let two = [node(8, Some(21), &[21]), node(21, Some(8), &[8]), node(32, Some(42), &[42]), node(42, Some(32), &[32])];
    assert_eq!(health(&two), expect("broken", "rings successor successor_list predecessor"));
    let twice =
        [node(8, Some(42), &[32]), node(21, Some(8), &[42]), node(32, Some(21), &[21]), node(42, Some(32), &[8])];
    assert!(health(&twice).1.starts_with("rings "), "{:?}", health(&twice));
}

#[test]
fn wrong_answer_breaks_the_ring_for_a_second() {
    let mut recorder = recorder();
    recorder.see_all(ms(0), ring(), &[]);
    assert!(recorder.owns(id(21), id(20)) && !recorder.owns(id(32), id(20)));
    let path = vec![Hop { node: id(8), why: None, took: None }];
    let lookup =
        Lookup { text: Some("x".into()), key: id(20), path, found: Ok(numbered(32, SIX)), took: None, wrong: true };
    recorder.lookup(ms(100), &lookup);
    recorder.look(ms(900));
    recorder.look(ms(1200));
    let text = recorder.finish();
    let told: Vec<Value> = lines(&text).into_iter().filter(|line| line["event"] == "health").collect();
    let seen: Vec<_> =
        told.iter().map(|line| (line["at"].as_f64().unwrap(), line["health"].as_str().unwrap())).collect();
    assert_eq!(seen, [(0.1, "broken"), (1.2, "healthy")]);
    let asked = lines(&text).into_iter().find(|line| line["event"] == "lookup").unwrap();
    assert_eq!((asked["key"].as_str(), asked["wrong"].as_bool()), (Some("x"), Some(true)));
}

/// An appendage owns nothing, but names itself right, too: it is the first member there.
#[test]
fn key_beside_a_joiner_has_two_owners_until_the_ring_has_closed() {
    let mut recorder = recorder();
    let appendage = node(26, None, &[32, 8]);
    recorder.see_all(ms(0), ring().into_iter().chain([appendage]), &[]);
    assert!(recorder.owns(id(26), id(24)) && recorder.owns(id(32), id(24)) && !recorder.owns(id(8), id(24)));
}

#[test]
fn recording_that_reaches_its_limit_says_so_and_ends() {
    let mut recorder = recorder().with_limit(4000);
    for at in 0..1000 {
        recorder.see(ms(at), node(8, (at % 2 == 0).then_some(32), &[21]));
    }
    assert!(recorder.is_full());
    recorder.say(ms(2000), "nobody hears this");
    let text = recorder.finish();
    assert!(text.len() < 4000 + 200, "{}", text.len());
    let last = text.lines().last().unwrap();
    assert!(last.contains("The recording ends here: it has reached its limit of 4000 bytes."), "{last}");
}

#[test]
fn two_sides_share_one_time() {
    let (mut one, mut other) = (recorder().on_side(0), recorder().on_side(1));
    one.see(ms(5000), node(8, None, &[]));
    other.see(ms(5000), node(8, None, &[]));
    other.gone(ms(5001), numbered(8, SIX), Why::Died);
    one.say(ms(5002), "both");
    one.gone(ms(5003), numbered(8, SIX), Why::Died);
    let told = lines(&one.finish_both(other, ["left", "right"]));
    assert_eq!(told[0]["sides"][1]["name"], "right");
    let seen: Vec<_> = told[1..].iter().map(|line| (line["event"].as_str().unwrap(), line["side"].as_u64())).collect();
    assert_eq!(
        seen,
        [
            ("node", Some(0)),
            ("node", Some(1)),
            ("gone", Some(1)),
            ("health", Some(0)),
            ("say", None),
            ("gone", Some(0))
        ]
    );
}

/// A refused joiner has the identifier of a member, and must not replace it.
#[test]
fn of_two_nodes_with_one_identifier_the_member_is_shown() {
    let mut recorder = recorder();
    recorder.see(ms(0), node(8, None, &[]));
    let me = Peer { addr: numbered(9, SIX).addr, ..numbered(8, SIX) };
    recorder.see(ms(1), View { me, standing: Standing::Joining, ..node(8, None, &[]) });
    recorder.gone(ms(2), me, Why::Left);
    assert_eq!(recorder.node(id(8)).map(|view| view.me), Some(numbered(8, SIX)));
}
