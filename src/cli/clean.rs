use std::borrow::Cow;

/// `text` without anything that a terminal or a log viewer would act upon: escape sequences go as a
/// whole, other control characters and those that reorder text alone; a tab becomes a space.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let text = console::strip_ansi_codes(text);
    let text = text.chars().map(|c| if c == '\t' { ' ' } else { c });
    Cow::Owned(text.filter(|c| !is_active(*c)).collect())
}

fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn nothing_that_acts_is_left() {
        assert_eq!(clean("plain words, ünïcode → 漢字"), "plain words, ünïcode → 漢字");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(clean("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(clean("10%\r20%\r\n"), "10%20%");
        assert_eq!(clean("a\tb\u{0}c\u{8}d\u{9b}31me"), "a bcde");
        assert_eq!(clean("ab\u{202e}cd"), "abcd");
    }

    #[test]
    fn a_broken_escape_leaves_no_control_character() {
        for text in ["\u{1b}", "\u{1b}[", "\u{1b}]0;never ended", "x\u{1b}[31"] {
            assert!(!clean(text).chars().any(char::is_control), "{text:?}");
        }
    }
}
