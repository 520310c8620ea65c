//! Files of `NAME=value` lines: `env_file`, and the `.env` beside a stack file.

use crate::document::{Place, Problems};

use super::interpolate::{Variables, interpolate};

/// One line: a name, and its value unless only the name was written.
pub(super) type Line = (String, Option<String>);

/// The lines of `text`, as compose reads them: `#` begins a comment at the start of a word, `export`
/// is allowed, single quotes protect everything, double quotes allow `\n`, `\"` and variables.
pub(super) fn parse(
    text: &str,
    file: &str,
    variables: &Variables,
    problems: &mut Problems,
) -> Vec<Line> {
    let mut known = variables.clone();
    let mut lines = Vec::new();
    let mut cursor = Cursor { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    while let Some(begin) = cursor.next_statement() {
        let before = cursor;
        match cursor.statement(&known) {
            Ok((name, value)) => {
                if let Some(value) = &value {
                    known.set(name.clone(), value.clone());
                }
                lines.push((name, value));
            }
            Err(wrong) => {
                // The line is not repeated: it may hold a secret.
                let place = Place { line: begin, ..Place::start(file) };
                problems.report(&place, wrong.what, wrong.remedy);
                cursor = before;
                cursor.skip_line();
            }
        }
    }
    lines
}

/// The lines of `text` taken literally: `NAME=value`, comments and blank lines apart.
pub(super) fn parse_raw(text: &str, file: &str, problems: &mut Problems) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line, None),
        };
        if is_name(name) {
            lines.push((name.to_owned(), value));
        } else {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let place = Place { line, ..Place::start(file) };
            problems.report(&place, "the line does not begin with a name", "write `NAME=value`");
        }
    }
    lines
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=')
}

struct Wrong {
    what: String,
    remedy: &'static str,
}

fn wrong(what: impl Into<String>, remedy: &'static str) -> Wrong {
    Wrong { what: what.into(), remedy }
}

#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Cursor<'a> {
    /// Passes blank lines and comments; the line that a statement begins in.
    fn next_statement(&mut self) -> Option<u32> {
        loop {
            let trimmed = self.rest.trim_start();
            self.advance(self.rest.len() - trimmed.len());
            if trimmed.is_empty() {
                return None;
            }
            if !trimmed.starts_with('#') {
                return Some(self.line);
            }
            self.skip_line();
        }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        let breaks = passed.bytes().filter(|byte| *byte == b'\n').count();
        self.line += u32::try_from(breaks).unwrap_or_default();
        self.rest = rest;
        passed
    }

    /// Takes the rest of the line, its end included.
    fn skip_line(&mut self) -> &'a str {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.advance(end)
    }

    fn statement(&mut self, variables: &Variables) -> Result<Line, Wrong> {
        if let Some(after) = self.rest.strip_prefix("export ") {
            self.rest = after.trim_start_matches([' ', '\t']);
        }
        let end = self.rest.find(['=', '\n']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim_end().to_owned();
        if !is_name(&name) {
            return Err(wrong("the line does not begin with a name", "write `NAME=value`"));
        }
        if !self.rest[end..].starts_with('=') {
            self.skip_line();
            return Ok((name, None));
        }
        self.advance(end + 1);
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let value = match self.rest.chars().next() {
            Some('\'') => self.quoted('\'')?,
            Some('"') => replaced(&self.quoted('"')?, variables)?,
            _ => {
                let line = self.skip_line();
                replaced(without_comment(line).trim(), variables)?
            }
        };
        Ok((name, Some(value)))
    }

    /// What stands between the quotes, which may hold line ends; nothing but a comment may follow.
    fn quoted(&mut self, quote: char) -> Result<String, Wrong> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            if c == quote {
                self.advance(at + 1);
                let after = self.skip_line();
                if !without_comment(after).trim().is_empty() {
                    return Err(wrong("something follows the closing quote", "remove it"));
                }
                return Ok(value);
            }
            match (c, quote) {
                ('\\', '"') => match characters.next() {
                    Some((_, escaped)) => unescape(escaped, &mut value),
                    None => break,
                },
                _ => value.push(c),
            }
        }
        Err(wrong("a quote is never closed", "close it, or put the value in other quotes"))
    }
}

