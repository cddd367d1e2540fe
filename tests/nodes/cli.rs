//! The `chord` command as users meet it: arguments, exit status, console, signals.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chord::protocol::id::Bits;
use chord::protocol::rpc::Request;
use chord::{Addr, Id, Peer};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::process::{CHORD, Process, ask, eventually, free_addrs, free_range};
use crate::support::shell::{Shell, scratch};

/// A peer in the notation of the console.
fn spaced(peer: Peer) -> String {
    format!("{} {} {}", peer.id, peer.addr.ip(), peer.addr.port())
}

const SECOND: Duration = Duration::from_secs(1);

/// Runs `chord` until it ends by itself.
fn chord(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chord")).args(args).stdin(Stdio::null()).output().expect("chord starts")
}

/// The flags of a node at `addr`.
fn flags(addr: Addr) -> Vec<String> {
    let line = format!("-a {} -p {} --ts 100 --tff 20 --tcp 100 -r 4", addr.ip(), addr.port());
    line.split(' ').map(String::from).collect()
}

fn run(addr: Addr, more: &[&str]) -> Output {
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
        (good.replace("127.0.0.1", "0.0.0.0"), ["-a", "an IPv4 or IPv6 address"]),
        (good.replace("4170", "65536"), ["-p", "from 1 to 65535"]),
        (good.replace("--ts 100", "--ts 0"), ["--ts", "from 1 to 60000"]),
        (good.replace("-r 4", "-r 33"), ["-r", "from 1 to 32"]),
        (format!("{good} -i 0f"), ["-i", "40 hexadecimal digits"]),
        (format!("{good} --ja 127.0.0.1 --jp 4170"), ["--ja", "itself"]),
        (format!("{good} --ja 127.0.0.1"), ["--jp", "from 1 to 65535"]),
        (good.replace(" -r 4", ""), ["-r", "from 1 to 32"]),
        (format!("{good} --verbose"), ["--verbose", "chord --help"]),
        ("-r 4".into(), ["-a", "--tcp"]),
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
    let output = run(Addr::new([127, 0, 0, 1], port), &[]);
    assert_fails(&output, 1, &[&format!("127.0.0.1:{port}"), "in use"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("in use").count(), 1, "{said}");
}

#[test]
fn address_of_another_machine_is_status_1() {
    let elsewhere: Addr = "192.0.2.1:4170".parse().unwrap();
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
fn sleeper_whose_place_another_has_taken_ends_in_words() {
    let addrs = free_addrs(3);
    let id = "0f".repeat(20);
    let mut seed = Process::start(addrs[0], None, 4);
    let with_id = |addr: Addr| {
        let join = ["--ja", "127.0.0.1", "--jp", &addrs[0].port().to_string(), "-i", &id].map(String::from);
        let flags = [flags(addr), join.to_vec()].concat();
        Process::with_flags(addr, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut sleeper = with_id(addrs[1]);
    sleeper.state(4);
    sleeper.signal(Signal::STOP);
    eventually(20 * SECOND, || match seed.lookup("Hello") {
        Ok(owner) if owner == seed.peer && seed.state(4).successors == [seed.peer; 4] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let mut other = with_id(addrs[2]);
    let other = other.state(4).me;
    eventually(10 * SECOND, || if seed.state(4).successors[0] == other { Ok(()) } else { Err("not taken yet".into()) });
    sleeper.signal(Signal::CONT);
    assert_eq!(sleeper.wait(), Some(1));
    let said = sleeper.errors();
    assert!(["taken", &id, &addrs[2].to_string()].iter().all(|word| said.contains(word)), "{said}");
}

#[test]
fn other_of_two_answers_when_one_has_left() {
    let mut stays = one();
    let mut leaves = Process::start(free_addrs(1)[0], Some(stays.peer.addr), 4);
    eventually(10 * SECOND, || match (stays.state(4).successors[0], leaves.lookup("Hello")) {
        (successor, Ok(_)) if successor == leaves.peer => Ok(()),
        other => Err(format!("{other:?}")),
    });
    leaves.write(b"Quit\n");
    assert_eq!(leaves.wait(), Some(0));
    // It asks the leaver first, and then each peer that it remembers.
    eventually(20 * SECOND, || stays.lookup("Hello").map(drop));
    for key in (0..10).map(|k| format!("key {k}")) {
        assert_eq!(stays.lookup(&key), Ok(stays.peer), "{key}");
    }
}

#[test]
fn lookup_answers_with_two_lines() {
    let mut node = one();
    node.write(b"Lookup Hello\n");
    assert_eq!(node.line(), "< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0");
    assert_eq!(node.line(), format!("< {}", spaced(node.peer)));
    node.write(b"Lookup to be  or not\n");
    assert!(node.line().starts_with("< to be  or not "));
    assert_eq!(node.line(), format!("< {}", spaced(node.peer)));
}

#[test]
fn print_state_of_a_ring_of_one_is_itself_everywhere() {
    let mut node = one();
    node.write(b"PrintState\n");
    assert_eq!(node.line(), format!("< Self {}", spaced(node.peer)));
    for (name, count) in [("Successor", 4), ("Finger", 160)] {
        for i in 1..=count {
            assert_eq!(node.line(), format!("< {name} [{i}] {}", spaced(node.peer)));
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
        assert_eq!(node.line(), format!("< {}", spaced(node.peer)));
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
    assert_eq!(node.line(), format!("< {}", spaced(node.peer)));
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
        .env("XDG_STATE_HOME", scratch("prompt"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) is installed");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut shown = String::new();
    // Reads on until the text appears after the part that was read before.
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
    let id = Id::of_address(addr, Bits::FULL);
    read_until(&format!("< {id} 127.0.0.1 {}", addr.port()));
    read_until("> ");
    input.write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "Ctrl-C ends it");
}

/// Standard errors to which every write fails: on a full disk, and without a reader.
fn that_take_nothing() -> [Stdio; 2] {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    [File::options().write(true).open("/dev/full").unwrap().into(), writer.into()]
}

fn spawn(addr: Addr, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
    command
        .args(flags(addr))
        .env("XDG_STATE_HOME", scratch("spawned"))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Waits until it ends; its exit status, or none if it had to be killed.
fn end(child: &mut Child) -> Option<i32> {
    for _ in 0..6000 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(SECOND / 100);
    }
    child.kill().unwrap();
    child.wait().unwrap().code()
}

#[test]
fn standard_error_that_takes_nothing_does_not_end_a_node() {
    for stderr in that_take_nothing() {
        let addr = free_addrs(1)[0];
        let mut node = spawn(addr, Stdio::piped(), Stdio::piped(), stderr);
        let mut output = BufReader::new(node.stdout.take().unwrap()).lines();
        let mut input = node.stdin.take().unwrap();
        input.write_all(b"Lookup Hello\n").unwrap();
        let mut answer = || output.next().map(Result::unwrap);
        assert_eq!(answer(), Some("< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0".into()));
        answer();
        // The node logs a warning, and closes the connection.
        let mut garbler = TcpStream::connect(addr).unwrap();
        garbler.write_all(&[0xff; 64]).unwrap();
        let mut refusal = Vec::new();
        // A reset counts as an end, too.
        let _ = garbler.read_to_end(&mut refusal);
        assert!(!refusal.is_empty(), "a node whose log fails ends early");
        input.write_all(b"Lookup Hello\nQuit\n").unwrap();
        assert_eq!(answer(), Some("< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0".into()));
        assert_eq!(node.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn error_that_can_not_be_written_keeps_its_exit_status() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cant = format!("-a 127.0.0.1 -p {port} --ts 100 --tff 20 --tcp 100 -r 4");
    for (line, level, status) in [
        ("--nonsense", "warn", 2),
        (cant.as_str(), "warn", 1),
        (cant.as_str(), "=nonsense=", 1),
        (cant.as_str(), "trace", 1),
        ("sim ring --by-definition --nodes 0", "warn", 2),
    ] {
        for stderr in that_take_nothing() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
            command.args(line.split(' ')).env("RUST_LOG", level).stdin(Stdio::null()).stderr(stderr);
            assert_eq!(command.status().unwrap().code(), Some(status), "{line}");
        }
    }
}

/// A pipe with both ends non-blocking.
fn pipe_that_does_not_block() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    (reader, writer)
}

#[test]
fn standard_error_that_is_full_holds_nobody_up() {
    for blocks in [false, true] {
        let addr = free_addrs(1)[0];
        let (reader, mut writer) = pipe_that_does_not_block();
        while writer.write(&[b'x'; 4096]).is_ok() {}
        while writer.write(b"x").is_ok() {}
        if blocks {
            fcntl_setfl(&writer, OFlags::empty()).unwrap();
        }
        let mut node = spawn(addr, Stdio::piped(), Stdio::piped(), writer.into());
        eventually(5 * SECOND, || TcpStream::connect(addr).map(drop).map_err(|error| error.to_string()));
        let garble = || {
            let mut garbler = TcpStream::connect(addr).unwrap();
            garbler.set_read_timeout(Some(5 * SECOND)).unwrap();
            garbler.write_all(&[0xff; 64]).unwrap();
            // A reset counts as an end, too.
            let _ = garbler.read_to_end(&mut Vec::new());
        };
        garble();
        node.stdin.take().unwrap().write_all(b"Lookup Hello\nQuit\n").unwrap();
        assert_eq!(end(&mut node), Some(0), "blocks: {blocks}");
        drop(reader);
    }
}

#[test]
fn standard_input_that_does_not_block_is_waited_for() {
    let addr = free_addrs(1)[0];
    let (stdin, mut input) = pipe_that_does_not_block();
    let node = spawn(addr, stdin.into(), Stdio::piped(), Stdio::piped());
    // By then a console that takes "no input yet" for the end of input has ended.
    eventually(5 * SECOND, || TcpStream::connect(addr).map(drop).map_err(|error| error.to_string()));
    std::thread::sleep(SECOND / 2);
    input.write_all(b"Lookup Hello\n").unwrap();
    std::thread::sleep(SECOND / 10);
    input.write_all(b"Quit\n").unwrap();
    let ended = node.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap().lines().count(), 2);
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn output_longer_than_a_pipe_that_does_not_block_comes_whole() {
    let (reader, stdout) = pipe_that_does_not_block();
    let mut node = spawn(free_addrs(1)[0], Stdio::piped(), stdout.into(), Stdio::piped());
    node.stdin.take().unwrap().write_all("PrintState\n".repeat(20).as_bytes()).unwrap();
    // First the pipe fills: it takes 64 KiB, and the answers are 200 KiB.
    eventually(10 * SECOND, || match ioctl_fionread(&reader).unwrap() {
        50_000.. => Ok(()),
        few => Err(format!("{few} bytes")),
    });
    let (mut reader, mut read) = (reader, Vec::new());
    eventually(10 * SECOND, || {
        // An error means that there is no more output yet.
        let _ = reader.read_to_end(&mut read);
        let lines = read.split(|byte| *byte == b'\n').count() - 1;
        if lines == 20 * 165 { Ok(()) } else { Err(format!("{lines} lines")) }
    });
    node.kill().unwrap();
    node.wait().unwrap();
}

#[test]
fn terminal_that_does_not_block_has_its_console() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inherited: OwnedFd = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let stdio = || Stdio::from(inherited.as_fd().try_clone_to_owned().unwrap());
    let addr = free_addrs(1)[0];
    let mut node = spawn(addr, stdio(), stdio(), stdio());
    let mut terminal = File::from(terminal);
    let mut shown = String::new();
    let mut read_until = |terminal: &mut File, what: &str| {
        let mut buffer = [0; 1024];
        while !shown.contains(what) {
            let n = terminal.read(&mut buffer).unwrap();
            shown.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    read_until(&mut terminal, "> ");
    std::thread::sleep(SECOND / 2);
    // Another process that shares the terminal may make it non-blocking again at any time.
    fcntl_setfl(&inherited, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
    terminal.write_all(b"Lookup Hello\r").unwrap();
    read_until(&mut terminal, &format!(" 127.0.0.1 {}", addr.port()));
    terminal.write_all(b"Quit\r").unwrap();
    assert_eq!(end(&mut node), Some(0));
}

/// Starts a node in the background; returns its process number.
fn background(shell: &mut Shell, addr: Addr, before: &str) -> u32 {
    let line = format!("{before} {} {} & echo number=$!=", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    shell.enter(&format!("{line}\r"));
    // The shell echoes the typed line, with `$!` unexpanded.
    shell.until("number=$!=");
    shell.until("number=");
    shell.until("=").parse().unwrap()
}

/// The state of a process: S if it waits, T if it was stopped; none if it has ended.
fn state_of(number: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next().filter(|state| *state != 'Z')
}

/// Checks for a while that a node goes on answering and is not stopped.
fn assert_serves(addr: Addr, number: u32) {
    let of = Peer::at(addr, Bits::FULL);
    eventually(10 * SECOND, || ask(of, &Request::GetPredecessor, 5 * SECOND).map(drop).map_err(|why| why.to_string()));
    for _ in 0..20 {
        std::thread::sleep(SECOND / 20);
        assert_ne!(state_of(number), Some('T'), "it was stopped");
        ask(of, &Request::GetPredecessor, 5 * SECOND).expect("it answers").expect("it has a predecessor or none");
    }
}

/// Of lines that came together only the first was answered: the others were in a buffer that ended with it. A text that
/// was pasted was one line.
#[test]
fn lines_that_are_typed_ahead_or_pasted_are_answered_each() {
    let mut shell = Shell::start("ahead");
    shell.enter(&format!("{CHORD} {}\r", flags(free_addrs(1)[0]).join(" ")));
    shell.until("> ");
    let answered =
        |shell: &mut Shell, keys: &[&str]| keys.iter().for_each(|key| drop(shell.until(&format!("< {key} "))));
    shell.enter("Lookup one\rLookup two\rLookup three\r");
    answered(&mut shell, &["one", "two", "three"]);
    shell.until("> ");
    shell.enter("\x1b[200~Lookup four\rLookup five\r\nlookup\x1b[201~ six\rQuit\r");
    answered(&mut shell, &["four", "five", "six"]);
    shell.until("shell$ ");
}

/// `chord … &` was stopped at once, since it changed the modes of a terminal that belonged to the shell.
#[test]
fn node_in_the_background_leaves_the_terminal_alone() {
    let addr = free_addrs(1)[0];
    let mut shell = Shell::start("background");
    let number = background(&mut shell, addr, "");
    assert_serves(addr, number);
    shell.enter("stty -a | tr ' ' '\\n' | grep icanon\r");
    shell.until("grep icanon\r");
    let before = shell.until("icanon\r");
    assert!(!before.ends_with('-'), "the shell has its modes: {before:?}");
    shell.enter("fg\r");
    shell.until("> ");
    shell.enter("Lookup Hello\r");
    shell.until("< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0");
    shell.until("> ");
    // The unfinished line is there again after Ctrl-Z.
    shell.enter("Lookup wor");
    shell.until("Lookup wor");
    shell.enter("\x1a");
    shell.until("Stopped");
    eventually(5 * SECOND, || if state_of(number) == Some('T') { Ok(()) } else { Err("it runs".into()) });
    shell.enter("bg\r");
    shell.until("shell$ ");
    assert_serves(addr, number);
    shell.enter("fg\r");
    shell.until("> Lookup wor");
    shell.enter("ld\r");
    shell.until("< world 7c211433f02071597741e6ff5a8ea34789abbf43");
    shell.enter("Quit\r");
    shell.until("shell$ ");
    assert_eq!(state_of(number), None);
}

/// If the terminal has `tostop`, a program that writes to it in the background is stopped; and a node that
/// ended there restored the modes of the terminal, which stopped it, too.
#[test]
fn node_in_the_background_writes_and_ends_without_being_stopped() {
    let addr = free_addrs(1)[0];
    let mut shell = Shell::start("tostop");
    shell.enter("stty tostop\r");
    shell.until("shell$ ");
    let number = background(&mut shell, addr, "RUST_LOG=info");
    assert_serves(addr, number);
    shell.shows("member of a ring");
    shell.enter("fg\r");
    shell.until("> ");
    shell.enter("\x1a");
    shell.until("Stopped");
    shell.enter("bg\r");
    shell.until("shell$ ");
    assert_serves(addr, number);
    shell.enter(&format!("kill {number}\r"));
    eventually(10 * SECOND, || match state_of(number) {
        None => Ok(()),
        state => Err(format!("{state:?}")),
    });
}

/// Of the same kind: stopped by SIGSTOP and continued in the background, it would have read from the terminal.
#[test]
fn node_that_was_stopped_at_its_prompt_goes_on_in_the_background() {
    let addr = free_addrs(1)[0];
    let mut shell = Shell::start("stopped");
    let number = background(&mut shell, addr, "");
    assert_serves(addr, number);
    shell.enter("fg\r");
    shell.until("> ");
    rustix::process::kill_process(rustix::process::Pid::from_raw(number as i32).unwrap(), Signal::STOP).unwrap();
    shell.until("Stopped");
    shell.enter("bg\r");
    shell.until("shell$ ");
    assert_serves(addr, number);
    shell.enter("echo al\"\"ive\r");
    shell.until("alive");
    assert_serves(addr, number);
    shell.enter("fg\r");
    shell.until("> ");
    shell.enter("Quit\r");
    shell.until("shell$ ");
    assert_eq!(state_of(number), None);
}

/// A node whose output had no reader did not hear `Quit` any more.
#[test]
fn node_whose_output_nobody_reads_goes_on_and_hears_quit() {
    for stdout in that_take_nothing() {
        let addr = free_addrs(1)[0];
        let mut node = spawn(addr, Stdio::piped(), stdout, Stdio::piped());
        let mut input = node.stdin.take().unwrap();
        input.write_all(b"Lookup Hello\nPrintState\nnonsense\nHelp\n").unwrap();
        assert_serves(addr, node.id());
        assert!(node.try_wait().unwrap().is_none(), "it goes on");
        input.write_all(b"Quit\n").unwrap();
        assert_eq!(end(&mut node), Some(0));
        let mut errors = String::new();
        node.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(errors, "");
    }
    let [first, swarm] = [free_range(8), free_range(8)].map(|first| first.port().to_string());
    for line in [SWARM.replace("PORT", &first), format!("{} --json", SWARM.replace("PORT", &swarm))] {
        let [_, stdout] = that_take_nothing();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chord"));
        let mut node = command.args(line.split(' ')).stdin(Stdio::piped()).stdout(stdout).spawn().unwrap();
        node.stdin.take().unwrap().write_all(b"Lookup Hello\nQuit\n").unwrap();
        assert_eq!(end(&mut node), Some(0), "{line}");
    }
}

/// `chord … | head -1` in a terminal: the prompt could not be written, and the console was closed.
#[test]
fn console_in_a_pipeline_at_a_terminal_outlives_its_reader() {
    let mut shell = Shell::start("pipeline");
    let line = |addr| format!("{} {}", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    let addr = free_addrs(1)[0];
    shell.enter(&format!("{} | head -1\r", line(addr)));
    // Text typed before the shell has left its line editor would reach the next program without ends of lines.
    let of = Peer::at(addr, Bits::FULL);
    eventually(20 * SECOND, || ask(of, &Request::CheckPredecessor, SECOND).map(drop).map_err(|why| why.to_string()));
    shell.enter("Lookup Hello\r");
    shell.until("< Hello f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0");
    shell.enter("PrintState\rQuit\r");
    shell.until("shell$ ");
    let addr = free_addrs(1)[0];
    shell.enter(&format!("{} | cat &\r", line(addr)));
    let number = || {
        let listening = |number: &u32| {
            let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&format!("\0{}\0", addr.port()))
        };
        let numbers =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|number| *number != std::process::id()).find(listening).ok_or("it is not there yet".to_string())
    };
    eventually(5 * SECOND, || number().map(|_| ()));
    let number = number().unwrap();
    assert_serves(addr, number);
    shell.enter("fg\r");
    // Its group then is the foreground group of the terminal: the third and the sixth value after the name are equal.
    eventually(5 * SECOND, || {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
        let values: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        if values[2] == values[5] { Ok(()) } else { Err(stat) }
    });
    shell.enter("Lookup world\r");
    shell.until("< world 7c211433f02071597741e6ff5a8ea34789abbf43");
    shell.enter("Quit\r");
    shell.until("shell$ ");
}

/// Closing the window of a node was like a crash of it.
#[test]
fn hangup_is_a_reason_to_leave() {
    // Does not ignore SIGHUP, even where these tests run under nohup.
    let heeding = || {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_chord")]);
        command
    };
    let start = |addr: Addr, seed| Process::start_by(heeding(), Peer::at(addr, Bits::FULL), Some(seed), 4);
    let mut stays = one();
    let mut leaves = start(free_addrs(1)[0], stays.peer.addr);
    eventually(10 * SECOND, || match (stays.state(4).successors[0], leaves.lookup("Hello")) {
        (successor, Ok(_)) if successor == leaves.peer => Ok(()),
        other => Err(format!("{other:?}")),
    });
    leaves.signal(Signal::HUP);
    assert_eq!((leaves.wait(), leaves.errors()), (Some(0), String::new()));
    // The other node may have to look for a ring before it knows that it is alone.
    eventually(5 * SECOND, || match stays.lookup("Hello") {
        Ok(owner) if owner == stays.peer => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let first = free_range(8);
    let line = SWARM.replace("PORT", &first.port().to_string());
    let mut swarm = Process::with_flags_by(heeding(), first, &line.split(' ').collect::<Vec<_>>());
    swarm.write(b"Lookup Hello\n");
    while !swarm.line().starts_with("< Hello ") {}
    swarm.signal(Signal::HUP);
    assert_eq!((swarm.wait(), swarm.errors()), (Some(0), String::new()));
    let addrs = free_addrs(2);
    let mut joiner = start(addrs[0], addrs[1]);
    eventually(5 * SECOND, || TcpStream::connect(addrs[0]).map(drop).map_err(|error| error.to_string()));
    joiner.signal(Signal::HUP);
    assert_eq!(joiner.wait(), Some(0));
}

#[test]
fn hangup_is_ignored_under_nohup() {
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_chord"));
    let peer = Peer::at(free_addrs(1)[0], Bits::FULL);
    let mut node = Process::start_by(nohup, peer, None, 4);
    assert_eq!(node.lookup("Hello"), Ok(peer));
    node.signal(Signal::HUP);
    assert_eq!(node.lookup("world"), Ok(peer));
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn signals_that_mean_nothing_do_not_end_a_node() {
    let mut node = one();
    for signal in [Signal::USR1, Signal::USR2] {
        assert_eq!(node.lookup("Hello"), Ok(node.peer));
        node.signal(signal);
        assert_eq!(node.lookup("world"), Ok(node.peer), "{signal:?}");
    }
    let mut early = spawn(free_addrs(1)[0], Stdio::piped(), Stdio::null(), Stdio::null());
    let number = rustix::process::Pid::from_child(&early);
    // As soon as the program itself runs and not its loader: then it has more than one thread.
    eventually(5 * SECOND, || match std::fs::read_dir(format!("/proc/{}/task", early.id())).unwrap().count() {
        2.. => Ok(()),
        one => Err(format!("{one} thread")),
    });
    rustix::process::kill_process(number, Signal::USR1).unwrap();
    early.stdin.take().unwrap().write_all(b"Quit\n").unwrap();
    assert_eq!(end(&mut early), Some(0));
}

#[test]
fn no_arguments_are_answered_with_help() {
    let output = chord(&[]);
    let help = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(2), vec![]));
    assert!(["  chord -a ", " --ja ", "chord help swarm"].iter().all(|words| help.contains(words)), "{help}");
    let help = chord(&["help", "swarm"]);
    assert_eq!((help.status.code(), help.stdout), (Some(0), chord(&["swarm", "--help"]).stdout));
}

#[test]
fn flag_pasted_with_a_dash_is_named() {
    let line = "–a 127.0.0.1 -p 4170 –ts 1000 -tff 1000 --tcp 1000 -r 4";
    let args: Vec<_> = line.split(' ').collect();
    assert_fails(&chord(&args), 2, &["\"–a\"", "-a was meant", "--ts was meant", "--tff was meant", "en dash"]);
}

#[test]
fn loopback_node_that_joins_another_machine_says_that_nobody_can_call_it() {
    // No host has that address.
    let mut node = Process::start(free_addrs(1)[0], Some("192.0.2.1:4170".parse().unwrap()), 4);
    eventually(10 * SECOND, || match node.errors() {
        errors if errors.contains("warning: -a 127.0.0.1") && errors.contains("nobody there can call") => Ok(()),
        errors => Err(errors),
    });
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0));
}

/// For ten seconds a node that joined showed nothing.
#[test]
fn seed_that_is_tried_is_named_on_a_terminal() {
    let nobody = free_addrs(1)[0];
    for line in [flags(free_addrs(1)[0]).join(" "), format!("swarm -n 2 -p {}", free_range(2).port())] {
        let mut shell = Shell::start("joining");
        let join = format!("--ja 127.0.0.1 --jp {}", nobody.port());
        shell.enter(&format!("{} {line} {join}\r", env!("CARGO_BIN_EXE_chord")));
        shell.until(&format!("joining {nobody} …"));
        shell.enter("\x03");
        shell.until("shell$ ");
    }
}

/// Processes that share a terminal mixed their lines.
#[test]
fn lines_of_processes_that_share_a_terminal_stay_whole() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = Addr::from(taken.local_addr().unwrap());
    let mut shell = Shell::start("lines");
    let line = format!("{} {}", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    shell.enter(&format!("for k in {{1..20}}; do {line} < /dev/null & done; wait; echo en\"\"ded\r"));
    let shown = shell.until("ended");
    let complaints: Vec<&str> = shown.split("\r\n").filter(|line| line.contains("in use")).collect();
    assert_eq!(complaints.len(), 20, "{shown}");
    let whole = format!("chord: can't listen on {addr}: Address already in use (os error 98)");
    assert!(complaints.iter().all(|line| *line == whole), "{shown}");
}

/// The same message that an address is in use was printed five times.
#[test]
fn make_ring_says_which_ports_are_taken_and_how_to_choose_others() {
    let directory = scratch("ring");
    std::fs::create_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chord"), directory.join("chord")).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/ring.sh");
    let first = free_range(5);
    let ring = |port: &str| {
        let mut command = Command::new("sh");
        command.arg(&script).current_dir(&directory).env("PORT", port);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut running = ring(&first.port().to_string());
    let mut output = BufReader::new(running.stdout.take().unwrap()).lines();
    let said = output.next().unwrap().unwrap();
    assert!(said.contains(&format!("ports {} to {}", first.port(), first.port() + 4)), "{said}");
    running.stdin.as_ref().unwrap().write_all(b"lookup Hello\n").unwrap();
    assert!(output.nth(1).unwrap().unwrap().starts_with("< Hello "), "the ring has a console");
    for port in first.port()..first.port() + 5 {
        let connect = || TcpStream::connect((first.ip(), port)).map(drop).map_err(|error| error.to_string());
        eventually(10 * SECOND, connect);
    }
    let again = ring(&(first.port() + 2).to_string()).wait_with_output().unwrap();
    assert_fails(&again, 1, &[&(first.port() + 2).to_string(), "taken", "make ring PORT="]);
    assert_fails(&ring("abc").wait_with_output().unwrap(), 2, &["PORT", "abc"]);
    running.stdin.take().unwrap().write_all(b"Quit\n").unwrap();
    assert_eq!(end(&mut running), Some(0));
    std::fs::remove_dir_all(directory).unwrap();
}

/// The consoles of `chord` and of `chord sim ring` behave alike.
#[test]
fn consoles_complete_words_and_keep_their_history() {
    let scratch = scratch("history");
    let addr = free_addrs(1)[0];
    let node = format!("{} {}\r", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    let sim = format!("{} sim ring --nodes 4 --bits 6 --script\r", env!("CARGO_BIN_EXE_chord"));
    for (line, typed, completed, answer, quit) in [
        (node, "look\tHello\r", "> Lookup Hello", "< Hello f7ff9e8b", "qui\t\r"),
        (sim, "HEL\t\r", "> help", "quit             end the session", "QUI\t\r"),
    ] {
        for words in [typed, "\x1b[A\x1b[A\r"] {
            let mut shell = Shell::start("history");
            shell.enter(&line);
            shell.until("> ");
            shell.enter(words);
            shell.until(answer);
            assert!(shell.shown.contains(completed) || words == typed, "{}", shell.shown);
            shell.until("> ");
            shell.enter(quit);
            shell.until("shell$ ");
        }
    }
    std::fs::remove_dir_all(scratch).unwrap();
    // And without a directory for the history.
    let mut shell = Shell::start("history");
    let line = format!("env -u HOME -u XDG_STATE_HOME {} {}\r", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    for line in [line.clone(), line.replace("-u XDG_STATE_HOME", "XDG_STATE_HOME=/dev/null")] {
        shell.enter(&line);
        shell.until("> ");
        shell.enter("PRINTSTATE\r");
        shell.until("< Self ");
        shell.enter("quit\r");
        shell.until("shell$ ");
    }
}

/// The figures were printed into the line that was being typed.
#[test]
fn figures_of_a_swarm_are_printed_above_its_prompt() {
    let mut shell = Shell::start("figures");
    let line = SWARM.replace("PORT", &free_range(8).port().to_string());
    shell.enter(&format!("{} {line} --clients 2 --seconds 2\r", env!("CARGO_BIN_EXE_chord")));
    shell.until("> ");
    shell.enter("Lookup He");
    shell.until("Lookup He");
    let before = shell.until("load         2 clients");
    assert!(before.ends_with("\r\x1b[K") || before.ends_with('\n'), "{before:?}");
    shell.until("reconnects");
    shell.until("> Lookup He");
    shell.enter("llo\r");
    shell.until("< Hello f7ff9e8b");
    shell.enter("Quit\r");
    shell.until("shell$ ");
}

/// A swarm with a silent seed said nothing for ten minutes.
#[test]
fn swarm_whose_seed_does_not_answer_ends_as_a_node_does() {
    let nobody = free_addrs(1)[0];
    let line = format!("swarm -n 2 -p {} --ja 127.0.0.1 --jp {}", free_range(2).port(), nobody.port());
    let began = Instant::now();
    assert_fails(&chord(&line.split(' ').collect::<Vec<_>>()), 1, &[&nobody.to_string(), "no answer"]);
    assert!(began.elapsed() >= 10 * SECOND, "it may be starting");
}

#[test]
fn signal_while_virtual_nodes_start_ends_them_with_status_0() {
    for millis in [0, 5, 10, 20, 40, 80, 160] {
        let first = free_range(64);
        let mut host = at(first, "-a 127.0.0.1 -p PORT --ts 100 --tff 20 --tcp 100 -r 16 --virtual-nodes 64");
        eventually(5 * SECOND, || TcpStream::connect(first).map(drop).map_err(|error| error.to_string()));
        std::thread::sleep(Duration::from_millis(millis));
        host.signal(Signal::TERM);
        assert_eq!((host.wait(), host.errors()), (Some(0), String::new()), "after {millis} ms");
    }
}

/// A process of 64 nodes died; other nodes, all of whose four successors were among the 64, named wrong owners.
#[test]
fn lists_that_are_too_short_for_so_many_virtual_nodes_are_warned_of_in_words() {
    for (r, warns) in [(12, true), (13, false)] {
        let flags = format!("-a 127.0.0.1 -p PORT --ts 100 --tff 20 --tcp 100 -r {r} --virtual-nodes 12");
        let mut host = at(free_range(12), &flags);
        host.state(r);
        if warns {
            let warning = || ["-r 12", "--virtual-nodes 12", "-r 13"].iter().all(|words| host.errors().contains(words));
            eventually(5 * SECOND, || if warning() { Ok(()) } else { Err(host.errors()) });
        }
        host.write(b"Quit\n");
        assert_eq!((host.wait(), host.errors().lines().count()), (Some(0), usize::from(warns)), "{}", host.errors());
    }
}

#[test]
fn virtual_node_whose_port_is_taken_is_status_1() {
    for n in [2, 64] {
        let first = free_range(n);
        let taken = TcpListener::bind(Addr::new(first.ip(), first.port() + n - 1)).unwrap();
        let output = run(first, &["--virtual-nodes", &n.to_string()]);
        assert_fails(&output, 1, &[&taken.local_addr().unwrap().to_string(), "in use"]);
    }
}

#[test]
fn too_few_files_are_an_error_in_words() {
    let addr = free_range(8);
    let line = format!("{} {} --virtual-nodes 8", env!("CARGO_BIN_EXE_chord"), flags(addr).join(" "));
    // With fewer the program can't be loaded.
    for files in 4..=16 {
        let command = format!("ulimit -n {files} && exec {line}");
        let output = Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap();
        assert_fails(&output, 1, &["chord: can't", "open files"]);
    }
    let command = format!("ulimit -n 4 && exec {} sim chaos --seeds 1 --nodes 8..8", env!("CARGO_BIN_EXE_chord"));
    let output = Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.code().is_some(), "{output:?}");
}

/// A swarm, or virtual nodes, at consecutive ports from here on.
fn at(first: Addr, line: &str) -> Process {
    let line = line.replace("PORT", &first.port().to_string());
    Process::with_flags(first, &line.split(' ').collect::<Vec<_>>())
}

/// `n` nodes at consecutive ports, in the order of the circle.
fn nodes_at(first: Addr, n: u16) -> Vec<Peer> {
    let addrs = (0..n).map(|k| Addr::new(first.ip(), first.port() + k));
    let mut peers: Vec<Peer> = addrs.map(|addr| Peer::at(addr, Bits::FULL)).collect();
    peers.sort();
    peers
}

fn owner(peers: &[Peer], key: &str) -> Peer {
    let id = Id::of_key(key.as_bytes(), Bits::FULL);
    *peers.iter().find(|peer| peer.id >= id).unwrap_or(&peers[0])
}

const SWARM: &str = "swarm -n 8 -p PORT --ts 100 --tff 20 --tcp 100";

/// Enough for a second of load and the rest of the run, on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn swarm_measures_itself_and_says_it_as_data() {
    let line = format!("{SWARM} --threads 2 --seed 7 --idle 1 --clients 3 --seconds 1 --json --quit");
    let line = line.replace("PORT", &free_range(8).port().to_string());
    let output = chord(&line.split(' ').collect::<Vec<_>>());
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()));
    let data: Value = serde_json::from_slice(&output.stdout).expect("one value and nothing else");
    for (name, expected) in [("nodes", 8), ("r", 4), ("threads", 2), ("seed", 7), ("others", 0)] {
        assert_eq!(data[name], expected, "{name}: {data}");
    }
    let number = |part: &str, name: &str| data[part][name].as_f64().unwrap_or_else(|| panic!("{part} {name}: {data}"));
    let times = ["members_after_seconds", "neighbors_right_after_seconds", "ideal_after_seconds"];
    let times = times.map(|name| number("formation", name));
    assert!(0.0 < times[0] && times.is_sorted() && times[2] < 60.0, "{data}");
    assert!(number("formation", "calls_per_node") > 1.0 && number("formation", "connections_per_node") > 0.0);
    let [before, after] = ["memory_before_bytes", "memory_after_bytes"].map(|name| number("formation", name));
    assert_eq!(number("formation", "memory_per_node_bytes"), (after - before) / 8.0);
    assert!(number("idle", "seconds") >= 1.0 && number("idle", "calls_per_node_and_second") > 0.0, "{data}");
    assert!(number("idle", "bytes_per_node_and_second") > 0.0 && number("idle", "processor_share") < 2.0, "{data}");
    let load = |name| number("load", name);
    assert_eq!((load("clients"), load("errors"), load("wrong_owners")), (3.0, 0.0, 0.0), "{data}");
    assert_eq!(data["load"]["rate"], Value::Null);
    assert!((load("lookups") / load("seconds") / load("lookups_per_second") - 1.0).abs() < 1e-9, "{data}");
    assert!(0.0 < load("p50_seconds") && load("p50_seconds") <= load("p99_seconds"), "{data}");
    assert_eq!((load("traced_lookups"), load("calls_per_lookup")), (2000.0, load("ideal_calls_per_lookup")));
    let timeline = &data["load"]["timeline"];
    let ended = ["right", "failed", "wrong"].map(|fate| {
        let counts = timeline[fate].as_array().unwrap_or_else(|| panic!("{fate}: {data}"));
        counts.iter().map(|count| count.as_f64().expect("a number")).sum::<f64>()
    });
    assert_eq!((ended, &timeline["slot_seconds"]), ([load("lookups"), 0.0, 0.0], &Value::from(0.1)), "{data}");
    let began = Duration::from_secs_f64(load("began_unix_seconds"));
    assert!(SystemTime::now().duration_since(UNIX_EPOCH + began).is_ok_and(|ago| ago < ENDS_WITHIN), "{data}");
    assert_eq!(load("found_dead"), 0.0, "all live");
    // A number that was printed and parsed may differ in its last digit.
    let again = load("reconnects_per_lookup") * load("lookups");
    assert!((again - load("reconnects")).abs() < 1e-6, "{data}");
}

#[test]
fn swarm_has_the_console_of_its_first_node() {
    let first = free_range(8);
    let mut swarm = at(first, &format!("{SWARM} --threads 1"));
    swarm.write(b"Lookup Hello\n");
    let figures: Vec<String> =
        std::iter::repeat_with(|| swarm.line()).take_while(|line| !line.starts_with('<')).collect();
    let ports = format!("ports {} to {}, r = 4, 1 thread, over tcp", first.port(), first.port() + 7);
    assert!(figures[0].starts_with("nodes        8 ") && figures[0].ends_with(&ports), "{figures:?}");
    assert!(figures.iter().any(|line| line.starts_with("tables       lists and fingers ideal after ")), "{figures:?}");
    let ring = nodes_at(first, 8);
    assert_eq!(swarm.line(), format!("< {}", spaced(owner(&ring, "Hello"))));
    for key in (0..50).map(|k| format!("key {k}")) {
        assert_eq!(swarm.lookup(&key), Ok(owner(&ring, &key)), "{key}");
    }
    assert_eq!(swarm.state(4).me, Peer::at(first, Bits::FULL));
    swarm.write(b"Quit\n");
    assert_eq!((swarm.wait(), swarm.errors()), (Some(0), String::new()));
}

#[test]
fn swarm_ends_with_signals_and_not_with_its_input() {
    for signal in [Signal::INT, Signal::TERM] {
        let first = free_range(8);
        let mut swarm = at(first, SWARM);
        swarm.write(b"Lookup Hello\n");
        while !swarm.line().starts_with("< Hello ") {}
        swarm.close_input();
        let mut other = Process::start(free_addrs(1)[0], Some(first), 4);
        assert_eq!(other.lookup("Hello").map(|_| ()), Ok(()));
        assert!(swarm.runs());
        swarm.signal(signal);
        assert_eq!((swarm.wait(), swarm.errors()), (Some(0), String::new()), "{signal:?}");
    }
    // And also while it still waits for the ring that it is to join.
    let nobody = free_addrs(1)[0];
    let first = free_range(2);
    let mut swarm = at(first, &format!("swarm -n 2 -p PORT --ja 127.0.0.1 --jp {}", nobody.port()));
    eventually(5 * SECOND, || std::net::TcpStream::connect(first).map(drop).map_err(|error| error.to_string()));
    swarm.signal(Signal::TERM);
    assert_eq!(swarm.wait(), Some(0));
}

#[test]
fn swarm_joins_the_ring_of_another_node_and_leaves_it() {
    let mut elder = one();
    let first = free_range(3);
    let line = "swarm -n 3 -p PORT --ts 100 --tff 20 --tcp 100 --ja 127.0.0.1 --jp";
    let mut swarm = at(first, &format!("{line} {}", elder.peer.addr.port()));
    let heading = swarm.line();
    assert!(heading.ends_with(", in a ring with 1 others"), "{heading}");
    let mut ring = nodes_at(first, 3);
    ring.push(elder.peer);
    ring.sort();
    for key in (0..20).map(|k| format!("key {k}")) {
        assert_eq!(elder.lookup(&key), Ok(owner(&ring, &key)), "{key}");
    }
    swarm.write(b"Quit\n");
    assert_eq!(swarm.wait(), Some(0));
    eventually(10 * SECOND, || match elder.lookup("Hello") {
        Ok(owner) if owner == elder.peer => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn swarm_refuses_bad_arguments_in_one_line() {
    for (bad, names) in [
        ("", ["-n", "from 1 to 16384"]),
        ("-n 0", ["-n", "from 1 to 16384"]),
        ("-n 4 -p x", ["-p", "from 1 to 65535"]),
        ("-n 4 -a 0.0.0.0", ["-a", "an IPv4 or IPv6 address"]),
        ("-n 4 -p 65533", ["-n is 4", "only 3"]),
        ("-n 4 --clients 1 --rate 1", ["--clients", "--rate"]),
        ("-n 4 --rate 0", ["--rate", "from 1 to 10000000"]),
        ("-n 4 --seconds 0.5", ["--seconds", "a number of seconds from 1 to 86400"]),
        ("-n 4 --threads 5", ["--threads is 5", "4 nodes"]),
        ("-n 4 --ja 127.0.0.1", ["--jp", "from 1 to 65535"]),
        ("-n 4 --ja 127.0.0.1 --jp 4173", ["--jp", "itself"]),
        ("-n 4 --virtual-nodes 3", ["--virtual-nodes", "chord swarm --help"]),
        ("-n 4 --seconds 3", ["--seconds", "--clients or --rate"]),
        ("--nodes 0", ["-n", "from 1 to 16384"]),
    ] {
        let args: Vec<_> = ["swarm"].into_iter().chain(bad.split_whitespace()).collect();
        assert_fails(&chord(&args), 2, &names);
    }
    let help = chord(&["swarm", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(["--clients <C>", "--rate <R>", "--idle <SECONDS>", "1 to 16384"].iter().all(|flag| text.contains(flag)));
}

#[test]
fn swarm_that_can_not_run_is_status_1() {
    let first = free_range(4);
    let taken = TcpListener::bind(Addr::new(first.ip(), first.port() + 2)).unwrap();
    let port = first.port().to_string();
    let output = chord(&["swarm", "-n", "4", "-p", &port, "--quit"]);
    assert_fails(&output, 1, &[&taken.local_addr().unwrap().to_string(), "in use"]);
    // A shell can lower the number of files that its children may open.
    let command = format!("ulimit -n 100 && exec {} swarm -n 64 -p {port} --quit", env!("CARGO_BIN_EXE_chord"));
    let output = Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap();
    assert_fails(&output, 1, &["64 nodes need", "open files", "allowed 100"]);
}

#[test]
fn swarm_that_listens_at_all_addresses_is_called_at_the_one_that_it_advertises() {
    let first = free_range(4);
    let port = first.port().to_string();
    let line = ["swarm", "-n", "4", "-p", &port, "-a", "127.0.0.1", "--bind", "0.0.0.0", "--ts", "100", "--quit"];
    let output = chord(&line);
    let figures = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && figures.contains(&format!("4 at 127.0.0.1, ports {port} to")), "{output:?}");
}

#[test]
fn virtual_nodes_are_members_at_the_next_ports_and_leave_together() {
    let mut other = one();
    let first = free_range(4);
    let seed = other.peer.addr.port();
    let line = "-a 127.0.0.1 -p PORT --ts 100 --tff 20 --tcp 100 -r 5 --virtual-nodes 4 --ja 127.0.0.1 --jp";
    let mut host = at(first, &format!("{line} {seed}"));
    assert_eq!(host.state(5).me, Peer::at(first, Bits::FULL), "the console is that of the first");
    let mut ring = nodes_at(first, 4);
    ring.push(other.peer);
    ring.sort();
    let at = ring.iter().position(|peer| *peer == other.peer).unwrap();
    ring.rotate_left(at);
    eventually(10 * SECOND, || {
        let state = other.state(4);
        if state.successors == ring[1..] { Ok(()) } else { Err(format!("{state:?}")) }
    });
    host.write(b"Quit\n");
    assert_eq!((host.wait(), host.errors()), (Some(0), String::new()));
    eventually(5 * SECOND, || {
        let state = other.state(4);
        if state.successors == [other.peer; 4] { Ok(()) } else { Err(format!("{state:?}")) }
    });
    for (bad, names) in [
        ("--virtual-nodes 0", ["--virtual-nodes", "from 1 to 1024"]),
        ("--virtual-nodes 1025", ["--virtual-nodes", "from 1 to 1024"]),
        ("--virtual-nodes 2 -p 65535", ["--virtual-nodes is 2", "only 1"]),
        ("--virtual-nodes 2 -p 4170 --ja 127.0.0.1 --jp 4171", ["--ja", "itself"]),
        ("--virtual-nodes 2 -p 4170 -i 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", ["-i", "--virtual-nodes"]),
    ] {
        let port = if bad.contains("-p ") { "" } else { "-p 4170" };
        let line = format!("-a 127.0.0.1 --ts 100 --tff 20 --tcp 100 -r 4 {port} {bad}");
        assert_fails(&chord(&line.split_whitespace().collect::<Vec<_>>()), 2, &names);
    }
}
