use bollard::container::LogOutput;

use crate::lines::LineBuffer;

/// Makes lines of a container's output. Output and error keep lines of their own, or a half line of
/// one would be torn apart by the other. What the engine says for itself (a log driver that cannot
/// be read) is no output and left out.
#[derive(Debug, Default)]
pub struct Lines {
    out: LineBuffer,
    err: LineBuffer,
    /// Bytes of the engine's own words that are still to come.
    foreign: usize,
}

impl Lines {
    /// The engine sent `piece`: the lines that are complete now.
    pub fn push(&mut self, piece: &LogOutput) -> Vec<String> {
        match piece {
            LogOutput::StdErr { message } => self.err.push(message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } => self.out.push(message),
            LogOutput::Console { message } => {
                let own = self.skip_foreign(message);
                self.out.push(&message[own..])
            }
        }
    }

    /// The output has ended: lines that were not.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        [self.out, self.err].into_iter().filter_map(LineBuffer::finish).collect()
    }

    /// bollard knows the streams 0 to 2 and takes the engine's own, 3, for a terminal's output: its
    /// header of 8 bytes (stream, three zeros, length) comes with it, and it may come in pieces.
    fn skip_foreign(&mut self, message: &[u8]) -> usize {
        if let [3, 0, 0, 0, a, b, c, d, ..] = *message {
            self.foreign = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(8);
        }
        let skipped = self.foreign.min(message.len());
        self.foreign -= skipped;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[LogOutput]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen: Vec<String> = pieces.iter().flat_map(|piece| lines.push(piece)).collect();
        seen.extend(lines.finish());
        seen
    }

    fn console(message: &'static [u8]) -> LogOutput {
        LogOutput::Console { message: message.into() }
    }

    #[test]
    fn lines_are_whole_however_the_pieces_arrive() {
        let out = |text: &'static str| LogOutput::StdOut { message: text.into() };
        let err = LogOutput::StdErr { message: "oops\n".into() };
        assert_eq!(read(&[out("one\ntw"), err, out("o\nthree")]), ["one", "oops", "two", "three"]);
    }

    #[test]
    fn a_terminals_output_is_taken_as_it_is() {
        assert_eq!(read(&[console(b"\x1b[31mred\x1b[0m\r\nplain")]), ["red", "plain"]);
    }

    #[test]
    fn what_the_engine_says_for_itself_is_left_out() {
        let whole = console(b"\x03\0\0\0\0\0\0\x0dno such task\n");
        assert_eq!(read(&[whole, console(b"after\n")]), ["after"]);
        // A length of 10 is a line feed, at which bollard tears the piece apart.
        let torn = [console(b"\x03\0\0\0\0\0\0\n"), console(b"two\n"), console(b"lines\n")];
        assert_eq!(read(&torn), Vec::<String>::new());
    }
}
