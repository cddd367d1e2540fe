//! `chord sim ring` as users meet it: its output, its errors, and that a seed gives the same ring each time.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chord::protocol::id::{Bits, Id};
use serde_json::Value;

fn rings(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rings").join(name)
}

/// Runs `chord sim ring` with this standard input.
fn ring_told(line: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chord"))
        .args(["sim", "ring"])
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chord starts");
    // An error means that the program does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn printed(line: &str) -> String {
    let output = ring_told(line, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stderr, b"", "there is no terminal, and so no progress");
    String::from_utf8(output.stdout).unwrap()
}

fn data(line: &str) -> Value {
    serde_json::from_str(&printed(&format!("{line} --json"))).unwrap()
}

/// The paper's ring of ten.
fn ten() -> String {
    format!("--ids {} --bits 6 -r 3", rings("paper.ids").display())
}

/// The file keeps the expected tables; `UPDATE=1` writes it. The numbers after them depend
/// on every detail of the simulator, and are not kept.
fn assert_printed(name: &str, line: &str) {
    let (path, printed) = (rings(name), printed(line));
    let (found, numbers) = printed.split_once("\nnodes  ").unwrap();
    assert!(numbers.contains("made by the protocol, all as defined"), "{numbers}");
    if std::env::var_os("UPDATE").is_some() {
        return fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap();
    let difference = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(expected == found, "{name} (UPDATE=1 accepts it), first of all: {difference:?}");
}

#[test]
fn tables_of_the_paper_s_ring_are_printed_as_they_were() {
    assert_printed("paper.txt", &format!("{} --print-tables --lookup 54 --from 8", ten()));
}

#[test]
fn tables_of_32_nodes_are_printed_as_they_were() {
    assert_printed("nodes_32_bits_16.txt", "--nodes 32 --bits 16 --print-tables");
}

/// Every finger, as data, against a separate definition: plain numbers, and no code of the program.
#[test]
fn no_finger_is_wrong_where_many_start_at_a_node() {
    for seed in 0..5 {
        let data = data(&format!("--nodes 100 --bits 8 --seed {seed} --print-tables"));
        let number = |value: &Value| value.as_str().unwrap().parse::<u32>().unwrap();
        let tables = data["tables"].as_array().unwrap();
        let ring: Vec<u32> = tables.iter().map(|table| number(&table["node"])).collect();
        let (mut fingers, mut at_a_node) = (0, 0);
        for table in tables {
            for (i, finger) in table["fingers"].as_array().unwrap().iter().enumerate() {
                let start = (number(&table["node"]) + (1 << i)) % 256;
                let owner = ring.iter().find(|node| **node >= start).unwrap_or(&ring[0]);
                assert_eq!((number(&finger["start"]), number(&finger["node"])), (start, *owner));
                assert_eq!(
                    number(&finger["end"]),
                    if i < 7 { (number(&table["node"]) + (2 << i)) % 256 } else { number(&table["node"]) }
                );
                fingers += 1;
                at_a_node += u32::from(start == *owner);
            }
        }
        assert_eq!(fingers as usize, 8 * ring.len());
        assert!(at_a_node > 100, "only {at_a_node} fingers start at a node");
    }
}

#[test]
fn nodes_that_collide_are_left_out_by_name_and_the_others_are_a_ring() {
    let (joined, filled) = (data("--nodes 64 --bits 6 --seed 3"), data("--nodes 64 --bits 6 --seed 3 --static"));
    let collisions = joined["collisions"].as_array().unwrap();
    assert!(!collisions.is_empty());
    assert_eq!(joined["nodes"].as_u64().unwrap() as usize + collisions.len(), 64);
    assert_eq!(joined["collisions"], filled["collisions"], "the protocol refuses those that the hashes say");
    for collision in collisions {
        let bits = Bits::new(6).unwrap();
        let id = |who: &str| Id::of_address(collision[who].as_str().unwrap().parse().unwrap(), bits);
        assert_eq!(id("refused"), id("holder"));
    }
}

#[test]
fn a_ring_is_the_same_whether_it_grew_or_was_filled_in() {
    let measured = |line: &str| {
        let data = data(line);
        (data["path_length"].clone(), data["keys_per_host"].clone(), data["lookup"].clone())
    };
    let line = "--nodes 50 --bits 160 --virtual-nodes 2 --seed 9 --lookup Hello";
    assert_eq!(measured(line), measured(&format!("{line} --static")));
}

#[test]
fn a_seed_is_a_history() {
    let line = "--nodes 40 --bits 20 --print-tables";
    assert_eq!(printed(line), printed(line));
    assert_ne!(printed(line), printed(&format!("{line} --seed 1")));
}

#[test]
fn a_picture_is_written() {
    let path = std::env::temp_dir().join(format!("chord-{}.svg", std::process::id()));
    printed(&format!("{} --lookup 54 --from 8 --draw {}", ten(), path.display()));
    let svg = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("class=\"hop\" marker").count(), 3);
}

