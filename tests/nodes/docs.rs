//! The output that README.md and docs/ show is the output of the commands.
//!
//! In a block of the kind `console`, a line after `$ ` is a command, a line after `> ` is its input, and the lines
//! below are its output; `…` stands for any lines, and within a line for any text. Commands without shown output are run only if they make a
//! file. Below a comment `<!-- not run: … -->`, which gives the reason, nothing is run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The documents that show output.
const DOCUMENTS: [&str; 4] = ["README.md", "docs/operations.md", "docs/simulation.md", "docs/tour.md"];

/// The documents that show none.
const WITHOUT_OUTPUT: [&str; 3] = ["docs/correctness.md", "docs/performance.md", "docs/paper/report.md"];

/// Nodes of two documents may use the same ports.
static PORTS: Mutex<()> = Mutex::new(());

/// The time for nodes to find each other on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that takes longer is incomplete, and is asked for again.
const ANSWER: Duration = Duration::from_secs(1);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A command with its inputs, each with the output after it; the first output comes before any input.
struct Session {
    command: String,
    exchanges: Vec<(Option<String>, Vec<String>)>,
}

impl Session {
    fn shows_output(&self) -> bool {
        self.exchanges.iter().any(|(_, printed)| !printed.is_empty())
    }

    /// Whether it runs until it is ended, as nodes do.
    fn is_node(&self) -> bool {
        ["./chord -a", "./chord serve --listen", "make ring"].iter().any(|node| self.command.starts_with(node))
    }
}

fn sessions(text: &str) -> Vec<Session> {
    let (mut sessions, mut in_block, mut last_text) = (Vec::<Session>::new(), false, "");
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block && line == "```console" && !last_text.starts_with("<!-- not run: ");
        } else if !in_block {
            last_text = if line.is_empty() { last_text } else { line };
        } else if let Some(command) = line.strip_prefix("$ ") {
            let command = command.split("  #").next().unwrap_or_default().trim_end();
            sessions.push(Session { command: command.into(), exchanges: vec![(None, Vec::new())] });
        } else if let Some(session) = sessions.last_mut() {
            match (line.strip_prefix("> "), session.exchanges.last_mut()) {
                (Some(said), _) => session.exchanges.push((Some(said.into()), Vec::new())),
                (None, Some((_, printed))) => printed.push(line.into()),
                (None, None) => {}
            }
        }
    }
    sessions
}

/// Whether the printed lines match the shown ones.
fn is_shown(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "…" => (0..=printed.len()).any(|from| is_shown(rest, &printed[from..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|first| is_same(line, first)) && is_shown(rest, &printed[1..])
        }
    }
}

/// Whether a printed line is the shown one. Where something is left out, columns may have another width.
fn is_same(shown: &str, printed: &str) -> bool {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    // What is left out between two words may be the width of a column only.
    if shown.contains('…') {
        is_line(&words(shown).replace(" … ", "…"), &words(printed))
    } else {
        shown == printed
    }
}

