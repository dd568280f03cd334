//! Answers for programs, as JSON.

use serde_json::{Map, Value, json};

use super::view::Seen;
use crate::render::totals::tally::Counts;
use crate::time::rfc3339;

/// How many names a list of totals has.
const NAMES: usize = 100;

/// How many periods of time the totals have at most.
const PERIODS: usize = 200;

/// How a reading ended, as far as an answer tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Where the next page begins. `None` if there are no more entries.
    pub next: Option<String>,
    /// How many entries could not be read.
    pub damaged: u64,
    /// How many entries are hidden, as nobody asked for them.
    pub hidden: u64,
}

/// Entries: each an object of the schema of entries.
#[must_use]
pub fn entries(seen: &Seen, _host: &str, ending: &Ending) -> String {
    let entries = &seen.json;
    let rest = json!({ "next": ending.next, "damaged": ending.damaged, "hidden": ending.hidden }).to_string();
    format!("{{\"entries\":[{entries}],{}\n", rest.trim_start_matches('{'))
}

/// Totals.
#[must_use]
pub fn stats(seen: &Seen, host: &str, ending: &Ending) -> String {
    let totals = &seen.totals;
    let (buckets, length) = totals.timeline.buckets(PERIODS);
    let timeline: Vec<Value> = buckets
        .iter()
        .filter(|(_, bucket)| bucket.events > 0)
        .map(|(begin, bucket)| {
            #[allow(clippy::cast_precision_loss)] // A time is far below 2^53.
            let begin = rfc3339(*begin as f64);
            json!({ "time": begin, "events": bucket.events, "failures": bucket.failures })
        })
        .collect();
    let answer = json!({
        "host": host,
        "entries": totals.entries,
        "events": totals.events,
        "failures": totals.failures,
        "first": totals.range.map(|(first, _)| rfc3339(first)),
        "last": totals.range.map(|(_, last)| rfc3339(last)),
        "types": counts(&totals.types),
        "accounts": counts(&totals.users),
        "networks": counts(&totals.networks),
        "countries": counts(&totals.countries),
        "clients": counts(&seen.clients),
        "seconds": length,
        "timeline": timeline,
        "damaged": ending.damaged,
        "hidden": ending.hidden,
    });
    format!("{answer}\n")
}

/// A message about what went wrong.
#[must_use]
pub fn problem(condition: &str, text: &str) -> String {
    format!("{}\n", json!({ "error": condition, "text": text }))
}

fn counts(counts: &Counts) -> Value {
    Value::Object(counts.ranking(NAMES).top.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::formats::Format;
    use crate::render::{Options, renderer, sample};
    use crate::web::view::View;

    fn seen() -> View {
        let view = View::default();
        let mut writing = view.json("example.com");
        for events in sample::events().chunks(2) {
            writing.entries(events);
        }
        view.numbers().entries(&sample::events());
        view
    }

    #[test]
    fn entries_are_those_of_the_format_json() {
        let ending = Ending { next: Some("1//k".to_owned()), damaged: 1, hidden: 2 };
        let answer: Value = serde_json::from_str(&entries(&seen().seen(), "example.com", &ending)).unwrap();
        let lines = renderer(Format::Json, &Options::new("example.com")).entries(&sample::events());
        let expected: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answer["entries"], Value::Array(expected));
        assert_eq!((&answer["next"], &answer["damaged"], &answer["hidden"]), (&json!("1//k"), &json!(1), &json!(2)));
        let none: Value = serde_json::from_str(&entries(&Seen::default(), "example.com", &Ending::default())).unwrap();
        assert_eq!(none, json!({ "entries": [], "next": null, "damaged": 0, "hidden": 0 }));
    }

    #[test]
    fn totals_have_every_number() {
        let answer: Value = serde_json::from_str(&stats(&seen().seen(), "example.com", &Ending::default())).unwrap();
        assert_eq!((&answer["entries"], &answer["events"], &answer["failures"]), (&json!(5), &json!(21), &json!(17)));
        assert_eq!(answer["types"]["authentication-failure"], json!(17));
        assert_eq!(answer["timeline"].as_array().map(Vec::len), Some(4));
    }

    #[test]
    fn a_problem_is_an_object() {
        let answer: Value = serde_json::from_str(&problem("bad-request", "a \"b\"\n")).unwrap();
        assert_eq!(answer, json!({ "error": "bad-request", "text": "a \"b\"\n" }));
    }
}
