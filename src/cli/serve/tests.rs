use std::collections::BTreeMap;
use std::fs;

use clap::{Args as _, Command};

use super::*;

/// A file of this test, removed at its end.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, text: &str) -> Written {
        let path = std::env::temp_dir().join(format!("chord-serve-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Written(path)
    }

    fn flag(&self) -> String {
        format!("--config {}", self.0.display())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn read_all(line: &str, environment: &[(&str, &str)]) -> Result<Served, String> {
    let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
    let variables: BTreeMap<&str, &str> = environment.iter().copied().collect();
    let mut command = Args::augment_args(Command::new("serve"));
    command.build();
    read(&words, &command, |name| variables.get(name).map(OsString::from))
}

fn serve(line: &str, environment: &[(&str, &str)]) -> Result<Serve, String> {
    match read_all(line, environment)? {
        Served::Run(serve) => Ok(*serve),
        Served::Print(settings) => Err(settings),
    }
}

fn complaint(line: &str) -> String {
    serve(line, &[]).unwrap_err()
}

#[test]
fn nothing_is_needed() {
    let serve = serve("", &[]).unwrap();
    let expected = Config { successors: 8, if_alone: IfAlone::Create, ..Config::at(([127, 0, 0, 1], PORT)) };
    assert_eq!(serve.config, expected);
    assert_eq!((serve.virtual_nodes, serve.remember, serve.asks, serve.warning), (1, None, true, None));
    assert!(serve.config.listen.ip().is_loopback(), "nothing listens beyond loopback unless asked");
}

#[test]
fn flag_goes_before_the_environment_and_that_before_the_file() {
    let file = Written::new("layers", "rpc_timeout = '2s'\nlookup-timeout = '6s'\nstabilize = '3s'\nsuccessors = 5\n");
    let environment = [("CHORD_RPC_TIMEOUT", "3s"), ("CHORD_LOOKUP_TIMEOUT", "7s"), ("CHORD_STRICT_IDS", "true")];
    let serve = serve(&format!("{} --rpc-timeout 4s", file.flag()), &environment).unwrap();
    let seconds = Duration::from_secs;
    let config = &serve.config;
    assert_eq!((config.rpc_timeout, config.lookup_timeout, config.stabilize), (seconds(4), seconds(7), seconds(3)));
    assert_eq!((config.successors, config.strict_ids, serve.asks), (5, true, false));
    // The file may be named in the environment, and an empty variable is none.
    let path = file.0.display().to_string();
    let serve =
        super::tests::serve("--strict-ids=false", &[("CHORD_CONFIG", &path), ("CHORD_SUCCESSORS", ""), environment[2]]);
    let config = serve.unwrap().config;
    assert_eq!((config.successors, config.strict_ids), (5, false));
}

#[test]
fn seeds_of_a_layer_replace_those_of_the_one_before() {
    let file = Written::new("seeds", "join = ['a.example', '127.0.0.1:9001']\n");
    let seeds = |line: &str, environment: &[(&str, &str)]| {
        let config = serve(&format!("{} {line}", file.flag()), environment).unwrap().config;
        config.seeds.iter().map(Seed::to_string).collect::<Vec<_>>()
    };
    assert_eq!(seeds("", &[]), ["a.example:9000", "127.0.0.1:9001"]);
    let variable = [("CHORD_JOIN", "b.example:7,::1")];
    assert_eq!(seeds("", &variable), ["b.example:7", "[::1]:9000"]);
    assert_eq!(seeds("--join c.example --join d.example:8", &variable), ["c.example:9000", "d.example:8"]);
    // A node may be given a list with itself in it.
    assert_eq!(seeds("--join 127.0.0.1:9000,127.0.0.1:9002", &[]), ["127.0.0.1:9002"]);
}

#[test]
fn joiner_waits_and_creator_creates() {
    let if_alone = |line: &str| serve(line, &[]).unwrap().config.if_alone;
    assert_eq!([if_alone(""), if_alone("--join a.example")], [IfAlone::Create, IfAlone::Wait]);
    assert_eq!(if_alone("--join a.example --if-alone exit"), IfAlone::GiveUp);
    assert!(serve("--if-alone exit", &[]).unwrap().knows_if_alone);
}

#[test]
fn profile_sets_all_paces_and_a_flag_one() {
    let paces = |line: &str| {
        let config = serve(line, &[]).unwrap().config;
        (config.stabilize, config.rpc_timeout, config.lookup_timeout, config.successors)
    };
    let millis = Duration::from_millis;
    assert_eq!(paces("--profile test"), (millis(100), millis(500), millis(2500), 4));
    assert_eq!(paces("--profile wan --stabilize 2s"), (millis(2000), millis(4000), millis(20_000), 12));
    for profile in Profile::value_variants() {
        let pace = profile.pace();
        assert!(pace.lookup_timeout >= 5 * pace.rpc_timeout, "a lookup may meet two silent nodes");
        let config = serve(&format!("--profile {}", profile.name()), &[]).unwrap().config;
        assert_eq!(config.validate(), Ok(()));
    }
    assert_eq!(paces("--virtual-nodes 64").3, 16, "they die together");
    assert_eq!(paces("--virtual-nodes 64 --successors 4").3, 4);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        ("\n\nsuccesors = 4", "line 3: unknown key \"succesors\": was successors meant?"),
        ("colour = 'red'", "line 1: unknown key \"colour\""),
        ("config = 'x'", "line 1: unknown key \"config\""),
        ("print-config = true", "line 1: unknown key \"print-config\""),
        ("successors = 4\nsuccessors = 5", "line 2: duplicate key"),
        ("listen = [", "line 1: unclosed array"),
        ("successors = 99", "line 1: --successors is \"99\": it takes a number from 1 to 32"),
        ("successors = 0x10", "line 1: successors is integer: it takes a text, a number or a truth value"),
        ("listen = ['127.0.0.1']", "line 1: listen is array"),
        ("strict-ids = 'perhaps'", "line 1: --strict-ids is \"perhaps\": it takes true or false"),
        ("[node]\nid = 1", "line 1: unknown key \"node\""),
    ] {
        let file = Written::new("wrong", text);
        let why = complaint(&file.flag());
        assert!(why.contains(expected) && why.starts_with(&file.0.display().to_string()), "{text}: {why}");
    }
    let long = Written::new("long", &"#".repeat(70_000));
    assert!(complaint(&long.flag()).contains("longer than 65536 bytes"));
    assert!(complaint("--config /nowhere/at-all.toml").starts_with("can't read /nowhere/at-all.toml: No such file"));
    let why = serve("", &[("CHORD_SUCCESSORS", "many")]).unwrap_err();
    assert_eq!(why, "CHORD_SUCCESSORS: --successors is \"many\": it takes a number from 1 to 32");
    // Wrong, though a flag goes before it.
    assert!(serve("--successors 4", &[("CHORD_SUCCESSORS", "many")]).is_err());
    for (line, expected) in [
        ("--advertise 0.0.0.0", "--advertise is \"0.0.0.0\""),
        ("--join a/b", "--join is \"a/b\""),
        ("--join-timeout 2h", "--join-timeout is \"2h\""),
        ("--if-alone perhaps", "--if-alone is \"perhaps\": it takes create, exit or wait"),
        ("--no-plain-peers=no", "--no-plain-peers is \"no\": it takes true or false"),
        ("--profile mars", "--profile is \"mars\": it takes lan, wan or test"),
        ("--virtual-nodes 2 --id 0000000000000000000000000000000000000001", "--id and --virtual-nodes exclude"),
        ("--strict-ids --id 0000000000000000000000000000000000000001", "--id and --strict-ids exclude"),
        ("--listen 127.0.0.1:65535 --virtual-nodes 2", "--virtual-nodes is 2: from port 65535 of --listen"),
    ] {
        let why = complaint(line);
        assert!(why.contains(expected), "{line}: {why}");
    }
}

#[test]
fn printed_settings_are_a_file_that_says_the_same() {
    let line = "--listen 127.0.0.1:9007 --join a.example,127.0.0.1:9001 --profile wan --id 00000000000000000000000000000000000000ff \
                --ring music --no-plain-peers --remember /tmp/x --iterative --join-timeout 1m";
    let printed = serve(&format!("{line} --print-config"), &[("CHORD_RPC_TIMEOUT", "2s")]).unwrap_err();
    for (setting, source) in [
        ("listen = \"127.0.0.1:9007\"", "command line"),
        ("rpc-timeout = \"2s\"", "CHORD_RPC_TIMEOUT"),
        ("stabilize = \"3s\"", "profile wan"),
        ("strict-ids = false", "default"),
        ("# advertise", "default"),
    ] {
        let stands = |text: &str| text.starts_with(setting) && text.ends_with(&format!("# {source}"));
        assert!(printed.lines().any(stands), "{setting}, {source}:\n{printed}");
    }
    let file = Written::new("printed", &printed);
    let [given, again] = [serve(line, &[("CHORD_RPC_TIMEOUT", "2s")]), serve(&file.flag(), &[])].map(Result::unwrap);
    assert_eq!((given.config, given.remember), (again.config, again.remember));
    // Every setting is printed.
    let command = Args::augment_args(Command::new("serve"));
    for name in command.get_arguments().filter_map(clap::Arg::get_long) {
        let line = |line: &str| line.trim_start_matches("# ").split(' ').next() == Some(name);
        assert!(printed.lines().any(line) || ["config", "print-config"].contains(&name), "{name}");
    }
}

#[test]
fn node_at_all_addresses_is_called_at_that_of_the_default_route() {
    match default_route(false) {
        Some(ip) => {
            let serve = serve("--listen 0.0.0.0:9008", &[]).unwrap();
            assert_eq!(serve.config.advertise, Some(Addr::new(ip, 9008)));
        }
        None => assert!(complaint("--listen 0.0.0.0").contains("--advertise")),
    }
    let serve = serve("--listen 0.0.0.0 --advertise 127.0.0.1:7", &[]).unwrap();
    assert_eq!(serve.config.advertise, Some("127.0.0.1:7".parse().unwrap()));
}

#[test]
fn every_flag_has_its_values() {
    let command = Args::augment_args(Command::new("serve"));
    for name in command.get_arguments().filter_map(clap::Arg::get_long) {
        assert!(ACCEPTED.iter().any(|(flag, _)| flag.strip_prefix("--") == Some(name)), "{name}");
    }
}
