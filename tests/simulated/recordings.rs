//! Recordings: their format, the lessons, and the commands that record.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chord::Id;
use chord::sim::chaos::{self, Options};
use chord::sim::lessons::LESSONS;
use chord::sim::script;
use serde_json::Value;

/// What was found in a recording that follows its format.
pub struct Recorded {
    /// How many events of each kind there are.
    pub counts: BTreeMap<String, usize>,
    /// The nodes that are there at the end, as they were last written: each with its side.
    pub nodes: BTreeMap<(u64, String), Value>,
    /// The last words.
    pub last: String,
    /// Wrong answers.
    pub wrong: usize,
    /// How healthy each side was, in turn.
    pub health: BTreeMap<u64, Vec<String>>,
    /// The time of the last event.
    pub end: f64,
}

/// Checks a recording against docs/recording.md; an error names the line.
pub fn check(text: &str) -> Result<Recorded, String> {
    let mut checker = Checker::default();
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for (number, line) in (1..).zip(text.lines()) {
        let value: Value = serde_json::from_str(line).map_err(|why| format!("line {number}: {why}"))?;
        let read = if number == 1 { checker.header(&value) } else { checker.event(&value) };
        read.map_err(|why| format!("line {number}: {why}: {line}"))?;
    }
    checker.recorded.ok_or_else(|| "there is no header".into())
}

#[derive(Default)]
struct Checker {
    sides: u64,
    /// All nodes that have been there, and the identifiers that tables name, which must be among them when the time
    /// goes on.
    known: BTreeSet<(u64, String)>,
    named: BTreeSet<(u64, String)>,
    recorded: Option<Recorded>,
}

impl Checker {
    fn header(&mut self, value: &Value) -> Result<(), String> {
        only(value, &["recording", "title", "text", "r", "bits", "sides"])?;
        if value["recording"] != 1 {
            return Err("no version 1".into());
        }
        words(value, "title")?;
        words(value, "text")?;
        let number =
            |name: &str, most: u64| value[name].as_u64().filter(|n| (1..=most).contains(n)).ok_or(format!("no {name}"));
        number("r", 32)?;
        number("bits", 160)?;
        self.sides = match &value["sides"] {
            Value::Null => 0,
            Value::Array(sides) if sides.len() == 2 => {
                sides.iter().try_for_each(|side| words(side, "name").map(drop))?;
                2
            }
            _ => return Err("there are two sides or none".into()),
        };
        self.recorded = Some(Recorded {
            counts: BTreeMap::new(),
            nodes: BTreeMap::new(),
            last: String::new(),
            wrong: 0,
            health: BTreeMap::new(),
            end: 0.0,
        });
        Ok(())
    }

