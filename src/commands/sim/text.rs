//! Bounded reading of input text.

use std::io::{Error, Read, Result};

/// Reads a text of at most `most` bytes.
pub fn read(input: impl Read, most: u64) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::other(format!("longer than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Error::other("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_up_to_its_limit() {
        assert_eq!(read("abc".as_bytes(), 3).unwrap(), "abc");
        assert_eq!(read("abcd".as_bytes(), 3).unwrap_err().to_string(), "longer than 3 bytes");
        assert!(read(std::io::repeat(0), 1000).is_err());
        assert_eq!(read(&[0xff][..], 3).unwrap_err().to_string(), "not UTF-8");
    }
}
