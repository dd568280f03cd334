//! The options of alerts and of notices to users.

use super::reader::{OptionReader, whole_number};
use super::sinks::is_name as is_sink_name;
use super::{Value, period};
use crate::alert::{ALERT, Key, Rule, Settings, Texts, Trigger, shown_period};
use crate::catalogue;
use crate::filter::pattern::Pattern;
use crate::time::period::Period;

/// The most rules that a configuration may add, and the most recipients.
const MOST: usize = 50;
/// The largest threshold. A rule for different accounts remembers that many.
const THRESHOLDS: (f64, f64) = (10_000.0, 200.0);
/// The shortest and the longest window, in seconds.
const WINDOWS: std::ops::RangeInclusive<f64> = 10.0..=2_678_400.0;

/// The fields of `audit_alerts`.
const FIELDS: &[&str] = &["to", "rooms", "sinks", "rules"];

/// A field of a rule, as the documentation shows it.
pub const RULE_FIELDS: &[super::FieldSpec] = &[
    super::FieldSpec {
        name: "types",
        default: "none",
        allowed: "a list of event types, in which \"*\" stands for any characters",
        meaning: "The event types that a rule of your own watches.",
    },
    super::FieldSpec {
        name: "users",
        default: "all accounts",
        allowed: "a list of JIDs, in which \"*\" stands for any characters",
        meaning: "The accounts that it watches.",
    },
    super::FieldSpec {
        name: "key",
        default: "\"account\"",
        allowed: "\"account\", \"network\", \"account and network\", \"type\" or \"host\"",
        meaning: "Which events a rule of your own counts together.",
    },
    super::FieldSpec {
        name: "threshold",
        default: "1, or the rule's own",
        allowed: "a whole number from 1 to 10000",
        meaning: "From which number of events on it fires.",
    },
    super::FieldSpec {
        name: "accounts",
        default: "none; 20 in guessing; \"admins\" in new-country, new-client and impossible-travel",
        allowed: "a whole number from 1 to 200, or \"admins\" or \"all\"",
        meaning: "A number: from which number of different accounts on it fires. In the three rules about what is new: which accounts.",
    },
    super::FieldSpec {
        name: "window",
        default: "\"1h\", or the rule's own",
        allowed: "a period from 10 seconds to 31 days",
        meaning: "Within which time. There is at most one message for the same account, network or type in this time.",
    },
];

/// Reads `audit_alerts`, `audit_user_notices` and `audit_user_notices_text`. `get` returns the configured value of an option.
///
/// Returns the settings, the texts, and a line for each value that was refused.
pub fn alerts(mut get: impl FnMut(&str) -> Value) -> (Settings, Texts, Vec<String>) {
    let mut reader = OptionReader::default();
    let mut settings = Settings::default();
    let value = get("audit_alerts");
    match &value {
        Value::Nil => {}
        Value::Table(fields) => {
            for (key, value) in fields {
                match bare(key).as_str() {
                    "to" => settings.to = reader.jids("audit_alerts.to", value),
                    "rooms" => settings.rooms = reader.jids("audit_alerts.rooms", value).unwrap_or_default(),
                    "sinks" => settings.sinks = reader.sink_names("audit_alerts.sinks", value),
                    "rules" => reader.rules(value, &mut settings.rules),
                    other => reader.refuse_unknown("audit_alerts", other, FIELDS),
                }
            }
        }
        _ => reader.refuse("audit_alerts", &value, "the default", ()),
    }
    settings.notices = reader.boolean("audit_user_notices", &get("audit_user_notices"), false).unwrap_or(false);
    let texts = reader.texts("audit_user_notices_text", &get("audit_user_notices_text"));
    (settings, texts, reader.refused)
}

impl OptionReader {
    fn refuse_value(&mut self, name: &str, value: &Value, allowed: &str, used: &str) {
        self.refused.push(format!("Option {name} is {value}, which is not allowed: use {allowed}. Until then {used} is used."));
    }

    fn refuse_unknown(&mut self, name: &str, field: &str, known: &[&str]) {
        self.refused.push(format!("Option {name} has a field {field:?}, which is not known: use {}.", known.join(", ")));
    }

