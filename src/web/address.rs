//! What is behind the `?` of an address: the flags of the command that say which entries are wanted, as fields of a form.

use std::fmt::Write as _;

use thiserror::Error;

use crate::command::flags::{self, Flag, Group};
use crate::command::{FLAGS, nearest};

/// The longest part of an address behind the `?`, in bytes.
const LONGEST: usize = 8192;

/// How many fields an address may have.
const MOST_FIELDS: usize = 100;

/// Fields that are not flags: the format of a download, and the secret of a link.
const OTHERS: &[&str] = &["format"];

/// An address that can't be read. The message is a line for its reader.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AddressError(String);

/// The fields of an address, in their order. Fields without a value are left out, as a form sends all of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address(Vec<(String, String)>);

/// The fields of a form, or of an address, whatever their names are.
///
/// # Errors
///
/// Returns [`AddressError`] if there are too many.
///
/// ```
/// use audit_core::web::address::fields;
/// assert_eq!(fields("a=1+2&b=%C3%A4%").unwrap(), [("a".into(), "1 2".into()), ("b".into(), "ä%".into())]);
/// ```
pub fn fields(text: &str) -> Result<Vec<(String, String)>, AddressError> {
    if text.len() > LONGEST {
        return Err(AddressError(format!("The address is too long: at most {LONGEST} bytes are allowed behind the ?.")));
    }
    let fields: Vec<(String, String)> = text
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    if fields.len() > MOST_FIELDS {
        return Err(AddressError(format!("The address has too many fields: at most {MOST_FIELDS} are allowed.")));
    }
    Ok(fields)
}

impl Address {
    /// Reads the part of an address behind the `?`.
    ///
    /// # Errors
    ///
    /// Returns [`AddressError`] if a field is not known, or if there are too many.
    pub fn parse(query: &str) -> Result<Self, AddressError> {
        let mut given = fields(query)?;
        given.retain(|(_, value)| !value.is_empty());
        for (name, value) in &given {
            match flag(name) {
                Some(flag) if flag.value.is_some() || switched(flag, value).is_some() => {}
                Some(flag) if flag.negatable => {
                    return Err(AddressError(format!("{name} is {value:?}, but takes \"only\" or \"none\".")));
                }
                Some(_) => return Err(AddressError(format!("{name} is {value:?}, but takes \"yes\"."))),
                None if OTHERS.contains(&name.as_str()) => {}
                None => {
                    let known = known();
                    let meant = nearest(name, known.iter().copied()).map(|name| format!("; did you mean {name}?"));
                    return Err(AddressError(format!(
                        "There is no field {name:?}{}",
                        meant.unwrap_or_else(|| format!("; the fields are {}.", known.join(", ")))
                    )));
                }
            }
        }
        Ok(Self(given))
    }

    /// The arguments of the command that ask for the same entries of `host`.
    #[must_use]
    pub fn arguments(&self, host: &str) -> Vec<String> {
        let mut arguments = vec!["--utc".to_owned()];
        for (name, value) in &self.0 {
            let Some(flag) = flag(name) else { continue };
            match switched(flag, value) {
                Some(true) => arguments.push(format!("--{name}")),
                Some(false) => arguments.push(format!("--no-{name}")),
                None => arguments.push(format!("--{name}={value}")),
            }
        }
        arguments.extend(["--".to_owned(), host.to_owned()]);
        arguments
    }

    /// The last value of a field. Empty if it is not there.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// The fields that say which entries are wanted, in their order.
    pub fn filters(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_filter = |name: &str| flag(name).is_some_and(|flag| flag.group == Group::Filter);
        self.0.iter().filter(move |(name, _)| is_filter(name)).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same address with other values of some fields, from its first entry on. A field with an empty value is left out.
    #[must_use]
    pub fn with(&self, changed: &[(&str, &str)]) -> Self {
        let is_changed = |name: &str| name == "after" || changed.iter().any(|(other, _)| *other == name);
        let kept = self.0.iter().filter(|(name, _)| !is_changed(name)).cloned();
        let new = changed.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self(kept.chain(new).collect())
    }

    /// The address as a text, with the `?`. Empty if there are no fields.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in &self.0 {
            query.push(if query.is_empty() { '?' } else { '&' });
            push_encoded(&mut query, name);
            query.push('=');
            push_encoded(&mut query, value);
        }
        query
    }
}

/// The flags that can be fields.
pub fn fields_of(group: Group) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| flag.group == group)
}

fn flag(name: &str) -> Option<&'static Flag> {
    flags::find(name).filter(|flag| matches!(flag.group, Group::Filter | Group::Page))
}

fn known() -> Vec<&'static str> {
    fields_of(Group::Filter).chain(fields_of(Group::Page)).map(|flag| flag.name).collect()
}

