use super::problem::{Place, join};

/// A value of a text, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// YAML's `null`, `~` or nothing at all.
    Null,
    /// Something wrong that has been reported: nobody needs to complain again.
    Wrong,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the text, without duplicates.
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    /// Where the key stands; the value has a place of its own.
    pub place: Place,
    pub value: Node,
}

/// A single value as written. What it means is up to who reads it, so that `1.10` stays a version.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub text: String,
    pub kind: ScalarKind,
}

/// What the text's language says of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    /// YAML: whatever is wanted.
    Untyped,
    /// TOML's kinds.
    Text,
    Number,
    Boolean,
    Time,
}

impl Node {
    /// Names the node and all below it `key`.
    pub fn name(&mut self, key: &str) {
        self.place.key = key.into();
        match &mut self.value {
            Value::Null | Value::Wrong | Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.name(&join(key, &format!("[{index}]")));
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    let below = join(key, &entry.key);
                    entry.place.key = below.as_str().into();
                    entry.value.name(&below);
                }
            }
        }
    }

    /// The value of `key`, when this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a table; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// Puts `key` at the end of a table.
    pub fn put(&mut self, key: &str, value: Self) {
        if let Value::Table(entries) = &mut self.value {
            entries.push(Entry { key: key.to_owned(), place: value.place.clone(), value });
        }
    }

    /// Takes `key` out of a table.
    pub fn remove(&mut self, key: &str) {
        if let Value::Table(entries) = &mut self.value {
            entries.retain(|entry| entry.key != key);
        }
    }

    /// Nothing, or a list or table of nothing.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Wrong | Value::Scalar(_) => false,
            Value::List(items) => items.is_empty(),
            Value::Table(entries) => entries.is_empty(),
        }
    }

    /// What it is, for messages. Never the value itself: it may be a secret in the wrong place.
    pub fn noun(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Wrong => "something wrong",
            Value::Scalar(Scalar { kind, .. }) => match kind {
                ScalarKind::Untyped => "a single value",
                ScalarKind::Text => "a string",
                ScalarKind::Number => "a number",
                ScalarKind::Boolean => "a boolean",
                ScalarKind::Time => "a date or time",
            },
            Value::List(_) => "a list",
            Value::Table(_) => "a table of keys",
        }
    }
}
