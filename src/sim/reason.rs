//! Short names for tables.

use crate::protocol::lookup::LookupFailure;

/// Why a lookup found no owner, in a word or two.
pub(super) fn reason(lost: LookupFailure) -> &'static str {
    match lost {
        LookupFailure::NotJoined => "not joined",
        LookupFailure::Isolated => "isolated",
        LookupFailure::NoRoute => "no route",
        LookupFailure::TooManyHops => "too many hops",
        LookupFailure::Timeout => "timeout",
        LookupFailure::Busy => "busy",
        LookupFailure::Unsure => "unsure",
    }
}
