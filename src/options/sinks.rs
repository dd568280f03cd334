//! The option `audit_log_sinks`: where entries are sent as they are recorded.

mod target;

use std::collections::BTreeSet;

use super::classes::FieldSpec;
use super::reader::whole_number;
use super::{Value, period};
use crate::address::Policy;
use crate::filter::pattern::Pattern;
use crate::filter::{Filter, network};
use crate::render::formats::Format;
use crate::render::framing::{FRAMINGS, Framing};
use crate::time::period::Period;

pub use target::{Address, Target};

/// The formats of sinks: those with a message for each entry.
const FORMATS: &[Format] = &[Format::Syslog, Format::Json, Format::Ocsf, Format::Ecs, Format::Cef, Format::Otlp];
/// The longest name of a sink.
const LONGEST_NAME: usize = 40;
const LIST: &str = "a list of texts";
const FILE: &str = "the path of a file, from / on";

const fn field(name: &'static str, default: &'static str, allowed: &'static str, meaning: &'static str) -> FieldSpec {
    FieldSpec { name, default, allowed, meaning }
}

/// Every field of a sink.
#[rustfmt::skip] // A table: one row a line.
pub const SINK_FIELDS: &[FieldSpec] = &[
    field("to", "none: it must be set", target::ALLOWED, "Where entries are sent."),
    field("format", "\"syslog\"; \"json\" for files and HTTP", "\"syslog\", \"json\", \"ocsf\", \"ecs\", \"cef\" or \"otlp\"", "The format of each entry."),
    field("framing", "\"octet-counting\" for syslog, else \"newline\"", "\"octet-counting\", \"newline\"; HTTP also \"array\", \"bulk\" (ecs) or \"loki\"", "How entries follow each other."),
    field("compress", "none", "\"gzip\" (HTTP)", "How the bodies of requests are compressed."),
    field("types", "all", LIST, "Event types, in which \"*\" stands for any characters. With \"!\" before it, a type is left out."),
    field("classes", "all", LIST, "Retention classes."),
    field("users", "all", LIST, "Accounts, as JIDs, in which \"*\" stands for any characters."),
    field("networks", "all", "a list of addresses and networks", "Addresses and networks. A stored network matches if it overlaps."),
    field("hosts", "all", LIST, "The hosts whose entries are sent."),
    field("ips", "\"full\"", "\"full\", \"prefix\" (/24 and /48), \"hash\" or \"none\"", "What is sent of addresses. It is never more than what is stored."),
    field("batch", "100", "a whole number from 1 to 1000", "How many entries are sent at once, at most."),
    field("timeout", "\"30s\"", "a number of seconds from 1 on, or a period such as \"1 minute\"", "How long a connection may take, and an answer."),
    field("headers", "none", "a table of names and texts", "Further headers of HTTP requests. They are never shown."),
    field("token_file", "none", FILE, "A file with a bearer token for HTTP. It is read for each request."),
    field("sign_file", "none", FILE, "A file with a secret, by which the bodies of HTTP requests are signed. It is read for each request."),
    field("cafile", "the system's certificates", FILE, "The certificates by which that of the receiver is checked."),
    field("certificate", "none", FILE, "The certificate of this server, if the receiver asks for one."),
    field("key", "none", FILE, "The key of that certificate."),
];

/// A sink in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkOptions {
    /// Its name.
    pub name: String,
    /// Where entries are sent.
    pub to: Target,
    /// The format of each entry.
    pub format: Format,
    /// How entries follow each other.
    pub framing: Framing,
    /// Whether bodies are compressed with gzip.
    pub is_compressed: bool,
    /// Which entries are sent.
    pub filter: Filter,
    /// The hosts whose entries are sent. Empty for all.
    pub hosts: Vec<Pattern>,
    /// What is sent of addresses.
    pub addresses: Policy,
    /// How many entries are sent at once.
    pub batch: usize,
    /// How long a connection or an answer may take, in seconds.
    pub timeout: f64,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The file with a bearer token.
    pub token_file: Option<String>,
    /// The file with a secret for signatures.
    pub sign_file: Option<String>,
    /// The files for TLS: certificates of authorities, the own certificate, its key.
    pub tls_files: [Option<String>; 3],
}

