//! Settings from a file, from the environment and from flags: each of these goes before the ones before it.
//!
//! A setting has the name of its flag in all of them: `--rpc-timeout` is `CHORD_RPC_TIMEOUT` in the environment, and
//! `rpc-timeout` or `rpc_timeout` in the file. So flags are the only form that is ever parsed: what the file and the
//! environment give is turned into flags, and each is checked alone, so that an error names its place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use toml::de::{DeTable, DeValue};

use crate::cli::one_line;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Flag,
    /// A variable of the environment.
    Environment(String),
    /// A line of a file.
    File(PathBuf, usize),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("command line"),
            Source::Environment(name) => f.write_str(name),
            Source::File(path, line) => write!(f, "{}, line {line}", path.display()),
        }
    }
}

/// The sources of the settings that were given, by name.
pub type Sources = BTreeMap<String, Source>;

/// A setting that is not given by a flag: its name, its values, and where it stands.
struct Given {
    name: String,
    values: Vec<String>,
    source: Source,
}

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Puts the layers together: `words` are the flags of `command`, which clap accepts.
pub fn layered(
    words: &[OsString],
    command: &Command,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<(ArgMatches, Sources), String> {
    let parse = |words: Vec<OsString>| {
        let words = std::iter::once(command.get_name().into()).chain(words);
        command.clone().try_get_matches_from(words).map_err(|error| one_line(&error, super::ACCEPTED))
    };
    let flags = parse(words.to_vec())?;
    let by_flag = |name: &str| flags.value_source(&name.replace('-', "_")) == Some(ValueSource::CommandLine);
    let variables = from_environment(command, environment)?;
    let file = match flags.get_one::<PathBuf>("config") {
        Some(path) => Some(path.clone()),
        None => variables.iter().find(|given| given.name == "config").map(|given| PathBuf::from(&given.values[0])),
    };
    let lines = file.map(|path| from_file(&path, command)).transpose()?.unwrap_or_default();
    let mut given: BTreeMap<String, Given> = BTreeMap::new();
    for one in lines.into_iter().chain(variables) {
        // Checked even if a flag goes before it: a wrong line is wrong without the flag, too.
        parse(as_flags(&one)).map_err(|why| format!("{}: {why}", one.source))?;
        given.insert(one.name.clone(), one);
    }
    given.retain(|name, _| !by_flag(name));
    let mut sources: Sources = given.values().map(|one| (one.name.clone(), one.source.clone())).collect();
    let settings = names(command).filter(|name| by_flag(name));
    sources.extend(settings.map(|name| (name.to_string(), Source::Flag)));
    let all = given.values().flat_map(as_flags).chain(words.iter().cloned()).collect();
    Ok((parse(all)?, sources))
}

/// The settings of a command.
fn names(command: &Command) -> impl Iterator<Item = &str> {
    command.get_arguments().filter_map(clap::Arg::get_long).filter(|name| !["help", "print-config"].contains(name))
}

fn as_flags(given: &Given) -> Vec<OsString> {
    given.values.iter().map(|value| format!("--{}={value}", given.name).into()).collect()
}

/// The variable of the environment that gives this setting.
fn variable(name: &str) -> String {
    format!("CHORD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// An empty variable is as good as none.
fn from_environment(command: &Command, environment: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Given>, String> {
    let given = names(command).filter_map(|name| {
        let variable = variable(name);
        let value = environment(&variable).filter(|value| !value.is_empty())?;
        Some(match value.into_string() {
            Ok(value) => Ok(Given { name: name.into(), values: vec![value], source: Source::Environment(variable) }),
            Err(value) => Err(format!("{variable} is {value:?}: that is not UTF-8")),
        })
    });
    given.collect()
}

fn from_file(path: &Path, command: &Command) -> Result<Vec<Given>, String> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    read.map_err(|why| format!("can't read {shown}: {why}"))?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("{shown} is longer than {MAX_FILE} bytes"));
    }
    let line = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("{shown}, line {}: {}", line(at), error.message())
    })?;
    let mut given = Vec::new();
    for (key, value) in table.get_ref() {
        let at = line(key.span().start);
        let name = key.get_ref().replace('_', "-");
        let complain = |why: String| Err(format!("{shown}, line {at}: {why}"));
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(&name));
        let Some(arg) = arg.filter(|_| !["help", "config", "print-config"].contains(&&*name)) else {
            return complain(format!("unknown key {:?}{}", key.get_ref(), nearest(&name, command)));
        };
        let values = match value.get_ref() {
            DeValue::Array(many) if matches!(arg.get_action(), ArgAction::Append) => {
                many.iter().map(|one| scalar(one.get_ref())).collect()
            }
            one => scalar(one).map(|value| vec![value]),
        };
        match values {
            Some(values) => given.push(Given { name, values, source: Source::File(path.into(), at) }),
            None => {
                return complain(format!(
                    "{name} is {}: it takes a text, a number or a truth value",
                    value.get_ref().type_str()
                ));
            }
        }
    }
    Ok(given)
}

/// A value as a flag takes it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().into()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The known key that resembles this one, as the end of a sentence.
fn nearest(name: &str, command: &Command) -> String {
    let similar = names(command).map(|known| (strsim::jaro_winkler(name, known), known));
    let best = similar.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(likeness, _)| *likeness > 0.7);
    best.map(|(_, known)| format!(": was {known} meant?")).unwrap_or_default()
}