    fn event(&mut self, value: &Value) -> Result<(), String> {
        let Checker { sides, known, named, recorded: Some(recorded) } = self else { return Err("no header".into()) };
        let at = value["at"].as_f64().filter(|at| *at >= recorded.end).ok_or("a time that goes back, or none")?;
        if at > recorded.end
            && let Some((_, unknown)) = std::mem::take(named).difference(known).next()
        {
            return Err(format!("before this a table names {unknown}, which has never been there"));
        }
        recorded.end = at;
        let kind = words(value, "event")?;
        let side = match (*sides, value["side"].as_u64()) {
            (0, None) => 0,
            (2, Some(side)) if side < 2 => side,
            (2, None) if kind == "say" => 0,
            _ => return Err("a side where there is none, or none where there are two".into()),
        };
        let node = |id: &Value| {
            let id = id.as_str().filter(|id| id.parse::<Id>().is_ok() && id.len() == 40).ok_or("no identifier")?;
            Ok::<_, String>((side, id.to_owned()))
        };
        let is_there = |nodes: &BTreeMap<(u64, String), Value>, id: &Value| {
            let key = node(id)?;
            if nodes.contains_key(&key) { Ok(key) } else { Err(format!("{} is not there", key.1)) }
        };
        match kind {
            "node" => {
                only(
                    value,
                    &["at", "side", "event", "id", "addr", "standing", "predecessor", "successors", "fingers"],
                )?;
                let me = node(&value["id"])?;
                words(value, "addr")?;
                if !["joining", "member", "isolated"].contains(&words(value, "standing")?) {
                    return Err("no standing".into());
                }
                let mut fingers = Vec::new();
                let mut next = 1;
                for run in value["fingers"].as_array().into_iter().flatten() {
                    if run[0] != next || run[1].as_u64().is_none_or(|last| last < next) {
                        return Err("runs of fingers with a gap".into());
                    }
                    next = run[1].as_u64().unwrap_or_default() + 1;
                    fingers.push(&run[2]);
                }
                if !fingers.is_empty() && next != 161 {
                    return Err("not all fingers".into());
                }
                let list = value["successors"].as_array().ok_or("no successors")?;
                let predecessor = Some(&value["predecessor"]).filter(|id| !id.is_null());
                for id in list.iter().chain(predecessor).chain(fingers) {
                    named.insert(node(id)?);
                }
                known.insert(me.clone());
                let mut state = value.clone();
                state["at"] = Value::Null;
                if recorded.nodes.insert(me, state.clone()) == Some(state) {
                    return Err("nothing has changed".into());
                }
            }
            "gone" => {
                only(value, &["at", "side", "event", "id", "why"])?;
                recorded.nodes.remove(&is_there(&recorded.nodes, &value["id"])?);
                if !["died", "left"].contains(&words(value, "why")?) {
                    return Err("no reason".into());
                }
            }
            "lookup" => {
                only(value, &["at", "side", "event", "key", "id", "path", "owner", "millis", "error", "wrong"])?;
                node(&value["id"])?;
                let path = value["path"].as_array().filter(|path| !path.is_empty()).ok_or("nobody looks up")?;
                for hop in path.iter().map(|hop| &hop["id"]).chain(Some(&value["owner"]).filter(|id| !id.is_null())) {
                    let key = node(hop)?;
                    if !known.contains(&key) {
                        return Err(format!("{} has never been there", key.1));
                    }
                }
                if value["owner"].is_null() == value["error"].is_null() {
                    return Err("either an owner is named, or an error".into());
                }
                recorded.wrong += usize::from(value["wrong"] == true);
            }
            "message" => {
                only(value, &["at", "side", "event", "from", "to", "text"])?;
                is_there(&recorded.nodes, &value["from"])?;
                is_there(&recorded.nodes, &value["to"])?;
                words(value, "text")?;
            }
            "health" => {
                only(value, &["at", "side", "event", "health", "findings"])?;
                let worst = |severity: &str| {
                    value["findings"].as_array().into_iter().flatten().any(|finding| finding["severity"] == severity)
                };
                let right = if worst("broken") {
                    "broken"
                } else if worst("degraded") {
                    "degraded"
                } else {
                    "healthy"
                };
                if value["health"] != right {
                    return Err(format!("the findings are {right}"));
                }
                for finding in value["findings"].as_array().ok_or("no findings")? {
                    only(finding, &["severity", "kind", "what", "advice", "node"])?;
                    ["kind", "what", "advice"].iter().try_for_each(|name| words(finding, name).map(drop))?;
                }
                recorded.health.entry(side).or_default().push(right.into());
            }
            "say" => {
                only(value, &["at", "event", "text"])?;
                recorded.last = words(value, "text")?.to_owned();
            }
            _ => return Err("an unknown event".into()),
        }
        *recorded.counts.entry(kind.to_owned()).or_default() += 1;
        Ok(())
    }
}

fn words<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("no {name}"))
}

fn only(value: &Value, names: &[&str]) -> Result<(), String> {
    let fields = value.as_object().ok_or("no object")?;
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(format!("an unknown field {unknown}")),
        None => Ok(()),
    }
}

