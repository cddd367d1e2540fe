//! A ring as a picture: nodes on the circle, the neighbours or fingers of some of them, the path of a lookup.

use std::collections::BTreeSet;

use super::labels::{self, Circle, Name, angle};
use super::members::label;
use crate::protocol::id::Id;
use crate::protocol::peer::Peer;
use crate::sim::nodes::counted;
use crate::sim::plot::drawing::{Anchor, Drawing, Text};
use crate::sim::tables::{Tables, Walk};

/// The circle and the room for names around it; the legend follows below.
const WIDTH: f64 = 760.0;
const CIRCLE: Circle = Circle { x: WIDTH / 2.0, y: 352.0, radius: 270.0 };
const LEGEND_FROM: f64 = 704.0;
const LEGEND_ROW: f64 = 20.0;

/// Rings of up to this many nodes have all identifiers beside their nodes; larger ones only those that matter.
const LABELLED: usize = 64;

/// Identifiers are cut to this length.
const LONGEST_LABEL: usize = 8;

/// How many nodes of a path fit into a row of the legend.
const ASKED_IN_A_ROW: usize = 6;

const STYLE: &str = ".ring{fill:none;stroke:#bbb} .node{stroke:#333;stroke-linecap:round} .leader{stroke:#aaa;fill:none} \
                     .finger{stroke:#4a90d9;fill:none} .next{stroke:#4a90d9;stroke-width:2.5;fill:none} \
                     .hop{stroke:#d9480f;stroke-width:2.5;fill:none} .before{stroke:#999;stroke-width:2.5;fill:none;stroke-dasharray:6 4} \
                     .key{stroke:#2b8a3e;stroke-width:3} .of-key{fill:#2b8a3e;font-weight:bold} .on-path{font-weight:bold}";

/// The heads of arrows and their colours.
const HEADS: [(&str, &str); 3] = [("next", "#4a90d9"), ("hop", "#d9480f"), ("before", "#999")];

/// Which arrows to draw between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrows {
    /// The fingers of one node.
    Fingers,
    /// From each node to its first successor.
    Successors,
    /// What changes when one node joins: the old and the new successor of its predecessor.
    Join,
}

/// A lookup to draw: the node that looks up, the key, and the path.
pub struct Shown<'a> {
    /// The node that looks up.
    pub from: Peer,
    /// What it looks up.
    pub key: Id,
    /// The nodes that were asked, and the owner.
    pub walk: &'a Walk,
}

/// A whole SVG document; `at` is the place in the ring of the node that is shown in detail.
pub fn draw(tables: &Tables, at: usize, arrows: Arrows, lookup: Option<&Shown<'_>>) -> String {
    drawing(tables, at, arrows, lookup).svg()
}

fn drawing(tables: &Tables, at: usize, arrows: Arrows, lookup: Option<&Shown<'_>>) -> Drawing {
    let mut picture =
        Picture { drawing: Drawing::new(WIDTH, 0.0, STYLE), tables, names: Vec::new(), legend: Vec::new() };
    picture.draw_circle();
    match arrows {
        Arrows::Fingers => picture.draw_fingers(at),
        Arrows::Successors => picture.draw_successors(),
        Arrows::Join => picture.draw_join(at),
    }
    if let Some(lookup) = lookup {
        picture.draw_lookup(lookup);
    }
    picture.draw_nodes();
    picture.finish(at)
}

struct Picture<'a> {
    drawing: Drawing,
    tables: &'a Tables,
    /// Names of nodes that matter, and of the key.
    names: Vec<Name>,
    /// The class and the meaning of each kind of line; an empty class continues the row before.
    legend: Vec<(&'static str, String)>,
}

