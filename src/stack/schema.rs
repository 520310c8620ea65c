use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::BLOCK;
use super::block::Block;

/// The JSON Schema of a stack file as far as Verdigris defines it: the `x-verdigris` block of each
/// service. The rest is compose's and left open, so that editors can use both schemas together.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let block = generator.subschema_for::<Block>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file of Verdigris",
        "description": "A compose file; services with an `x-verdigris` block are deployed blue-green.",
        "type": "object",
        "properties": {
            "services": {
                "type": "object",
                "additionalProperties": { "type": "object", "properties": { BLOCK: block } },
            },
        },
        "required": ["services"],
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod validator;
