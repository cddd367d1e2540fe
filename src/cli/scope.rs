//! The command to which arguments belong, and requests for help.

use std::ffi::OsString;

use super::{ACCEPTED, Accepted, Instead, SHELL, ask, play, serve, sim, swarm};

/// Printed if there are no arguments.
pub const USAGE: &str = "\
chord runs a node of a Chord ring. The first creates a ring, and others join it:

  chord -a 127.0.0.1 -p 4170 --ts 1000 --tff 1000 --tcp 1000 -r 4
  chord -a 127.0.0.1 -p 4171 --ja 127.0.0.1 --jp 4170 --ts 1000 --tff 1000 --tcp 1000 -r 4

-a and -p are its address, as others call it; --ja and --jp that of a node of the ring; --ts, --tff and --tcp the
milliseconds between runs of stabilize, fix fingers and check predecessor; -r the length of the successor list.
chord serve needs no flags at all. More: chord help, chord help serve, chord help check (asking a running ring),
chord help swarm (many nodes in one process), chord help sim (rings on a virtual clock).
";

/// The command to which arguments belong.
pub struct Scope<'a> {
    /// As it is called, like `chord sim ring`.
    pub name: String,
    pub command: &'a clap::Command,
    /// What its flags accept.
    pub accepted: Accepted,
    /// Where its own arguments begin.
    pub words: usize,
}

impl Scope<'_> {
    /// The command that these arguments name.
    pub fn of<'a>(args: &[OsString], command: &'a clap::Command) -> Scope<'a> {
        let mut scope = Scope { name: "chord".into(), command, accepted: ACCEPTED, words: 1 };
        while let Some(word) = args.get(scope.words)
            && let Some(command) = word.to_str().and_then(|word| scope.command.find_subcommand(word))
        {
            let name = command.get_name();
            scope.accepted = match name {
                "serve" => serve::ACCEPTED,
                "swarm" => swarm::ACCEPTED,
                "play" => play::ACCEPTED,
                "completions" => &[("<SHELL>", SHELL)],
                name if ask::NAMES.contains(&name) && scope.words == 1 => ask::ACCEPTED,
                name => sim::accepted(name),
            };
            scope = Scope { name: format!("{} {name}", scope.name), command, words: scope.words + 1, ..scope };
        }
        scope
    }
}

/// The arguments that ask for the same help with a flag, if these ask for it as `chord help sim` or `chord sim help`
/// do.
pub fn asked_for_help(args: &[OsString], command: &clap::Command) -> Result<Option<Vec<OsString>>, Instead> {
    let scope = Scope::of(args, command);
    if args.get(scope.words).is_none_or(|word| !word.eq_ignore_ascii_case("help")) {
        return Ok(None);
    }
    let mut path = args.to_vec();
    path.remove(scope.words);
    let of = Scope::of(&path, command);
    match path.get(of.words) {
        Some(unknown) if !unknown.eq_ignore_ascii_case("help") => {
            let names: Vec<_> = of.command.get_subcommands().map(|command| command.get_name()).collect();
            let others = if names.is_empty() { String::new() } else { format!(" {}", names.join(", ")) };
            let there_is = format!("there is chord help{}{others}", &of.name["chord".len()..]);
            Err(Instead::Complain(format!("there is no help on {unknown:?}; {there_is}")))
        }
        _ => {
            path.truncate(of.words);
            path.push("--help".into());
            Ok(Some(path))
        }
    }
}
