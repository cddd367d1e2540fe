//! The commands of scenarios as sentences, and the names of messages.

use std::time::Duration;

use crate::protocol::rpc::Request;
use crate::sim::script::command::Command;

/// The name of a call.
pub(in crate::sim) fn call(request: &Request) -> &'static str {
    match request {
        Request::FindSuccessor { .. } => "FindSuccessor",
        Request::ClosestPrecedingNode { .. } => "ClosestPrecedingNode",
        Request::Notify { .. } => "Notify",
        Request::CheckPredecessor => "CheckPredecessor",
        Request::GetPredecessor => "GetPredecessor",
        Request::GetSuccessorList { .. } => "GetSuccessorList",
        Request::Nudge { .. } => "Nudge",
        Request::Invite { .. } => "Invite",
        Request::Meet { .. } => "Meet",
        Request::Leave { .. } => "Leave",
        Request::OpenChannel => "OpenChannel",
    }
}

/// What a command does to a world; nothing for those that take time, draw, or look a key up.
pub(in crate::sim) fn words(command: &Command) -> Option<String> {
    let list = |nodes: &[u32]| nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let time = |time: &Duration| humantime::format_duration(*time).to_string();
    let part = |thousandths: &u16| f64::from(*thousandths) / 10.0;
    Some(match command {
        Command::Thread(factor, nodes) => {
            format!("Nodes {} share a thread, whose work takes {factor} times as long as usual.", list(nodes))
        }
        Command::Start(n, seeds) if seeds.is_empty() => format!("Node {n} starts, and creates a ring."),
        Command::Start(n, seeds) => format!("Node {n} starts, and joins through {}.", list(seeds)),
        Command::Crash(n) => format!("Node {n} dies: its connections break, and calls are refused."),
        Command::Leave(n) => format!("Node {n} leaves, and tells its neighbours."),
        Command::Vanish(n) => format!("Node {n} falls silent for ever, like a host that has lost power."),
        Command::Pause(n, t) => format!("Node {n} does nothing for {}.", time(t)),
        Command::Slow(n, t) => format!("Each message to and from node {n} takes {} longer.", time(t)),
        Command::Delay(from, to) => format!("Messages take {} to {}.", time(from), time(to)),
        Command::Loss(p) => format!("{} % of messages are lost.", part(p)),
        Command::Duplication(p) => format!("{} % of messages come twice.", part(p)),
        Command::Lateness(p) => format!("{} % of messages are up to 300 ms late.", part(p)),
        Command::Partition(one, other) => format!("No message gets from {} to {}, or back.", list(one), list(other)),
        Command::Cut(one, other) => format!("No message gets from {} to {}.", list(one), list(other)),
        Command::Mend(one, other) => format!("Messages get from {} to {} again, and back.", list(one), list(other)),
        Command::Hold(a, b) => format!("Messages between {a} and {b} wait."),
        Command::Release(a, b) => format!("Messages between {a} and {b} need not wait any longer."),
        Command::Sever(a, b) => format!("The connection between {a} and {b} breaks."),
        Command::Heal => "The network is as it was at the beginning. Dead nodes stay dead.".into(),
        Command::Lookup(..) | Command::Iterate(..) | Command::Run(_) | Command::Settle(_) | Command::Print => {
            return None;
        }
    })
}
