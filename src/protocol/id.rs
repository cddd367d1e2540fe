//! Identifiers and the only modular arithmetic of the program.
//!
//! An identifier is a point on a circle of 2^160 points (paper, section IV.B). A ring of m-bit
//! identifiers uses the top m bits and leaves the rest zero, so that every comparison is the same
//! for every m; m itself matters to hashing, to the starts of fingers and to printing only.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

use super::addr::Addr;

/// The number m of bits in the identifiers of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(u8);

impl Bits {
    /// Whole SHA-1 digests: what nodes on a network use.
    pub const FULL: Bits = Bits(160);

    /// A ring of `m` bits, from 1 to 160; `None` outside that range.
    pub const fn new(m: u8) -> Option<Bits> {
        if 1 <= m && m <= 160 { Some(Bits(m)) } else { None }
    }

    /// The number m.
    pub fn count(self) -> u8 {
        self.0
    }
}

/// A point on the identifier circle. `Ord` is the order of the numbers, not of the circle.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id([u8; Id::LEN]);

impl Id {
    /// The length of an identifier in bytes.
    pub const LEN: usize = 20;

    /// The identifier with these bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; Id::LEN]) -> Id {
        Id(bytes)
    }

    /// The bytes of the identifier, most significant first.
    pub fn as_bytes(&self) -> &[u8; Id::LEN] {
        &self.0
    }

    /// The identifier of a key: the top `bits` bits of its SHA-1.
    pub fn of_key(key: &[u8], bits: Bits) -> Id {
        Id(Sha1::digest(key).into()).truncated(bits)
    }

    /// The first `bits` bits of the identifier.
    pub fn truncated(mut self, bits: Bits) -> Id {
        for (i, byte) in (0u8..).zip(&mut self.0) {
            let kept = bits.0.saturating_sub(8 * i).min(8);
            *byte &= !(0xffu16 >> kept) as u8;
        }
        self
    }

    /// The identifier of a node: that of the text `address:port`.
    pub fn of_address(addr: Addr, bits: Bits) -> Id {
        Id::of_key(addr.to_string().as_bytes(), bits)
    }

    /// The m-bit identifier with the number `n` modulo 2^m.
    pub fn from_number(n: u128, bits: Bits) -> Id {
        Id::from(Number::small(n).shift_left(160 - bits.0))
    }

    /// Whether `self` lies in `(from, to)`. An interval with equal ends is the whole circle but
    /// its end.
    pub fn in_open(self, from: Id, to: Id) -> bool {
        if from < to { from < self && self < to } else { from < self || self < to }
    }

    /// Whether `self` lies in `(from, to]`. An interval with equal ends is the whole circle.
    pub fn in_half_open(self, from: Id, to: Id) -> bool {
        self == to || self.in_open(from, to)
    }

    /// The clockwise distance from `from` to `self`, as a number to compare.
    pub fn clockwise_from(self, from: Id) -> Id {
        Id::from(Number::from(self).minus(Number::from(from)))
    }

    /// Where finger `i` (from 1 to m) begins: `self + 2^(i-1)` (paper, table I).
    pub fn finger_start(self, i: u8, bits: Bits) -> Id {
        debug_assert!((1..=bits.0).contains(&i), "finger {i} of {} bits", bits.0);
        Id::from(Number::from(self).plus(Number::small(1).shift_left(160 - bits.0 + i - 1)))
    }

    /// The next point of the circle.
    pub fn next(self, bits: Bits) -> Id {
        self.finger_start(1, bits)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 40 hexadecimal digits")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Id, NotAnId> {
        if text.len() != 2 * Id::LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        let mut bytes = [0; Id::LEN];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotAnId)?;
        }
        Ok(Id(bytes))
    }
}

/// Compared as numbers: that takes some instructions, and the bytes one by one a call of `memcmp`,
/// which was half of the time of a lookup over large tables.
impl Ord for Id {
    fn cmp(&self, other: &Id) -> Ordering {
        Number::from(*self).cmp(&Number::from(*other))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Id) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An identifier as a number modulo 2^160.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    high: u32,
    low: u128,
}

impl Number {
    fn small(n: u128) -> Number {
        Number { high: 0, low: n }
    }

    fn plus(self, other: Number) -> Number {
        let (low, carry) = self.low.overflowing_add(other.low);
        let high = self.high.wrapping_add(other.high).wrapping_add(carry.into());
        Number { high, low }
    }

    fn minus(self, other: Number) -> Number {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        let high = self.high.wrapping_sub(other.high).wrapping_sub(borrow.into());
        Number { high, low }
    }

