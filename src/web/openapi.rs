//! The interface for programs, described for programs: an `OpenAPI` 3.1 document.
//!
//! It is made from the registries of flags and fields. `spec/e2e/web_api_spec.lua` compares it with real answers.

use serde_json::{Map, Value, json};

use super::address::fields_of;
use super::{LARGEST_ANSWER, PAGE};
use crate::command::flags::{Flag, Group};

/// The schema of an entry.
const ENTRY: &str = include_str!("../../docs/audit-event.schema.json");

/// The document, as JSON.
#[must_use]
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "The audit log of an XMPP server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads the log of one host. Every answer is recorded in that log.",
        },
        // From where this document is.
        "servers": [{ "url": "../v1" }],
        "security": [{ "token": [] }, { "account": [] }],
        "paths": {
            "/entries": get("Entries, newest first", &[Group::Filter, Group::Page], "Entries", &[400, 401, 403, 500, 503]),
            "/stats": get("Numbers of the entries that fit", &[Group::Filter], "Stats", &[400, 401, 403, 500, 503]),
            "/verify": get("Whether somebody has changed the log; not for a token of some event types", &[], "Verification", &[401, 403, 500, 503]),
        },
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "Made by prosodyctl mod_audit --token NAME HOST" },
                "account": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Given to a program by an administrator's account, with mod_http_oauth2 on Prosody 13. Its scope is a role \
                        that may read the log, such as prosody:admin.",
                },
            },
            "schemas": schemas(),
        },
    });
    format!("{document}\n")
}

fn get(summary: &str, groups: &[Group], schema: &str, problems: &[u16]) -> Value {
    let parameters: Vec<Value> = groups.iter().copied().flat_map(fields_of).map(parameter).collect();
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer("The answer", schema));
    for status in problems {
        let meaning = match status {
            400 => "The address makes no sense",
            401 => "There is no such token",
            403 => "The token may not do this: it is for some event types only, or its account or scope may not read the log",
            503 => "Too many read the log now; Retry-After says when to try again",
            _ => "The log can't be read",
        };
        responses.insert(status.to_string(), answer(meaning, "Problem"));
    }
    json!({ "get": { "summary": summary, "operationId": schema.to_lowercase(), "parameters": parameters, "responses": responses } })
}

fn answer(meaning: &str, schema: &str) -> Value {
    json!({ "description": meaning, "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } } })
}

/// A flag of the command as a field of the address.
fn parameter(flag: &Flag) -> Value {
    let schema = match (flag.value, flag.negatable) {
        _ if flag.name == "limit" => json!({ "type": "integer", "minimum": 1, "maximum": LARGEST_ANSWER, "default": PAGE }),
        (Some(_), _) => json!({ "type": "string" }),
        (None, true) => json!({ "enum": ["only", "none"] }),
        (None, false) => json!({ "enum": ["yes"] }),
    };
    let meaning = if flag.negatable { "only, or none, of the events of the whole host".to_owned() } else { flag.meaning.replace("--", "") };
    json!({ "name": flag.name, "in": "query", "description": meaning, "schema": schema })
}

fn schemas() -> Value {
    let mut entry: Value = serde_json::from_str(ENTRY).unwrap_or_default();
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("$schema");
    }
    let (count, text, flag) = (json!({ "type": "integer", "minimum": 0 }), json!({ "type": "string" }), json!({ "type": "boolean" }));
    let counts = json!({ "type": "object", "additionalProperties": count, "description": "numbers by name, the highest" });
    let time = json!({ "type": "string", "format": "date-time" });
    let time_or_none = json!({ "type": ["string", "null"], "format": "date-time" });
    let period = object(&[("time", &time), ("events", &count), ("failures", &count)]);
    json!({
        "Entry": entry,
        "Entries": object(&[
            ("entries", &json!({ "type": "array", "items": { "$ref": "#/components/schemas/Entry" }, "maxItems": LARGEST_ANSWER })),
            ("next", &json!({ "type": ["string", "null"], "description": "the value of after for the next page" })),
            ("damaged", &count),
            ("hidden", &count),
        ]),
        "Stats": object(&[
            ("host", &text), ("entries", &count), ("events", &count), ("failures", &count), ("first", &time_or_none), ("last", &time_or_none),
            ("types", &counts), ("accounts", &counts), ("networks", &counts), ("countries", &counts), ("clients", &counts),
            ("seconds", &json!({ "type": "integer", "description": "the length of a period of the timeline" })),
            ("timeline", &json!({ "type": "array", "items": period })),
            ("damaged", &count), ("hidden", &count),
        ]),
        "Verification": object(&[
            ("host", &text), ("intact", &flag), ("verified", &count), ("unprotected", &count), ("removed", &count), ("faults", &count),
            ("text", &json!({ "type": "array", "items": { "type": "string" } })),
        ]),
        "Problem": object(&[
            ("error", &json!({ "enum": ["bad-request", "forbidden", "internal-server-error", "not-authorized", "resource-constraint"] })),
            ("text", &text),
        ]),
    })
}

/// An object that has these properties, and no others.
fn object(properties: &[(&str, &Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = properties.iter().map(|(name, schema)| ((*name).to_owned(), (*schema).clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fields::FIELDS;
    use crate::render::sample;
    use crate::web::api::{self, Ending};
    use crate::web::view::View;

    fn names(value: &Value) -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    #[test]
    fn answers_have_the_properties_that_are_described() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let described = |name: &str| names(&document["components"]["schemas"][name]["properties"]);
        let view = View::default();
        view.numbers().entries(&sample::events());
        let answer = |text: String| names(&serde_json::from_str(&text).unwrap());
        assert_eq!(described("Stats"), answer(api::stats(&view.seen(), "example.com", &Ending::default())));
        assert_eq!(described("Entries"), answer(api::entries(&view.seen(), "example.com", &Ending::default())));
        assert_eq!(described("Problem"), answer(api::problem("bad-request", "x")));
        assert!(FIELDS.iter().all(|field| described("Entry").iter().any(|name| name == field.name)));
    }

    #[test]
    fn every_field_of_an_address_is_described() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let parameters = document["paths"]["/entries"]["get"]["parameters"].as_array().unwrap();
        let of = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
        let names: Vec<String> = parameters.iter().map(of).collect();
        for name in ["since", "type", "global", "limit", "after", "oldest-first"] {
            assert!(names.iter().any(|one| one == name), "{name} {names:?}");
        }
        for parameter in parameters {
            let schema = &parameter["schema"];
            let value = schema["enum"][0].as_str().unwrap_or(if schema["type"] == "integer" { "5" } else { "x" });
            assert!(crate::web::address::Address::parse(&format!("{}={value}", of(parameter))).is_ok(), "{parameter}");
        }
    }
}
