//! The protocol is pure: its sources name no socket, clock, randomness, thread, actor or output, and
//! nothing of this program but itself.
//!
//! Comments, literals and `#[cfg(test)]` code are left out; what remains is read token by token, so
//! that neither a grouped import nor a path in the middle of an expression escapes.

use std::fs;
use std::path::Path;

/// Names that mean impurity wherever they stand.
const FORBIDDEN: [&str; 27] = [
    // Time, chance, concurrency and the outside world.
    "Instant",
    "SystemTime",
    "thread",
    "thread_local",
    "fs",
    "io",
    "env",
    "process",
    "os",
    // The iteration order of a hashed collection differs in every run.
    "HashMap",
    "HashSet",
    "RandomState",
    // The callers of the protocol provide these.
    "rand",
    "tokio",
    "tokio_util",
    "actix",
    "actix_rt",
    "futures",
    "tracing",
    "async",
    "await",
    // Output, and holes in the rules.
    "println",
    "print",
    "eprintln",
    "eprint",
    "dbg",
    "unsafe",
];

/// All that the protocol may take from `std::net`: addresses as plain values.
const ADDRESSES: [&str; 6] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

/// The names, numbers and punctuation of Rust source text, without comments and literals.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let end = |found: Option<usize>| found.unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            end(rest.find('\n'))
        } else if rest.starts_with("/*") {
            end(rest.find("*/").map(|at| at + 2))
        } else if first == '"' {
            length_of_string(rest)
        } else if let Some(length) = length_of_char(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = end(rest.find(|c: char| !c.is_alphanumeric() && c != '_'));
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn length_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; a lifetime is none.
fn length_of_char(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let from = if first == '\\' { 2 } else { first.len_utf8() };
    let close = inside.get(from..)?.find('\'')?;
    (first == '\\' || close == 0).then_some(1 + from + close + 1)
}

/// The tokens without items that exist only in tests.
fn without_tests(tokens: &[String]) -> Vec<&str> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&ATTRIBUTE) {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        let mut depth = 0;
        for token in &tokens[at + ATTRIBUTE.len()..] {
            at += 1;
            match *token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(*token, "}" | ";") {
                break;
            }
        }
        at += ATTRIBUTE.len();
    }
    kept
}

/// All paths, with groups multiplied out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tokens: &[&str]) -> Vec<Vec<String>> {
    let is_name = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut paths = Vec::new();
    let mut prefixes: Vec<Vec<String>> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let after_colons = at > 0 && tokens[at - 1] == "::";
        match *token {
            "::" => {}
            "{" if after_colons => prefixes.push(std::mem::take(&mut path)),
            "{" => {
                paths.push(std::mem::take(&mut path));
                prefixes.push(Vec::new());
            }
            "}" => {
                paths.push(std::mem::take(&mut path));
                prefixes.pop();
            }
            name if is_name(name) || name == "*" && after_colons => {
                if !after_colons {
                    paths.push(std::mem::take(&mut path));
                    path = prefixes.last().cloned().unwrap_or_default();
                }
                path.push(name.to_owned());
            }
            _ => paths.push(std::mem::take(&mut path)),
        }
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
    paths
}

/// What is wrong with a source text.
fn impurities(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let tokens = without_tests(&tokens);
    let mut found: Vec<String> =
        tokens.iter().filter(|token| FORBIDDEN.contains(token)).map(|token| (*token).to_owned()).collect();
    for path in paths(&tokens) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let allowed = match names[..] {
            ["std" | "core", "net", ref rest @ ..] => rest.first().is_some_and(|name| ADDRESSES.contains(name)),
            ["std" | "core", "time", ref rest @ ..] => rest.first() == Some(&"Duration"),
            ["std", "collections", "*"] => false,
            ["crate", first, ..] => first == "protocol",
            ["chord", _, ..] => false,
            ["super", "super", ..] => false,
            _ => true,
        };
        if !allowed {
            found.push(names.join("::"));
        }
    }
    found
}

