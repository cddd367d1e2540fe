//! The ring as text.

use std::fmt::Write;
use std::time::Duration;

use super::nodes;
use super::world::World;
use crate::protocol::id::Bits;
use crate::protocol::maintenance::{Maintenance, Standing};
use crate::protocol::peer::Peer;

/// A line for each node: its name, its standing, its predecessor, its successors, its fingers.
pub fn draw(world: &World) -> String {
    let mut text = String::new();
    for host in world.hosts() {
        let fingers = world.names(host.fingers.table().distinct());
        let paused = match host.paused_until {
            Duration::MAX => " vanished",
            until if until > world.now() => " paused",
            _ => "",
        };
        let _ = writeln!(text, "{}{paused} fingers [{fingers}]", node(host.me, &host.maintenance, world.bits()));
    }
    text
}

/// The neighbours of one node.
pub fn node(me: Peer, maintenance: &Maintenance, bits: Bits) -> String {
    let neighbors = maintenance.neighbors();
    let standing = match maintenance.standing() {
        Standing::Member => "",
        Standing::Joining => " joining",
        Standing::Isolated => " isolated",
        Standing::Left => " left",
    };
    format!(
        "{}{standing} after [{}] before [{}]{}",
        nodes::name(me.id, bits),
        nodes::names(neighbors.predecessor(), bits),
        nodes::names(neighbors.successors().iter().copied(), bits),
        if neighbors.is_short() { " short" } else { "" },
    )
}