/// Whether a printed line matches the shown one.
fn is_line(shown: &str, printed: &str) -> bool {
    let Some((begin, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(printed) = printed.strip_prefix(begin) else { return false };
    let starts = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    starts.into_iter().any(|at| is_line(rest, &printed[at..]))
}

/// A directory that contains the program.
fn directory(document: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(document.replace('/', "-"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    symlink(env!("CARGO_BIN_EXE_chord"), path.join("chord")).unwrap();
    fs::copy(root().join("docs/tour/four.ids"), path.join("four.ids")).unwrap();
    path
}

fn command(line: &str, directory: &Path) -> Command {
    let ring = format!("exec sh {}", root().join("scripts/ring.sh").display());
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", if line == "make ring" { &ring } else { line }]).current_dir(directory).env("PATH", path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The output depends on ports, which other programs on this machine may use for a while.
fn wait_for_ports(line: &str) {
    let after = |text| line.split_once(text).and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let port = after("-p ").or_else(|| after("--listen 127.0.0.1:"));
    let ports: Vec<u16> = port.map_or((4170..=4174).collect(), |port: u16| vec![port]);
    let end = Instant::now() + PATIENCE;
    while ports.iter().any(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err()) {
        assert!(Instant::now() < end, "{line}: a port of {ports:?} at 127.0.0.1 is taken by another program");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A node, or several, and the console of one; ended when it is dropped.
struct Console {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Console {
    fn open(line: &str, directory: &Path) -> Console {
        wait_for_ports(line);
        let mut child = command(line, directory).process_group(0).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, receiver) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Console { child, input, output: receiver }
    }

    fn say(&mut self, said: &str) {
        self.input.write_all(format!("{said}\n").as_bytes()).unwrap();
    }

    /// Repeats the input until the answer is as shown: tables take a while to be right.
    fn expect(&mut self, said: Option<&str>, shown: &[String]) {
        let end = Instant::now() + PATIENCE;
        let mut printed = Vec::new();
        while Instant::now() < end {
            if let Some(said) = said {
                printed.clear();
                self.say(said);
            }
            while let Ok(line) = self.output.recv_timeout(ANSWER) {
                printed.push(line);
                if is_shown(shown, &printed) {
                    return;
                }
            }
        }
        panic!("{said:?}\nis shown with\n{}\nand prints\n{}", shown.join("\n"), printed.join("\n"));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

fn run(session: &Session, directory: &Path) {
    let mut child = command(&session.command, directory).stderr(Stdio::piped()).spawn().unwrap();
    let said: String = session.exchanges.iter().flat_map(|(said, _)| said).map(|said| format!("{said}\n")).collect();
    // An error means that the program does not read its input.
    let _ = child.stdin.take().unwrap().write_all(said.as_bytes());
    let output = child.wait_with_output().unwrap();
    let (told, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {complaints}", session.command);
    let printed: Vec<String> = told.trim_end().lines().map(str::to_owned).collect();
    let shown: Vec<String> = session.exchanges.iter().flat_map(|(_, printed)| printed).cloned().collect();
    let is_asked = session.shows_output();
    assert!(!is_asked || is_shown(&shown, &printed), "{} prints\n{told}\nnot\n{}", session.command, shown.join("\n"));
}

fn check(document: &str) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let directory = directory(document);
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut consoles: Vec<(String, Console)> = Vec::new();
    let mut checked = 0;
    for session in sessions(&text) {
        checked += usize::from(session.shows_output());
        if session.is_node() && document != "README.md" || session.is_node() && session.shows_output() {
            let line = session.command.clone();
            // A later block with the command of a running node continues with that node.
            if consoles.iter().all(|(other, _)| *other != line) {
                consoles.push((line.clone(), Console::open(&line, &directory)));
            }
            let (_, console) = consoles.iter_mut().find(|(other, _)| *other == line).unwrap();
            for (said, shown) in &session.exchanges {
                match said {
                    Some(said) if shown.is_empty() => console.say(said),
                    _ if shown.is_empty() => {}
                    said => console.expect(said.as_deref(), shown),
                }
            }
        } else if session.shows_output() || session.command.contains(" > ") {
            run(&session, &directory);
        }
    }
    assert!(checked > 0, "{document} shows output");
}

#[test]
fn readme_shows_what_commands_print() {
    check("README.md");
}

#[test]
fn tour_shows_what_commands_print() {
    check("docs/tour.md");
}

#[test]
fn operations_shows_what_commands_print() {
    check("docs/operations.md");
}

#[test]
fn simulation_shows_what_commands_print() {
    check("docs/simulation.md");
}

/// Every document that shows output is listed here, and a block that is not run gives the reason.
#[test]
fn no_document_shows_output_that_is_not_checked() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    for path in docs.chain([root().join("README.md")]).filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let shows = sessions(&fs::read_to_string(&path).unwrap()).iter().any(Session::shows_output);
        assert_eq!(shows, DOCUMENTS.contains(&name), "{name}");
    }
}

/// Every link of a document to a file of this repository leads to an existing file.
#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS.into_iter().chain(WITHOUT_OUTPUT) {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let directory = root().join(document).parent().unwrap().to_path_buf();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            assert!(directory.join(target).exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn lines_that_are_left_out_stand_for_any() {
    let lines = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (shown, printed, right) in [
        ("a b", "a b", true),
        ("a b", "a b c", false),
        ("a …", "a b c", true),
        ("… c", "a b c", true),
        ("a … c", "a c", true),
        ("a … c", "a b", false),
        ("", "a", false),
    ] {
        assert_eq!(is_shown(&lines(shown), &lines(printed)), right, "{shown:?}, {printed:?}");
    }
    for (shown, printed, right) in [
        ("in … ms", "in 1.5 ms", true),
        ("in … ms, …", "in 1.5 ms, 7", true),
        ("in … ms", "in 1.5 s", false),
        ("in … ms", "at 1.5 ms", false),
        ("…, … ms", "a, b, c ms", true),
        ("in … ms", "in 1.5 ms or so", false),
    ] {
        assert_eq!(is_line(shown, printed), right, "{shown:?}, {printed:?}");
    }
}
