//! The schema of entries as JSON is what the code writes. tests/documents checks its description.
#![allow(clippy::unwrap_used, missing_docs)]

use audit_core::render::fields::{FIELDS, FieldType, SCHEMA_VERSION};
use expect_test::expect_file;
use serde_json::{Map, Value, json};

/// The schema, made from the registry of fields.
fn schema() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        let mut property = match field.kind {
            FieldType::Text => json!({ "type": "string" }),
            FieldType::Time => {
                json!({ "type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{3})?Z$" })
            }
            FieldType::Count => json!({ "type": "integer", "minimum": 0 }),
            FieldType::Flag => json!({ "type": "boolean" }),
        };
        if field.name == "schema" {
            property = json!({ "const": SCHEMA_VERSION });
        }
        property.as_object_mut().unwrap().insert("description".to_owned(), json!(field.meaning));
        properties.insert(field.name.to_owned(), property);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An entry of the audit log of a Prosody server",
        "description": "The JSON that prosody-audit writes, with one object in each line. Names with a point that are not listed are details: see schema.md.",
        "type": "object",
        "properties": properties,
        "patternProperties": { "^[^.]+(\\.[^.]+)+$": { "type": ["string", "integer", "boolean"] } },
        "additionalProperties": false,
        "required": FIELDS.iter().filter(|field| field.always).map(|field| field.name).collect::<Vec<_>>(),
        "not": { "required": ["ip", "network"] }
    })
}

#[test]
fn the_published_schema_is_that_of_the_fields() {
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    expect_file!["../docs/audit-event.schema.json"].assert_eq(&text);
}
