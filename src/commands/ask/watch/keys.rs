//! Keys, as a terminal sends them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Quit,
    /// Esc: closes the help, or quits.
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    Check,
    Help,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// What these bytes stand for; others mean nothing. A sequence in them is whole: see [`is_whole`].
pub fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (key, after) = match first {
            0x1b => escape(rest),
            b'q' | b'Q' => (Some(Key::Quit), rest),
            0x03 => (Some(Key::Interrupt), rest),
            0x1a => (Some(Key::Suspend), rest),
            b'c' | b'C' => (Some(Key::Check), rest),
            b'?' | b'h' => (Some(Key::Help), rest),
            b'k' => (Some(Key::Up), rest),
            b'j' => (Some(Key::Down), rest),
            b' ' => (Some(Key::PageDown), rest),
            b'g' => (Some(Key::Home), rest),
            b'G' => (Some(Key::End), rest),
            _ => (None, rest),
        };
        keys.extend(key);
        bytes = after;
    }
    keys
}

/// What follows Esc: nothing, or the rest of a sequence (ECMA-48: parameters, and one final byte).
fn escape(rest: &[u8]) -> (Option<Key>, &[u8]) {
    let Some((b'[' | b'O', sequence)) = rest.split_first() else { return (Some(Key::Escape), rest) };
    let Some(end) = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte)) else { return (None, &[]) };
    let key = match &sequence[..=end] {
        b"A" => Some(Key::Up),
        b"B" => Some(Key::Down),
        b"5~" => Some(Key::PageUp),
        b"6~" => Some(Key::PageDown),
        b"H" | b"1~" => Some(Key::Home),
        b"F" | b"4~" => Some(Key::End),
        _ => None,
    };
    (key, &sequence[end + 1..])
}

/// Whether the bytes end with a whole key. A slow line may deliver the sequence of an arrow in two parts, and its first
/// byte alone is the key Esc.
pub fn is_whole(bytes: &[u8]) -> bool {
    let Some(at) = bytes.iter().rposition(|byte| *byte == 0x1b) else { return true };
    match &bytes[at + 1..] {
        [] => false,
        [b'[' | b'O', sequence @ ..] => sequence.iter().any(|byte| (0x40..=0x7e).contains(byte)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_terminal_are_keys() {
        for (bytes, expected) in [
            (&b"q"[..], &[Key::Quit][..]),
            (b"\x1b", &[Key::Escape]),
            (b"\x03", &[Key::Interrupt]),
            (b"\x1b[A\x1b[B\x1bOA", &[Key::Up, Key::Down, Key::Up]),
            (b"\x1b[5~\x1b[6~jk", &[Key::PageUp, Key::PageDown, Key::Down, Key::Up]),
            (b"\x1b[1;5A\x1b[200~xyz\x1b[Hc?", &[Key::Home, Key::Check, Key::Help]),
            (b"\x1b[", &[]),
            ("ü".as_bytes(), &[]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn sequence_that_has_only_begun_is_waited_for() {
        for (bytes, whole) in [
            (&b""[..], true),
            (b"q", true),
            (b"\x1b", false),
            (b"j\x1b[", false),
            (b"\x1b[5", false),
            (b"\x1b[5~", true),
        ] {
            assert_eq!(is_whole(bytes), whole, "{bytes:?}");
        }
    }
}
