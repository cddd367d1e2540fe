//! Which questions a thread takes on under load.
//!
//! Maintenance has room of its own, for each client: it is answered from what a node knows, without waiting for other
//! nodes, and the ring lives by it. Lookups wait for other nodes and hold memory meanwhile, so they are bounded:
//! beyond, the answer is [`Code::Busy`](super::rpc::Code::Busy), at once.
//!
//! No client gets everything. Each *client*, that is each connection and the program itself, may hold as much as is
//! still free, or a share of it (dynamic thresholds; Choudhury, Hahne, "Dynamic queue length thresholds for
//! shared-memory packet switches", 1998): a single client gets half, two a third each, and one that comes last still
//! finds room. A lookup that other nodes have worked for already goes before one that has just begun, else an
//! overloaded ring finishes nothing.

use std::time::Duration;

use super::rpc::Request;

/// Lookups in flight at once on a thread, those of its own program included. Each takes some KiB, and a thread that has
/// more of them than fit into its caches does fewer. With 8,192, a swarm under 4,000 clients answered half of what it
/// does under 512 clients; with 2,048, a sixth less; under 20,000 clients, three quarters of it with 1,536, and the
/// same with this many. Where each takes 100 ms on the way, a thread still does 7,680 a second.
pub const MAX_LOOKUPS: usize = 768;

/// Questions of maintenance of one client that are being answered at once. They are answered in their order, so more of
/// them wait only when a client floods the node with them.
pub const MAX_MAINTENANCE: usize = 1024;

/// What a question is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Everything but lookups.
    Maintenance,
    /// A lookup that has made a hop: other nodes wait for it.
    Forwarded,
    /// A lookup that begins here.
    Begun,
}

impl Class {
    /// What this question is.
    pub fn of(request: &Request) -> Class {
        match request {
            Request::FindSuccessor { hops: 0, .. } => Class::Begun,
            Request::FindSuccessor { .. } => Class::Forwarded,
            // It is answered at once, or after a ping.
            Request::ClosestPrecedingNode { .. } => Class::Begun,
            _ => Class::Maintenance,
        }
    }

    /// The share of what is free that one client may hold: one in this many.
    fn divisor(self) -> usize {
        match self {
            Class::Maintenance | Class::Forwarded => 1,
            Class::Begun => 2,
        }
    }
}

/// The lookups that a thread has in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    most: usize,
    taken: usize,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission::new(MAX_LOOKUPS)
    }
}

impl Admission {
    /// At most `most` at once.
    pub fn new(most: usize) -> Admission {
        Admission { most, taken: 0 }
    }

    /// Takes on a question of a client that has `held` of its kind, lookups or maintenance, in flight already. Returns
    /// whether there is room. Lookups that were taken on are [`done`](Self::done) at some time.
    pub fn admit(&mut self, class: Class, held: usize) -> bool {
        if class == Class::Maintenance {
            return held < MAX_MAINTENANCE;
        }
        let admitted = self.room(class, held) > 0;
        self.taken += usize::from(admitted);
        admitted
    }

    /// How many more lookups of a client that holds this many would be taken on.
    pub fn room(&self, class: Class, held: usize) -> usize {
        // Each leaves one less free, of which the client may hold its share.
        let (free, share) = (self.most - self.taken, class.divisor());
        free.checked_sub((held + 1) * share).map_or(0, |more| more / (share + 1) + 1)
    }

    /// A lookup has ended.
    pub fn done(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// How many are in flight.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// Which lookups of the thread's own program wait for room, where there is none. If a program begins many at once after
/// a calm (it was asleep, say), they wait for a moment: they are soon done. A program that always has more than the
/// thread can do is refused at once: waiting would not help, and the waiting lookups fit into no cache (Nichols,
/// Jacobson, "Controlling queue delay", 2012, tell the two apart in the same way).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// When it began, and when there was no room last.
    span: Option<(Duration, Duration)>,
}

/// A burst lasts at most this long, and is over when there was room for [`CALM`].
const BURST: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(1);

/// For how long a refusal holds for others. Then one is asked for again: if all were turned away unasked for [`CALM`],
/// that would look like a time with room.
const MOMENT: Duration = Duration::from_millis(100);

impl Burst {
    /// There is no room for a lookup now. Returns whether it waits.
    pub fn waits(&mut self, now: Duration) -> bool {
        let began = match self.span {
            Some((began, last)) if now.saturating_sub(last) <= CALM => began,
            _ => now,
        };
        self.span = Some((began, now));
        now.saturating_sub(began) <= BURST
    }

