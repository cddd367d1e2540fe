//! Chat rooms on a ring: the node that owns the name of a room stores what is said there. `call_owner` finds the node
//! of a room; the room moves when its owner changes, as `ownership` tells.
//!
//! `cargo run --example rooms`

use std::collections::HashMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chord::protocol::id::Bits;
use chord::{CallError, Config, Id, Node, Ownership, Refusal, StartError};
use tokio::sync::watch;

/// The rooms that a node stores, each with the lines said in it.
type Rooms = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// Says something in some rooms, and finds it where they have moved.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config { stabilize: Duration::from_millis(100), ..Config::new(Ipv4Addr::LOCALHOST) };
    let first = host(config.clone()).await?;
    for n in 0..8 {
        say(&first, &format!("room {n}"), "is anybody here?").await?;
    }
    // Some rooms move to each node that joins.
    let seeded = Config { seeds: vec![first.me().addr.into()], ..config };
    let (second, third) = (host(seeded.clone()).await?, host(seeded).await?);
    for n in 0..8 {
        let room = format!("room {n}");
        let said = until_it_has(&second, &room, "is anybody here?").await?;
        let owner = third.lookup(&room).await?;
        println!("{room}, at port {}: {said}", owner.addr.port());
    }
    for node in [third, second, first] {
        node.leave().await;
    }
    Ok(())
}

/// A node that stores rooms.
async fn host(config: Config) -> Result<Node, StartError> {
    let node = Node::start(config).await?;
    let rooms = Rooms::default();
    let Some(ownership) = node.ownership().await else { return Err(StartError::Stopped) };
    let (kept, owned) = (rooms.clone(), ownership.clone());
    // The first line of a call names the room, the others are said in it; the answer is everything said there.
    let say = move |call: chord::ServiceCall| {
        let answer = if call.key.is_some_and(|key| owns(&owned, key)) {
            let text = String::from_utf8_lossy(&call.body).into_owned();
            let mut lines = text.lines();
            let room = lines.next().unwrap_or_default().to_string();
            let mut rooms = kept.lock().expect("nobody panics with it");
            let said = rooms.entry(room).or_default();
            said.extend(lines.map(String::from));
            Ok(said.join("\n").into())
        } else {
            Err(Refusal::NotOwner)
        };
        async move { answer }
    };
    node.serve("say", say).expect("there is a runtime, and the name is short");
    tokio::spawn(hand_on(node.clone(), rooms, ownership));
    Ok(node)
}

fn owns(ownership: &watch::Receiver<Ownership>, key: Id) -> bool {
    ownership.borrow().range.is_some_and(|range| range.contains(key))
}

/// Whenever the keys of this node change, moves the rooms that now belong to another node.
async fn hand_on(node: Node, rooms: Rooms, mut ownership: watch::Receiver<Ownership>) {
    while ownership.changed().await.is_ok() {
        let moved: Vec<_> = {
            let mut rooms = rooms.lock().expect("nobody panics with it");
            let owned = |room: &String| owns(&ownership, Id::of_key(room.as_bytes(), Bits::FULL));
            rooms.extract_if(|room, _| ownership.borrow().range.is_some() && !owned(room)).collect()
        };
        for (room, said) in moved {
            if say(&node, &room, &said.join("\n")).await.is_err() {
                // The room stays here until the ring has settled and this node's keys change again.
                rooms.lock().expect("nobody panics with it").insert(room, said);
            }
        }
    }
}

/// Says something in a room; returns everything said there.
async fn say(node: &Node, room: &str, words: &str) -> Result<String, CallError> {
    let said = node.call_owner(room, "say", format!("{room}\n{words}")).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Asks until the room has moved to its new owner.
async fn until_it_has(node: &Node, room: &str, words: &str) -> Result<String, CallError> {
    loop {
        let said = node.call_owner(room, "say", room.to_string()).await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        if said.contains(words) {
            return Ok(said);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