/// Reads the option. Returns the sinks, and a line for each that is refused. Sinks without a fault are used.
#[must_use]
pub fn sinks(value: &Value) -> (Vec<SinkOptions>, Vec<String>) {
    let mut refused = Vec::new();
    let pairs = match value {
        Value::Nil => &[],
        Value::Table(pairs) => pairs.as_slice(),
        _ => {
            refused.push(
                "Option audit_log_sinks is not a table, which is not allowed: use a table of sinks, each a table with a name. \
                Nothing is sent."
                    .to_owned(),
            );
            &[]
        }
    };
    let mut sinks = Vec::new();
    let mut names = BTreeSet::new();
    for (name, value) in pairs {
        let shown = name.to_string();
        let name = match name {
            Value::String(name) if is_name(name) => name.as_str(),
            _ => {
                refused.push(format!(
                    "Option audit_log_sinks has a sink called {shown}, which is not allowed: use letters, digits, - and _, {LONGEST_NAME} \
                     characters at most. Nothing is sent there."
                ));
                continue;
            }
        };
        // File systems and log readers may take them for one.
        if !names.insert(name.to_lowercase()) {
            refused.push(format!(
                "Option audit_log_sinks has two sinks called {name}, which is not allowed: use different names. The second is not used."
            ));
            continue;
        }
        match SinkReader::new(name).read(value) {
            Ok(sink) => sinks.push(sink),
            Err(line) => refused.push(line),
        }
    }
    (sinks, refused)
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

struct SinkReader<'a> {
    name: &'a str,
}

impl<'a> SinkReader<'a> {
    const fn new(name: &'a str) -> Self {
        Self { name }
    }

    fn refuse(&self, field: &str, shown: &str) -> String {
        let allowed = SINK_FIELDS.iter().find(|spec| spec.name == field).map_or("another value", |spec| spec.allowed);
        format!("Option audit_log_sinks has {}.{field} {shown}, which is not allowed: use {allowed}. Nothing is sent there.", self.name)
    }

    fn wrong(&self, field: &str, value: &Value) -> String {
        self.refuse(field, &format!("= {value}"))
    }

    fn read(&self, value: &Value) -> Result<SinkOptions, String> {
        let Value::Table(pairs) = value else {
            // An address in its place may have a secret in it.
            return Err(format!(
                "Option audit_log_sinks has {} that is not a table, which is not allowed: use {{ to = \"…\" }}. Nothing is sent there.",
                self.name
            ));
        };
        for (key, _) in pairs {
            if !matches!(key, Value::String(key) if SINK_FIELDS.iter().any(|spec| spec.name == key)) {
                let names: Vec<&str> = SINK_FIELDS.iter().map(|spec| spec.name).collect();
                return Err(format!(
                    "Option audit_log_sinks has {} with the field {key}, which is not allowed: use {}. Nothing is sent there.",
                    self.name,
                    names.join(", ")
                ));
            }
        }
        let to = match value.field("to") {
            Value::String(text) => Target::parse(text).map_err(|reason| self.refuse("to", &format!("that {reason}")))?,
            Value::Nil => return Err(self.refuse("to", "missing")),
            // It may be a table with a secret in it.
            _ => return Err(self.refuse("to", "that is not a text")),
        };
        let is_http = matches!(to, Target::Http { .. });
        let has_lines = is_http || matches!(to, Target::File(_));
        let format = match value.field("format") {
            Value::Nil if has_lines => Format::Json,
            Value::Nil => Format::Syslog,
            Value::String(name) => {
                let format = name.parse().ok().filter(|format| FORMATS.contains(format));
                format.ok_or_else(|| self.wrong("format", value.field("format")))?
            }
            other => return Err(self.wrong("format", other)),
        };
        let framing = self.framing(value.field("framing"), &to, format)?;
        let is_compressed = match value.field("compress") {
            Value::Nil => false,
            Value::String(name) if name == "gzip" && is_http => true,
            Value::String(name) if name == "gzip" => return Err(self.refuse("compress", &format!("= \"gzip\" with {}", to.transport()))),
            other => return Err(self.wrong("compress", other)),
        };
        let filter = self.filter(value)?;
        let hosts = self.patterns(value, "hosts")?;
        let addresses = match value.field("ips") {
            Value::Nil => Policy::Full,
            Value::String(name) => match name.as_str() {
                "full" => Policy::Full,
                "prefix" => Policy::prefix(None, None),
                "hash" => Policy::Hash,
                "none" => Policy::None,
                _ => return Err(self.wrong("ips", value.field("ips"))),
            },
            other => return Err(self.wrong("ips", other)),
        };
        let batch = match value.field("batch") {
            Value::Nil => 100,
            other => whole_number(other, 1.0..=1000.0).ok_or_else(|| self.wrong("batch", other))? as usize,
        };
        let timeout = match period(value.field("timeout")) {
            Ok(None) => 30.0,
            Ok(Some(Period::Seconds(seconds))) if seconds >= 1.0 => seconds,
            _ => return Err(self.wrong("timeout", value.field("timeout"))),
        };
        let mut headers = Vec::new();
        match value.field("headers") {
            Value::Nil => {}
            Value::Table(pairs) => {
                for (name, header) in pairs {
                    match (name, header) {
                        (Value::String(name), Value::String(text)) if is_header(name) && !text.chars().any(char::is_control) => {
                            headers.push((name.clone(), text.clone()));
                        }
                        _ => return Err(self.refuse("headers", "with a name or a value that can't be sent")),
                    }
                }
            }
            _ => return Err(self.refuse("headers", "that is not a table")),
        }
        let token_file = self.file(value, "token_file")?;
        let sign_file = self.file(value, "sign_file")?;
        if !is_http && sign_file.is_some() {
            return Err(self.refuse("sign_file", &format!("with {}", to.transport())));
        }
        let tls_files = [self.file(value, "cafile")?, self.file(value, "certificate")?, self.file(value, "key")?];
        let name = self.name.to_owned();
        Ok(SinkOptions {
            name,
            to,
            format,
            framing,
            is_compressed,
            filter,
            hosts,
            addresses,
            batch,
            timeout,
            headers,
            token_file,
            sign_file,
            tls_files,
        })
    }

