use super::*;

const GOOD: &str = "-a 127.0.0.1 -p 4170 --ts 100 --tff 20 --tcp 100 -r 4";

fn run(line: &str) -> Result<Run, Instead> {
    parse(std::iter::once("chord").chain(line.split_whitespace()).map(Into::into))
}

fn chord(line: &str) -> Result<Config, Instead> {
    run(line).map(|run| match run {
        Run::Node(host) => host.config,
        other => panic!("{line}: {other:?}"),
    })
}

fn chaos(line: &str) -> Chaos {
    match run(&format!("sim chaos {line}")) {
        Ok(Run::Sim(Sim::Chaos(chaos))) => chaos,
        other => panic!("{line}: {other:?}"),
    }
}

/// The complaint about a command line, without the help that it names at the end.
fn complaint(line: &str) -> String {
    let help = match line.split_whitespace().take_while(|word| !word.starts_with('-')).collect::<Vec<_>>()[..] {
        ["sim", which @ ("chaos" | "churn" | "lessons" | "merge" | "paper" | "ring" | "storm"), ..] => {
            format!("chord sim {which}")
        }
        [which @ ("sim" | "swarm"), ..] => format!("chord {which}"),
        _ => "chord".into(),
    };
    match run(line) {
        Err(Instead::Complain(why)) => match why.strip_suffix(&format!("; see {help} --help")) {
            Some(why) => why.into(),
            None => panic!("{line}: {why} names no help of {help}"),
        },
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn course_flags_make_a_configuration() {
    let config = chord(&format!("{GOOD} --ja 127.0.0.2 --jp 4171 -i {}", "0f".repeat(20))).unwrap();
    assert_eq!((config.listen.to_string(), config.advertise, config.successors), ("127.0.0.1:4170".into(), None, 4));
    assert_eq!(config.seeds, ["127.0.0.2:4171".parse().unwrap()]);
    assert_eq!(config.fix_fingers, Duration::from_millis(20));
    assert_eq!(config.id, Some(Id::from_bytes([0x0f; 20])));
    assert_eq!((config.rpc_timeout, config.lookup_timeout), (Duration::from_secs(1), Duration::from_secs(5)));
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn seed_may_have_a_name() {
    let seed = |host: &str| chord(&format!("{GOOD} --ja {host} --jp 4171")).unwrap().seeds[0].to_string();
    assert_eq!(seed("seed-1.example.org"), "seed-1.example.org:4171");
    assert_eq!(seed("2001:db8::1"), "[2001:db8::1]:4171");
}

#[test]
fn listening_is_not_advertising() {
    for (flag, listens) in [
        ("0.0.0.0", "0.0.0.0:4170"),
        ("0.0.0.0:5000", "0.0.0.0:5000"),
        ("[::]", "[::]:4170"),
        ("::", "[::]:4170"),
        ("[::1]:5000", "[::1]:5000"),
        ("192.0.2.7:0", "192.0.2.7:4170"),
    ] {
        let config = chord(&format!("{GOOD} --bind {flag}")).unwrap();
        assert_eq!(config.listen.to_string(), listens, "{flag}");
        assert_eq!(config.advertise, Some("127.0.0.1:4170".parse().unwrap()));
        assert_eq!(config.validate(), Ok(()));
    }
}

#[test]
fn each_flag_is_refused_outside_its_range_by_name() {
    for (flag, values) in [
        ("-a", vec!["0.0.0.0", "255.255.255.255", "224.0.0.1", "localhost", "::", "fe80::1", "[::1]", ""]),
        ("--bind", vec!["", "localhost", "1.2.3.4:", "1.2.3.4:65536", "[::1", "::1]", "[1.2.3.4]", "fe80::1%eth0"]),
        ("-p", vec!["0", "65536", "-1", "x"]),
        ("--ts", vec!["0", "60001", "-1", "1.5", "99999999999999999999999"]),
        ("--tff", vec!["0", "60001", "1s"]),
        ("--tcp", vec!["0", "60001"]),
        ("-r", vec!["0", "33", "-4"]),
        ("-i", vec!["ff", "-1"]),
        ("--rpc-timeout", vec!["0s", "61s", "5"]),
        ("--lookup-timeout", vec!["0ms", "2min"]),
    ] {
        for value in values {
            let args = GOOD.split(' ').collect::<Vec<_>>();
            let mut args: Vec<_> = match args.iter().position(|arg| *arg == flag) {
                Some(at) => [&args[..at], &args[at + 2..]].concat(),
                None => args,
            };
            args.extend([flag, value]);
            let parsed = parse(std::iter::once("chord").chain(args).map(Into::into));
            let Err(Instead::Complain(why)) = parsed else { panic!("{flag} {value}: {parsed:?}") };
            assert!(why.starts_with(flag) && why.contains(what_it_takes(ACCEPTED, flag)), "{why}");
            assert_eq!(why.lines().count(), 1, "{why}");
        }
    }
}

#[test]
fn missing_flags_are_all_named() {
    let why = complaint("-a 127.0.0.1 -p 4170");
    assert!(
        ["--ts (", "--tff (", "--tcp (", "-r (a number from 1 to 32)"].iter().all(|flag| why.contains(flag)),
        "{why}"
    );
    assert!(complaint(&format!("{GOOD} --ja 127.0.0.2")).contains("missing --jp (a number from 1 to 65535)"));
    assert!(complaint(&format!("{GOOD} --jp 4171")).contains("missing --ja ("));
    assert_eq!(complaint("-p"), "-p needs a value: a number from 1 to 65535");
}

#[test]
fn unknown_and_repeated_arguments_are_named() {
    assert_eq!(complaint(&format!("{GOOD} --foo")), "unknown argument \"--foo\"");
    assert_eq!(complaint("swam -n 4"), "unknown argument \"swam\": was swarm meant?");
    assert_eq!(complaint(&format!("{GOOD} -p 1")), "-p is given more than once");
    assert_eq!(complaint(&format!("{GOOD} 4170")), "unknown argument \"4170\"");
}

#[test]
fn strict_identifiers_exclude_one_of_ones_own() {
    assert!(!chord(GOOD).unwrap().strict_ids);
    assert!(chord(&format!("{GOOD} --strict-ids")).unwrap().strict_ids);
    let why = complaint(&format!("{GOOD} --strict-ids -i {}", "0f".repeat(20)));
    assert!(why.starts_with("-i and --strict-ids exclude each other"), "{why}");
    let why = complaint(&format!("{GOOD} --strict-ids=yes"));
    assert_eq!(why, "--strict-ids is \"yes\": it takes no value");
}

#[test]
fn node_does_not_join_itself() {
    assert!(complaint(&format!("{GOOD} --ja 127.0.0.1 --jp 4170")).contains("the node itself"));
}

#[test]
fn every_flag_has_its_range() {
    for arg in Args::command().get_arguments() {
        let name = arg.get_long().map_or_else(|| format!("-{}", arg.get_short().unwrap()), |long| format!("--{long}"));
        assert!(ACCEPTED.iter().any(|(flag, _)| *flag == name), "{name}");
    }
}

#[test]
fn histories_are_chosen_by_seed() {
    assert_eq!(chaos("").seeds, 0..200);
    assert_eq!(chaos("--seed 7").seeds, 7..8);
    let many = chaos("--seeds 5 --first 10 --nodes 16..32 --jobs 3 --json");
    assert_eq!((many.seeds, many.options.nodes, many.jobs, many.json), (10..15, 16..=32, 3, true));
    assert_eq!(chaos("--nodes 16").options.nodes, 16..=16);
    assert!(chaos("--seed 7 --trace").options.trace);
    assert_eq!(chaos("--seed 7 --record x").record, Some("x".into()));
    assert_eq!(chaos("--seeds 1 --first 7 --record x").seeds, 7..8);
}

#[test]
fn flags_of_histories_are_refused_by_name() {
    for (bad, expected) in [
        ("--seed -1", "--seed is \"-1\": it takes a number from 0 to 18446744073709551614"),
        ("--seeds 0", "--seeds is \"0\": it takes a number from 1 to 1000000000"),
        ("--first x", "--first is \"x\": it takes a number from 0 to 9223372036854775808"),
        ("--nodes 3..8", "--nodes is \"3..8\": it takes a range like 8..64, both ends from 4 to 1024"),
        ("--nodes 9..8", "--nodes is \"9..8\": it takes a range like 8..64, both ends from 4 to 1024"),
        ("--jobs 0", "--jobs is \"0\": it takes a number from 1 to 1024"),
        ("--jobs", "--jobs needs a value: a number from 1 to 1024"),
        ("--trace", "missing --seed (a number from 0 to 18446744073709551614)"),
        ("--seed 1 --seeds 2", "--seed can't be given together with --seeds"),
        ("--seed 1 --first 2", "--seed can't be given together with --first"),
        ("--seed 1 --seed 2", "--seed is given more than once"),
        ("--record x", "--record is of one history, and not of 200: name it with --seed"),
        ("--seeds 2 --record x", "--record is of one history, and not of 2: name it with --seed"),
        ("--seed 1 --record", "--record needs a value: the path of a file"),
        ("--xyz", "unknown argument \"--xyz\""),
    ] {
        assert_eq!(complaint(&format!("sim chaos {bad}")), expected);
    }
    assert_eq!(
        complaint("sim"),
        "sim needs to be told what to run: chord sim chaos, churn, lessons, merge, paper, ring or storm"
    );
    assert_eq!(complaint("sim fly"), "unknown argument \"fly\"");
    assert_eq!(complaint(&format!("{GOOD} sim chaos")), "sim can't be given together with the flags of a node");
    assert_eq!(complaint("sim chaos -n 3"), complaint("sim chaos --nodes 3"));
}

#[test]
fn experiments_are_chosen_by_letter() {
    let paper = |line: &str| match run(&format!("sim paper {line}")) {
        Ok(Run::Sim(Sim::Paper(paper))) => paper,
        other => panic!("{line}: {other:?}"),
    };
    let letters = |paper: &Paper| paper.experiments.iter().map(|one| one.letter()).collect::<String>();
    assert_eq!((letters(&paper("")), paper("").out), ("BCDEFGHI".into(), "chord-paper".into()));
    assert_eq!(letters(&paper("--only f,B,f")), "BF");
    for (bad, expected) in [
        ("--only A", "--only is \"A\": it takes letters from B to I, with commas between"),
        ("--only B,", "--only is \"B,\": it takes letters from B to I, with commas between"),
        ("--only BC", "--only is \"BC\": it takes letters from B to I, with commas between"),
        ("--out", "--out needs a value: a directory"),
        ("--only B --only C", "--only is given more than once"),
        ("--quick=no", "--quick is \"no\": it takes no value"),
    ] {
        assert_eq!(complaint(&format!("sim paper {bad}")), expected);
    }
}

#[test]
fn lessons_have_a_directory() {
    let out = |line: &str| match run(&format!("sim lessons {line}")) {
        Ok(Run::Sim(Sim::Lessons(lessons))) => lessons.out,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!((out(""), out("--out x")), ("chord-lessons".into(), "x".into()));
    assert_eq!(complaint("sim lessons --out"), "--out needs a value: a directory");
}

/// A command line copied from a PDF used to be answered with an unknown flag -t.
#[test]
fn flag_that_was_meant_is_named() {
    for (line, expected) in [
        ("–ts 1000", "\"–ts\" has an en dash for a hyphen: --ts was meant"),
        ("—ts 1000", "\"—ts\" has an em dash for a hyphen: --ts was meant"),
        ("−p 4170", "\"−p\" has a minus sign for a hyphen: -p was meant"),
        ("‐‐tff=9", "\"‐‐tff=9\" has a typographic hyphen for a hyphen: --tff was meant"),
        ("–p4170", "\"–p4170\" has an en dash for a hyphen: -p was meant"),
        ("--rpc–timeout 1s", "\"--rpc–timeout\" has an en dash for a hyphen: --rpc-timeout was meant"),
        ("–foo", "\"–foo\" has an en dash for a hyphen"),
        ("-ts 1000", "unknown argument \"-ts\": --ts was meant"),
        ("-tff 1000", "unknown argument \"-tff\": --tff was meant"),
        ("-ja 127.0.0.1", "unknown argument \"-ja\": --ja was meant"),
        ("-rpc-timeout 1s", "unknown argument \"-rpc-timeout\": --rpc-timeout was meant"),
        ("--p 4170", "unknown argument \"--p\": -p was meant"),
        ("--TCP 1000", "unknown argument \"--TCP\": --tcp was meant"),
        ("--tsx 1000", "unknown argument \"--tsx\": was --ts meant?"),
        ("-p –ts 1", "-p needs a value: a number from 1 to 65535; \"–ts\" has an en dash for a hyphen: --ts was meant"),
        ("swarm –n 4", "\"–n\" has an en dash for a hyphen: -n was meant"),
        ("swarm -nodes 4", "unknown argument \"-nodes\": --nodes was meant"),
        ("sim ring -seed 4", "unknown argument \"-seed\": --seed was meant"),
    ] {
        assert_eq!(complaint(line), expected, "{line}");
    }
    assert!(complaint(&format!("--{}", "x".repeat(10_000))).len() < 300, "one write takes a line");
}

/// `-p --ts 1000` used to blame 1000, and `-p -r 4` the 4.
#[test]
fn flag_without_its_value_is_named_and_not_the_next_word() {
    for line in ["-p --ts 1000", "-p -r 4", "-p --ts=1000", "-p -a127.0.0.1", "-a 127.0.0.1 -p --tff 1", "-p -h"] {
        assert_eq!(complaint(line), "-p needs a value: a number from 1 to 65535", "{line}");
    }
    assert!(complaint("--ja --jp 4170 -r --ts 1").starts_with("--ja needs a value: an address or a name"));
    assert!(complaint("--ja --jp 4170 -r --ts 1").contains("; -r needs a value: a number from 1 to 32"));
    assert_eq!(complaint("swarm -n --clients 4"), "-n needs a value: a number from 1 to 16384");
    assert_eq!(complaint("-p −1"), "-p is \"−1\": it takes a number from 1 to 65535");
    let Ok(Run::Sim(Sim::Ring(ring))) = run("sim ring -n 3 --script --seed 4") else { panic!("a script may be -") };
    assert_eq!((ring.script, ring.seed), (Some(Script::StandardInput), 4));
}

#[test]
fn what_was_given_for_an_address_is_said() {
    for (flag, given, what) in [
        ("-a", "localhost", "a name"),
        ("-a", "eth0", "a network interface"),
        ("-a", "fe80::1", "a link-local IPv6 address"),
        ("--ja", "0.0.0.0", "all addresses"),
        ("--ja", "a..b", "no name of a host"),
        ("--ja", "1.2.3.4:4170", "an address with a port"),
    ] {
        let why = complaint(&format!("{flag} {given}"));
        assert!(why.starts_with(&format!("{flag} is {given:?}, {what}")), "{why}");
        assert!(why.contains("like 128.8.126.63"), "{why}");
    }
}

#[test]
fn loopback_node_that_joins_another_machine_is_warned() {
    let warning = |line: &str| match run(&format!("{GOOD} {line}")) {
        Ok(Run::Node(host)) => host.warning,
        other => panic!("{line}: {other:?}"),
    };
    assert!(warning("--ja 192.0.2.1 --jp 4170").is_some_and(|why| why.contains("nobody there can call this node")));
    assert_eq!(warning("--ja 127.0.0.2 --jp 4170"), None);
    let Ok(Run::Swarm(swarm)) = run("swarm -n 4 --ja 192.0.2.1 --jp 4170") else { panic!("it is a swarm") };
    assert!(swarm.warning.is_some());
}

#[test]
fn no_arguments_are_answered_with_both_examples() {
    let Err(Instead::Usage(usage)) = run("") else { panic!("there is help") };
    let examples: Vec<&str> = usage.lines().filter_map(|line| line.strip_prefix("  chord ")).collect();
    let [create, join] = examples[..] else { panic!("two examples: {usage}") };
    assert_eq!(chord(create).unwrap().seeds, []);
    assert_eq!(chord(join).unwrap().seeds, ["127.0.0.1:4170".parse().unwrap()]);
}

#[test]
fn help_is_a_word_too() {
    let printed = |line: &str| match run(line) {
        Err(Instead::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    };
    for (word, flag) in [
        ("help", "--help"),
        ("help help", "--help"),
        ("help swarm", "swarm --help"),
        ("swarm help", "swarm --help"),
        ("help sim", "sim --help"),
        ("sim help", "sim --help"),
        ("help sim ring", "sim ring --help"),
        ("sim help ring", "sim ring --help"),
        ("sim ring help", "sim ring --help"),
    ] {
        assert_eq!(printed(word), printed(flag), "{word}");
    }
    for line in ["help fly", "help swarm ring", "sim help fly"] {
        assert!(matches!(run(line), Err(Instead::Complain(why)) if why.contains("there is chord help")), "{line}");
    }
}

#[test]
fn help_and_version_are_printed() {
    assert!(matches!(chord("--help"), Err(Instead::Print(help)) if help.contains("--tff <MS>")));
    assert!(matches!(chord("--version"), Err(Instead::Print(version)) if version.starts_with("chord ")));
}