impl Picture<'_> {
    fn name(&self, id: Id) -> String {
        label(id, self.tables.bits()).chars().take(LONGEST_LABEL).collect()
    }

    fn call(&mut self, id: Id, class: &'static str) {
        let text = self.name(id);
        let is_needed = !class.is_empty() || self.tables.ring().len() <= LABELLED;
        self.names.push(Name { angle: angle(id), text, class, is_needed });
    }

    fn draw_circle(&mut self) {
        for (class, colour) in HEADS {
            self.drawing.shape(format_args!(
                "<marker id=\"{class}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"5\" markerHeight=\"5\" \
                 orient=\"auto\"><path fill=\"{colour}\" d=\"M0 0L8 4L0 8z\"/></marker>"
            ));
        }
        let Circle { x, y, radius } = CIRCLE;
        self.drawing.shape(format_args!("<circle class=\"ring\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>"));
    }

    fn arrow(&mut self, class: &str, from: Id, to: Id) {
        self.drawing
            .shape(format_args!("<path class=\"{class}\" marker-end=\"url(#{class})\" d=\"{}\"/>", arc(from, to)));
    }

    fn draw_fingers(&mut self, at: usize) {
        let me = self.tables.ring()[at];
        let fingers: Vec<Peer> = self.tables.fingers(at).distinct().filter(|finger| *finger != me).collect();
        for finger in &fingers {
            let (from, to) = (CIRCLE.place(me.id, CIRCLE.radius), CIRCLE.place(finger.id, CIRCLE.radius));
            self.drawing.shape(format_args!("<path class=\"finger\" d=\"M{from}L{to}\"/>"));
        }
        self.legend.push(("finger", format!("the fingers of node {}", self.name(me.id))));
        self.call(me.id, "on-path");
    }

    fn draw_successors(&mut self) {
        let tables = self.tables;
        let ring = tables.ring();
        for (from, to) in ring.iter().zip(ring.iter().cycle().skip(1)).filter(|(from, to)| from != to) {
            self.arrow("next", from.id, to.id);
        }
        self.legend.push(("next", "from each node to its successor, the next one clockwise".into()));
    }

    fn draw_join(&mut self, at: usize) {
        let tables = self.tables;
        let ring = tables.ring();
        let n = ring.len();
        let (before, me, after) = (ring[(at + n - 1) % n], ring[at], ring[(at + 1) % n]);
        let [b, m, a] = [before, me, after].map(|peer| self.name(peer.id));
        if n > 1 {
            if n > 2 {
                self.arrow("before", before.id, after.id);
                self.legend.push(("before", format!("before node {m} joins: the successor of {b} is {a}")));
            }
            self.arrow("next", me.id, after.id);
            self.legend.push(("next", format!("when it joins: the successor of {m} is {a}")));
            self.arrow("hop", before.id, me.id);
            self.legend.push(("hop", format!("after {b} has stabilized: the successor of {b} is {m}")));
        }
        for peer in [me, before, after] {
            self.call(peer.id, "on-path");
        }
    }

    fn draw_lookup(&mut self, Shown { from, key, walk }: &Shown) {
        let stops: Vec<Peer> = [*from].into_iter().chain(walk.path.iter().copied()).chain([walk.owner]).collect();
        for hop in stops.windows(2).filter(|hop| hop[0] != hop[1]) {
            self.arrow("hop", hop[0].id, hop[1].id);
        }
        let (inside, outside) = (CIRCLE.place(*key, CIRCLE.radius - 10.0), CIRCLE.place(*key, CIRCLE.radius + 10.0));
        self.drawing.shape(format_args!("<path class=\"key\" d=\"M{inside}L{outside}\"/>"));
        for stop in stops {
            self.call(stop.id, "on-path");
        }
        let key_name = self.name(*key);
        self.names.push(Name { angle: angle(*key), text: format!("key {key_name}"), class: "of-key", is_needed: true });
        let (from, owner) = (self.name(from.id), self.name(walk.owner.id));
        self.legend.push(("hop", format!("node {from} looks up key {key_name}, which belongs to {owner}")));
        let asked: Vec<String> = walk.path.iter().map(|peer| self.name(peer.id)).collect();
        let rows = asked.chunks(ASKED_IN_A_ROW).map(|row| row.join(", ")).collect::<Vec<_>>();
        let rows = if rows.is_empty() { vec!["nobody".into()] } else { rows };
        let heads = ["it asks "].into_iter().chain(std::iter::repeat("then "));
        self.legend.extend(heads.zip(rows).map(|(head, row)| ("", format!("{head}{row}"))));
    }

    /// Points at the same place are drawn once: a picture of a million nodes is no larger than one of two thousand.
    fn draw_nodes(&mut self) {
        let tables = self.tables;
        let ring = tables.ring();
        let points: BTreeSet<String> = ring.iter().map(|peer| CIRCLE.place(peer.id, CIRCLE.radius)).collect();
        let dots: String = points.iter().map(|point| format!("M{point}h0")).collect();
        let width = if ring.len() <= LABELLED { 9 } else { 4 };
        self.drawing.shape(format_args!("<path class=\"node\" stroke-width=\"{width}\" d=\"{dots}\"/>"));
    }

    /// Writes all names, those that matter first, and the legend.
    fn finish(mut self, at: usize) -> Drawing {
        let tables = self.tables;
        let (ring, bits) = (tables.ring(), tables.bits().count());
        if ring.len() <= LABELLED {
            ring.iter().for_each(|peer| self.call(peer.id, ""));
        } else {
            tables.fingers(at).distinct().for_each(|finger| self.call(finger.id, ""));
        }
        let mut named = BTreeSet::new();
        self.names.retain(|name| named.insert(name.text.clone()));
        labels::write(&mut self.drawing, CIRCLE, &self.names, LEGEND_FROM - LEGEND_ROW);
        let mut y = LEGEND_FROM;
        let write = |drawing: &mut Drawing, x, y, text| {
            drawing.text(Text { x, y, anchor: Anchor::Start, size: 14.0, class: "", text });
        };
        write(&mut self.drawing, 12.0, y, format!("{} with identifiers of {bits} bits", counted(ring.len(), "node")));
        for (class, text) in self.legend {
            y += LEGEND_ROW;
            if !class.is_empty() {
                self.drawing.shape(format_args!("<path class=\"{class}\" d=\"M12 {:.1}h28\"/>", y - 5.0));
            }
            write(&mut self.drawing, 50.0, y, text);
        }
        self.drawing.height = y + 14.0;
        self.drawing
    }
}