/// A recording that is valid, or the reason why not.
fn checked(text: &str) -> Recorded {
    check(text).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn what_is_no_recording_is_found_out() {
    let id = "00".repeat(20);
    let header = "{\"recording\":1,\"title\":\"a\",\"text\":\"b\",\"r\":2,\"bits\":6}";
    let node = |at: f64, successor: &str| {
        format!(
            "{{\"at\":{at},\"event\":\"node\",\"id\":\"{id}\",\"addr\":\"10.0.0.1:1\",\"standing\":\"member\",\
             \"predecessor\":null,\"successors\":[\"{successor}\"]}}"
        )
    };
    let say = |at: f64| format!("{{\"at\":{at},\"event\":\"say\",\"text\":\"words\"}}");
    assert!(check(&format!("{header}\n{}\n{}\n", node(0.0, &id), say(1.0))).is_ok());
    for (text, why) in [
        (format!("{header}\n{}\n{}\n", say(1.0), say(0.5)), "line 3: a time that goes back"),
        (
            format!("{header}\n{}\n{}\n", node(0.0, &"01".repeat(20)), say(1.0)),
            "line 3: before this a table names 0101",
        ),
        (format!("{header}\n{}\n{}\n", node(0.0, &id), node(1.0, &id)), "line 3: nothing has changed"),
        (format!("{}\n", say(0.0)), "line 1: an unknown field at"),
        (format!("{header}\n{{\"at\":0,\"event\":\"gone\",\"id\":\"{id}\",\"why\":\"died\"}}\n"), "is not there"),
        (format!("{header}\n{{\"at\":0,\"event\":\"fly\"}}\n"), "line 2: an unknown event"),
        (header.to_owned(), "the last line does not end"),
    ] {
        let found = check(&text).err().unwrap_or_default();
        assert!(found.contains(why), "{why:?} expected: {found:?}");
    }
}

fn lessons() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lessons")
}

#[test]
fn lessons_are_what_the_code_does() {
    for lesson in LESSONS {
        let path = lessons().join(lesson.name).with_extension("jsonl");
        let (kept, made) = (fs::read_to_string(&path).unwrap(), lesson.record().unwrap());
        let difference = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
        assert!(kept == made, "{}: make lessons makes it anew; first of all {difference:?}", path.display());
        assert!(kept.len() < 150_000, "{}: {} bytes", path.display(), kept.len());
    }
    assert_eq!(fs::read_dir(lessons()).unwrap().count(), LESSONS.len());
}

/// What each lesson is to teach.
#[test]
fn lessons_show_what_they_say() {
    let lesson = |name: &str| checked(&fs::read_to_string(lessons().join(name).with_extension("jsonl")).unwrap());
    let join = lesson("join");
    assert_eq!((join.nodes.len(), join.wrong), (11, 0));
    assert_eq!(join.health[&0].iter().filter(|health| *health == "healthy").count(), 2);
    assert!(!join.health[&0].contains(&"broken".into()));
    let half = lesson("half");
    assert_eq!((half.counts["gone"], half.nodes.len(), half.wrong), (6, 6, 1));
    assert_eq!(half.health[&0].last().unwrap(), "healthy");
    let partition = lesson("partition");
    assert!(partition.health[&0].contains(&"broken".into()));
    assert_eq!((partition.health[&0].last().unwrap().as_str(), partition.wrong), ("healthy", 1));
    let pseudocode = lesson("pseudocode");
    assert_eq!(pseudocode.health[&0].last().unwrap(), "broken");
    assert_eq!(pseudocode.health[&1].last().unwrap(), "healthy");
    assert!(!pseudocode.health[&1].contains(&"broken".into()) && pseudocode.wrong == 3, "{}", pseudocode.wrong);
}

/// All golden scenarios, the first words in front of their first node.
#[test]
fn scenarios_are_recorded_as_they_are_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let (commands, _) = script::split(&text);
        let is_command = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
        let parameters = ["stepwise", "bits", "r", "seed"];
        let is_parameter = |line: &str| parameters.contains(&line.split(' ').next().unwrap_or_default());
        let (head, rest): (Vec<&str>, Vec<&str>) =
            commands.lines().filter(is_command).partition(|line| is_parameter(line));
        let told = [&head[..], &["title T", "about A", "say It begins."], &rest, &["say It ends."]].concat().join("\n");
        let recording = script::record(&told).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let recorded = check(&recording).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert_eq!(recorded.last, "It ends.");
        let (with, without) = (script::run(&told).unwrap(), script::run(commands).unwrap());
        assert_eq!(with, without, "{}: words change nothing", path.display());
        assert!(recorded.counts["node"] >= without.neighbors.len());
    }
}

#[test]
fn scenario_without_words_is_no_recording() {
    let why = script::record("start 1\nrun 1s\n").unwrap_err().to_string();
    assert!(why.contains("a recording needs a say"), "{why}");
}

