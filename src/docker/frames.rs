use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use crate::lines::LineBuffer;

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The engine itself, telling why it cannot go on.
    System,
}

/// One piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it came from.
    pub source: Source,
    /// What; may end anywhere in a line.
    pub data: Bytes,
}

/// Takes apart the stream in which an engine sends a container's output: 8 bytes of header (stream,
/// three zeros, length) before each piece.
#[derive(Debug, Default)]
pub struct Frames {
    pending: BytesMut,
}

const HEADER: usize = 8;

/// A header that announces more is none.
const LARGEST_FRAME: usize = 16 << 20;

impl Frames {
    /// The engine sent `data`: the frames that are complete now.
    pub fn push(&mut self, data: &[u8]) -> Vec<Frame> {
        self.pending.extend_from_slice(data);
        let mut frames = Vec::new();
        while let Some(frame) = self.next() {
            frames.push(frame);
        }
        frames
    }

    fn next(&mut self) -> Option<Frame> {
        let (source, length) = match *self.pending {
            [] => return None,
            [kind @ 0..=3, 0, 0, 0, a, b, c, d, ..] => {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                (source(kind), length)
            }
            [0..=3, ref rest @ ..] if rest.len() < HEADER - 1 => return None,
            // No header: the container has a terminal, whose output comes as it is.
            _ => return Some(self.unframed()),
        };
        if length > LARGEST_FRAME {
            return Some(self.unframed());
        }
        if self.pending.len() < HEADER + length {
            return None;
        }
        self.pending.advance(HEADER);
        let data = self.pending.split_to(length).freeze();
        Some(Frame { source, data })
    }

    fn unframed(&mut self) -> Frame {
        Frame { source: Source::Out, data: self.pending.split().freeze() }
    }
}

fn source(kind: u8) -> Source {
    match kind {
        2 => Source::Err,
        3 => Source::System,
        _ => Source::Out,
    }
}

/// Makes lines of frames. Output and error keep lines of their own, or a half line of one would be
/// torn apart by the other. What the engine says for itself (a log driver that cannot be read) is no
/// output and left out.
#[derive(Debug, Default)]
pub struct Lines {
    frames: Frames,
    open: BTreeMap<Source, LineBuffer>,
}

impl Lines {
    /// The engine sent `data`: the lines that are complete now.
    pub fn push(&mut self, data: &[u8]) -> Vec<String> {
        let frames = self.frames.push(data).into_iter();
        let mut lines = Vec::new();
        for frame in frames.filter(|frame| frame.source != Source::System) {
            lines.extend(self.open.entry(frame.source).or_default().push(&frame.data));
        }
        lines
    }

    /// The output has ended: lines that were not.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        self.open.into_values().filter_map(LineBuffer::finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[kind, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    #[test]
    fn lines_are_whole_however_the_bytes_arrive() {
        let stream = [
            frame(1, "one\ntw"),
            frame(2, "oops\n"),
            frame(1, "o\nthree"),
            frame(3, "no such task\n"),
        ]
        .concat();
        for step in 1..stream.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<String> = stream.chunks(step).flat_map(|c| lines.push(c)).collect();
            seen.extend(lines.finish());
            assert_eq!(seen, ["one", "oops", "two", "three"], "{step}");
        }
    }

    #[test]
    fn a_terminals_output_has_no_frames() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"\x1b[31mred\x1b[0m\r\nplain"), ["red"]);
        assert_eq!(lines.finish(), ["plain"]);
    }
}
