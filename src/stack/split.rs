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
