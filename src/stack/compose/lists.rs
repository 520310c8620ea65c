use crate::document::{At, Leaf, Node, Problems, Read, Scalar, Value, Whole};

use super::super::split::split;

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub(crate) struct OneOrMany<T>(pub Vec<T>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::List(_) => Vec::read(node, problems).map(Self),
            Value::Null => Some(Self(Vec::new())),
            _ => Some(Self(T::read(node, problems).into_iter().collect())),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

/// A command: a list of words, or a line that is split into them.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine(pub Vec<String>);

impl Read for CommandLine {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let words = match &node.value {
            Value::List(_) => Whole::read(node, problems)?.0,
            _ => Words::read(node, problems)?.0,
        };
        if words.is_empty() {
            problems.report(
                &node.place,
                "the command is empty",
                "write a command; to keep the image's own, leave the key out",
            );
            return None;
        }
        Some(Self(words))
    }
}

struct Words(Vec<String>);

impl Leaf for Words {
    const WHAT: &'static str = "a command";
    const EXAMPLE: &'static str = "/books --verbose";

    fn parse(text: &str) -> Result<Self, String> {
        split(text).map(Self)
    }
}

impl schemars::JsonSchema for CommandLine {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommandLine".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A command: a list of words, or a line that is split into words",
            "type": ["string", "array"],
            "items": { "type": ["string", "number", "boolean"] },
            "minItems": 1,
            "minLength": 1,
        })
    }
}

/// `KEY: value` as a table, or `KEY=value` as a list.
#[derive(Debug, Clone)]
pub(crate) struct Pairs(pub Vec<Pair>);

/// One of [`Pairs`]; without a value when only the key was written.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub key: At<String>,
    pub value: Option<String>,
}

impl Read for Pairs {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let pairs: Vec<Pair> = match &node.value {
            Value::Table(entries) => {
                let pair = |entry: &crate::document::Entry| {
                    let key = At { value: entry.key.clone(), place: entry.place.clone() };
                    Some(Pair { key, value: Single::read(&entry.value, problems)?.0 })
                };
                entries.iter().filter_map(pair).collect()
            }
            Value::List(items) => {
                let pair = |item: &Node| {
                    let text = Single::read(item, problems)?.0.unwrap_or_default();
                    let (key, value) = match text.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (text, None),
                    };
                    Some(Pair { key: At { value: key, place: item.place.clone() }, value })
                };
                items.iter().filter_map(pair).collect()
            }
            Value::Null => Vec::new(),
            Value::Wrong => return None,
            Value::Scalar(_) => {
                let what = "found a single value where keys with values are needed";
                problems.report(&node.place, what, "write `KEY: value` lines below it");
                return None;
            }
        };
        Some(Self(without_twins(pairs, problems)))
    }

    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

/// The text of a single value; none of an absent one.
struct Single(Option<String>);

impl Read for Single {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Null => Some(Self(None)),
            Value::Wrong => None,
            Value::Scalar(Scalar { text, .. }) => Some(Self(Some(text.clone()))),
            Value::List(_) | Value::Table(_) => {
                let what = format!("found {} where a single value is needed", node.noun());
                problems.report(&node.place, what, "write a text, in quotes if it has structure");
                None
            }
        }
    }
}

fn without_twins(pairs: Vec<Pair>, problems: &mut Problems) -> Vec<Pair> {
    let mut kept: Vec<Pair> = Vec::new();
    for pair in pairs {
        let Pair { key, value } = &pair;
        if key.is_empty() {
            problems.report(&key.place, "a key is empty", "write `KEY=value`");
        } else if value.iter().chain([&key.value]).any(|text| text.contains('\0')) {
            problems.report(&key.place, "there is a NUL character", "remove it");
        } else if kept.iter().any(|earlier| earlier.key.value == key.value) {
            let what = format!("`{}` is given twice", key.value);
            problems.report(&key.place, what, "remove one of the two");
        } else {
            kept.push(pair);
        }
    }
    kept
}

impl schemars::JsonSchema for Pairs {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pairs".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "`KEY: value`, or a list of `KEY=value`",
            "type": ["object", "array"],
            "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
            "items": { "type": "string" },
        })
    }
}
