//! Output of containers and commands as printable lines.

/// A longer line is broken: something that prints without end must not fill the memory.
const LONGEST: usize = 16 << 10;

/// Makes lines of pieces that end anywhere.
#[derive(Debug, Default)]
pub struct LineBuffer {
    open: Vec<u8>,
}

impl LineBuffer {
    /// `data` came: the lines that are complete now.
    pub fn push(&mut self, data: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in data {
            if *byte == b'\n' || self.open.len() >= LONGEST {
                lines.push(printable(&self.open));
                self.open.clear();
            }
            if *byte != b'\n' {
                self.open.push(*byte);
            }
        }
        lines
    }

    /// Nothing more comes: the line that had no end, if there is one.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        (!self.open.is_empty()).then(|| printable(&self.open))
    }
}

/// Without control characters and colours: what is printed must not move anybody's cursor.
#[must_use]
pub fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.next_if_eq(&'[').is_some() {
            // A control sequence goes on to its first letter.
            chars.by_ref().find(|c| ('@'..='~').contains(c));
        } else if c == '\t' || !c.is_control() {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_broken() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.push(&vec![b'x'; LONGEST + 1]).len(), 1);
        assert_eq!(buffer.finish(), Some("x".to_owned()));
    }

    #[test]
    fn colours_and_control_characters_are_left_out() {
        assert_eq!(printable(b"\x1b[31;1mred\x1b[0m\r\tplain\x07"), "red\tplain");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