/// Recording a history does not change it, and shows it whole.
#[test]
fn histories_are_recorded_as_they_happen() {
    let options = Options { nodes: 8..=16, trace: false };
    let mut wrong = 0;
    for seed in 0..20 {
        let (report, recording) = chaos::recorded(seed, &options);
        assert_eq!(report, chaos::history(seed, &options), "seed {seed}");
        let recorded = check(&recording).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let verdicts = &report.verdicts;
        let answers = verdicts.right + verdicts.stale + verdicts.early + verdicts.unjudged;
        assert_eq!(recorded.counts["lookup"] as u64, answers + verdicts.lost.values().sum::<u64>(), "seed {seed}");
        assert!(
            recorded.wrong as u64 <= verdicts.stale + verdicts.unjudged,
            "seed {seed}: right answers are not wrong"
        );
        assert_eq!(recorded.nodes.len(), report.nodes.1, "seed {seed}");
        if !report.parted {
            assert_eq!(recorded.health[&0].last().unwrap(), "healthy", "seed {seed}");
        }
        wrong += recorded.wrong;
    }
    assert!(wrong > 0, "a partition has wrong answers");
}

/// Runs a simulation that records; what an earlier run recorded there is gone.
fn sim(line: &str, record: &Path) -> Output {
    let _ = fs::remove_file(record);
    let words = line.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_chord")).arg("sim").args(words).arg("--record").arg(record).output().unwrap()
}

#[test]
fn command_records_a_history() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("history.jsonl");
    let output = sim("chaos --seed 5 --nodes 8..8", &path);
    assert!(output.status.success(), "{output:?}");
    let recorded = checked(&fs::read_to_string(&path).unwrap());
    assert!(recorded.last.starts_with("The history ends"), "{}", recorded.last);
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("violations: 0\n"));
}

#[test]
fn command_records_a_ring_and_its_script() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (path, script) = (folder.join("ring.jsonl"), folder.join("ring.script"));
    fs::write(&script, "lookup 8 24\njoin 26\nstabilize\nlookup 8 24\nleave 32\ncrash 1\nstabilize\nfly").unwrap();
    let ids = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rings/paper.ids");
    let line = format!("ring --ids {} --bits 6 -r 3 --lookup 54 --from 8 --script {}", ids.display(), script.display());
    assert_eq!(sim(&line, &path).status.code(), Some(2), "fly is no command");
    fs::write(&script, "lookup 8 24\njoin 26\nstabilize\nlookup 8 24\nleave 32\ncrash 1\nstabilize").unwrap();
    let output = sim(&line, &path);
    assert!(output.status.success(), "{output:?}");
    let recorded = checked(&fs::read_to_string(&path).unwrap());
    assert_eq!((recorded.nodes.len(), recorded.counts["gone"], recorded.counts["lookup"]), (9, 2, 3));
    assert!(recorded.counts["message"] > 10, "those of the joiners");
    assert_eq!((recorded.health[&0].last().unwrap().as_str(), recorded.wrong), ("healthy", 0));
}

/// Nodes that are refused have the identifier of a member.
#[test]
fn command_records_a_ring_with_collisions() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("collisions.jsonl");
    let output = sim("ring --nodes 64 --bits 6 --seed 3", &path);
    assert!(output.status.success(), "{output:?}");
    let recorded = checked(&fs::read_to_string(&path).unwrap());
    assert!(recorded.nodes.len() < 64 && recorded.health[&0].last().unwrap() == "healthy");
}

#[test]
fn command_writes_the_lessons() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lessons");
    let chord = || {
        let mut chord = Command::new(env!("CARGO_BIN_EXE_chord"));
        chord.args(["sim", "lessons", "--out"]);
        chord
    };
    assert!(chord().arg(&folder).status().unwrap().success());
    for lesson in LESSONS {
        let name = Path::new(lesson.name).with_extension("jsonl");
        assert_eq!(fs::read(folder.join(&name)).unwrap(), fs::read(lessons().join(&name)).unwrap(), "{name:?}");
    }
    let failed = chord().arg("/dev/null/lessons").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8(failed.stderr).unwrap().starts_with("chord: can't create /dev/null/lessons: "));
}

#[test]
fn file_that_cannot_be_written_is_named_at_once() {
    for line in ["chaos --seed 5", "ring --nodes 3"] {
        let output = sim(line, Path::new("/nowhere/x.jsonl"));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
        assert!(errors.starts_with("chord: --record /nowhere/x.jsonl: No such file"), "{errors}");
        assert_eq!(output.stdout, b"");
    }
}
