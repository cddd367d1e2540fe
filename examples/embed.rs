//! A service that finds out which of its nodes is responsible for a user: a ring of five nodes in one process, before
//! and after one of them stops.
//!
//! `cargo run --example embed`

use std::net::Ipv4Addr;
use std::time::Duration;

use chord::{Config, LookupError, Node, StartError};

const USERS: [&str; 6] = ["ada", "barbara", "edsger", "grace", "ken", "leslie"];

/// Prints which node each user belongs to, in a ring of five nodes and of the four that are left.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut nodes = start(5).await?;
    print("Five nodes:", &nodes[0]).await?;
    let owner = nodes[0].lookup(USERS[0]).await?;
    if let Some(at) = nodes.iter().position(|node| node.me() == owner) {
        println!("\nThe node at port {} stops.\n", owner.addr.port());
        nodes.remove(at).stop().await;
    }
    print("Four nodes:", &nodes[0]).await?;
    for node in nodes {
        node.stop().await;
    }
    Ok(())
}

/// A ring: the first node creates it, the others join through the first.
async fn start(n: usize) -> Result<Vec<Node>, StartError> {
    let config = Config { stabilize: Duration::from_millis(200), ..Config::new(Ipv4Addr::LOCALHOST) };
    let first = Node::start(config.clone()).await?;
    let seeded = Config { seeds: vec![first.me().addr.into()], ..config };
    let mut nodes = vec![first];
    while nodes.len() < n {
        nodes.push(Node::start(seeded.clone()).await?);
    }
    Ok(nodes)
}

/// Prints which node each user belongs to.
async fn print(title: &str, node: &Node) -> Result<(), LookupError> {
    println!("{title}");
    for user in USERS {
        let owner = node.lookup(user).await?;
        println!("  {user:8} belongs to the node at port {}", owner.addr.port());
    }
    Ok(())
}
