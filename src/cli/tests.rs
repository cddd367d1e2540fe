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

fn complaint(line: &str) -> String {
    match run(line) {
        Err(Instead::Complain(why)) => why,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn course_flags_make_a_configuration() {
    let config = chord(&format!("{GOOD} --ja 127.0.0.2 --jp 4171 -i {}", "0f".repeat(20))).unwrap();
    assert_eq!(config.address, Ipv4Addr::LOCALHOST);
    assert_eq!((config.port, config.r), (4170, 4));
    assert_eq!(config.seeds, ["127.0.0.2:4171".parse().unwrap()]);
    assert_eq!(config.fix_fingers, Duration::from_millis(20));
    assert_eq!(config.id, Some(Id::from_bytes([0x0f; 20])));
    assert_eq!((config.rpc_timeout, config.lookup_timeout), (Duration::from_secs(1), Duration::from_secs(5)));
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn each_flag_is_refused_outside_its_range_by_name() {
    for (flag, values) in [
        ("-a", vec!["0.0.0.0", "255.255.255.255", "224.0.0.1", "localhost", "::1", ""]),
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
    assert_eq!(complaint(&format!("{GOOD} --foo")), "unknown argument \"--foo\": see chord --help");
    assert_eq!(complaint(&format!("{GOOD} -p 1")), "-p is given more than once");
    assert_eq!(complaint(&format!("{GOOD} stray")), "unknown argument \"stray\": see chord --help");
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
        ("--foo", "unknown argument \"--foo\": see chord --help"),
    ] {
        assert_eq!(complaint(&format!("sim chaos {bad}")), expected);
    }
    assert_eq!(
        complaint("sim"),
        "sim needs to be told what to run: chord sim chaos, churn, merge, paper, ring or storm"
    );
    assert_eq!(complaint("sim fly"), "unknown argument \"fly\": see chord --help");
    assert_eq!(complaint(&format!("{GOOD} sim chaos")), "sim can't be given together with the flags of a node");
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
fn help_and_version_are_printed() {
    assert!(matches!(chord("--help"), Err(Instead::Print(help)) if help.contains("--tff <MS>")));
    assert!(matches!(chord("--version"), Err(Instead::Print(version)) if version.starts_with("chord ")));
}
