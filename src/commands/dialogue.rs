//! Asks a person at a terminal where the node is to run and whom it is to join.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, TcpListener, ToSocketAddrs};
use std::thread;

use anyhow::{Context, Result};
use chord::console::editor::{Editor, Input};
use chord::console::streams::complain;
use chord::net::seed::Host;
use chord::protocol::addr::callable;
use chord::{Addr, Config, IfAlone, Seed};
use tokio::sync::oneshot;

use crate::cli::serve::{PORT, Serve, default_route};

/// How many ports after a taken one are tried.
const NEXT_PORTS: u16 = 100;

/// Asks on a thread of its own: a read that has begun can't be cancelled. `None` if nobody answers: Ctrl-C or the end of
/// the input.
pub async fn ask(serve: Serve) -> Result<Option<Serve>> {
    let (tell, answered) = oneshot::channel();
    thread::Builder::new().name("questions".into()).spawn(move || {
        // An error means that the program ends.
        let _ = tell.send(converse(serve));
    })?;
    answered.await.context("the questions ended")?.context("can't ask for the addresses")
}

fn converse(serve: Serve) -> io::Result<Option<Serve>> {
    let mut editor = Editor::without_history()?;
    let usual = default_route(false).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let Some(ip) = question(&mut editor, "Address of this node", Some(&usual.to_string()), address)? else {
        return Ok(None);
    };
    let mut offered = PORT;
    let port = loop {
        let port = question(&mut editor, "Port of this node", Some(&offered.to_string()), port)?;
        let Some(port) = port else { return Ok(None) };
        match TcpListener::bind((ip, port)) {
            Ok(_) => break port,
            Err(why) if why.kind() == ErrorKind::AddrInUse => match next_free(ip, port) {
                Some(free) => {
                    complain(format_args!("port {port} is taken; {free} is free"));
                    offered = free;
                }
                None => complain(format_args!("port {port} is taken, and so are the next ones")),
            },
            Err(why) => complain(format_args!("can't listen on port {port}: {why}")),
        }
    };
    let me = Addr::new(ip, port);
    let seed = loop {
        let Some(host) = question(&mut editor, "Address of a node to join, empty to create a ring", None, host)? else {
            return Ok(None);
        };
        let Some(host) = host else { break None };
        let Some(port) = question(&mut editor, "Port of that node", Some(&PORT.to_string()), self::port)? else {
            return Ok(None);
        };
        let seed = Seed { host, port };
        if seed.addr() == Some(me) {
            complain(format_args!("{me} is this node itself"));
            continue;
        }
        break Some(seed);
    };
    let if_alone = if serve.knows_if_alone { serve.config.if_alone } else { IfAlone::Create };
    let config = Config {
        listen: me,
        advertise: serve.config.advertise,
        seeds: seed.into_iter().collect(),
        if_alone,
        ..serve.config
    };
    Ok(Some(Serve { config, ..serve }))
}

/// Asks until the answer is good; an empty one stands for the usual one. `None` if nobody answers.
fn question<T>(
    editor: &mut Editor,
    what: &str,
    usual: Option<&str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> io::Result<Option<T>> {
    let prompt = usual.map_or(format!("{what}: "), |usual| format!("{what} [{usual}]: "));
    loop {
        match editor.ask(&prompt)? {
            Input::Line(line) => {
                match read(Some(line.trim()).filter(|line| !line.is_empty()).or(usual).unwrap_or_default()) {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(why) => complain(why),
                }
            }
            Input::Unreadable(why) => complain(why),
            Input::Interrupted | Input::End => return Ok(None),
        }
    }
}

/// An address of this machine that others can call.
fn address(text: &str) -> Result<IpAddr, String> {
    let ip: IpAddr = text.parse().map_err(|_| {
        let given = crate::cli::given::instead_of_address(text, false);
        format!(
            "{text:?} is {given}: an IPv4 or IPv6 address, like 128.8.126.63, or 127.0.0.1 for a ring on this machine"
        )
    })?;
    let ip = callable(ip).map_err(|why| format!("others can't call {ip}: that is {why}"))?;
    match TcpListener::bind((ip, 0)) {
        Ok(_) => Ok(ip),
        Err(why) => Err(format!("{ip} is not an address of this machine ({why})")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{text:?} is not a number from 1 to 65535"))
}

/// The host of a node to join; none for an empty answer. A name that does not resolve yet is tried again later.
fn host(text: &str) -> Result<Option<Host>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let host: Host = text.parse().map_err(|_| {
        format!("{text:?} is {}: the address or name of a host", crate::cli::given::instead_of_address(text, true))
    })?;
    if let Host::Name(name) = &host
        && let Err(why) = (name.as_str(), PORT).to_socket_addrs()
    {
        complain(format_args!("{text} does not resolve yet ({why}): it is tried again while the node joins"));
    }
    Ok(Some(host))
}

fn next_free(ip: IpAddr, taken: u16) -> Option<u16> {
    let next = taken.checked_add(1)?;
    (next..=next.saturating_add(NEXT_PORTS)).find(|port| TcpListener::bind((ip, *port)).is_ok())
}
