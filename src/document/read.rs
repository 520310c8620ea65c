use std::borrow::Cow;
use std::ops::Deref;

use super::{Leaf, Node, Place, Problems, ScalarKind, Value};

/// Something that reads itself out of a node.
pub(crate) trait Read: Sized {
    /// The value; none when it is wrong, which is reported then.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;

    /// The value of a key that is not there; none when the key is needed.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Leaf> Read for T {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Scalar(scalar) = &node.value else {
            mismatch(node, T::WHAT, problems);
            return None;
        };
        if scalar.kind != ScalarKind::Untyped && !T::KINDS.contains(&scalar.kind) {
            mismatch(node, T::WHAT, problems);
            return None;
        }
        match T::parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(why) => {
                let shown = if T::SECRET { "the value".into() } else { shown(&scalar.text) };
                problems.report(
                    &node.place,
                    format!("{shown} is not {}: {why}", T::WHAT),
                    format!("write for example `{}`", T::EXAMPLE),
                );
                None
            }
        }
    }
}

/// Something else than `wanted` was found.
pub(super) fn mismatch(node: &Node, wanted: &str, problems: &mut Problems) {
    if matches!(node.value, Value::Wrong) {
        return;
    }
    problems.report(
        &node.place,
        format!("found {} where {wanted} is needed", node.noun()),
        format!("write {wanted}"),
    );
}

/// Longest part of a wrong value that is worth repeating.
const SHOWN: usize = 60;

/// A wrong value as it appears in a message: in backticks, one line, not endless.
fn shown(text: &str) -> Cow<'_, str> {
    let mut line: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    format!("`{line}`").into()
}

/// A key that need not be there. A wrong value counts as absent (it is reported), so that the rest
/// is still looked at.
impl<T: Read> Read for Option<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::Null => Some(None),
            _ => Some(T::read(node, problems)),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A list; wrong items are reported and left out.
impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Null => Some(Self::new()),
            Value::List(items) => {
                Some(items.iter().filter_map(|item| T::read(item, problems)).collect())
            }
            _ => {
                mismatch(node, "a list", problems);
                None
            }
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// A list that means nothing when one of its items is wrong: the words of a command.
#[derive(Debug, Clone)]
pub(crate) struct Whole<T>(pub Vec<T>);

impl<T: Read> Read for Whole<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            mismatch(node, "a list", problems);
            return None;
        };
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, problems)).collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }
}

/// A value that remembers its place, for checks that come later.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T: Read> Read for At<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        T::read(node, problems).map(|value| Self { value, place: node.place.clone() })
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}
