use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Node, Place, Problems, Scalar, ScalarKind, Value};

/// The tree of a TOML text; none when its syntax is wrong, which is reported, as much of it as the
/// parser can recover from.
pub(crate) fn parse_toml(file: &str, text: &str, problems: &mut Problems) -> Option<Node> {
    let source = Source::new(file, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = source.place(&error.span().unwrap_or_default());
        let what = error.message().replace('\n', ", ");
        problems.report(&place, format!("not TOML: {what}"), "correct the syntax");
    }
    let mut node = Node { place: source.start.clone(), value: source.table(root.into_inner()) };
    node.name("");
    errors.is_empty().then_some(node)
}

struct Source<'a> {
    text: &'a str,
    start: Place,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, start: Place::start(file), lines }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= span.start).max(1);
        let before = self.text.get(self.lines[line - 1]..span.start).unwrap_or_default();
        let column = before.chars().count() + 1;
        Place {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            ..self.start.clone()
        }
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> Node {
        Node { place: self.place(&value.span()), value: self.value(value.into_inner()) }
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        let scalar = |kind, text: String| Value::Scalar(Scalar { text, kind });
        match value {
            DeValue::String(text) => scalar(ScalarKind::Text, text.into_owned()),
            DeValue::Integer(number) => {
                let decimal = i64::from_str_radix(number.as_str(), number.radix());
                let text = decimal.map_or_else(|_| number.to_string(), |value| value.to_string());
                scalar(ScalarKind::Number, text)
            }
            DeValue::Float(number) => scalar(ScalarKind::Number, number.as_str().to_owned()),
            DeValue::Boolean(value) => scalar(ScalarKind::Boolean, value.to_string()),
            DeValue::Datetime(time) => scalar(ScalarKind::Time, time.to_string()),
            DeValue::Array(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            DeValue::Table(table) => self.table(table),
        }
    }

    fn table(&self, table: DeTable<'_>) -> Value {
        let entry = |(key, value): (Spanned<Cow<'_, str>>, _)| Entry {
            place: self.place(&key.span()),
            key: key.into_inner().into_owned(),
            value: self.node(value),
        };
        Value::Table(table.into_iter().map(entry).collect())
    }
}
