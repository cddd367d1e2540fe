//! Names beside points of a circle: no two overlap, however close the points are.

use std::f64::consts::TAU;

use crate::protocol::id::Id;
use crate::sim::plot::drawing::{Anchor, Bounds, Drawing, Text};

/// A circle in the middle of the upper part of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Circle {
    /// Of its middle, in pixels from the left edge of the picture.
    pub x: f64,
    /// Of its middle, in pixels from the upper edge.
    pub y: f64,
    /// In pixels.
    pub radius: f64,
}

impl Circle {
    /// The point at this distance from the middle; angles go clockwise from the top.
    pub fn at(&self, angle: f64, radius: f64) -> (f64, f64) {
        (self.x + radius * angle.sin(), self.y - radius * angle.cos())
    }

    /// The point of an identifier at this distance from the middle, in whole pixels as SVG has it.
    pub fn place(&self, id: Id, radius: f64) -> String {
        let (x, y) = self.at(angle(id), radius);
        format!("{x:.0} {y:.0}")
    }
}

/// Where an identifier is on the circle: zero at the top, then clockwise.
pub fn angle(id: Id) -> f64 {
    let [a, b, c, d, ..] = *id.as_bytes();
    TAU * f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// A name to write beside a point.
#[derive(Clone, Debug)]
pub struct Name {
    /// The angle of the point, clockwise from the top.
    pub angle: f64,
    /// What is written there.
    pub text: String,
    /// Its class in the style of the picture; see [`Text::class`].
    pub class: &'static str,
    /// Whether to write it even if the line to its point crosses another name; if not, it is left out then.
    pub is_needed: bool,
}

/// The size of letters, in pixels.
const SIZE: f64 = 14.0;

/// The distance from the circle to the nearest names, and from one row of names to the next.
const NEAREST: f64 = 13.0;
const STEP: f64 = 17.0;

/// Names move along the circle in steps of `TURN`, up to a quarter of it.
const TURN: f64 = 0.03;
const TURNS: i32 = 50;

/// A name that is farther from its point gets a line to it.
const NEAR: f64 = 20.0;

/// A move along the circle costs this many times as much as one outwards: a name belongs beside its point.
const ASIDE: f64 = 1.6;

/// Writes names beside their points, the first ones nearest. Names for which there is no room above `bottom`, the end
/// of the upper part of the picture, are left out.
pub fn write(drawing: &mut Drawing, circle: Circle, names: &[Name], bottom: f64) {
    let room = Bounds { left: 2.0, top: 2.0, right: drawing.width - 2.0, bottom };
    let mut written: Vec<Written> = Vec::new();
    for name in names {
        let mut candidates: Vec<Written> = candidates(circle, name).collect();
        candidates.sort_by(|one, other| one.cost.total_cmp(&other.cost));
        candidates
            .retain(|new| new.bounds.is_within(&room) && written.iter().all(|old| !old.bounds.overlaps(&new.bounds)));
        let is_clear =
            |new: &Written| written.iter().all(|old| !old.leader_runs_over(new) && !new.leader_runs_over(old));
        let clear = candidates.iter().position(is_clear);
        let chosen = clear.or((name.is_needed && !candidates.is_empty()).then_some(0));
        written.extend(chosen.map(|at| candidates.swap_remove(at)));
    }
    for Written { text, leader, .. } in written {
        if let Some([(x, y), (u, v)]) = leader {
            drawing.shape(format_args!("<path class=\"leader\" d=\"M{x:.1} {y:.1}L{u:.1} {v:.1}\"/>"));
        }
        drawing.text(text);
    }
}

/// A name at one of its possible places.
struct Written {
    text: Text,
    bounds: Bounds,
    /// How bad this place is.
    cost: f64,
    /// A line from its point to the name, if that is not near.
    leader: Option<[(f64, f64); 2]>,
}

impl Written {
    fn leader_runs_over(&self, other: &Written) -> bool {
        let Some([(x, y), (u, v)]) = self.leader else { return false };
        let Bounds { left, top, right, bottom } = other.bounds;
        (0..=20).map(|part| f64::from(part) / 20.0).any(|part| {
            let (x, y) = (x + part * (u - x), y + part * (v - y));
            (left..right).contains(&x) && (top..bottom).contains(&y)
        })
    }
}

/// The possible places of a name: at growing distances from the circle, on either side of its point.
fn candidates(circle: Circle, name: &Name) -> impl Iterator<Item = Written> {
    let distances = (0..=8).map(|out| NEAREST + STEP * f64::from(out));
    let turns = (-TURNS..=TURNS).map(|turn| TURN * f64::from(turn));
    distances.flat_map(move |distance| turns.clone().map(move |turn| (distance, turn))).map(move |(distance, turn)| {
        let cost = (distance - NEAREST).hypot(ASIDE * turn * circle.radius) + NEAREST;
        let angle = name.angle + turn;
        let text = text(circle, name, angle, distance);
        let ends = || [circle.at(name.angle, circle.radius + 6.0), circle.at(angle, circle.radius + distance - 2.0)];
        Written { bounds: text.bounds(), text, cost, leader: (cost > NEAR).then(ends) }
    })
}

fn text(circle: Circle, name: &Name, angle: f64, distance: f64) -> Text {
    let (x, y) = circle.at(angle, circle.radius + distance);
    let anchor = match angle.sin() {
        right if right > 0.25 => Anchor::Start,
        left if left < -0.25 => Anchor::End,
        _ => Anchor::Middle,
    };
    // Above the circle the name stands on its place, below the circle it hangs from it.
    let y = y + SIZE * (0.36 - 0.4 * angle.cos());
    Text { x, y, anchor, size: SIZE, class: name.class, text: name.text.clone() }
}
