//! The option `audit_log_classes`: a table of retention classes.

use super::reader::OptionReader;
use super::{Value, period};
use crate::address::Policy;
use crate::archive::partition::{DEFAULT_CLASS, is_class, is_reserved};
use crate::archive::retention::{AddressExpiry, FAILURE_TYPES, FAILURES, Retention, RetentionClass, Rules, TypePattern};
use crate::time::period::Period;

/// A field of a class, as the documentation shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The name.
    pub name: &'static str,
    /// The default.
    pub default: &'static str,
    /// What may be written there.
    pub allowed: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Every field of a class.
pub const CLASS_FIELDS: &[FieldSpec] = &[
    FieldSpec {
        name: "types",
        default: "none",
        allowed: "a list of event types, in which \"*\" stands for any characters",
        meaning: "The event types of the class.",
    },
    FieldSpec {
        name: "expires_after",
        default: "`audit_log_expires_after`",
        allowed: "a number of seconds, a period such as \"28d\" or \"1y\", or \"never\"",
        meaning: "How long its entries are kept.",
    },
    FieldSpec {
        name: "limit",
        default: "none",
        allowed: "a whole number from 1",
        meaning: "The largest number of entries. If there are more, the oldest partition is removed.",
    },
    FieldSpec {
        name: "ips",
        default: "`audit_log_ips` and the prefixes",
        allowed: "\"full\", \"prefix\", \"hash\" or \"none\"",
        meaning: "What is stored of addresses: the whole address, the configured prefix (or else /24 and /48), a keyed hash, or nothing.",
    },
    FieldSpec {
        name: "ips_expire_after",
        default: "`audit_log_ips_expire_after`",
        allowed: ADDRESSES_EXPIRE,
        meaning: "When addresses are shortened or removed. Their entries stay.",
    },
    FieldSpec {
        name: "ips_expire_to",
        default: "`audit_log_ips_expire_to`",
        allowed: "\"prefix\" or \"none\"",
        meaning: "What is kept of addresses after that.",
    },
];

/// The allowed values for the expiry of addresses.
pub(super) const ADDRESSES_EXPIRE: &str = "a number of seconds, a period such as \"7d\", or \"never\"";

/// The longest name of a class, in characters.
const LONGEST_NAME: usize = 40;

/// The expiry of addresses if its value is wrong.
pub(super) const STRICT_EXPIRY: Period = Period::Seconds(7.0 * 86_400.0);

/// The global options, which are the defaults of a class.
pub(super) struct Inherited {
    pub(super) rules: Rules,
    pub(super) expire_after: Period,
    pub(super) expire_to: Policy,
    pub(super) ipv4_prefix: Option<u8>,
    pub(super) ipv6_prefix: Option<u8>,
}

impl OptionReader {
    pub(super) fn classes(&mut self, value: &Value, inherited: &Inherited) -> Retention {
        let mut classes = Vec::new();
        match value {
            Value::Nil => {}
            Value::Table(pairs) => {
                for (name, value) in pairs {
                    classes.extend(self.class(&bare(name), is_name(name), value, inherited));
                }
            }
            _ => self.refuse("audit_log_classes", value, "no class but those that there are without it", ()),
        }
        Retention::new(inherited.rules, classes)
    }