    fn shift_left(self, by: u8) -> Number {
        let by = u32::from(by);
        let carried = match by {
            0 => 0,
            1..=128 => self.low >> (128 - by),
            _ => self.low << (by - 128),
        };
        Number {
            high: self.high.checked_shl(by).unwrap_or(0) | carried as u32,
            low: self.low.checked_shl(by).unwrap_or(0),
        }
    }
}

impl From<Id> for Number {
    fn from(id: Id) -> Number {
        let mut low = [0; 16];
        let mut high = [0; 4];
        high.copy_from_slice(&id.0[..4]);
        low.copy_from_slice(&id.0[4..]);
        Number { high: u32::from_be_bytes(high), low: u128::from_be_bytes(low) }
    }
}

impl From<Number> for Id {
    fn from(number: Number) -> Id {
        let mut bytes = [0; Id::LEN];
        bytes[..4].copy_from_slice(&number.high.to_be_bytes());
        bytes[4..].copy_from_slice(&number.low.to_be_bytes());
        Id(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: Bits = Bits(6);

    fn id(n: u128) -> Id {
        Id::from_number(n, SIX)
    }

    #[test]
    fn key_is_hashed_with_sha1() {
        let hello = Id::of_key(b"Hello", Bits::FULL);
        assert_eq!(hello.to_string(), "f7ff9e8b7bb2e09b70935a5d785e0cc5d9d0abf0");
        assert_eq!("F7FF9e8b7bb2e09b70935a5d785e0cc5d9d0abf0".parse(), Ok(hello));
    }

    #[test]
    fn node_is_hashed_as_its_address_text() {
        let node = Id::of_address("127.0.0.1:4170".parse().unwrap(), Bits::FULL);
        assert_eq!(node.to_string(), "10f78bab790612c304ca2d91da6da30e59be9056");
    }

    #[test]
    fn short_identifiers_keep_the_top_bits() {
        let bits = Bits::new(12).unwrap();
        let hello = Id::of_key(b"Hello", bits);
        assert_eq!(hello, Id::from_number(0xf7f, bits));
        assert!(hello.to_string().starts_with("f7f0000"));
    }

    #[test]
    fn text_that_is_no_identifier_is_refused() {
        for text in ["", "f7ff", &"g".repeat(40), &"f".repeat(41), &"é".repeat(20)] {
            assert_eq!(text.parse::<Id>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn open_interval_leaves_out_both_ends() {
        assert!(id(5).in_open(id(4), id(6)));
        assert!(!id(4).in_open(id(4), id(6)));
        assert!(!id(6).in_open(id(4), id(6)));
        assert!(id(1).in_open(id(60), id(3)), "across zero");
        assert!(!id(10).in_open(id(60), id(3)));
    }

    #[test]
    fn interval_with_equal_ends_is_the_whole_circle() {
        assert!(id(5).in_open(id(4), id(4)));
        assert!(!id(4).in_open(id(4), id(4)));
        assert!(id(4).in_half_open(id(4), id(4)));
        assert!(id(5).in_half_open(id(4), id(4)));
    }

    #[test]
    fn half_open_interval_has_its_end_only() {
        assert!(id(6).in_half_open(id(4), id(6)));
        assert!(!id(4).in_half_open(id(4), id(6)));
    }

    #[test]
    fn arithmetic_wraps_at_the_top_of_the_circle() {
        assert_eq!(id(63).next(SIX), id(0));
        assert_eq!(id(40).finger_start(6, SIX), id(72 - 64));
        let last = Id::from_bytes([0xff; 20]);
        assert_eq!(last.next(Bits::FULL), Id::from_bytes([0; 20]));
        assert_eq!(id(3).clockwise_from(id(60)), id(7));
    }

    #[test]
    fn carries_cross_the_words_of_a_number() {
        let mut start = [0; 20];
        start[0] = 0x80;
        assert_eq!(Id::from_bytes([0; 20]).finger_start(160, Bits::FULL), Id::from_bytes(start));
        let mut low = [0xff; 20];
        low[..4].fill(0);
        let mut carried = [0; 20];
        carried[3] = 1;
        assert_eq!(Id::from_bytes(low).next(Bits::FULL), Id::from_bytes(carried));
        assert_eq!(Id::from_bytes([0; 20]).finger_start(129, Bits::FULL), Id::from_bytes(carried));
        assert_eq!(
            Id::from_bytes(carried).clockwise_from(Id::from_bytes([0; 20]).next(Bits::FULL)),
            Id::from_bytes(low)
        );
    }
}
