//! `${VARIABLE}` in values, as compose writes it.

use std::collections::BTreeMap;

use crate::document::{Node, Problems, Scalar, Value};

/// The variables that values may name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Variables {
    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets `name` unless it is set already.
    pub fn add(&mut self, name: String, value: String) {
        self.0.entry(name).or_insert(value);
    }

    /// Sets `name`, whatever it was.
    pub fn set(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    /// Interpolates every value below `node`. Values are text already, so nothing that a variable
    /// holds can become structure. Extension keys are nobody's to read, but for our own.
    pub fn apply(&self, node: &mut Node, problems: &mut Problems) {
        match &mut node.value {
            Value::Null | Value::Wrong => {}
            Value::Scalar(scalar) => match interpolate(&scalar.text, self) {
                Ok(text) => *scalar = Scalar { text, kind: scalar.kind },
                Err(error) => {
                    problems.report(&node.place, error.to_string(), error.remedy());
                    node.value = Value::Wrong;
                }
            },
            Value::List(items) => items.iter_mut().for_each(|item| self.apply(item, problems)),
            Value::Table(entries) => entries
                .iter_mut()
                .filter(|entry| !entry.key.starts_with("x-") || entry.key == super::BLOCK)
                .for_each(|entry| self.apply(&mut entry.value, problems)),
        }
    }
}

/// A value could not be interpolated. Only names and the user's own message are repeated: what
/// stands around them may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InterpolateError {
    #[error("the variable `{0}` is not set")]
    Unset(String),
    #[error("the variable `{name}` is {state}{}{message}", if message.is_empty() { "" } else { ": " })]
    Required { name: String, state: &'static str, message: String },
    #[error("a `$` begins no variable here")]
    Stray,
    #[error("a `${{` is never closed")]
    Open,
    #[error("`${{…}}` does not begin with the name of a variable")]
    Nameless,
    #[error("`${{{0}` is followed by something else than `}}`, `:-`, `-`, `:?`, `?`, `:+` or `+`")]
    Operator(String),
    #[error("`${{…}}` is nested more than {DEEPEST} deep")]
    Deep,
}

impl InterpolateError {
    fn remedy(&self) -> String {
        match self {
            Self::Unset(name) => {
                format!("set `{name}`, or give a default: `${{{name}:-default}}`")
            }
            Self::Required { name, .. } => format!("set `{name}`"),
            Self::Stray => "write `$$` for a plain `$`".to_owned(),
            Self::Open => "add the `}`, or write `$$` for a plain `$`".to_owned(),
            Self::Nameless | Self::Operator(_) => {
                "write `${NAME}`, or `$$` for a plain `$`".to_owned()
            }
            Self::Deep => "use fewer defaults inside of defaults".to_owned(),
        }
    }
}

/// Defaults may hold variables with defaults, but not without end.
const DEEPEST: usize = 16;

/// `text` with its variables replaced. What a variable holds is taken as it is.
pub(crate) fn interpolate(text: &str, variables: &Variables) -> Result<String, InterpolateError> {
    expand(text, variables, 0)
}

fn expand(text: &str, variables: &Variables, depth: usize) -> Result<String, InterpolateError> {
    if depth > DEEPEST {
        return Err(InterpolateError::Deep);
    }
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            done.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = split_at_brace(after)?;
            done.push_str(&substitute(inside, variables, depth)?);
            rest = after;
        } else {
            let (name, after) = split_name(rest);
            if name.is_empty() {
                return Err(InterpolateError::Stray);
            }
            let value = variables.get(name);
            done.push_str(value.ok_or_else(|| InterpolateError::Unset(name.to_owned()))?);
            rest = after;
        }
    }
    done.push_str(rest);
    Ok(done)
}

/// The name that `text` begins with, perhaps empty, and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(if first { end } else { 0 })
}

/// What stands before the `}` that belongs to a `${` already passed, and what follows.
fn split_at_brace(text: &str) -> Result<(&str, &str), InterpolateError> {
    let mut open = 0_usize;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => open += 1,
            '}' if open == 0 => return Ok((&text[..at], &text[at + 1..])),
            '}' => open -= 1,
            _ => {}
        }
        // Of `$$`, the second is no opener.
        previous = if c == '$' && previous == '$' { ' ' } else { c };
    }
    Err(InterpolateError::Open)
}