/// The pictures in the documents are those that `make pictures` draws.
#[test]
fn pictures_in_the_documentation_are_what_the_command_draws() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let four = format!("--ids {} -r 2", root.join("docs/tour/four.ids").display());
    for (name, line) in [
        ("docs/ring.svg", "--nodes 32 --bits 16 --lookup Hello --from 65278".to_owned()),
        ("docs/tour/successors.svg", format!("{four} --show successors")),
        ("docs/tour/fingers.svg", format!("{four} --lookup Hello --from 6b6280c6")),
        ("docs/tour/stabilize.svg", format!("{four} --show join --from b415955b")),
    ] {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name.replace('/', "-"));
        printed(&format!("{line} --draw {}", path.display()));
        let svg = fs::read_to_string(path).unwrap();
        assert!(svg == fs::read_to_string(root.join(name)).unwrap(), "{name}: make pictures draws it anew");
    }
}

#[test]
fn standard_input_is_a_script_too() {
    let script = "join 26 # a comment\n\nstabilize\nlookup 8 24\nquit\ncrash 8\nprint\n";
    let output = ring_told(&format!("{} --script", ten()), script);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.ends_with("8 finds 24 at 26 by way of [21]\n"), "{text}");
}

#[test]
fn what_makes_no_sense_is_one_line_and_status_2() {
    let script = std::env::temp_dir().join(format!("chord-{}.script", std::process::id()));
    fs::write(&script, "# first\njoin 26\nfly 1\n").unwrap();
    let script_line = format!("{} --script {}", ten(), script.display());
    let ids = format!("--ids {} --bits 5", rings("paper.ids").display());
    for (line, input, names) in [
        ("--nodes 9 --bits 3", "", vec!["--nodes 9", "3 bits (8)"]),
        ("--bits 2", "", vec!["--bits", "3 to 160"]),
        ("--bits 161", "", vec!["--bits", "3 to 160"]),
        ("--nodes 0", "", vec!["--nodes", "1 to 16777216"]),
        ("--nodes 100001", "", vec!["100001", "--static"]),
        ("-r 33", "", vec!["-r", "1 to 32"]),
        ("--ids /nowhere", "", vec!["--ids /nowhere", "No such file"]),
        (&ids, "", vec!["--ids", "line 6", "\"32\"", "2^5"]),
        ("--script /nowhere", "", vec!["--script /nowhere", "No such file"]),
        (&script_line, "", vec!["--script", ".script: line 3", "fly 1"]),
        ("--nodes 3 --script", "run 1s\ncrash 1\n", vec!["standard input: line 2", "there is no node 1"]),
        ("--script /dev/zero", "", vec!["--script /dev/zero", "longer than"]),
        ("--nodes 3 --script", "crash 0\nrun 500000000000y\n", vec!["standard input: line 2", "longer than 1000d"]),
        ("--nodes 3 --bits 6 --lookup 64", "", vec!["--lookup", "64", "2^6"]),
        ("--nodes 3 --from nobody", "", vec!["--from", "nobody"]),
        ("--nodes 3 --draw /nowhere/ring.svg", "", vec!["--draw /nowhere/ring.svg"]),
        ("--static --script", "", vec!["--static", "--script"]),
        ("--static --record x", "", vec!["--static", "--record"]),
    ] {
        let output = ring_told(line, input);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{line}: {errors}");
        for name in names {
            assert!(errors.contains(name), "{name} expected: {errors}");
        }
    }
    fs::remove_file(script).unwrap();
}
