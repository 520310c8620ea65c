//! What a proxy's checker says of a rendered text, said of the template that it was rendered from.

use std::fmt;

use super::fault::Place;
use super::source::Source;

/// Most characters shown of a line.
const MOST_SHOWN: usize = 200;

/// Where a rendered line comes from.
enum Origin {
    /// It stands in one of the template's files just so.
    Written(Place),
    /// It was made, or stands in several places: its number in the rendered text.
    Made { template: Place, line: usize },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(place) => place.fmt(f),
            Self::Made { template, line } => {
                write!(f, "{template}, line {line} of what it renders")
            }
        }
    }
}

impl Source {
    /// `words` of a checker that was shown `rendered` as `file`, which nobody else knows: they name the
    /// template instead, and the line that they are about is shown.
    pub fn trace(&self, words: Vec<String>, file: &str, rendered: &str) -> Vec<String> {
        words.into_iter().map(|word| self.trace_one(&word, file, rendered)).collect()
    }

    fn trace_one(&self, word: &str, file: &str, rendered: &str) -> String {
        let main = self.place(&self.main, None).to_string();
        let Some((before, after)) = word.split_once(file) else {
            return word.to_owned();
        };
        let after = after.replace(file, &main);
        let Some((line, rest)) = numbered(&after) else {
            return format!("{before}{main}{after}");
        };
        let text = rendered.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
        let origin = self.origin(text, line);
        let shown: String = text.chars().take(MOST_SHOWN).collect();
        match shown.is_empty() {
            true => format!("{before}{origin}{rest}"),
            false => format!("{before}{origin}{rest}: `{shown}`"),
        }
    }

    /// Where line number `line` of what is rendered comes from, which reads `text`.
    fn origin(&self, text: &str, line: usize) -> Origin {
        let mut written = self.files.iter().flat_map(|(name, file)| {
            literally(file, text).into_iter().map(move |position| (name, position))
        });
        match (written.next(), written.next()) {
            (Some((name, position)), None) if !text.is_empty() => {
                Origin::Written(self.place(name, Some(position)))
            }
            _ => Origin::Made { template: self.place(&self.main, None), line },
        }
    }
}

/// `:12` and what follows.
fn numbered(text: &str) -> Option<(usize, &str)> {
    let text = text.strip_prefix(':')?;
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Lines and columns, from 1, where `file` says `text` on a line by itself, its code and comments aside.
fn literally(file: &str, text: &str) -> Vec<(usize, usize)> {
    let bare = without_code(file);
    let lines = bare.lines().enumerate().filter(|(_, line)| line.trim() == text);
    let position = |(index, line): (usize, &str)| {
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        (index + 1, indent + 1)
    };
    lines.map(position).collect()
}

/// `text` with blanks for what renders nothing by itself: `{% tags %}` and `{# comments #}`.
fn without_code(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, close)) = opening(rest) {
        let end = rest[start..].find(close).map_or(rest.len(), |at| start + at + close.len());
        bare.push_str(&rest[..start]);
        bare.extend(rest[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[end..];
    }
    bare + rest
}

/// Where the next tag or comment begins, and how it ends.
fn opening(text: &str) -> Option<(usize, &'static str)> {
    let at = |open: &str, close| text.find(open).map(|start| (start, close));
    [at("{%", "%}"), at("{#", "#}")].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::written;

    /// What becomes of `word`, said of `rendered`, with file names relative to the template's directory.
    fn traced(files: &[(&str, &str)], rendered: &str, word: &str) -> String {
        let (directory, source) = written(files);
        let hidden = "/etc/.proxy.conf.staged";
        let word = word.replace("FILE", hidden);
        let traced = source.trace(vec![word], hidden, rendered).concat();
        assert!(!traced.contains(".staged"), "{traced}");
        traced.replace(&format!("{}/", directory.path().display()), "")
    }

    #[test]
    fn a_line_that_is_written_has_its_place() {
        let files = [
            (
                "a.tera",
                "{# bad; #}\n{% for s in services %}\n  {% if s %} bad;{% endif %}\n{% endfor %}\n{% include 'b.tera' %}",
            ),
            ("b.tera", "\n\tworse;\n"),
        ];
        let rendered = "\n   bad;\n   bad;\nworse;";
        let word = "nginx: [emerg] unknown directive in FILE:3";
        let expected = "nginx: [emerg] unknown directive in a.tera:3:14: `bad;`";
        assert_eq!(traced(&files, rendered, word), expected);
        let word = "[ALERT] : parsing [FILE:4] : unknown keyword";
        let expected = "[ALERT] : parsing [b.tera:2:2] : unknown keyword: `worse;`";
        assert_eq!(traced(&files, rendered, word), expected);
    }

    #[test]
    fn a_line_that_was_made_or_stands_twice_is_shown_as_it_was_rendered() {
        let files = [("a.tera", "{{ name }};\ntwice;\ntwice;\n\n")];
        let rendered = "made;\ntwice;\ntwice;\n\n";
        for (line, text) in [(1, ": `made;`"), (2, ": `twice;`"), (4, ""), (9, "")] {
            let expected = format!("in a.tera, line {line} of what it renders{text}");
            assert_eq!(traced(&files, rendered, &format!("in FILE:{line}")), expected);
        }
    }

    #[test]
    fn whatever_else_is_said_of_the_file_is_said_of_the_template() {
        let files = [("a.tera", "x")];
        let word = "configuration file FILE test failed, see FILE";
        let expected = "configuration file a.tera test failed, see a.tera";
        assert_eq!(traced(&files, "x", word), expected);
        assert_eq!(traced(&files, "x", "nothing of it"), "nothing of it");
        let long = "x".repeat(1000);
        assert!(traced(&files, &long, "FILE:1").len() < 300);
    }
}