    /// Whether a lookup was refused a moment ago: then the next one would be, too, while there is no room.
    pub fn refuses(&self, now: Duration) -> bool {
        let refused = |(began, last): (Duration, Duration)| last.saturating_sub(began) > BURST;
        self.span.is_some_and(|span| refused(span) && now.saturating_sub(span.1) <= MOMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_after_a_calm_waits_and_what_is_always_too_much_does_not() {
        let ms = Duration::from_millis;
        let mut burst = Burst::default();
        assert!(burst.waits(ms(700)) && burst.waits(ms(1400)) && burst.waits(ms(1700)));
        for n in 1701..5000 {
            assert!(!burst.waits(ms(n)), "there was no calm");
        }
        assert!(!burst.waits(ms(5999)));
        assert!(burst.waits(ms(7000)), "a second with room");
    }

    #[test]
    fn what_was_refused_a_moment_ago_would_be_refused_now() {
        let ms = Duration::from_millis;
        let mut burst = Burst::default();
        assert!(!burst.refuses(ms(0)));
        for n in [700, 1400, 1700] {
            assert!(burst.waits(ms(n)) && !burst.refuses(ms(n)));
        }
        assert!(!burst.waits(ms(2000)) && burst.refuses(ms(2000)) && burst.refuses(ms(2100)));
        assert!(!burst.refuses(ms(2101)), "the next one is asked for");
        assert!(!burst.waits(ms(3000)) && burst.refuses(ms(3000)), "and refused, since it is no burst");
    }

    /// How many a client that wants everything gets.
    fn fill(admission: &mut Admission, class: Class) -> usize {
        let mut held = 0;
        while admission.admit(class, held) {
            held += 1;
        }
        held
    }

    #[test]
    fn whoever_wants_everything_leaves_room_for_others() {
        let mut admission = Admission::new(1200);
        assert_eq!(fill(&mut admission, Class::Forwarded), 600);
        assert_eq!(fill(&mut admission, Class::Forwarded), 300);
        assert_eq!(fill(&mut admission, Class::Forwarded), 150);
        assert!(admission.admit(Class::Begun, 0), "one that wants a single one");
    }

    #[test]
    fn lookup_that_begins_gets_less_than_one_that_others_wait_for() {
        let mut admission = Admission::new(1200);
        let begun = fill(&mut admission, Class::Begun);
        assert_eq!(begun, 400);
        assert!(admission.admit(Class::Forwarded, begun));
    }

    #[test]
    fn as_many_are_taken_on_as_there_is_room_for() {
        for class in [Class::Begun, Class::Forwarded] {
            for (most, others) in (0..40).flat_map(|most| (0..=most).map(move |others| (most, others))) {
                let mut admission = Admission::new(most);
                admission.taken = others;
                for held in 0..=most + 1 {
                    let mut filled = admission.clone();
                    let taken_on = (held..).take_while(|held| filled.admit(class, *held)).count();
                    assert_eq!(admission.room(class, held), taken_on, "{held} of {others} of {most}, {class:?}");
                }
            }
        }
    }

    #[test]
    fn maintenance_is_taken_on_when_nothing_else_is() {
        let mut admission = Admission::new(0);
        assert!(!admission.admit(Class::Forwarded, 0));
        assert!(admission.admit(Class::Maintenance, MAX_MAINTENANCE - 1));
        assert!(!admission.admit(Class::Maintenance, MAX_MAINTENANCE), "of one client");
    }

    #[test]
    fn what_has_ended_makes_room() {
        let mut admission = Admission::new(2);
        assert!(admission.admit(Class::Forwarded, 0));
        assert!(!admission.admit(Class::Forwarded, 1));
        admission.done();
        assert!(admission.admit(Class::Forwarded, 0));
        assert_eq!(admission.taken(), 1);
    }
}
