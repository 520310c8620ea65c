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
mod tests {
    use super::*;

    /// Its published copy, which editors are pointed at.
    const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compose/x-verdigris.schema.json");

    #[test]
    fn the_published_copy_is_this_one() {
        let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
        let published: Value = serde_json::from_str(&published).unwrap_or_default();
        assert_eq!(
            published,
            schema(),
            "write it anew: `verdigris check --schema > compose/x-verdigris.schema.json`"
        );
    }

    #[test]
    fn only_what_is_needed_is_required() {
        let schema = schema();
        let required = |name: &str| schema["$defs"][name]["required"].clone();
        assert_eq!(required("XVerdigris"), json!(["port"]));
        assert_eq!(required("Route"), json!(["hosts"]));
        assert_eq!(required("Bake"), json!(["for"]));
        assert_eq!(required("HttpGate"), json!(["path"]));
        assert_eq!(required("Gates"), Value::Null);
    }

    #[test]
    fn every_block_is_closed_and_every_key_described() {
        let schema = schema();
        let definitions = schema["$defs"].as_object().unwrap().iter();
        let tables = definitions.filter(|(_, definition)| definition["properties"].is_object());
        for (name, definition) in tables {
            assert_eq!(definition["additionalProperties"], json!(false), "{name}");
            for (key, property) in definition["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{name}.{key}");
            }
        }
    }
}
