//! Well-formed protobuf messages with arbitrary content, encoded independently of the program's own codec.

use arbitrary::{Result, Unstructured};

/// A protobuf message under construction.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn maybe_number(self, u: &mut Unstructured, field: u64) -> Result<Message> {
        Ok(if u.ratio(1, 2)? { self.number(field, number(u)?) } else { self })
    }

    fn maybe_bytes(self, u: &mut Unstructured, field: u64, value: Word) -> Result<Message> {
        Ok(if u.ratio(3, 4)? { self.bytes(field, &value(u)?) } else { self })
    }

    fn some_bytes(mut self, u: &mut Unstructured, field: u64, value: Word, most: usize) -> Result<Message> {
        for _ in 0..u.int_in_range(0..=most)? {
            self = self.bytes(field, &value(u)?);
        }
        Ok(self)
    }
}

type Word = fn(&mut Unstructured) -> Result<Vec<u8>>;

/// A frame with this payload.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    [&(8 + payload.len() as u64).to_be_bytes()[..], payload].concat()
}

const NAMES: [&str; 15] = [
    "find_successor",
    "findsuccessor",
    "notify",
    "check_predecessor",
    "checkpredecessor",
    "get_predecessor",
    "getpredecessor",
    "get_successor_list",
    "getsuccessorlist",
    "nudge",
    "invite",
    "meet",
    "leave",
    "open_channel",
    "",
];

/// A number that is small, large or in between.
pub fn number(u: &mut Unstructured) -> Result<u64> {
    const EDGES: [u64; 10] = [0, 1, 7, 1023, 1024, 65535, 65536, u32::MAX as u64, 1 << 63, u64::MAX];
    Ok(if u.ratio(1, 2)? { u.int_in_range(0..=20)? } else { *u.choose(&EDGES)? })
}

fn anything(u: &mut Unstructured) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=40)?;
    Ok(u.bytes(length.min(u.len()))?.to_vec())
}

/// One of a few identifiers, so that the same one occurs again; now and then of the wrong length.
fn id(u: &mut Unstructured) -> Result<Vec<u8>> {
    Ok(if u.ratio(1, 16)? { anything(u)? } else { vec![u.int_in_range(0..=7)?; 20] })
}

fn address(u: &mut Unstructured) -> Result<Vec<u8>> {
    const KNOWN: [&str; 9] = [
        "127.0.0.1",
        "10.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "255.255.255.255",
        "::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "",
    ];
    Ok(if u.ratio(1, 16)? { anything(u)? } else { u.choose(&KNOWN)?.as_bytes().to_vec() })
}

fn node(u: &mut Unstructured) -> Result<Vec<u8>> {
    let message = Message::default().bytes(1, &id(u)?).bytes(2, &address(u)?);
    Ok(message.number(3, if u.ratio(1, 8)? { number(u)? } else { u.int_in_range(1..=9)? }).done())
}

fn hop(u: &mut Unstructured) -> Result<Vec<u8>> {
    Ok(Message::default().maybe_bytes(u, 1, node)?.maybe_number(u, 2)?.done())
}

/// The arguments of one kind of call, or of none.
fn args(u: &mut Unstructured) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=6)? {
        0 => anything(u)?,
        1 => Message::default().maybe_bytes(u, 1, id)?.maybe_number(u, 15)?.done(),
        2 | 3 => Message::default().maybe_bytes(u, 1, node)?.done(),
        // An iterative lookup; `meet`; `leave`.
        4 => {
            let lookup = Message::default().maybe_bytes(u, 1, id)?.maybe_number(u, 15)?.maybe_number(u, 16)?;
            lookup.some_bytes(u, 17, node, 40)?.done()
        }
        5 => {
            let end = if u.ratio(1, 2)? { id } else { node };
            Message::default().maybe_bytes(u, 1, node)?.maybe_bytes(u, 2, end)?.done()
        }
        _ => Message::default().maybe_bytes(u, 15, node)?.done(),
    })
}

/// The value of one kind of reply, or of none; its lists may be longer than the limits.
fn value(u: &mut Unstructured) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=6)? {
        0 => anything(u)?,
        5 => Message::default().maybe_bytes(u, 1, node)?.some_bytes(u, 16, node, 40)?.done(),
        6 => Message::default().maybe_number(u, 15)?.done(),
        1 | 2 => Message::default().maybe_bytes(u, 1, node)?.some_bytes(u, 15, hop, 80)?.done(),
        3 => {
            let lists = Message::default().maybe_bytes(u, 1, node)?.some_bytes(u, 15, node, 40)?;
            lists.maybe_bytes(u, 16, node)?.maybe_number(u, 17)?.done()
        }
        _ => {
            let list = Message::default().some_bytes(u, 1, node, 40)?;
            list.maybe_number(u, 15)?.maybe_bytes(u, 16, node)?.done()
        }
    })
}

/// A `Call`; parts of it may be missing or invalid.
pub fn call(u: &mut Unstructured) -> Result<Vec<u8>> {
    let name = if u.ratio(1, 16)? { anything(u)? } else { u.choose(&NAMES)?.as_bytes().to_vec() };
    let call = Message::default().bytes(1, &name).maybe_bytes(u, 2, args)?;
    let call = call.maybe_number(u, 15)?.maybe_number(u, 16)?.maybe_number(u, 17)?;
    Ok(call.maybe_bytes(u, 18, node)?.maybe_number(u, 19)?.maybe_number(u, 20)?.done())
}

/// A `Return` to the call of this number, if any.
pub fn reply(u: &mut Unstructured, call: Option<u64>) -> Result<Vec<u8>> {
    let success = if u.ratio(3, 4)? { 1 } else { number(u)? };
    let reply = Message::default().number(1, success).maybe_bytes(u, 2, value)?;
    let reply = match call {
        Some(call) => reply.number(15, call),
        None => reply,
    };
    let reply = reply.maybe_bytes(u, 16, anything)?.maybe_number(u, 17)?;
    Ok(reply.maybe_bytes(u, 18, id)?.maybe_number(u, 19)?.maybe_number(u, 20)?.done())
}