/// A line between two points that is bent towards the middle, so that it hides no finger.
fn arc(from: Id, to: Id) -> String {
    let ((x, y), (u, v)) = (CIRCLE.at(angle(from), CIRCLE.radius), CIRCLE.at(angle(to), CIRCLE.radius));
    let bent = |one: f64, other: f64, middle: f64| (one + other) / 2.0 * 0.75 + middle * 0.25;
    let (bent_x, bent_y) = (bent(x, u, CIRCLE.x), bent(y, v, CIRCLE.y));
    format!("M{}Q{bent_x:.0} {bent_y:.0} {}", CIRCLE.place(from, CIRCLE.radius), CIRCLE.place(to, CIRCLE.radius))
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
        let svg = draw(&tables, 1, Arrows::Fingers, Some(&Shown { from: tables.ring()[1], key, walk: &walk }));
        assert_eq!(count(&svg, "class=\"finger\" d=\"M") - 1, 4, "14, 21, 32 and 42, and the legend");
        assert_eq!(count(&svg, "class=\"hop\" marker"), 3, "42, 51 and 56");
        assert_eq!(count(&svg, "h0"), 10);
        assert!(svg.contains("looks up key 54, which belongs to 56<") && svg.contains(">it asks 42, 51<"));
        assert!(svg.contains(">key 54</text>"));
        assert_eq!(count(&svg, "<text"), 10 + 1 + 4);
        let svg = draw(&tables, 1, Arrows::Successors, None);
        assert_eq!(count(&svg, "class=\"next\" marker"), 10);
        let svg = draw(&tables, 1, Arrows::Join, None);
        assert!(svg.contains("before node 8 joins: the successor of 1 is 14"), "{svg}");
    }

    #[test]
    fn names_stand_apart_and_those_that_matter_are_all_there() {
        for (nodes, bits) in [(1, 16), (2, 6), (5, 6), (5, 160), (32, 16), (64, 8), (64, 160), (300, 16), (300, 160)] {
            for seed in 0..20 {
                let bits = Bits::new(bits).unwrap();
                let (peers, _) = members::without_collisions(&members::draw(nodes, 1, bits, seed));
                let tables = Tables::by_definition(peers, bits, 4);
                let from = tables.ring().len() / 2;
                let key = Id::from_bytes([seed as u8 * 13; 20]).truncated(bits);
                let walk = tables.lookup(from, key);
                let shown = Shown { from: tables.ring()[from], key, walk: &walk };
                for arrows in [Arrows::Fingers, Arrows::Successors, Arrows::Join] {
                    let drawing = drawing(&tables, from, arrows, Some(&shown));
                    let told = format!("{nodes} nodes, seed {seed}, {arrows:?}");
                    assert_eq!(drawing.unreadable(), Vec::<String>::new(), "{told}");
                    let is_named = |text: &str| drawing.texts().iter().any(|written| written.text == text);
                    let name = |id| label(id, bits).chars().take(LONGEST_LABEL).collect::<String>();
                    for stop in [shown.from, walk.owner].iter().chain(&walk.path) {
                        assert!(is_named(&name(stop.id)), "{told}: {stop:?} has no name");
                    }
                    assert!(is_named(&format!("key {}", name(key))), "{told}");
                    if tables.ring().len() <= LABELLED {
                        assert!(tables.ring().iter().all(|peer| is_named(&name(peer.id))), "{told}: all have names");
                    }
                }
            }
        }
    }

    #[test]
    fn one_node_is_one_node() {
        let tables = Tables::by_definition(members::draw(1, 1, Bits::FULL, 1), Bits::FULL, 4);
        for arrows in [Arrows::Fingers, Arrows::Successors, Arrows::Join] {
            assert!(draw(&tables, 0, arrows, None).contains(">1 node with identifiers of 160 bits<"));
        }
    }

    #[test]
    fn a_large_ring_is_a_small_file() {
        let tables = Tables::by_definition(members::draw(20_000, 1, Bits::FULL, 1), Bits::FULL, 4);
        let svg = draw(&tables, 0, Arrows::Fingers, None);
        assert!(svg.len() < 32 * 1024, "{} bytes", svg.len());
    }
}
