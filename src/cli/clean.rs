use std::borrow::Cow;

/// `text` in one line and without anything that a terminal or a log viewer would act upon: escape sequences
/// go as a whole, other control characters and those that reorder text alone; a tab becomes a space, and so
/// does the end of a line.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut lines = lines(text).into_iter();
    let mut one = lines.next().unwrap_or_default();
    for line in lines {
        one.push(' ');
        one.push_str(line.trim());
    }
    Cow::Owned(one)
}

/// The same with its lines kept, all but the first set in by so many spaces.
pub(super) fn indented(text: &str, by: usize) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(lines(text).join(&format!("\n{:by$}", "")))
}

/// The lines of `text` that hold something, harmless. Some programs begin them with a carriage return.
fn lines(text: &str) -> Vec<String> {
    let text = console::strip_ansi_codes(text);
    let harmless = |line: &str| -> String {
        let line = line.chars().map(|c| if c == '\t' { ' ' } else { c });
        line.filter(|c| !is_active(*c)).collect()
    };
    let lines = text.split(['\n', '\r']).map(harmless);
    lines.filter(|line| !line.trim().is_empty()).collect()
}

fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{clean, indented};

    #[test]
    fn nothing_that_acts_is_left() {
        assert_eq!(clean("plain words, ünïcode → 漢字"), "plain words, ünïcode → 漢字");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(clean("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(clean("10%\r20%\r\n"), "10% 20%");
        assert_eq!(clean("error: no\n  | at\n\n  | 3\n"), "error: no | at | 3");
        assert_eq!(clean("a\tb\u{0}c\u{8}d\u{9b}31me"), "a bcde");
        assert_eq!(clean("ab\u{202e}cd"), "abcd");
    }

    #[test]
    fn lines_are_kept_where_there_is_room_for_them() {
        assert_eq!(indented("one", 2), "one");
        assert_eq!(
            indented("one\n\u{1b}[1m  two\u{1b}[0m\r\n\nthree\n", 2),
            "one\n    two\n  three"
        );
        assert_eq!(indented("\n", 2), "");
    }

    #[test]
    fn a_broken_escape_leaves_no_control_character() {
        for text in ["\u{1b}", "\u{1b}[", "\u{1b}]0;never ended", "x\u{1b}[31"] {
            assert!(!clean(text).chars().any(char::is_control), "{text:?}");
            assert!(!indented(text, 2).chars().any(char::is_control), "{text:?}");
        }
    }
}
