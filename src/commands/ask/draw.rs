//! A walked ring as a picture: who owns which arc, and whose first successor is whom.

use std::f64::consts::TAU;

use chord::client::walk::Walk;
use chord::protocol::id::Id;
use chord::sim::plot::drawing::{Anchor, Drawing, Text};
use chord::sim::ring::labels::{self, Circle, Name, angle};

const WIDTH: f64 = 860.0;
const CIRCLE: Circle = Circle { x: WIDTH / 2.0, y: 352.0, radius: 250.0 };
const LEGEND_FROM: f64 = 704.0;
const LEGEND_ROW: f64 = 20.0;

/// Rings of up to this many nodes have all addresses beside their nodes.
const LABELLED: usize = 64;

const STYLE: &str = ".arc{fill:none;stroke-width:8} .even{stroke:#b9d3ef} .odd{stroke:#d9e6c8} .last{stroke:#efdcb9} .leader{stroke:#aaa;fill:none} \
                     .node{stroke:#333;stroke-linecap:round} .gone{stroke:#d9480f;stroke-linecap:round} \
                     .next{stroke:#4a90d9;fill:none} .wrong{stroke:#d9480f;stroke-width:2.5;fill:none}";

/// A whole SVG document.
pub(super) fn svg(walk: &Walk) -> String {
    let mut drawing = Drawing::new(WIDTH, 0.0, STYLE);
    let nodes = &walk.nodes;
    let n = nodes.len();
    let mut wrong = 0;
    for (at, node) in nodes.iter().enumerate() {
        let before = nodes[(at + n - 1) % n].peer.id;
        // The last of an odd number lies between two of the same colour.
        let class = ["even", "odd", "last"][if at + 1 == n && n % 2 == 1 && n > 1 { 2 } else { at % 2 }];
        drawing.shape(format_args!("<path class=\"arc {class}\" d=\"{}\"/>", owned(before, node.peer.id)));
        let next = nodes[(at + 1) % n].peer;
        if let Some(successor) = node.successors.first() {
            let class = if *successor == next { "next" } else { "wrong" };
            wrong += usize::from(*successor != next);
            drawing.shape(format_args!("<path class=\"{class}\" d=\"{}\"/>", chord(node.peer.id, successor.id)));
        }
    }
    let width = if n <= LABELLED { 9 } else { 4 };
    let dots = |class: &str, ids: &mut dyn Iterator<Item = Id>| {
        let dots: String = ids.map(|id| format!("M{}h0", CIRCLE.place(id, CIRCLE.radius))).collect();
        format!("<path class=\"{class}\" stroke-width=\"{width}\" d=\"{dots}\"/>")
    };
    drawing.shape(format_args!("{}", dots("node", &mut nodes.iter().map(|node| node.peer.id))));
    drawing.shape(format_args!("{}", dots("gone", &mut walk.unreached.iter().map(|gone| gone.peer.id))));
    if n <= LABELLED {
        let peers = walk.unreached.iter().map(|gone| gone.peer).chain(nodes.iter().map(|node| node.peer));
        let name =
            |peer: chord::Peer| Name { angle: angle(peer.id), text: peer.addr.to_string(), class: "", is_needed: true };
        let names: Vec<_> = peers.map(name).collect();
        labels::write(&mut drawing, CIRCLE, &names, LEGEND_FROM - LEGEND_ROW);
    }
    let mut y = LEGEND_FROM;
    let mut row = |class: &str, text: String| {
        if !class.is_empty() {
            drawing.shape(format_args!("<path class=\"{class}\" d=\"M12 {:.1}h28\"/>", y - 5.0));
        }
        drawing.text(Text { x: 50.0, y, anchor: Anchor::Start, size: 14.0, class: "", text });
        y += LEGEND_ROW;
    };
    row(
        "arc even",
        format!("the keys that each of {n} nodes owns: up to its identifier, from that of the node before"),
    );
    row("next", "from a node to its first successor".into());
    if wrong > 0 {
        row("wrong", format!("{wrong} that are not the next node"));
    }
    if !walk.unreached.is_empty() {
        row("", format!("{} nodes (red) are named by others and don't answer", walk.unreached.len()));
    }
    drawing.height = y;
    drawing.svg()
}

/// The part of the circle after the first identifier, up to the second; all of it if they are the same.
fn owned(after: Id, to: Id) -> String {
    let Circle { radius, .. } = CIRCLE;
    let turn = match (angle(to) - angle(after)).rem_euclid(TAU) {
        0.0 if after == to => TAU - 1e-3,
        turn => turn,
    };
    let (x, y) = CIRCLE.at(angle(to) - turn, radius);
    let large = u8::from(turn > TAU / 2.0);
    format!("M{x:.1} {y:.1}A{radius} {radius} 0 {large} 1 {}", CIRCLE.place(to, radius))
}

/// A line between two points that is bent towards the middle, the more the longer it is.
fn chord(from: Id, to: Id) -> String {
    let ((x, y), (u, v)) = (CIRCLE.at(angle(from), CIRCLE.radius), CIRCLE.at(angle(to), CIRCLE.radius));
    let bend = 0.25 * ((u - x).hypot(v - y) / CIRCLE.radius).min(1.0);
    let bent = |one: f64, other: f64, middle: f64| (one + other) / 2.0 * (1.0 - bend) + middle * bend;
    format!("M{x:.1} {y:.1}Q{:.1} {:.1} {u:.1} {v:.1}", bent(x, u, CIRCLE.x), bent(y, v, CIRCLE.y))
}