/// The value of `NAME`, `NAME:-default` and so on: what stood between the braces.
fn substitute(
    inside: &str,
    variables: &Variables,
    depth: usize,
) -> Result<String, InterpolateError> {
    let (name, rest) = split_name(inside);
    if name.is_empty() {
        return Err(InterpolateError::Nameless);
    }
    let value = variables.get(name);
    if rest.is_empty() {
        let value = value.ok_or_else(|| InterpolateError::Unset(name.to_owned()))?;
        return Ok(value.to_owned());
    }
    // With the colon, an empty variable counts as unset.
    let (given, rest) = match rest.strip_prefix(':') {
        Some(rest) => (value.filter(|value| !value.is_empty()), rest),
        None => (value, rest),
    };
    let mut characters = rest.chars();
    let operator = characters.next();
    let word = || expand(characters.as_str(), variables, depth + 1);
    match (operator, given) {
        (Some('-' | '?'), Some(given)) => Ok(given.to_owned()),
        (Some('-'), None) | (Some('+'), Some(_)) => word(),
        (Some('+'), None) => Ok(String::new()),
        (Some('?'), None) => Err(InterpolateError::Required {
            name: name.to_owned(),
            state: if value.is_some() { "empty" } else { "not set" },
            message: word()?,
        }),
        _ => Err(InterpolateError::Operator(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_form_of_compose() {
        let known = variables(&[("A", "a"), ("EMPTY", "")]);
        for (text, expected) in [
            ("$A", "a"),
            ("${A}", "a"),
            ("x${A}y$A.z", "xaya.z"),
            ("$$A", "$A"),
            ("$${A}", "${A}"),
            ("${A:-d}", "a"),
            ("${B:-d}", "d"),
            ("${B-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${EMPTY}", ""),
            ("${B:-}", ""),
            ("${A:+x}", "x"),
            ("${EMPTY:+x}", ""),
            ("${EMPTY+x}", "x"),
            ("${B+x}", ""),
            ("${A:?m}", "a"),
            ("${EMPTY?m}", ""),
            ("${B:-${C:-${A}}}", "a"),
            ("${B:-$$x}", "$x"),
            ("${B:-a b:c}", "a b:c"),
        ] {
            assert_eq!(interpolate(text, &known).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_told() {
        let known = variables(&[("EMPTY", "")]);
        let required = |state, message: &str| InterpolateError::Required {
            name: "EMPTY".to_owned(),
            state,
            message: message.to_owned(),
        };
        for (text, expected) in [
            ("$B", InterpolateError::Unset("B".to_owned())),
            ("${B}", InterpolateError::Unset("B".to_owned())),
            ("${EMPTY:?say so}", required("empty", "say so")),
            ("$", InterpolateError::Stray),
            ("5 $ each", InterpolateError::Stray),
            ("${A", InterpolateError::Open),
            ("${}", InterpolateError::Nameless),
            ("${1A}", InterpolateError::Nameless),
            ("${EMPTY%x}", InterpolateError::Operator("EMPTY".to_owned())),
        ] {
            assert_eq!(interpolate(text, &known), Err(expected), "{text}");
        }
        let deep = format!("{}x{}", "${A:-".repeat(40), "}".repeat(40));
        assert_eq!(interpolate(&deep, &known), Err(InterpolateError::Deep));
    }

    #[test]
    fn a_required_variable_without_message_still_reads_well() {
        let error = interpolate("${A:?}", &Variables::default()).unwrap_err();
        assert_eq!(error.to_string(), "the variable `A` is not set");
    }

    proptest! {
        #[test]
        fn a_value_is_taken_as_it_is(value in "\\PC{0,40}", around in "[a-z:/]{0,8}") {
            let known = variables(&[("V", &value)]);
            for text in ["${V}", "$V", "${V-d}", "${W:-${V}}"] {
                let found = interpolate(&format!("{around}{text}"), &known);
                prop_assert_eq!(found, Ok(format!("{around}{value}")));
            }
        }

        #[test]
        fn doubled_dollars_protect_everything(text in "\\PC{0,40}") {
            let protected = text.replace('$', "$$");
            prop_assert_eq!(interpolate(&protected, &Variables::default()), Ok(text));
        }

        #[test]
        fn nothing_makes_it_panic(text in "[${}:A-C?+-]{0,40}") {
            let _ = interpolate(&text, &variables(&[("A", "${B}")]));
        }
    }
}