    fn framing(&self, value: &Value, to: &Target, format: Format) -> Result<Framing, String> {
        let chosen = match value {
            Value::Nil => None,
            Value::String(name) => {
                FRAMINGS.iter().find(|(of, _)| of == name).map(|(_, framing)| Some(*framing)).ok_or_else(|| self.wrong("framing", value))?
            }
            _ => return Err(self.wrong("framing", value)),
        };
        let is_json = matches!(format, Format::Json | Format::Ocsf | Format::Ecs);
        let fits = match (to, chosen) {
            (_, None) => true,
            (Target::Udp(_) | Target::Unix(_), Some(_)) => false,
            (Target::Http { .. }, Some(Framing::Array | Framing::Loki)) => is_json,
            // Elasticsearch wants the time in the field @timestamp.
            (Target::Http { .. }, Some(Framing::Bulk)) => format == Format::Ecs,
            (_, Some(Framing::Array | Framing::Bulk | Framing::Loki)) => false,
            (Target::File(_) | Target::Http { .. }, Some(Framing::OctetCounting)) => false,
            _ => true,
        };
        if !fits {
            return Err(self.refuse("framing", &format!("= {value} with {} and the format {}", to.transport(), format.name())));
        }
        Ok(match to {
            Target::Udp(_) | Target::Unix(_) => Framing::Datagram,
            Target::Tls(_) | Target::Tcp(_) if format == Format::Syslog => chosen.unwrap_or(Framing::OctetCounting),
            _ => chosen.unwrap_or_default(),
        })
    }