    /// A list of bare JIDs. Returns `None` if there is none that can be used.
    fn jids(&mut self, name: &str, value: &Value) -> Option<Vec<String>> {
        let items = list(value);
        let is_jid = |text: &str| {
            let domain = text.split_once('@').map_or(text, |(_, domain)| domain);
            !text.starts_with('@') && !domain.is_empty() && !text.contains(['/', ' ', '"', '<', '>', '\'']) && !domain.contains('@')
        };
        let found = items.iter().flatten().filter_map(|item| if let Value::String(text) = item { Some(text) } else { None });
        let found: Vec<String> = found.filter(|text| is_jid(text)).cloned().collect();
        if items.as_ref().is_none_or(|items| items.len() != found.len()) || found.len() > MOST {
            self.refuse_value(name, value, &format!("a list of at most {MOST} JIDs without resources"), "what is right of it");
        }
        if items.is_some_and(|items| items.is_empty()) { Some(Vec::new()) } else { Some(found).filter(|found| !found.is_empty()) }
    }

    fn sink_names(&mut self, name: &str, value: &Value) -> Vec<String> {
        let items = list(value);
        let found = items.iter().flatten().filter_map(|item| if let Value::String(text) = item { Some(text.clone()) } else { None });
        let found: Vec<String> = found.filter(|text| is_sink_name(text)).collect();
        if items.is_none_or(|items| items.len() != found.len()) {
            self.refuse_value(name, value, "a list of names of audit_log_sinks", "what is right of it");
        }
        found
    }

    fn rules(&mut self, value: &Value, rules: &mut Vec<Rule>) {
        let Value::Table(entries) = value else {
            self.refuse_value("audit_alerts.rules", value, "a table of rules", "the default");
            return;
        };
        for (key, value) in entries {
            let name = bare(key);
            let path = format!("audit_alerts.rules[{name:?}]");
            let is_name = !name.is_empty()
                && name.len() <= 40
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && matches!(key, Value::String(_));
            let known: Vec<usize> = rules.iter().enumerate().filter(|(_, rule)| rule.name == name).map(|(at, _)| at).collect();
            match value {
                Value::Boolean(true) if !known.is_empty() => {}
                Value::Boolean(false) if !known.is_empty() => rules.retain(|rule| rule.name != name),
                Value::Table(fields) if !known.is_empty() => {
                    for at in known {
                        if let Some(rule) = rules.get_mut(at) {
                            self.change(&path, fields, rule);
                        }
                    }
                    self.refused.dedup();
                }
                Value::Table(_) if is_name && name != "summary" && !value.field("types").is_nil() => {
                    if rules.len() >= MOST {
                        self.refuse_value(&path, value, &format!("at most {MOST} rules"), "no such rule");
                    } else if let Some(rule) = self.own(&path, name, value) {
                        rules.push(rule);
                    }
                }
                _ => {
                    let mut names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
                    names.dedup();
                    let allowed = format!("false or a table for {}, or a table with types for a rule of your own", names.join(", "));
                    self.refuse_value(&path, value, &allowed, "no such rule");
                }
            }
        }
    }

    /// Changes a rule that is always there.
    fn change(&mut self, path: &str, fields: &[(Value, Value)], rule: &mut Rule) {
        let about_new = matches!(rule.trigger, Trigger::Country | Trigger::Client | Trigger::Travel);
        let counts = matches!(rule.trigger, Trigger::Events | Trigger::Accounts | Trigger::Success) && rule.name != "server";
        for (key, value) in fields {
            let field = bare(key);
            let name = format!("{path}.{field}");
            match field.as_str() {
                // Each of the two rows of this rule has a field of its own.
                "threshold" if counts && rule.trigger == Trigger::Accounts => {}
                "threshold" if counts => rule.threshold = self.number(&name, value, THRESHOLDS.0, rule.threshold).unwrap_or(rule.threshold),
                "accounts" if rule.name == "guessing" => {
                    if rule.trigger == Trigger::Accounts {
                        rule.threshold = self.number(&name, value, THRESHOLDS.1, rule.threshold).unwrap_or(rule.threshold);
                    }
                }
                "accounts" if about_new => match value {
                    Value::String(text) if text == "all" => rule.everyone = true,
                    Value::String(text) if text == "admins" => rule.everyone = false,
                    _ => self.refuse_value(&name, value, "\"admins\" or \"all\"", "\"admins\""),
                },
                "window" => rule.window = self.window(&name, value, rule.window),
                "users" => rule.users = self.patterns(&name, value),
                _ => {
                    let known: &[&str] = match (about_new, counts) {
                        (true, _) => &["accounts", "window", "users"],
                        (false, true) if rule.name == "guessing" => &["threshold", "accounts", "window", "users"],
                        (false, true) => &["threshold", "window", "users"],
                        (false, false) => &["window", "users"],
                    };
                    self.refuse_unknown(path, &field, known);
                }
            }
        }
    }

