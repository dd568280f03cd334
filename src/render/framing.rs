//! How messages follow each other on a connection, in a file or in the body of a request.

use super::formats::Format;

/// How messages follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Each message is preceded by its length in bytes (RFC 5425, RFC 6587 §3.4.1).
    OctetCounting,
    /// Each message ends with a newline (RFC 6587 §3.4.2, JSON Lines).
    #[default]
    Newline,
    /// Each message is a datagram of its own (RFC 5426).
    Datagram,
    /// The messages are the elements of a JSON array.
    Array,
    /// Each message has a line before it that says what to do with it: the bulk requests of Elasticsearch and OpenSearch.
    Bulk,
    /// The messages are values of one stream: the push requests of Loki.
    Loki,
}

/// Every framing that can be chosen, by its name.
pub const FRAMINGS: &[(&str, Framing)] = &[
    ("octet-counting", Framing::OctetCounting),
    ("newline", Framing::Newline),
    ("array", Framing::Array),
    ("bulk", Framing::Bulk),
    ("loki", Framing::Loki),
];

impl Framing {
    /// Adds a message, which has no newline at its end. `is_first` is whether it is the first of a body.
    pub fn push(self, body: &mut Vec<u8>, message: &str, is_first: bool) {
        match self {
            Self::OctetCounting => body.extend_from_slice(format!("{} {message}", message.len()).as_bytes()),
            Self::Newline | Self::Bulk => {
                body.extend_from_slice(message.as_bytes());
                body.push(b'\n');
            }
            Self::Datagram | Self::Loki => body.extend_from_slice(message.as_bytes()),
            Self::Array => {
                body.push(if is_first { b'[' } else { b',' });
                body.extend_from_slice(message.as_bytes());
            }
        }
    }

    /// Ends a body with at least one message.
    pub fn end(self, body: &mut Vec<u8>) {
        if self == Self::Array {
            body.push(b']');
        }
    }

    /// The type of a body, for HTTP.
    #[must_use]
    pub const fn content_type(self, format: Format) -> &'static str {
        match (self, format) {
            (_, Format::Otlp) | (Self::Array | Self::Loki, _) => "application/json",
            (_, Format::Json | Format::Ocsf | Format::Ecs) => "application/x-ndjson",
            _ => "text/plain; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (framing, expected) in [
            (Framing::OctetCounting, "1 a3 \u{e9}b"),
            (Framing::Newline, "a\n\u{e9}b\n"),
            (Framing::Datagram, "a\u{e9}b"),
            (Framing::Array, "[a,\u{e9}b]"),
        ] {
            let mut body = Vec::new();
            framing.push(&mut body, "a", true);
            framing.push(&mut body, "\u{e9}b", false);
            framing.end(&mut body);
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{framing:?}");
        }
    }
}
