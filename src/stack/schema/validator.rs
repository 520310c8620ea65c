//! As much of JSON Schema as the schema of stack files uses, to hold it against stack files.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use crate::document::{self, Node};

/// The keys of the values in `value` that `schema` does not allow, as problems name them.
pub fn refused(schema: &Value, value: &Value) -> BTreeSet<String> {
    let mut validator = Validator { root: schema, refused: BTreeSet::new() };
    validator.check(schema, value, "");
    validator.refused
}

struct Validator<'a> {
    root: &'a Value,
    refused: BTreeSet<String>,
}

impl<'a> Validator<'a> {
    fn check(&mut self, schema: &'a Value, value: &Value, at: &str) {
        for (keyword, rule) in schema.as_object().expect("a schema is a table") {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.check(&self.root["$defs"][name], value, at);
                    true
                }
                "type" => types(rule).any(|kind| is(value, kind)),
                "enum" => rule.as_array().unwrap().contains(value),
                "const" => rule == value,
                "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
                "minLength" => value.as_str().is_none_or(|text| text.len() >= count(rule)),
                "maxLength" => value.as_str().is_none_or(|text| text.len() <= count(rule)),
                "minItems" => value.as_array().is_none_or(|items| items.len() >= count(rule)),
                "pattern" => value.as_str().is_none_or(|text| {
                    Regex::new(rule.as_str().unwrap()).expect("a pattern").is_match(text)
                }),
                "uniqueItems" => value.as_array().is_none_or(|items| is_unique(items)),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"));
                    }
                    true
                }
                "properties" | "additionalProperties" => {
                    self.check_properties(schema, value, at);
                    true
                }
                "required" => value.as_object().is_none_or(|table| {
                    let keys = rule.as_array().unwrap();
                    keys.iter().all(|key| table.contains_key(key.as_str().unwrap()))
                }),
                "not" => !self.refused_by(rule, value, at).is_empty(),
                "anyOf" | "oneOf" => self.check_choice(keyword, rule, value, at),
                _ => panic!("the validator does not know `{keyword}`"),
            };
            if !holds {
                self.refused.insert(at.to_owned());
            }
        }
    }

    fn refused_by(&self, schema: &'a Value, value: &Value, at: &str) -> BTreeSet<String> {
        let mut validator = Self { root: self.root, refused: BTreeSet::new() };
        validator.check(schema, value, at);
        validator.refused
    }

    /// What all of the choices refuse is refused; a problem deeper down is of the one that was meant.
    fn check_choice(&mut self, keyword: &str, rule: &'a Value, value: &Value, at: &str) -> bool {
        let choices = rule.as_array().unwrap().iter();
        let refused: Vec<_> = choices.map(|schema| self.refused_by(schema, value, at)).collect();
        match refused.iter().filter(|refused| refused.is_empty()).count() {
            0 => self.refused.extend(refused.into_iter().flatten()),
            1 => {}
            _ => return keyword == "anyOf",
        }
        true
    }

    fn check_properties(&mut self, schema: &'a Value, value: &Value, at: &str) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let below = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => {
                    self.refused.insert(below);
                }
                (Value::Null, Value::Null) => {}
                (Value::Null, others) => self.check(others, value, &below),
                (known, _) => self.check(known, value, &below),
            }
        }
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten();
    several.chain(rule.is_string().then_some(rule)).map(|kind| kind.as_str().unwrap())
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("the validator does not know the type `{kind}`"),
    }
}

fn count(rule: &Value) -> usize {
    usize::try_from(rule.as_u64().unwrap()).unwrap()
}

fn is_unique(items: &[Value]) -> bool {
    items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
}

/// What an editor makes of a YAML node: numbers and booleans by their looks.
pub fn as_json(node: &Node) -> Value {
    match &node.value {
        document::Value::Null | document::Value::Wrong => Value::Null,
        document::Value::List(items) => items.iter().map(as_json).collect(),
        document::Value::Table(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.value))).collect()
        }
        document::Value::Scalar(scalar) => match scalar.text.as_str() {
            "true" | "yes" | "on" => Value::Bool(true),
            "false" | "no" | "off" => Value::Bool(false),
            text => match serde_json::from_str(text) {
                Ok(Value::Number(number)) => Value::Number(number),
                _ => Value::String(text.to_owned()),
            },
        },
    }
}
