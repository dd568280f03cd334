//! What an answer of an HTTP server means for the entries that were sent.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::Deserialize;

/// The longest pause that a server can ask for, in seconds.
const LONGEST: f64 = 3600.0;

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The receiver has the entries.
    Accepted,
    /// The receiver refuses these entries, and would refuse them again.
    Refused,
    /// The receiver can't take entries now: try again, after this many seconds if it says so.
    Later(Option<f64>),
}

impl Answer {
    /// What a status means, with the header `Retry-After` if there is one. `now` is in UNIX seconds.
    ///
    /// A redirect is a failure: entries are only sent to the address in the configuration. Statuses that say that the credentials,
    /// the address or the form of the body are wrong say nothing about the entries, so these are kept.
    ///
    /// ```
    /// use audit_core::sink::Answer;
    /// assert_eq!(Answer::of(204, None, 0.0), Answer::Accepted);
    /// assert_eq!(Answer::of(400, None, 0.0), Answer::Refused);
    /// assert_eq!(Answer::of(503, Some("120"), 0.0), Answer::Later(Some(120.0)));
    /// ```
    #[must_use]
    pub fn of(status: u16, retry_after: Option<&str>, now: f64) -> Self {
        match status {
            200..=299 => Self::Accepted,
            401 | 403 | 404 | 405 | 407 | 408 | 410 | 415 | 421 | 425 | 426 | 429 => {
                Self::Later(retry_after.and_then(|text| pause(text, now)))
            }
            400..=499 => Self::Refused,
            _ => Self::Later(retry_after.and_then(|text| pause(text, now))),
        }
    }
}

/// The answer to a bulk request, as far as it matters (Elasticsearch's Bulk API).
#[derive(Deserialize)]
struct Bulk {
    errors: bool,
    #[serde(default)]
    items: Vec<BTreeMap<String, Item>>,
}

/// What became of an entry.
#[derive(Deserialize)]
struct Item {
    status: u16,
}

impl Answer {
    /// What the body of an answer to a bulk request means, whose status says nothing about single entries. An entry that is there
    /// already (409) was sent before. If it says that only some entries can't be taken now, all of them are sent again.
    ///
    /// ```
    /// use audit_core::sink::Answer;
    /// assert_eq!(Answer::of_bulk(Some(br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409}}]}"#)), Answer::Accepted);
    /// assert_eq!(Answer::of_bulk(Some(br#"{"errors":true,"items":[{"create":{"status":429}}]}"#)), Answer::Later(None));
    /// assert_eq!(Answer::of_bulk(Some(br#"{"errors":true,"items":[{"create":{"status":400}}]}"#)), Answer::Refused);
    /// ```
    #[must_use]
    pub fn of_bulk(body: Option<&[u8]>) -> Self {
        let Some(bulk) = body.and_then(|body| serde_json::from_slice::<Bulk>(body).ok()) else { return Self::Later(None) };
        if !bulk.errors {
            return Self::Accepted;
        }
        let mut answer = Self::Accepted;
        for status in bulk.items.iter().flat_map(|item| item.values()).map(|item| item.status) {
            match status {
                200..=299 | 409 => {}
                _ => match Self::of(status, None, 0.0) {
                    Self::Refused => answer = Self::Refused,
                    _ => return Self::Later(None),
                },
            }
        }
        answer
    }
}

/// A number of seconds, or a date (RFC 9110 §10.2.3).
fn pause(text: &str, now: f64) -> Option<f64> {
    let text = text.trim();
    let seconds = text.parse::<u32>().map(f64::from).ok().or_else(|| {
        #[allow(clippy::cast_precision_loss)] // A time in seconds is far below 2^53.
        DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp() as f64 - now)
    })?;
    Some(seconds.clamp(0.0, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_go_on_to_try_again_or_to_set_aside() {
        for (status, expected) in [
            (200, Answer::Accepted),
            (301, Answer::Later(None)),
            (307, Answer::Later(None)),
            (400, Answer::Refused),
            (401, Answer::Later(None)),
            (404, Answer::Later(None)),
            (408, Answer::Later(None)),
            (413, Answer::Refused),
            (415, Answer::Later(None)),
            (422, Answer::Refused),
            (429, Answer::Later(None)),
            (500, Answer::Later(None)),
            (0, Answer::Later(None)),
        ] {
            assert_eq!(Answer::of(status, None, 0.0), expected, "{status}");
        }
    }

    #[test]
    fn a_bulk_answer_speaks_of_each_entry() {
        let of = |statuses: &[u16]| {
            let items: Vec<_> = statuses.iter().map(|status| serde_json::json!({ "create": { "_id": "x", "status": status } })).collect();
            let errors = statuses.iter().any(|status| *status > 299);
            Answer::of_bulk(Some(serde_json::json!({ "took": 3, "errors": errors, "items": items }).to_string().as_bytes()))
        };
        assert_eq!(of(&[201, 200]), Answer::Accepted);
        assert_eq!(of(&[409, 201]), Answer::Accepted);
        assert_eq!(of(&[201, 400, 409]), Answer::Refused);
        assert_eq!(of(&[400, 429]), Answer::Later(None));
        assert_eq!(of(&[503]), Answer::Later(None));
        assert_eq!(Answer::of_bulk(Some(br#"{"errors":false}"#)), Answer::Accepted);
        // The answer of something else.
        for body in [None, Some(&b""[..]), Some(b"ok"), Some(b"{}"), Some(br#"{"errors":true,"items":[{"create":{}}]}"#)] {
            assert_eq!(Answer::of_bulk(body), Answer::Later(None), "{body:?}");
        }
    }

    #[test]
    fn the_receiver_says_when_to_try_again() {
        let now = 1_445_412_420.0;
        for (text, pause) in [
            ("120", Some(120.0)),
            (" 0 ", Some(0.0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60.0)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0.0)),
            ("999999", Some(3600.0)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(Answer::of(429, Some(text), now), Answer::Later(pause), "{text}");
        }
    }
}
