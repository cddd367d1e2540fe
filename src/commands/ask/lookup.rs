//! `chord lookup`: the owners of keys.

use std::io::BufReader;
use std::thread;

use chord::Id;
use chord::client::{AskError, Client, Owner, json};
use chord::console::input::read_line;
use chord::console::streams::{complain, input};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::{Failure, print, reach};
use crate::cli::ask::{Lookup, identifier};

/// A key, and its identifier if it has one.
type Key = (String, Result<Id, String>);

/// Lines that are read ahead.
const AHEAD: usize = 1024;

/// Answers that are written together, if they are there.
const TOGETHER: usize = 256;

pub(super) async fn run(lookup: Lookup) -> Result<u8, Failure> {
    let (client, addr) = reach(&lookup.common).await?;
    let Lookup { keys, id, in_flight, common } = lookup;
    let keys = stream::iter(keys).flat_map(move |key| all(key, id));
    let found = keys.map(|(key, id)| find(&client, addr, key, id)).buffered(in_flight);
    let mut found = std::pin::pin!(found.ready_chunks(TOGETHER));
    let mut status = 0;
    while let Some(found) = found.next().await {
        let mut lines = String::new();
        for (key, id, owner) in found {
            match owner {
                owner if common.json => {
                    let owner = owner.as_ref().map(|found| (found.owner, found.took));
                    status = status.max(u8::from(owner.is_err()));
                    lines.push_str(&format!("{}\n", json::lookup(&key, id, owner.map_err(String::as_str))));
                }
                Ok(Owner { owner, .. }) => lines.push_str(&format!("{} {} {key}\n", owner.id, owner.addr)),
                Err(why) => {
                    status = 1;
                    complain(format_args!("chord: {key:?}: {why}"));
                }
            }
        }
        print(&lines)?;
    }
    Ok(status)
}

async fn find(
    client: &Client,
    addr: chord::Addr,
    key: String,
    id: Result<Id, String>,
) -> (String, Option<Id>, Result<Owner, String>) {
    match id {
        Ok(id) => {
            let owner = client.lookup(addr, id).await.map_err(|why: AskError| why.to_string());
            (key, Some(id), owner)
        }
        Err(why) => (key, None, Err(why)),
    }
}

/// The keys that an argument stands for: itself, or for `-` the lines of standard input.
fn all(key: String, is_id: bool) -> BoxStream<'static, Key> {
    let read = move |key: String| {
        let id = identifier(&key, is_id).ok_or_else(|| "not an identifier of 40 hexadecimal digits".to_string());
        (key, id)
    };
    if key != "-" {
        return stream::iter([read(key)]).boxed();
    }
    let (lines, mut read_lines) = mpsc::channel(AHEAD);
    // A read that has begun can't be cancelled: it has a thread, which ends with the program.
    let reading = thread::Builder::new().name("keys".into()).spawn(move || {
        let mut input = BufReader::new(input());
        loop {
            let line = match read_line(&mut input) {
                Ok(Some(Ok(line))) => match is_id {
                    true => read(String::from_utf8_lossy(&line).trim().into()),
                    // A key is hashed as it is, even if it is no text.
                    false => {
                        let id = Id::of_key(&line, chord::protocol::id::Bits::FULL);
                        (String::from_utf8_lossy(&line).into_owned(), Ok(id))
                    }
                },
                Ok(Some(Err(why))) => (String::new(), Err(why.to_string())),
                Ok(None) => return,
                Err(why) => return complain(format_args!("chord: can't read standard input: {why}")),
            };
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    if let Err(why) = reading {
        complain(format_args!("chord: can't read standard input: {why}"));
    }
    stream::poll_fn(move |cx| read_lines.poll_recv(cx)).boxed()
}
