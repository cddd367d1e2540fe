//! `chord trace`: the way of a lookup.

use std::io::{IsTerminal, stdout};

use chord::client::json::{self, millis};
use chord::client::trace::{Step, Trace, Why, trace};
use chord::console::streams::complain;

use super::{Failure, columns, print, print_json, reach};
use crate::cli::ask::{self, identifier};

pub(super) async fn run(args: &ask::Trace) -> Result<u8, Failure> {
    let (client, addr) = reach(&args.common).await?;
    // Checked with the other arguments.
    let Some(key) = identifier(&args.key, args.id) else { return Ok(2) };
    let traced = match trace(&client, addr, key).await {
        Ok(traced) => traced,
        Err(why) if args.common.json => {
            print_json(&json::lookup(&args.key, Some(key), Err(&why.to_string())))?;
            return Ok(1);
        }
        Err(why) => {
            complain(format_args!("chord: no owner was found: {why}"));
            return Ok(1);
        }
    };
    if args.common.json {
        print_json(&json::trace(&args.key, &traced))?
    } else {
        print(&text(&args.key, &traced))?
    }
    Ok(0)
}

pub(in crate::commands) fn text(key: &str, trace: &Trace) -> String {
    let draws = stdout().is_terminal();
    let mut text = format!("{key:?} is {}\n", trace.key);
    let rows: Vec<[String; 5]> = trace.steps.iter().enumerate().map(|(hop, step)| row(hop, step, draws)).collect();
    let lines = columns(&rows);
    for (step, line) in trace.steps.iter().zip(lines.lines()) {
        for (failed, why) in &step.failed {
            text.push_str(&format!("   {} failed: {why}\n", failed.addr));
        }
        text.push_str(line);
        text.push('\n');
    }
    let hops = trace.steps.len() - 1;
    let of = trace.steps.last().map(|last| format!(" of {}", last.node.addr)).unwrap_or_default();
    let why = match trace.why {
        Why::Finger(_) | Why::Successor(_) => reason(trace.why) + &of,
        why => reason(why),
    };
    let s = if hops == 1 { "" } else { "s" };
    text + &format!("owner {} {}, {why}; {hops} hop{s}, {} ms\n", trace.owner.id, trace.owner.addr, millis(trace.took))
}

fn row(hop: usize, step: &Step, draws: bool) -> [String; 5] {
    let plain = if step.plain { ", a plain peer: it asks others itself" } else { "" };
    [
        format!("{hop}"),
        step.node.addr.to_string(),
        format!("{} ms", millis(step.took)),
        format!("{:.4} % left{}", step.left * 100.0, if draws { bar(step.left) } else { String::new() }),
        format!("{}{plain}", reason(step.why)),
    ]
}

/// The arc from the node to the key, as a part of the circle, each cell a halving: hops halve what is left.
fn bar(left: f64) -> String {
    const CELLS: i32 = 20;
    let halvings = if left > 0.0 { (-left.log2()).floor() as i32 } else { CELLS };
    let full = (CELLS - halvings).clamp(0, CELLS) as usize;
    format!(" {}{}", "━".repeat(full), "·".repeat(CELLS as usize - full))
}

fn reason(why: Why) -> String {
    match why {
        Why::Begin => "begin".into(),
        Why::Finger(i) => format!("finger {i}"),
        Why::Successor(j) => format!("successor {j}"),
        Why::Word => "named by the node before, which does not report its tables".into(),
        Why::Itself => "by its own word: the key lies between its predecessor and itself".into(),
    }
}