    /// A rule of the configuration. Returns `None` if its types or its key are wrong: it would watch something else than was meant.
    fn own(&mut self, path: &str, name: String, value: &Value) -> Option<Rule> {
        let mut rule = Rule {
            name,
            types: self.event_types(&format!("{path}.types"), value.field("types"))?,
            users: Vec::new(),
            key: Key::Account,
            trigger: Trigger::Events,
            threshold: 1,
            window: 3600.0,
            everyone: false,
        };
        let Value::Table(fields) = value else { return None };
        for (key, value) in fields {
            let field = bare(key);
            let name = format!("{path}.{field}");
            match field.as_str() {
                "types" => {}
                "users" => rule.users = self.patterns(&name, value),
                "threshold" => rule.threshold = self.number(&name, value, THRESHOLDS.0, 1)?,
                "accounts" => {
                    rule.threshold = self.number(&name, value, THRESHOLDS.1, 1)?;
                    rule.trigger = Trigger::Accounts;
                }
                "window" => rule.window = self.window(&name, value, rule.window),
                "key" => {
                    let found = Key::NAMES.iter().find(|(_, known)| matches!(value, Value::String(text) if text == known));
                    let Some((found, _)) = found else {
                        let names: Vec<String> = Key::NAMES.iter().map(|(_, name)| format!("{name:?}")).collect();
                        self.refuse_value(&name, value, &names.join(", "), "no such rule");
                        return None;
                    };
                    rule.key = *found;
                }
                _ => self.refuse_unknown(path, &field, &RULE_FIELDS.iter().map(|field| field.name).collect::<Vec<_>>()),
            }
        }
        Some(rule)
    }

    /// Event types. A word must be one of the log's. Types of other modules are written with a `*`.
    fn event_types(&mut self, name: &str, value: &Value) -> Option<Vec<Pattern>> {
        let items = list(value).filter(|items| !items.is_empty());
        let is_type = |text: &str| text != ALERT && !text.is_empty() && (text.contains('*') || catalogue::find(text).is_some());
        let wrong = items.as_ref().and_then(|items| items.iter().find(|item| !matches!(item, Value::String(text) if is_type(text))));
        if items.is_none() || wrong.is_some() {
            let allowed = "event types of the log (prosodyctl mod_audit --events lists them), or patterns with *";
            self.refuse_value(name, wrong.unwrap_or(value), allowed, "no such rule");
            return None;
        }
        Some(
            items
                .iter()
                .flatten()
                .filter_map(|item| if let Value::String(text) = item { Some(Pattern::new(text)) } else { None })
                .collect(),
        )
    }

    fn patterns(&mut self, name: &str, value: &Value) -> Vec<Pattern> {
        let items = list(value).filter(|items| items.iter().all(|item| matches!(item, Value::String(text) if !text.is_empty())));
        let Some(items) = items else {
            self.refuse_value(name, value, "a list of JIDs, with * for any characters", "every account");
            return Vec::new();
        };
        items.iter().filter_map(|item| if let Value::String(text) = item { Some(Pattern::new(text)) } else { None }).collect()
    }

    fn number(&mut self, name: &str, value: &Value, most: f64, used: u32) -> Option<u32> {
        let number = whole_number(value, 1.0..=most);
        if number.is_none() {
            self.refuse_value(name, value, &format!("a whole number from 1 to {most}"), &used.to_string());
        }
        Some(number.unwrap_or(used))
    }

    fn window(&mut self, name: &str, value: &Value, used: f64) -> f64 {
        match period(value) {
            Ok(Some(Period::Seconds(seconds))) if WINDOWS.contains(&seconds) => seconds,
            _ => {
                self.refuse_value(name, value, "a period from 10 seconds to 31 days", &shown_period(used));
                used
            }
        }
    }

