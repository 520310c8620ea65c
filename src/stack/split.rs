//! A command line in one string, split into words as compose does.

/// The words of `line`: blanks separate, quotes and backslashes protect, nothing is expanded. `#` is
/// a character like others (the crates for this take it for a comment and drop the rest).
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                until_quote(&mut characters, word, '\'', false)?;
            }
            '"' => {
                let word = word.get_or_insert_default();
                until_quote(&mut characters, word, '"', true)?;
            }
            '\\' => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes what stands before the closing `quote`. In double quotes a backslash protects `"`, `\`, `$`
/// and a backquote.
fn until_quote(
    characters: &mut std::str::Chars<'_>,
    word: &mut String,
    quote: char,
    escapes: bool,
) -> Result<(), String> {
    while let Some(c) = characters.next() {
        if c == quote {
            return Ok(());
        }
        if c == '\\' && escapes {
            let next = characters.next().ok_or("it ends with a backslash")?;
            if !matches!(next, '"' | '\\' | '$' | '`') {
                word.push('\\');
            }
            word.push(next);
        } else {
            word.push(c);
        }
    }
    Err(format!("a {quote} is never closed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_and_backslashes_protect() {
        for (line, words) in [
            ("", vec![]),
            ("  ", vec![]),
            ("/books --verbose", vec!["/books", "--verbose"]),
            ("sh -c 'echo \"$HOME\"'", vec!["sh", "-c", "echo \"$HOME\""]),
            (r#"a "b \" \\ \n c""#, vec!["a", "b \" \\ \\n c"]),
            (r"a\ b \'", vec!["a b", "'"]),
            ("a''b \"\"", vec!["ab", ""]),
            ("/app #1 # two", vec!["/app", "#1", "#", "two"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["'", "\"", "a\\", "a 'b\" c", "\"a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            let quoted: Vec<_> =
                words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(split(&quoted.join(" ")), Ok(words));
        }
    }
}