    fn filter(&self, value: &Value) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for word in self.words(value, "types")? {
            match word.strip_prefix('!') {
                Some(excluded) => filter.excluded_types.push(Pattern::new(excluded)),
                None => filter.types.push(Pattern::new(&word)),
            }
        }
        filter.classes = self.patterns(value, "classes")?;
        filter.users = self.patterns(value, "users")?;
        for word in self.words(value, "networks")? {
            filter.networks.push(network(&word).ok_or_else(|| self.wrong("networks", value.field("networks")))?);
        }
        Ok(filter)
    }

    fn patterns(&self, value: &Value, field: &str) -> Result<Vec<Pattern>, String> {
        Ok(self.words(value, field)?.iter().map(|word| Pattern::new(word)).collect())
    }

    /// A list of texts, or one text.
    fn words(&self, value: &Value, field: &str) -> Result<Vec<String>, String> {
        let wrong = || self.wrong(field, value.field(field));
        let word = |value: &Value| match value {
            Value::String(word) if !word.is_empty() => Ok(word.clone()),
            _ => Err(wrong()),
        };
        match value.field(field) {
            Value::Nil => Ok(Vec::new()),
            Value::Table(pairs) => {
                pairs.iter().map(|(key, value)| if matches!(key, Value::Number(_)) { word(value) } else { Err(wrong()) }).collect()
            }
            one => Ok(vec![word(one)?]),
        }
    }

    fn file(&self, value: &Value, field: &str) -> Result<Option<String>, String> {
        match value.field(field) {
            Value::Nil => Ok(None),
            Value::String(path) if path.starts_with('/') => Ok(Some(path.clone())),
            other => Err(self.wrong(field, other)),
        }
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn table(fields: &[(&str, Value)]) -> Value {
        Value::table(fields.iter().map(|(name, value)| (text(name), value.clone())).collect())
    }

    fn list(words: &[&str]) -> Value {
        Value::table((1_u32..).zip(words).map(|(number, word)| (Value::Number(number.into()), text(word))).collect())
    }

    #[test]
    fn a_sink_has_defaults_for_all_but_its_address() {
        let value = table(&[
            ("siem", table(&[("to", text("tls://siem.example.com:6514"))])),
            ("file", table(&[("to", text("file:/var/log/audit.jsonl"))])),
            ("log", table(&[("to", text("unix:/dev/log")), ("types", list(&["*-failure", "!user-*"])), ("ips", text("hash"))])),
        ]);
        let (sinks, refused) = sinks(&value);
        assert_eq!(refused, Vec::<String>::new());
        let shown: Vec<_> = sinks.iter().map(|sink| (sink.name.as_str(), sink.format, sink.framing)).collect();
        let expected = [
            ("file", Format::Json, Framing::Newline),
            ("log", Format::Syslog, Framing::Datagram),
            ("siem", Format::Syslog, Framing::OctetCounting),
        ];
        assert_eq!(shown, expected);
        assert_eq!((sinks[1].filter.types.len(), sinks[1].filter.excluded_types.len(), sinks[1].addresses), (1, 1, Policy::Hash));
    }

    #[test]
    fn a_wrong_sink_is_refused_in_one_line_and_the_others_are_used() {
        let good = || ("good", table(&[("to", text("tcp://192.0.2.1:514"))]));
        let http = || ("to", text("https://collector.example.com/v1?key=s3cret"));
        let rows = [
            (text("s3cret"), vec!["is not allowed"]),
            (table(&[]), vec!["bad.to", "missing", "tls://HOST:PORT"]),
            (table(&[("to", text("https://u:s3cret@collector/"))]), vec!["bad.to", "headers"]),
            (table(&[("to", text("gopher://s3cret"))]), vec!["bad.to", "unix:/PATH"]),
            (table(&[("to", table(&[("a", text("s3cret"))]))]), vec!["bad.to"]),
            (table(&[http(), ("format", text("table"))]), vec!["bad.format = \"table\"", "\"ocsf\""]),
            (table(&[http(), ("framing", text("netstring"))]), vec!["bad.framing = \"netstring\"", "octet-counting"]),
            (table(&[http(), ("framing", text("octet-counting"))]), vec!["bad.framing", "with https"]),
            (table(&[http(), ("framing", text("bulk"))]), vec!["bad.framing = \"bulk\" with https and the format json"]),
            (table(&[("to", text("file:/a")), ("framing", text("loki"))]), vec!["bad.framing = \"loki\" with file"]),
            (table(&[("to", text("tcp://a:1")), ("sign_file", text("/s3"))]), vec!["bad.sign_file with tcp", "/ on"]),
            (table(&[http(), ("compress", text("zstd"))]), vec!["bad.compress = \"zstd\"", "use \"gzip\" (HTTP)"]),
            (table(&[http(), ("compress", Value::Boolean(true))]), vec!["bad.compress = true", "use \"gzip\""]),
            (table(&[("to", text("tcp://a:1")), ("compress", text("gzip"))]), vec!["bad.compress = \"gzip\" with tcp"]),
            (table(&[http(), ("networks", list(&["10.0.0.0/99"]))]), vec!["bad.networks", "10.0.0.0/99"]),
            (table(&[http(), ("types", Value::Number(5.0))]), vec!["bad.types = 5"]),
            (table(&[http(), ("ips", text("some"))]), vec!["bad.ips", "\"hash\""]),
            (table(&[http(), ("batch", Value::Number(0.0))]), vec!["bad.batch = 0", "1000"]),
            (table(&[http(), ("timeout", text("soon"))]), vec!["bad.timeout = \"soon\""]),
            (table(&[http(), ("headers", table(&[("X Y", text("s3cret"))]))]), vec!["bad.headers"]),
            (table(&[http(), ("headers", text("s3cret"))]), vec!["bad.headers"]),
            (table(&[http(), ("token_file", text("token"))]), vec!["bad.token_file = \"token\""]),
            (table(&[http(), ("tls", text("x"))]), vec!["the field \"tls\"", "cafile"]),
        ];
        for (value, parts) in rows {
            let (sinks, refused) = sinks(&table(&[good(), ("bad", value)]));
            assert_eq!(sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["good"]);
            assert_eq!(refused.len(), 1, "{refused:?}");
            let line = &refused[0];
            assert!(line.starts_with("Option audit_log_sinks ") && !line.contains('\n'), "{line}");
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
            assert!(!line.contains("s3cret"), "{line}");
        }
    }

    #[test]
    fn names_are_refused_that_are_no_names_or_come_twice() {
        let to = || table(&[("to", text("file:/a"))]);
        let (some, refused) = sinks(&table(&[("a/b", to()), ("log", to()), ("LOG", to())]));
        assert_eq!((some.len(), refused.len()), (1, 2), "{refused:?}");
        assert_eq!(sinks(&Value::Number(1.0)).1.len(), 1);
        assert_eq!(sinks(&Value::Nil), (Vec::new(), Vec::new()));
    }
}