    fn texts(&mut self, name: &str, value: &Value) -> Texts {
        let mut texts = Texts::default();
        let mut set = |name: &str, language: Option<&str>, value: &Value| {
            let Value::String(text) = value else {
                self.refuse_value(name, value, "a text", "the default");
                return;
            };
            if let Err(error) = texts.set(language, text) {
                self.refuse_value(name, value, &error.to_string(), "the default");
            }
        };
        match value {
            Value::Nil => {}
            Value::Table(fields) => {
                for (key, value) in fields {
                    let language = bare(key);
                    set(&format!("{name}.{language}"), Some(&language), value);
                }
            }
            _ => set(name, None, value),
        }
        texts
    }
}

impl Value {
    fn is_nil(&self) -> bool {
        *self == Self::Nil
    }
}

/// The items of a list. A single text is a list of one. Returns `None` if the value is something else.
fn list(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::String(_) => Some(vec![value.clone()]),
        Value::Table(fields) if fields.iter().all(|(key, _)| matches!(key, Value::Number(_))) => {
            Some(fields.iter().map(|(_, value)| value.clone()).collect())
        }
        _ => None,
    }
}

/// A key of a table, without quotes.
fn bare(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn table(pairs: &[(&str, Value)]) -> Value {
        Value::table(pairs.iter().map(|(key, value)| (text(key), value.clone())).collect())
    }

    fn items(values: &[&str]) -> Value {
        Value::table((1u8..).zip(values).map(|(number, value)| (Value::Number(f64::from(number)), text(value))).collect())
    }

    fn read(value: Value) -> (Settings, Vec<String>) {
        let (settings, _, refused) = alerts(|name| if name == "audit_alerts" { value.clone() } else { Value::Nil });
        (settings, refused)
    }

    fn rules(rules: &[(&str, Value)]) -> (Settings, Vec<String>) {
        read(table(&[("rules", table(rules))]))
    }

    #[test]
    fn alerts_work_without_configuration() {
        assert_eq!(read(Value::Nil), (Settings::default(), Vec::new()));
        assert_eq!(read(table(&[])), (Settings::default(), Vec::new()));
    }

    #[test]
    fn recipients_rules_and_thresholds_can_be_changed() {
        let own = table(&[("types", items(&["room-*"])), ("key", text("host")), ("threshold", Value::Number(5.0)), ("window", text("1d"))]);
        let many = table(&[("types", text("user-registered")), ("key", text("network")), ("accounts", Value::Number(7.0))]);
        let (settings, refused) = read(table(&[
            ("to", items(&["ops@example.com", "example.net"])),
            ("rooms", text("ops@rooms.example.com")),
            ("sinks", items(&["pager"])),
            (
                "rules",
                table(&[
                    ("guessed", Value::Boolean(false)),
                    (
                        "guessing",
                        table(&[("threshold", Value::Number(99.0)), ("accounts", Value::Number(33.0)), ("window", text("5 minutes"))]),
                    ),
                    ("new-client", table(&[("accounts", text("all"))])),
                    ("rooms", own),
                    ("many", many),
                ]),
            ),
        ]));
        assert_eq!(refused, Vec::<String>::new());
        assert_eq!(settings.to, Some(vec!["ops@example.com".to_owned(), "example.net".to_owned()]));
        assert_eq!(
            (settings.rooms.as_slice(), settings.sinks.as_slice()),
            (&["ops@rooms.example.com".to_owned()][..], &["pager".to_owned()][..])
        );
        let found = |name: &str| settings.rules.iter().filter(|rule| rule.name == name).collect::<Vec<_>>();
        assert_eq!(found("guessed").len(), 0);
        let guessing: Vec<(u32, f64)> = found("guessing").iter().map(|rule| (rule.threshold, rule.window)).collect();
        assert_eq!(guessing, [(99, 300.0), (33, 300.0)]);
        assert!(found("new-client")[0].everyone && !found("new-country")[0].everyone);
        let rooms = found("rooms")[0];
        assert_eq!((rooms.key, rooms.threshold, rooms.window, rooms.watches("room-destroyed")), (Key::Host, 5, 86_400.0, true));
        let many = found("many")[0];
        assert_eq!((many.trigger, many.threshold, many.window), (Trigger::Accounts, 7, 3600.0));
    }

    #[test]
    fn what_is_wrong_is_refused_with_one_line_and_the_rest_works() {
        let of = |field: &str, value: Value| rules(&[("guessing", table(&[(field, value)]))]);
        let own = |field: &str, value: Value| rules(&[("mine", table(&[("types", text("room-*")), (field, value)]))]);
        for ((settings, refused), parts) in [
            (read(Value::Boolean(true)), vec!["audit_alerts is true", "use a table"]),
            (read(table(&[("rule", Value::Nil)])), vec!["audit_alerts", "\"rule\"", "to, rooms, sinks, rules"]),
            (read(table(&[("to", items(&["a@b/c"]))])), vec!["audit_alerts.to is", "a@b/c", "JIDs without resources"]),
            (read(table(&[("rooms", Value::Number(1.0))])), vec!["audit_alerts.rooms is 1", "JIDs"]),
            (read(table(&[("sinks", items(&["a b"]))])), vec!["audit_alerts.sinks is", "a b", "names of audit_log_sinks"]),
            (read(table(&[("rules", text("all"))])), vec!["audit_alerts.rules is \"all\"", "a table of rules"]),
            (rules(&[("guesing", Value::Boolean(false))]), vec!["rules[\"guesing\"] is false", "guessed, guessing, new-country"]),
            (rules(&[("Mine!", table(&[("types", text("x*"))]))]), vec!["rules[\"Mine!\"]", "a rule of your own"]),
            (of("threshold", Value::Number(0.0)), vec!["rules[\"guessing\"].threshold is 0", "from 1 to 10000", "50 is used"]),
            (of("accounts", Value::Number(999.0)), vec![".accounts is 999", "from 1 to 200"]),
            (of("window", text("soon")), vec![".window is \"soon\"", "from 10 seconds to 31 days"]),
            (of("wnidow", text("1h")), vec!["\"wnidow\"", "threshold, accounts, window, users"]),
            (rules(&[("new-client", table(&[("accounts", text("some"))]))]), vec![".accounts is \"some\"", "\"admins\" or \"all\""]),
            (rules(&[("server", table(&[("threshold", Value::Number(2.0))]))]), vec!["\"threshold\"", "window, users"]),
            (rules(&[("mine", table(&[("types", text("user-registerd"))]))]), vec!["is \"user-registerd\"", "--events"]),
            (rules(&[("mine", table(&[("types", text("audit-alert"))]))]), vec!["is \"audit-alert\""]),
            (rules(&[("mine", table(&[("types", items(&[]))]))]), vec![".types is {}"]),
            (own("key", text("accuont")), vec![".key is \"accuont\"", "\"account\", \"network\""]),
            (own("users", Value::Number(1.0)), vec![".users is 1"]),
            (own("by", text("x")), vec!["\"by\"", "types, users, key, threshold, accounts, window"]),
        ] {
            assert!(matches!(refused.as_slice(), [line] if parts.iter().all(|part| line.contains(part))), "{parts:?} {refused:?}");
            assert!(settings.rules.len() >= Settings::default().rules.len());
        }
    }

    #[test]
    fn the_texts_of_notices_are_read() {
        let read = |value: Value| {
            let (_, texts, refused) = alerts(|name| if name == "audit_user_notices_text" { value.clone() } else { Value::Nil });
            (texts, refused)
        };
        assert_eq!(read(Value::Nil), (Texts::default(), Vec::new()));
        assert_ne!(read(text("at {time}")).0, Texts::default());
        assert_eq!(read(table(&[("de", text("um {time}")), ("en", text("at {time}"))])).1, Vec::<String>::new());
        for (value, parts) in [
            (text("at {tiem}"), ["audit_user_notices_text is \"at {tiem}\"", "{time}"]),
            (table(&[("de", text("https://x"))]), ["audit_user_notices_text.de is", "without links"]),
            (Value::Boolean(true), ["audit_user_notices_text is true", "a text"]),
        ] {
            let refused = read(value).1;
            assert!(matches!(refused.as_slice(), [line] if parts.iter().all(|part| line.contains(part))), "{refused:?}");
        }
    }
}
