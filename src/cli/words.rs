//! Words that are nearly flags, and the flags that were meant: text copied from a PDF has dashes instead of hyphens,
//! and after a forgotten value the next flag looks like the value.

use std::ffi::OsString;

use clap::Command;

/// A flag of a command.
struct Flag {
    /// All of its names, with their hyphens; the documentation uses the first.
    names: Vec<String>,
    value: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Optional,
    Required,
}

/// What is wrong with the flags among these words, each complaint in a few words; empty if they may be right.
/// `accepted` gives the values that a flag accepts.
pub fn complaints(words: &[OsString], command: &Command, accepted: impl Fn(&str) -> &'static str) -> Vec<String> {
    let flags = flags(command);
    let mut complaints = Vec::new();
    let mut words = words.iter().map(|word| word.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        let (flag, has_value) = match (exact(&flags, &word), meant(&flags, &word)) {
            (Some((flag, has_value)), _) => (flag, has_value),
            (None, Some((flag, name))) => {
                let unknown = dash_of(&word).unwrap_or_else(|| format!("unknown argument {:?}", shown(&word)));
                complaints.push(format!("{unknown}: {name} was meant"));
                (flag, word.contains('='))
            }
            (None, None) => {
                complaints.extend(dash_of(&word));
                continue;
            }
        };
        if has_value || flag.value == Value::None {
            continue;
        }
        let is_flag = |next: &str| exact(&flags, next).is_some() || meant(&flags, next).is_some();
        match words.peek().map(|next| is_flag(next)) {
            Some(true) if flag.value == Value::Required => {
                let name = &flag.names[0];
                complaints.push(format!("{name} needs a value: {}", accepted(name)));
            }
            Some(false) => drop(words.next()),
            // At the end of the line clap reports the missing value.
            _ => {}
        }
    }
    complaints
}

fn flags(command: &Command) -> Vec<Flag> {
    let flag = |arg: &clap::Arg| {
        let shorts = arg.get_short().into_iter().chain(arg.get_visible_short_aliases().unwrap_or_default());
        let longs = arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default());
        let shorts = shorts.map(|short| format!("-{short}"));
        let longs = longs.map(|long| format!("--{long}"));
        let names =
            if arg.get_long().is_some() { longs.chain(shorts).collect() } else { shorts.chain(longs).collect() };
        let value = match arg.get_num_args().map(|values| values.min_values()) {
            _ if !arg.get_action().takes_values() => Value::None,
            Some(0) => Value::Optional,
            _ => Value::Required,
        };
        Flag { names, value }
    };
    command.get_arguments().map(flag).filter(|flag: &Flag| !flag.names.is_empty()).collect()
}

/// The flag that this word is, and whether the word includes its value.
fn exact<'a>(flags: &'a [Flag], word: &str) -> Option<(&'a Flag, bool)> {
    flags.iter().find_map(|flag| {
        let name = flag.names.iter().find_map(|name| word.strip_prefix(name.as_str()).map(|rest| (name, rest)));
        match name? {
            (_, "") => Some((flag, false)),
            (_, rest) if rest.starts_with('=') => Some((flag, true)),
            // -p4170; but -ts is not -t.
            (name, _) if !name.starts_with("--") && flag.value == Value::Required && meant(flags, word).is_none() => {
                Some((flag, true))
            }
            _ => None,
        }
    })
}

/// The flag that this word would be with other hyphens or in another case, and which of its names was meant.
fn meant<'a>(flags: &'a [Flag], word: &str) -> Option<(&'a Flag, &'a str)> {
    let name = word.trim_start_matches(|char| dash(char).is_some());
    if name.len() == word.len() {
        return None;
    }
    // A space that is none for the shell may stand before the value, too.
    let name = name.split(|char: char| char == '=' || char.is_whitespace()).next()?;
    let name: String = name.chars().map(|char| if dash(char).is_some() { '-' } else { char }).collect();
    let names = flags.iter().flat_map(|flag| flag.names.iter().map(move |name| (flag, name.as_str())));
    let whole = |(_, candidate): &(&Flag, &str)| candidate.trim_start_matches('-').eq_ignore_ascii_case(&name);
    // First an exact match of case: -v is not -V if both exist.
    let found =
        names.clone().find(|(_, candidate)| candidate.trim_start_matches('-') == name).or(names.clone().find(whole));
    let found = found.or_else(|| {
        // –p4170
        let digits = name.get(1..)?.starts_with(|char: char| char.is_ascii_digit()) && dash_of(word).is_some();
        names.clone().find(|(_, candidate)| digits && candidate.len() == 2 && name.starts_with(&candidate[1..]))
    });
    found.filter(|(flag, candidate)| {
        let as_it_is =
            |name: &String| word == name || word.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('='));
        !flag.names.iter().any(as_it_is) && *candidate != word
    })
}

/// The name of a character that is a hyphen or looks like one.
fn dash(char: char) -> Option<&'static str> {
    Some(match char {
        '-' => "hyphen-minus",
        '\u{ad}' => "soft hyphen",
        '\u{2010}' => "typographic hyphen",
        '\u{2011}' => "non-breaking hyphen",
        '\u{2012}' => "figure dash",
        '\u{2013}' => "en dash",
        '\u{2014}' => "em dash",
        '\u{2015}' => "horizontal bar",
        '\u{2043}' => "hyphen bullet",
        '\u{2212}' => "minus sign",
        '\u{fe58}' => "small em dash",
        '\u{fe63}' => "small hyphen-minus",
        '\u{ff0d}' => "fullwidth hyphen-minus",
        _ => return None,
    })
}

/// What is wrong with a word that begins like a flag but with another dash than a hyphen, or has another dash in its
/// name.
fn dash_of(word: &str) -> Option<String> {
    word.chars().next().and_then(dash)?;
    let other = word.chars().filter(|char| *char != '-').find_map(dash)?;
    let article = if other.starts_with('e') { "an" } else { "a" };
    Some(format!("{:?} has {article} {other} for a hyphen", shown(word)))
}

/// As much of the given text as fits into a line.
pub fn shown(given: &str) -> String {
    match given.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &given[..end]),
        None => given.into(),
    }
}

/// How many characters of it that is.
const SHOWN: usize = 100;
