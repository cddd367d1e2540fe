//! The facts about a node state that judging needs, as sets of places relative to the node.

use super::circle::Place;
use super::local::Local;

/// A set of places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask(pub u8);

impl Mask {
    pub fn all(places: usize) -> Mask {
        Mask(((1u16 << places) - 1) as u8)
    }

    pub fn of(place: Place) -> Mask {
        Mask(1 << place)
    }

    pub fn has(self, place: Place) -> bool {
        self.0 & 1 << place != 0
    }

    pub fn with(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    pub fn without(self, other: Mask) -> Mask {
        Mask(self.0 & !other.0)
    }

    pub fn common(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn places(self) -> impl Iterator<Item = Place> {
        (0..8).filter(move |place| self.has(*place))
    }

    /// The set as seen from `by` places before.
    pub fn turned(self, by: Place, places: usize) -> Mask {
        let wide = u16::from(self.0) << by;
        Mask((wide | wide >> places) as u8).common(Mask::all(places))
    }
}

/// One node state as sets of places, the node itself at place 0.
#[derive(Clone, Debug)]
pub struct Masks {
    pub up: bool,
    pub member: bool,
    pub talking: bool,
    /// The successor list, nearest first.
    pub successors: Vec<Place>,
    pub predecessor: Option<Place>,
    /// The same as a set.
    pub list: Mask,
    /// The places that the extended list passes over.
    pub skipped: Mask,
    /// A list that this node may adopt, in the form in which it would adopt it; `None` when there is none.
    pub coming: Option<Mask>,
    /// The places that this list passes over, beginning at its owner.
    pub skipped_coming: Mask,
    /// Whether the list has fewer than r entries, and no death explains that.
    pub unexplained: bool,
}

impl Masks {
    pub fn of(local: &Local, r: usize, places: usize) -> Masks {
        let neighbors = local.neighbors();
        let successors: Vec<Place> = neighbors
            .map(|neighbors| neighbors.successors().iter().map(|peer| super::circle::place(*peer)).collect())
            .unwrap_or_default();
        let extended: Vec<Place> = std::iter::once(0).chain(successors.iter().copied()).collect();
        let coming = local.adoptable(r);
        Masks {
            up: !local.is_down(),
            member: neighbors.is_some(),
            talking: local.is_talking(),
            predecessor: neighbors.and_then(|neighbors| neighbors.predecessor()).map(super::circle::place),
            list: set(&successors),
            skipped: skipped(&extended, places),
            skipped_coming: coming.as_ref().map(|(whole, _)| skipped(whole, places)).unwrap_or_default(),
            coming: coming.map(|(_, adopted)| set(&adopted)),
            unexplained: neighbors.is_some() && successors.len() < r && !local.is_reduced(),
            successors,
        }
    }
}

fn set(places: &[Place]) -> Mask {
    places.iter().fold(Mask::default(), |set, place| set.with(Mask::of(*place)))
}

/// The places strictly between neighbouring entries of a list.
fn skipped(list: &[Place], places: usize) -> Mask {
    let mut skipped = Mask::default();
    for pair in list.windows(2) {
        let way = (pair[1] + places - pair[0]) % places;
        // Between a node and itself lie all others.
        let way = if way == 0 { places } else { way };
        for step in 1..way {
            skipped = skipped.with(Mask::of((pair[0] + step) % places));
        }
    }
    skipped
}
