//! A ring as a picture: nodes on the circle, the fingers of one of them, the path of a lookup.

use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::fmt::Write;

use super::members::label;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::sim::tables::{Tables, Walk};

/// The circle, with this radius, is in the middle of a square with sides of so many units, between which
/// there is room for names. The legend goes on below.
const SIDE: f64 = 800.0;
const RADIUS: f64 = 310.0;
const LEGEND: f64 = 20.0;

/// Up to so many nodes have their identifiers beside them; in larger rings only those that matter.
const LABELLED: usize = 64;

/// A lookup to draw: who looks up what, and how it went.
pub struct Shown<'a> {
    pub from: Peer,
    pub key: Id,
    pub walk: &'a Walk,
}

/// A whole SVG document: the fingers are those of the node that stands there in the ring.
pub fn draw(tables: &Tables, fingers_of: usize, lookup: Option<&Shown<'_>>) -> String {
    let (ring, bits) = (tables.ring(), tables.bits());
    let me = ring[fingers_of];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <style>.ring{{fill:none;stroke:#bbb}} .node{{stroke:#333;stroke-width:{}}} .finger{{stroke:#4a90d9;fill:none}} \
         .hop{{stroke:#d9480f;stroke-width:2.5;fill:none;marker-end:url(#tip)}} .on{{fill:#d9480f}} \
         .key{{stroke:#2b8a3e;stroke-width:3}} text{{fill:#333}}</style>\n\
         <marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"5\" markerHeight=\"5\" orient=\"auto\">\
         <path class=\"on\" d=\"M0 0L8 4L0 8z\"/></marker>\n\
         <rect width=\"{SIDE}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <circle class=\"ring\" cx=\"{c}\" cy=\"{c}\" r=\"{RADIUS}\"/>\n",
        if ring.len() <= LABELLED { 9 } else { 4 },
        c = SIDE / 2.0,
        height = SIDE + LEGEND,
    );
    for finger in tables.fingers(fingers_of).distinct().filter(|finger| *finger != me) {
        let _ = writeln!(svg, "<path class=\"finger\" d=\"M{}L{}\"/>", place(me.id, RADIUS), place(finger.id, RADIUS));
    }
    // Points that fall on one another are one: a picture of a million nodes is no larger than one of two thousand.
    let points: BTreeSet<String> = ring.iter().map(|peer| place(peer.id, RADIUS)).collect();
    let dots: String = points.iter().map(|point| format!("M{point}h0")).collect();
    let _ = writeln!(svg, "<path class=\"node\" stroke-linecap=\"round\" d=\"{dots}\"/>");

    let mut labelled = vec![me];
    let name = |id: Id| label(id, bits).chars().take(LONGEST_LABEL).collect::<String>();
    let mut legend =
        vec![format!("{} nodes, {} bits; blue: the fingers of node {}", ring.len(), bits.count(), name(me.id))];
    if let Some(Shown { from, key, walk }) = lookup {
        let stops: Vec<Peer> = [*from].into_iter().chain(walk.path.iter().copied()).chain([walk.owner]).collect();
        for hop in stops.windows(2).filter(|hop| hop[0] != hop[1]) {
            let _ = writeln!(svg, "<path class=\"hop\" d=\"{}\"/>", arc(hop[0].id, hop[1].id));
        }
        let (inside, outside) = (place(*key, RADIUS - 12.0), place(*key, RADIUS + 12.0));
        let _ = writeln!(svg, "<path class=\"key\" d=\"M{inside}L{outside}\"/>");
        labelled.push(walk.owner);
        labelled.extend(&stops);
        let asked: Vec<String> = walk.path.iter().map(|peer| name(peer.id)).collect();
        legend.push(format!(
            "orange: node {} looks up {} (green), owned by {}",
            name(from.id),
            name(*key),
            name(walk.owner.id)
        ));
        legend.push(format!("asked: {}", if asked.is_empty() { "nobody".into() } else { asked.join(", ") }));
    }
    if ring.len() <= LABELLED {
        labelled.extend(ring);
    }
    write_labels(&mut svg, labelled.iter().map(|peer| (peer.id, name(peer.id))));
    for (row, line) in (1..).zip(&legend) {
        let _ = writeln!(svg, "<text x=\"8\" y=\"{}\">{line}</text>", SIDE + LEGEND + 18.0 * f64::from(row) - 64.0);
    }
    svg + "</svg>\n"
}

/// Names beside their points, unless there stands one already.
fn write_labels(svg: &mut String, names: impl Iterator<Item = (Id, String)>) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (id, name) in names {
        let (x, y) = at(id, RADIUS + 14.0);
        if taken.iter().any(|(u, v)| (x - u).hypot(y - v) < LABEL_HEIGHT) {
            continue;
        }
        taken.push((x, y));
        let anchor = match x - SIDE / 2.0 {
            aside if aside > RADIUS / 4.0 => "start",
            aside if aside < -RADIUS / 4.0 => "end",
            _ => "middle",
        };
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{name}</text>", y + 5.0);
    }
}

/// Names closer than this would overlap.
const LABEL_HEIGHT: f64 = 13.0;

/// What identifiers are cut to beside the circle.
const LONGEST_LABEL: usize = 8;

/// Where a point of the circle is in the picture: zero at the top, then clockwise.
fn at(id: Id, radius: f64) -> (f64, f64) {
    let [a, b, c, d, ..] = *id.as_bytes();
    let angle = TAU * f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX);
    (SIDE / 2.0 + radius * angle.sin(), SIDE / 2.0 - radius * angle.cos())
}

fn place(id: Id, radius: f64) -> String {
    let (x, y) = at(id, radius);
    format!("{x:.0} {y:.0}")
}

/// A line from one to another that is bent towards the middle, so that it hides no finger.
fn arc(from: Id, to: Id) -> String {
    let ((x, y), (u, v)) = (at(from, RADIUS), at(to, RADIUS));
    let bent = |one: f64, other: f64| (one + other) / 2.0 * 0.75 + SIDE / 2.0 * 0.25;
    format!("M{}Q{:.0} {:.0} {}", place(from, RADIUS), bent(x, u), bent(y, v), place(to, RADIUS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::Bits;
    use crate::sim::ring::members;

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn the_paper_s_lookup_of_54_is_drawn_with_its_hops_and_the_fingers_of_node_8() {
        let six = Bits::new(6).unwrap();
        let ids = [1, 8, 14, 21, 32, 38, 42, 48, 51, 56].map(|n| Id::from_number(n, six));
        let tables = Tables::by_definition(members::given(ids), six, 3);
        let key = Id::from_number(54, six);
        let walk = tables.lookup(1, key);
        let svg = draw(&tables, 1, Some(&Shown { from: tables.ring()[1], key, walk: &walk }));
        assert_eq!(count(&svg, "class=\"finger\""), 4, "14, 21, 32 and 42");
        assert_eq!(count(&svg, "class=\"hop\""), 3, "42, 51 and 56");
        assert_eq!(count(&svg, "h0"), 10);
        assert!(svg.contains("asked: 42, 51<"));
        assert_eq!(count(&svg, "<text"), 10 + 3);
    }

    #[test]
    fn a_large_ring_is_a_small_file() {
        let tables = Tables::by_definition(members::draw(20_000, 1, Bits::FULL, 1), Bits::FULL, 4);
        let svg = draw(&tables, 0, None);
        assert!(svg.len() < 32 * 1024, "{} bytes", svg.len());
        assert_eq!(count(&svg, "<text"), 1 + 1, "the node whose fingers are shown, and the legend");
    }
}