    fn class(&mut self, name: &str, good: bool, value: &Value, inherited: &Inherited) -> Option<RetentionClass> {
        let Value::Table(fields) = value else {
            self.refused.push(format!(
                "Option audit_log_classes has {name} = {value}, which is not allowed: use a table with the fields {}. It is passed over.",
                field_names()
            ));
            return None;
        };
        let used = if good { name.to_owned() } else { mended(name) };
        if !good {
            self.refused.push(format!(
                "Option audit_log_classes has a class called {name:?}, which is not allowed: use lower-case letters, digits and \
                 hyphens, a letter first, {LONGEST_NAME} characters at most, and not \
                 cut-, old- or moving- before it. Until then it is called {used:?}."
            ));
        }
        let mut class = RetentionClass { types: types_of(&used), name: used, rules: inherited.rules };
        let (mut expire_after, mut expire_to) = (inherited.expire_after, inherited.expire_to);
        let mut has_types = false;
        for (field, value) in fields {
            let field = bare(field);
            match field.as_str() {
                "types" => {
                    has_types = true;
                    self.types(&mut class, value);
                }
                "expires_after" => match period(value) {
                    Ok(period) => class.rules.expires_after = period.unwrap_or(class.rules.expires_after),
                    Err(_) => self.refuse_field(&class.name, &field, value, "what audit_log_expires_after says is used"),
                },
                "limit" => class.rules.limit = self.limit(&class.name, value),
                "ips" => class.rules.addresses = self.ips(&class.name, value, inherited),
                "ips_expire_after" => match period(value) {
                    Ok(period) => expire_after = period.unwrap_or(expire_after),
                    Err(_) => {
                        expire_after = STRICT_EXPIRY;
                        self.refuse_field(&class.name, &field, value, "7 days are used");
                    }
                },
                "ips_expire_to" => match expiry_policy(value, inherited) {
                    Some(policy) => expire_to = policy,
                    None => {
                        expire_to = Policy::None;
                        self.refuse_field(&class.name, &field, value, "\"none\" is used");
                    }
                },
                _ => self.refused.push(format!(
                    "Option audit_log_classes: class {} has {field} = {value}, but there is no such field: use {}. It is passed over.",
                    class.name,
                    field_names()
                )),
            }
        }
        class.rules.addresses_expire = expiry(expire_after, expire_to);
        if !has_types && class.types.is_empty() && class.name != DEFAULT_CLASS {
            self.refuse_field(&class.name, "types", &Value::Nil, "it holds nothing");
        }
        Some(class)
    }

    fn types(&mut self, class: &mut RetentionClass, value: &Value) {
        if class.name == DEFAULT_CLASS {
            self.refused.push(format!(
                "Option audit_log_classes: class {DEFAULT_CLASS} has types, which is not allowed: it holds what no other class does. \
                 They are passed over."
            ));
            return;
        }
        let items: Vec<&Value> = match value {
            Value::Table(items) => items.iter().map(|(_, item)| item).collect(),
            Value::String(_) => vec![value],
            _ => Vec::new(),
        };
        let mut types = Vec::new();
        for item in &items {
            match item {
                Value::String(text) if TypePattern::new(text).is_some() => types.extend(TypePattern::new(text)),
                item => self.refuse_field(&class.name, "types", item, "it is passed over"),
            }
        }
        if items.is_empty() {
            self.refuse_field(&class.name, "types", value, if class.types.is_empty() { "it holds nothing" } else { "its default is used" });
        }
        if !types.is_empty() {
            class.types = types;
        }
    }

    fn ips(&mut self, class: &str, value: &Value, inherited: &Inherited) -> Policy {
        match value {
            Value::String(text) if text == "full" => Policy::default(),
            Value::String(text) if text == "prefix" => Policy::prefix(inherited.ipv4_prefix, inherited.ipv6_prefix),
            Value::String(text) if text == "hash" => Policy::Hash,
            Value::String(text) if text == "none" => Policy::None,
            _ => {
                self.refuse_field(class, "ips", value, "\"none\" is used");
                Policy::None
            }
        }
    }

    fn limit(&mut self, class: &str, value: &Value) -> Option<u64> {
        match value {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // In range, as the guard says.
            Value::Number(number) if number.fract() == 0.0 && (1.0..=1e15).contains(number) => Some(*number as u64),
            _ => {
                self.refuse_field(class, "limit", value, "there is none");
                None
            }
        }
    }

    fn refuse_field(&mut self, class: &str, field: &str, value: &Value, instead: &str) {
        let allowed = CLASS_FIELDS.iter().find(|spec| spec.name == field).map_or("another value", |spec| spec.allowed);
        self.refused.push(format!(
            "Option audit_log_classes: class {class} has {field} = {value}, which is not allowed: use {allowed}. Until then {instead}."
        ));
    }
}

/// The policy for addresses that have expired. Returns `None` if the value is wrong.
pub(super) fn expiry_policy(value: &Value, inherited: &Inherited) -> Option<Policy> {
    match value {
        Value::Nil => Some(inherited.expire_to),
        Value::String(text) if text == "prefix" => Some(Policy::prefix(inherited.ipv4_prefix, inherited.ipv6_prefix)),
        Value::String(text) if text == "none" => Some(Policy::None),
        _ => None,
    }
}

pub(super) fn expiry(after: Period, to: Policy) -> Option<AddressExpiry> {
    (after != Period::Never).then_some(AddressExpiry { after, to })
}

