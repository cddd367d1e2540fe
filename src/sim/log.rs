//! A fingerprint of everything that happened and, if wanted, a readable trace.

/// The log of a history. Two histories with the same fingerprint had the same events at the same times with the same
/// bytes.
#[derive(Debug, Default)]
pub struct Log {
    fingerprint: u64,
    trace: Option<Vec<String>>,
}

impl Log {
    /// Keeps a readable trace from now on.
    pub fn keep_trace(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// The fingerprint of everything so far.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Takes the lines of the trace since the last call.
    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Adds a number to the fingerprint. It is not cryptographic: it only has to differ when histories differ.
    pub(super) fn mix(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.fingerprint = (self.fingerprint ^ word).wrapping_mul(ODD).rotate_left(29);
    }

    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut whole = [0; 8];
            whole.copy_from_slice(word);
            self.mix(u64::from_le_bytes(whole));
        }
        let rest = words.remainder().iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        self.mix(rest ^ (bytes.len() as u64) << 56);
    }

    /// Adds a line to the trace, if there is one.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(parts: &[&[u8]]) -> u64 {
        let mut log = Log::default();
        parts.iter().for_each(|part| log.mix_bytes(part));
        log.fingerprint()
    }

    #[test]
    fn fingerprint_tells_contents_lengths_and_order_apart() {
        let all = [
            fingerprint(&[b"one", b"two"]),
            fingerprint(&[b"two", b"one"]),
            fingerprint(&[b"onetwo"]),
            fingerprint(&[b"one", b"two\0"]),
            fingerprint(&[b"one two three four", b"two"]),
            fingerprint(&[b"one two three fouR", b"two"]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }
}