/// Whether a field turns its flag on. `None` if the flag takes another value.
fn switched(flag: &Flag, value: &str) -> Option<bool> {
    match (flag.value, flag.negatable, value) {
        (None, true, "only") | (None, false, "yes" | "on" | "1" | "true") => Some(true),
        (None, true, "none") => Some(false),
        _ => None,
    }
}

/// A field of a form, as browsers write it (`application/x-www-form-urlencoded`).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let byte = match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match hexadecimal(*high).zip(hexadecimal(*low)) {
                Some((high, low)) => {
                    rest = after;
                    high << 4 | low
                }
                None => b'%',
            },
            (other, _) => *other,
        };
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn push_encoded(query: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b':' | b'/' | b',' | b'*' | b'!' => {
                query.push(char::from(byte));
            }
            // Writing to a string can't fail.
            byte => drop(write!(query, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use proptest::prelude::*;

    fn arguments(query: &str) -> Result<Vec<String>, String> {
        Address::parse(query).map(|address| address.arguments("example.com")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_asks_for_what_the_same_flags_ask_for() {
        for (query, line) in [
            ("", "--utc -- example.com"),
            ("since=2d&type=user-*%2Cnew-client&user=", "--utc --since=2d --type=user-*,new-client -- example.com"),
            ("global=only&all=yes&oldest-first=on", "--utc --global --all --oldest-first -- example.com"),
            ("global=none&limit=5&format=csv", "--utc --no-global --limit=5 -- example.com"),
            ("user=a&user=b", "--utc --user=a --user=b -- example.com"),
            ("ip=2001%3Adb8%3A%3A%2F32", "--utc --ip=2001:db8::/32 -- example.com"),
        ] {
            assert_eq!(arguments(query).map(|list| list.join(" ")).as_deref(), Ok(line), "{query}");
        }
        assert_eq!(arguments("text=a+b%26--x").unwrap()[1], "--text=a b&--x");
    }

    #[test]
    fn every_filter_of_the_command_is_a_field() {
        for flag in fields_of(Group::Filter).chain(fields_of(Group::Page)) {
            let value = match (flag.name, flag.value) {
                ("since" | "until", _) => "2d",
                ("ip", _) => "::1",
                ("country", _) => "DE",
                ("after", _) => "1//k",
                (_, Some(_)) => "1",
                (_, None) => {
                    if flag.negatable {
                        "only"
                    } else {
                        "yes"
                    }
                }
            };
            let arguments = arguments(&format!("{}={value}", flag.name)).unwrap();
            let command = Command::parse(arguments.iter().map(String::as_str), 1e9);
            assert!(matches!(command, Ok(Command::Show(_))), "{}: {command:?}", flag.name);
        }
    }

    #[test]
    fn what_an_address_can_not_ask_for_is_refused() {
        for (query, words) in [
            ("tpye=x", "did you mean type?"),
            ("output=/etc/passwd", "There is no field \"output\""),
            ("prune=yes", "There is no field \"prune\""),
            ("host=other.example", "There is no field \"host\""),
            ("global=maybe", "takes \"only\" or \"none\""),
            ("all=perhaps", "takes \"yes\""),
        ] {
            let problem = arguments(query).unwrap_err();
            assert!(problem.contains(words) && !problem.contains('\n'), "{problem}");
        }
        assert!(arguments(&format!("text={}", "x".repeat(LONGEST))).unwrap_err().contains("too long"));
        assert!(arguments(&"user=x&".repeat(MOST_FIELDS + 1)).unwrap_err().contains("too many"));
    }

    #[test]
    fn a_value_is_never_another_flag() {
        let arguments = arguments("user=--prune&type=x%0A--no-global&client=--").unwrap();
        assert_eq!(arguments, ["--utc", "--user=--prune", "--type=x\n--no-global", "--client=--", "--", "example.com"]);
    }

    #[test]
    fn a_changed_address_begins_with_its_first_entry() {
        let address = Address::parse("type=a&after=1//k&user=b").unwrap();
        assert_eq!(address.with(&[("type", "c d")]).query(), "?user=b&type=c%20d");
        assert_eq!(address.with(&[("user", "")]).query(), "?type=a");
        assert_eq!(address.with(&[("after", "2//k")]).query(), "?type=a&user=b&after=2//k");
        assert_eq!((address.value("type"), address.value("ip"), Address::default().query()), ("a", "", String::new()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(values in prop::collection::vec("\\PC{1,12}", 1..5)) {
            let given = Address(values.into_iter().map(|value| ("text".to_owned(), value)).collect());
            prop_assert_eq!(Address::parse(given.query().trim_start_matches('?')), Ok(given));
        }

        #[test]
        fn any_bytes_are_read_or_refused(query in "\\PC*") {
            let _ = Address::parse(&query).map(|address| (address.arguments("x"), address.query()));
        }
    }
}