/// Calls `look` with every Rust source under a folder.
fn walk(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn protocol_is_pure() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
    let mut files = 0;
    let mut complaints = Vec::new();
    walk(&folder, &mut |path, source| {
        files += 1;
        // Modules that are declared `#[cfg(test)]` elsewhere.
        if !["tests.rs", "testing.rs"].iter().any(|test| path.ends_with(test)) {
            complaints.extend(impurities(source).into_iter().map(|found| format!("{}: {found}", path.display())));
        }
    });
    assert!(files >= 15, "{files} files are not the protocol");
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn impure_imports_are_found() {
    for (source, found) in [
        ("use std::net::TcpStream;", "std::net::TcpStream"),
        ("use std::net::{Ipv4Addr, UdpSocket};", "std::net::UdpSocket"),
        ("use std::{fmt, net::{self, SocketAddrV4}};", "std::net::self"),
        ("use std::net;", "std::net"),
        ("use std::net::*;", "std::net::*"),
        ("use std::time::*;", "std::time::*"),
        ("use std::time::{Duration, UNIX_EPOCH};", "std::time::UNIX_EPOCH"),
        ("use std::collections::*;", "std::collections::*"),
        ("use crate::actors::Call;", "crate::actors::Call"),
        ("use crate::{protocol::id::Id, wire::Frame};", "crate::wire::Frame"),
        ("use super::super::config::Config;", "super::super::config::Config"),
        ("use chord::Config;", "chord::Config"),
    ] {
        assert_eq!(impurities(source), [found], "{source}");
    }
}

#[test]
fn impure_names_are_found_wherever_they_stand() {
    for (source, found) in [
        ("use std::time::Instant as Time;", "Instant"),
        ("let now = std::time::SystemTime::now();", "SystemTime"),
        ("let map: HashMap<Id, Peer> = Default::default();", "HashMap"),
        ("use std::collections::{BTreeMap, HashSet};", "HashSet"),
        ("async fn ask() {}", "async"),
        ("reply.await", "await"),
        ("fn f() { println!(\"{}\", 1) }", "println"),
        ("tracing::info!(\"asked\");", "tracing"),
        ("unsafe { *p }", "unsafe"),
        ("rand::random::<u8>()", "rand"),
        ("use tokio::time::sleep;", "tokio"),
        ("use actix::Actor;", "actix"),
        ("use futures::future;", "futures"),
        ("std::thread::spawn(f);", "thread"),
        ("use std::{fs, fmt};", "fs"),
        ("fn f(r: impl std::io::Read) {}", "io"),
        ("std::env::var(\"R\")", "env"),
        ("fn f<'a>(x: &'a u8) { let c = '\"'; dbg!(x) }", "dbg"),
    ] {
        assert!(impurities(source).contains(&found.to_owned()), "{source}");
    }
}

#[test]
fn pure_sources_are_left_in_peace() {
    for source in [
        "use std::net::{Ipv4Addr, SocketAddrV4};",
        "use std::time::Duration;",
        "use std::collections::{BTreeMap, VecDeque};",
        "use crate::protocol::id::Id; use super::peer::Peer; pub(crate) struct Pure;",
        "// On a tokio thread: println!\n/* HashMap */ fn pure() {}",
        "/// `std::time::Instant` is not used.\nfn pure() { let text = \"async \\\" unsafe\"; let c = '\\''; }",
        "fn random_looking(operand: u8) -> std::fmt::Result { strand(operand) }",
        "#[cfg(test)]\nmod tests { use std::collections::HashMap; fn f() { println!() } }\nfn pure() {}",
        "#[cfg(test)]\nmod testing;\nfn pure() {}",
    ] {
        assert_eq!(impurities(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn what_follows_test_code_is_read() {
    assert_eq!(impurities("#[cfg(test)]\nmod tests { fn f() {} }\nuse std::fs;"), ["fs"]);
    assert_eq!(impurities("#[cfg(test)]\nmod testing;\nuse std::fs;"), ["fs"]);
}

/// Names that would give one seed several histories, or make the simulator a second runtime.
const NOT_IN_THE_SIMULATOR: [&str; 9] =
    ["actors", "actix", "HashMap", "HashSet", "RandomState", "Instant", "SystemTime", "ThreadRng", "OsRng"];

#[test]
fn simulator_has_its_own_time_and_chance_only() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim");
    let mut files = 0;
    walk(&folder, &mut |path, source| {
        files += 1;
        let names = tokens(source);
        let found = NOT_IN_THE_SIMULATOR.iter().find(|name| names.iter().any(|token| token == *name));
        assert_eq!(found, None, "{}", path.display());
    });
    assert!(files >= 15, "{files} files are not the simulator");
}