/// Adds what `\c` stands for in double quotes. A protected `$` is doubled, for the interpolation
/// that comes after.
fn unescape(c: char, value: &mut String) {
    match c {
        'n' => value.push('\n'),
        'r' => value.push('\r'),
        't' => value.push('\t'),
        '$' => value.push_str("$$"),
        '"' | '\\' => value.push(c),
        _ => value.extend(['\\', c]),
    }
}

/// `line` up to a `#` that begins a word.
fn without_comment(line: &str) -> &str {
    let hash = line.char_indices().find(|(at, c)| {
        *c == '#' && line[..*at].chars().next_back().is_none_or(char::is_whitespace)
    });
    hash.map_or(line, |(at, _)| &line[..at])
}

/// `text` with its variables replaced. An unset one is not named: a password with a `$` in it looks
/// the same.
fn replaced(text: &str, variables: &Variables) -> Result<String, Wrong> {
    interpolate(text, variables).map_err(|_| {
        let what = "a variable in the value is not set, or wrongly written";
        wrong(what, "set it, or put the value in single quotes if it has none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Line>, Problems) {
        let mut problems = Problems::default();
        let known = [("HOME".to_owned(), "/root".to_owned())].into_iter().collect();
        let lines = parse(text, "books.env", &known, &mut problems);
        (lines, problems)
    }

    fn value(text: &str) -> String {
        let (lines, problems) = read(text);
        assert!(problems.is_empty(), "{text}: {problems}");
        lines.into_iter().next().and_then(|(_, value)| value).unwrap()
    }

    #[test]
    fn values_as_compose_reads_them() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A = b ", "b"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A=#comment", ""),
            ("A='b # c'  # comment", "b # c"),
            ("A='$HOME'", "$HOME"),
            ("A=$HOME/x", "/root/x"),
            ("A=\"${HOME}\\t\\\"x\\\"\"", "/root\t\"x\""),
            ("A=\"\\$HOME\"", "$HOME"),
            ("A=\"two\nlines\"", "two\nlines"),
            ("A=b=c", "b=c"),
            ("\u{feff}A=b", "b"),
            ("A=b\r\n", "b"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn later_lines_see_earlier_ones() {
        let (lines, problems) = read("# first\n\nA=1\nB=${A}2\nC\n");
        assert!(problems.is_empty(), "{problems}");
        let line = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(lines, [line("A", Some("1")), line("B", Some("12")), line("C", None)]);
    }

    #[test]
    fn wrong_lines_are_told_without_their_values() {
        let text = "A=\"1\n2\"\nB='sesame\n=sesame\nC=$sesame $ sesame\nD=\"x\" sesame\nE=ok\n";
        let (lines, problems) = read(text);
        let told: Vec<_> = problems.iter().map(|it| (it.place.line, it.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (3, "a quote is never closed"),
                (4, "the line does not begin with a name"),
                (5, "a variable in the value is not set, or wrongly written"),
                (6, "something follows the closing quote"),
            ]
        );
        assert_eq!(lines.last().map(|(name, _)| name.as_str()), Some("E"));
    }

    #[test]
    fn raw_lines_are_taken_literally() {
        let mut problems = Problems::default();
        let lines = parse_raw("# no\nA='$B' # c\nB\n", "books.env", &mut problems);
        assert_eq!(lines[0], ("A".to_owned(), Some("'$B' # c".to_owned())));
        assert_eq!(lines[1], ("B".to_owned(), None));
        parse_raw("two words=1\n", "books.env", &mut problems);
        assert_eq!(problems.len(), 1);
    }
}
