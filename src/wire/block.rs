//! Memory for what is written in a moment.
//!
//! The generated encoders clone each field of bytes, and the clone of one that has its own memory takes memory itself:
//! a call and its reply together took ten pieces that lived for a microsecond. So they are cut from one block for each
//! thread, which is used again once all that was cut from it is gone.
//!
//! They also write byte by byte, and a growing buffer looks for room each time: they get a slice that is large enough.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// Some fifty calls or replies without lists.
const BLOCK: usize = 4096;

thread_local! {
    static BLOCK_LEFT: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK));
}

/// These bytes, in the thread's block.
pub(super) fn bytes_of(slice: &[u8]) -> Bytes {
    cut(slice.len(), |block| block.put_slice(slice))
}

/// A serialized message, likewise.
pub(super) fn serialized(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    cut(length, |block| append(message, length, block))
}

/// Appends a message of this length.
pub(super) fn append(message: &impl Message, length: usize, bytes: &mut BytesMut) {
    let before = bytes.len();
    bytes.resize(before + length, 0);
    message.encode_raw(&mut &mut bytes[before..]);
}

fn cut(length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    if length > BLOCK / 4 {
        // It would end the block early, or keep all of it.
        let mut own = BytesMut::with_capacity(length);
        write(&mut own);
        return own.freeze();
    }
    BLOCK_LEFT.with_borrow_mut(|block| {
        block.reserve(length);
        write(block);
        block.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_change_each_other_and_the_block_is_used_again() {
        let (one, next) = (bytes_of(&[1; 20]), bytes_of(&[2; 20]));
        assert_eq!(next.as_ptr() as usize, one.as_ptr() as usize + 20, "they are of one block");
        let pieces: Vec<Bytes> = (0..255u8).map(|n| bytes_of(&[n; 20])).collect();
        assert!(pieces.iter().zip(0..).all(|(piece, n)| piece[..] == [n; 20]));
        assert_eq!(bytes_of(&[7; BLOCK]), [7; BLOCK][..]);
        drop(pieces);
        let places = || (0..BLOCK).map(|_| bytes_of(&[1; 16]).as_ptr() as usize);
        let (least, most) = places().fold((usize::MAX, 0), |(least, most), at| (least.min(at), most.max(at)));
        assert!(most - least < BLOCK, "{} bytes apart", most - least);
    }
}
