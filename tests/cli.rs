//! The `chord` command as users meet it: arguments, exit status, console, signals.

#[path = "support/process.rs"]
mod process;

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use chord::{Id, Peer};
use process::{Process, eventually, free_addrs};
use rustix::process::Signal;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `chord` until it ends by itself.
fn chord(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chord")).args(args).stdin(Stdio::null()).output().expect("chord starts")
}

/// The flags of a node at `addr`.
fn flags(addr: SocketAddrV4) -> Vec<String> {
    let line = format!("-a {} -p {} --ts 100 --tff 20 --tcp 100 -r 4", addr.ip(), addr.port());
    line.split(' ').map(String::from).collect()
}

fn run(addr: SocketAddrV4, more: &[&str]) -> Output {
    let flags = flags(addr);
    chord(&flags.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
}

/// A ring of one.
fn one() -> Process {
    Process::start(free_addrs(1)[0], None, 4)
}

fn assert_fails(output: &Output, status: i32, names: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{errors}");
    assert_eq!(output.stdout, b"", "standard output is for answers");
    assert_eq!(errors.lines().count(), 1, "one clear line: {errors}");
    for name in names {
        assert!(errors.contains(name), "{name} expected: {errors}");
    }
}

#[test]
fn bad_arguments_are_one_line_and_status_2() {
    let good = "-a 127.0.0.1 -p 4170 --ts 100 --tff 20 --tcp 100 -r 4";
    for (bad, names) in [
        (good.replace("127.0.0.1", "0.0.0.0"), ["-a", "an IPv4 address"]),
        (good.replace("4170", "65536"), ["-p", "from 1 to 65535"]),
        (good.replace("--ts 100", "--ts 0"), ["--ts", "from 1 to 60000"]),
        (good.replace("-r 4", "-r 33"), ["-r", "from 1 to 32"]),
        (format!("{good} -i 0f"), ["-i", "40 hexadecimal digits"]),
        (format!("{good} --ja 127.0.0.1 --jp 4170"), ["--ja", "itself"]),
        (format!("{good} --ja 127.0.0.1"), ["--jp", "from 1 to 65535"]),
        (good.replace(" -r 4", ""), ["-r", "from 1 to 32"]),
        (format!("{good} --verbose"), ["--verbose", "chord --help"]),
        (String::new(), ["-a", "--tcp"]),
    ] {
        let args: Vec<_> = bad.split_whitespace().collect();
        assert_fails(&chord(&args), 2, &names);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = chord(&["--help"]);
    assert_eq!((help.status.code(), help.stderr), (Some(0), vec![]));
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        ["--ja", "--tff", "--rpc-timeout", "1 to 60000", "Lookup"].iter().all(|word| text.contains(word)),
        "{text}"
    );
    let version = chord(&["--version"]);
    assert_eq!(version.stdout, format!("chord {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn port_that_is_taken_is_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = run(SocketAddrV4::new([127, 0, 0, 1].into(), port), &[]);
    assert_fails(&output, 1, &[&format!("127.0.0.1:{port}"), "in use"]);
}

#[test]
fn address_of_another_machine_is_status_1() {
    let elsewhere: SocketAddrV4 = "192.0.2.1:4170".parse().unwrap();
    assert_fails(&run(elsewhere, &[]), 1, &["192.0.2.1:4170", "assign requested address"]);
}

#[test]
fn seed_that_does_not_answer_is_named_after_ten_seconds() {
    let addrs = free_addrs(2);
    let began = Instant::now();
    let port = addrs[1].port().to_string();
    let output = run(addrs[0], &["--ja", "127.0.0.1", "--jp", &port]);
    assert_fails(&output, 1, &[&addrs[1].to_string(), "no answer"]);
    assert!(began.elapsed() >= 10 * SECOND, "it may be starting");
}

#[test]
fn seed_that_starts_later_is_joined() {
    let addrs = free_addrs(2);
    let mut early = Process::start(addrs[0], Some(addrs[1]), 4);
    eventually(5 * SECOND, || std::net::TcpStream::connect(addrs[0]).map(drop).map_err(|error| error.to_string()));
    let late = Process::start(addrs[1], None, 4);
    eventually(5 * SECOND, || {
        let state = early.state(4);
        if state.successors[0] == late.peer { Ok(()) } else { Err(format!("{state:?}")) }
    });
}

#[test]
fn identifier_that_is_taken_is_status_1() {
    let addrs = free_addrs(3);
    let taken = "0f".repeat(20);
    let first = Process::start(addrs[0], None, 4);
    let join: [&str; 4] = ["--ja", "127.0.0.1", "--jp", &first.peer.addr.port().to_string()];
    let second = flags(addrs[1]);
    let second: Vec<&str> = second.iter().map(String::as_str).chain(join).chain(["-i", &taken]).collect();
    let mut second = Process::with_flags(addrs[1], &second);
    assert_eq!(second.state(4).me, Peer { id: taken.parse().unwrap(), addr: addrs[1] });
    let output = run(addrs[2], &[&join[..], &["-i", &taken]].concat());
    assert_fails(&output, 1, &["taken", &taken, &addrs[1].to_string()]);
}

#[test]
fn lookup_answers_with_two_lines() {
    let mut node = one();
    node.write(b"Lookup Hello\n");
    assert_eq!(node.line(), "< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0");
    assert_eq!(node.line(), format!("< {}", node.peer));
    node.write(b"Lookup to be  or not\n");
    assert!(node.line().starts_with("< to be  or not "));
    assert_eq!(node.line(), format!("< {}", node.peer));
}

#[test]
fn print_state_of_a_ring_of_one_is_itself_everywhere() {
    let mut node = one();
    node.write(b"PrintState\n");
    assert_eq!(node.line(), format!("< Self {}", node.peer));
    for (name, count) in [("Successor", 4), ("Finger", 160)] {
        for i in 1..=count {
            assert_eq!(node.line(), format!("< {name} [{i}] {}", node.peer));
        }
    }
}

#[test]
fn answers_come_in_the_order_of_the_commands_and_unbroken() {
    let mut node = one();
    let commands: String = (0..200).map(|i| format!("Lookup {i}\n\n \nPrintState\nnonsense {i}\n")).collect();
    node.write(commands.as_bytes());
    for i in 0..200 {
        assert!(node.line().starts_with(&format!("< {i} ")));
        assert_eq!(node.line(), format!("< {}", node.peer));
        assert!(node.line().starts_with("< Self "));
        (0..164).for_each(|_| assert!(node.line().contains('[')));
        assert!(node.line().starts_with("< Error: unknown command; there are Lookup <key>, PrintState, Help, Quit"));
    }
}

#[test]
fn lines_of_any_length_and_any_bytes_do_no_harm() {
    let mut node = one();
    node.write(&[&[b'x'; 1 << 20][..], b"\n"].concat());
    assert_eq!(node.line(), "< Error: the line is longer than 65536 bytes");
    node.write(b"\x00\x1b[2J\xff\xfe\r\n");
    assert!(node.line().starts_with("< Error: unknown command"));
    node.write(b"Lookup\n");
    assert!(node.line().starts_with("< Error: Lookup needs a key"));
    node.write(b"Lookup \xc3\xa9\r\n");
    assert!(node.line().starts_with("< \u{e9} "));
    assert_eq!(node.line(), format!("< {}", node.peer));
    node.write(b"Help\n");
    assert!((0..4).all(|_| node.line().starts_with("< ")));
}

#[test]
fn console_ends_with_quit_and_signals_with_status_0() {
    let mut quits = one();
    quits.write(b"Lookup Hello\nQuit\nLookup Hello\n");
    quits.line();
    quits.line();
    assert_eq!(quits.wait(), Some(0));
    for signal in [Signal::INT, Signal::TERM] {
        let mut node = one();
        node.state(4);
        node.signal(signal);
        assert_eq!(node.wait(), Some(0), "{signal:?}");
        assert_eq!(node.errors(), "");
    }
}

#[test]
fn joiner_ends_with_a_signal_too() {
    let addrs = free_addrs(2);
    let mut joiner = Process::start(addrs[0], Some(addrs[1]), 4);
    eventually(5 * SECOND, || std::net::TcpStream::connect(addrs[0]).map(drop).map_err(|error| error.to_string()));
    joiner.signal(Signal::TERM);
    assert_eq!(joiner.wait(), Some(0));
}

#[test]
fn end_of_input_does_not_end_the_node() {
    let mut node = one();
    node.write(b"Lookup Hello\n");
    node.line();
    node.line();
    node.close_input();
    let addr = free_addrs(1)[0];
    let mut other = Process::start(addr, Some(node.peer.addr), 4);
    assert_eq!(other.state(4).successors[0], node.peer);
    assert!(node.runs());
}

#[test]
fn logs_go_to_standard_error_only() {
    let addr = free_addrs(1)[0];
    let flags = flags(addr);
    let mut child = Command::new(env!("CARGO_BIN_EXE_chord"))
        .args(&flags)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Lookup Hello\nQuit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert!(!output.stderr.is_empty());
}

#[test]
fn prompt_is_shown_on_a_terminal_only() {
    let addr = free_addrs(1)[0];
    let command = [&[env!("CARGO_BIN_EXE_chord").to_string()][..], &flags(addr)].concat().join(" ");
    // script(1) gives the program a terminal.
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) is installed");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut shown = String::new();
    // Reads on until the text stands behind what was seen before.
    let mut seen = 0;
    let mut read_until = |what: &str| {
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = shown[seen..].find(what) {
                seen += at + what.len();
                return;
            }
            let n = output.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "{what:?} expected: {shown:?}");
            shown.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    read_until("> ");
    input.write_all(b"Lookup Hello\r").unwrap();
    let id = Id::of_address(addr, chord::protocol::id::Bits::FULL);
    read_until(&format!("< {id} 127.0.0.1 {}", addr.port()));
    read_until("> ");
    input.write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "Ctrl-C ends it");
}