/// The default types of a class.
fn types_of(class: &str) -> Vec<TypePattern> {
    let types = if class == FAILURES { FAILURE_TYPES } else { &[] };
    types.iter().filter_map(|text| TypePattern::new(text)).collect()
}

fn field_names() -> String {
    CLASS_FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

/// A key of a table, without quotes.
fn bare(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether this is a valid name of a class.
fn is_name(key: &Value) -> bool {
    matches!(key, Value::String(name) if is_class(name) && name.len() <= LONGEST_NAME && !is_reserved(name))
}

/// A valid name, made from an invalid one.
fn mended(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    format!("class-{}", name.to_lowercase().chars().take(LONGEST_NAME - 6).map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn table(pairs: &[(&str, Value)]) -> Value {
        Value::table(pairs.iter().map(|(key, value)| (text(key), value.clone())).collect())
    }

    fn list(items: &[Value]) -> Value {
        Value::table((1u8..).zip(items).map(|(n, item)| (Value::Number(f64::from(n)), item.clone())).collect())
    }

    fn read(classes: Value, others: &[(&str, Value)]) -> (Retention, Vec<String>) {
        let (settings, refused) = Settings::read(|name| match name {
            "audit_log_classes" => classes.clone(),
            _ => others.iter().find(|(set, _)| *set == name).map_or(Value::Nil, |(_, value)| value.clone()),
        });
        (settings.retention, refused)
    }

    const DAY: f64 = 86_400.0;

    #[test]
    fn a_class_says_what_it_holds_and_for_how_long() {
        let classes = table(&[
            ("failures", table(&[("expires_after", text("7d"))])),
            (
                "accounts",
                table(&[("types", list(&[text("user-*"), text("token-*")])), ("expires_after", text("1y")), ("ips", text("prefix"))]),
            ),
            ("events", table(&[("ips", text("none"))])),
        ]);
        let (retention, refused) = read(classes, &[("audit_log_ipv4_prefix", Value::Number(20.0))]);
        assert_eq!(refused, Vec::<String>::new());
        assert_eq!(retention.class_of("s2s-refused"), "failures", "its types stay where only something else is set");
        assert_eq!(retention.rules("failures").expires_after, Period::Seconds(7.0 * DAY));
        assert_eq!(retention.rules("failures").addresses, Policy::new(Some(20), None), "what is not set is what the global options say");
        assert_eq!(retention.class_of("token-revoked"), "accounts");
        let accounts = retention.rules("accounts");
        assert_eq!((accounts.expires_after, accounts.addresses), (Period::Seconds(365.2425 * DAY), Policy::new(Some(20), Some(48))));
        assert_eq!(
            (retention.rules("events").addresses, retention.rules("events").expires_after),
            (Policy::None, Period::Seconds(28.0 * DAY))
        );
    }

    #[test]
    fn addresses_may_expire_before_their_entries() {
        let classes = table(&[
            ("accounts", table(&[("types", text("user-*")), ("ips_expire_after", text("1d")), ("limit", Value::Number(5.0))])),
            ("failures", table(&[("ips_expire_to", text("none")), ("ips", text("hash"))])),
            ("events", table(&[("ips_expire_after", text("never"))])),
            ("wrong", table(&[("types", text("x")), ("ips_expire_after", text("soon")), ("ips_expire_to", text("later"))])),
        ]);
        let others = [("audit_log_ips_expire_after", text("7d")), ("audit_log_ipv4_prefix", Value::Number(16.0))];
        let (retention, refused) = read(classes, &others);
        assert_eq!(refused.len(), 2, "{refused:?}");
        let expiry = |days: f64, to| Some(AddressExpiry { after: Period::Seconds(days * DAY), to });
        let prefix = Policy::prefix(Some(16), None);
        assert_eq!((retention.rules("accounts").addresses_expire, retention.rules("accounts").limit), (expiry(1.0, prefix), Some(5)));
        assert_eq!(
            (retention.rules("failures").addresses_expire, retention.rules("failures").addresses),
            (expiry(7.0, Policy::None), Policy::Hash)
        );
        assert_eq!(retention.rules("events").addresses_expire, None);
        assert_eq!(retention.rules("wrong").addresses_expire, expiry(7.0, Policy::None), "the stricter ones");
        assert_eq!(retention.rules("former").addresses_expire, expiry(7.0, prefix));
    }

    #[test]
    fn a_class_may_keep_prefixes_when_the_rest_keeps_nothing() {
        let classes = table(&[("accounts", table(&[("types", text("user-*")), ("ips_expire_to", text("prefix"))]))]);
        let others = [("audit_log_ips_expire_after", text("7d")), ("audit_log_ips_expire_to", text("none"))];
        let (retention, refused) = read(classes, &others);
        assert_eq!(refused, Vec::<String>::new());
        let to = |class| retention.rules(class).addresses_expire.map(|expiry: AddressExpiry| expiry.to);
        assert_eq!((to("accounts"), to("events")), (Some(Policy::prefix(None, None)), Some(Policy::None)));
    }

    #[test]
    fn a_class_may_keep_more_of_an_address_than_the_rest() {
        let classes = table(&[("failures", table(&[("ips", text("full"))]))]);
        let (retention, _) = read(classes, &[("audit_log_ips", Value::Boolean(false))]);
        assert_eq!(retention.rules("failures").addresses, Policy::default());
        assert_eq!(retention.rules("events").addresses, Policy::None);
    }

    #[test]
    fn each_wrong_value_is_one_line_and_the_others_are_used() {
        let good = || ("types", text("user-*"));
        let rows = [
            (text("7d"), "audit_log_classes is \"7d\""),
            (table(&[("accounts", text("7d"))]), "has accounts = \"7d\""),
            (table(&[("accounts", table(&[good(), ("expires_after", text("soon"))]))]), "class accounts has expires_after = \"soon\""),
            (
                table(&[("accounts", table(&[good(), ("limit", Value::Number(0.5))]))]),
                "has limit = 0.5, which is not allowed: use a whole number from 1.",
            ),
            (table(&[("accounts", table(&[good(), ("limit", Value::Number(0.0))]))]), "class accounts has limit = 0"),
            (table(&[("accounts", table(&[good(), ("limit", Value::Number(2.5))]))]), "class accounts has limit = 2.5"),
            (table(&[("accounts", table(&[good(), ("limit", text("many"))]))]), "class accounts has limit = \"many\""),
            (
                table(&[("accounts", table(&[good(), ("ips_expire_after", text("soon"))]))]),
                "class accounts has ips_expire_after = \"soon\"",
            ),
            (table(&[("accounts", table(&[good(), ("ips_expire_to", text("full"))]))]), "class accounts has ips_expire_to = \"full\""),
            (table(&[("accounts", table(&[good(), ("ips", text("some"))]))]), "class accounts has ips = \"some\""),
            (
                table(&[("accounts", table(&[good(), ("expire_after", text("7d"))]))]),
                "has expire_after = \"7d\", but there is no such field: use types, expires_after, limit, ips, ips_expire_after, ips_expire_to.",
            ),
            (table(&[("accounts", table(&[("types", list(&[text("user-*"), text("a b")]))]))]), "class accounts has types = \"a b\""),
            (table(&[("accounts", table(&[]))]), "class accounts has types = nil"),
            (table(&[("events", table(&[good()]))]), "class events has types"),
            (table(&[("My Class", table(&[good()]))]), "a class called \"My Class\""),
            (list(&[table(&[good()])]), "a class called \"1\""),
            (table(&[("cut-x", table(&[good()]))]), "a class called \"cut-x\""),
        ];
        for (value, part) in rows {
            let (_, refused) = read(value.clone(), &[]);
            assert!(
                matches!(refused.as_slice(), [line] if line.contains("audit_log_classes") && line.contains(part)),
                "{part}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_wrong_part_leaves_the_others_as_they_are() {
        let classes = table(&[
            (
                "accounts",
                table(&[("types", list(&[text("user-*"), Value::Number(1.0)])), ("ips", text("some")), ("expires_after", text("1y"))]),
            ),
            ("My Class", table(&[("types", text("other-*")), ("ips", text("none"))])),
            ("failures", table(&[("types", list(&[]))])),
        ]);
        let (retention, refused) = read(classes, &[]);
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert_eq!(retention.class_of("user-deleted"), "accounts");
        let accounts = retention.rules("accounts");
        assert_eq!((accounts.addresses, accounts.expires_after), (Policy::None, Period::Seconds(365.2425 * DAY)), "the stricter one");
        assert_eq!((retention.class_of("other-thing"), retention.rules("class-my-class").addresses), ("class-my-class", Policy::None));
        assert_eq!(retention.class_of("s2s-refused"), "failures");
    }
}
