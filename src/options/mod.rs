//! The options of the audit log in Prosody's configuration: one registry that drives reading, refusing and documentation.

mod alerts;
mod classes;
mod module;
pub mod privacy;
mod reader;
mod registry;
pub mod sinks;
mod value;

use std::path::PathBuf;

use crate::address::{FALLBACK_IPV4_PREFIX, FALLBACK_IPV6_PREFIX, Policy};
use crate::archive::Layout;
use crate::archive::retention::{Retention, Rules};
use crate::filter::hold::Hold;
use crate::flood::{Burst, Repeats};
use crate::time::period::{Period, PeriodError};
use classes::Inherited;
use reader::{OptionReader, burst, whole_number};

pub use alerts::{RULE_FIELDS, alerts};
pub use classes::{CLASS_FIELDS, FieldSpec};
pub use module::{ModuleValue, for_module};
pub use reader::period;
pub use registry::{OPTIONS, OptionSpec, ReadBy};
pub use value::Value;

/// The default of `audit_log_clock_trust`.
const CLOCK_TRUST: Period = Period::Seconds(86_400.0);

/// Whether locations are stored, and from which database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Locations {
    /// Not stored.
    Off,
    /// From the first database in the usual places, if there is one.
    #[default]
    Usual,
    /// From the first database in the usual places. A warning is logged if there is none, as the operator asked for locations.
    Wanted,
    /// From this database.
    File(PathBuf),
}

/// The settings of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The retention classes: what is kept, for how long, and how much of an address.
    pub retention: Retention,
    /// Whether locations are stored.
    pub locations: Locations,
    /// How entries are arranged in the archive.
    pub layout: Layout,
    /// From which other storage driver entries are moved.
    pub move_from: MoveFrom,
    /// How long the clock must be right after it has jumped, before entries are removed again.
    pub clock_trust: Period,
    /// When entries are written to the store.
    pub write: Write,
    /// How many events of unauthenticated peers are stored one by one. `None` if all are.
    pub flood: Option<Burst>,
    /// Which repeated logins are counted instead of recorded.
    pub repeats: Repeats,
    /// How names without an account are stored.
    pub unknown_names: UnknownNames,
    /// Whether entries are linked, so that changes to the log are found.
    pub chain: bool,
    /// When the entries of an account that was deleted are erased.
    pub on_user_deleted: Period,
    /// Entries that are kept for a legal procedure.
    pub hold: Hold,
}

/// From which other storage driver entries are moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MoveFrom {
    /// From the one that Prosody would use without a setting, to the driver `audit`.
    #[default]
    Default,
    /// Nothing is moved.
    Nowhere,
    /// From this one.
    Driver(String),
}

/// How names without an account are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// As they are.
    #[default]
    Plain,
    /// As keyed hashes, if Prosody knows without waiting that there is no such account.
    Hash,
}

/// When entries are written to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Write {
    /// A moment after the event, in batches. Until then they are in the journal.
    #[default]
    Journal,
    /// Before the event is processed further. Entries that can't be stored wait in the journal.
    Direct,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            locations: Locations::default(),
            layout: Layout::default(),
            move_from: MoveFrom::default(),
            clock_trust: CLOCK_TRUST,
            write: Write::default(),
            flood: Some(Burst::default()),
            repeats: Repeats::default(),
            unknown_names: UnknownNames::default(),
            chain: true,
            on_user_deleted: Period::Never,
            hold: Hold::default(),
        }
    }
}

impl Settings {
    /// Reads the options of a host. `get` returns the configured value of an option.
    ///
    /// Returns the settings, and a line for each value that was refused. The line has the option, the value, the allowed values,
    /// and the value that is used instead: the default or, for an option that protects privacy, a stricter one.
    pub fn read(mut get: impl FnMut(&str) -> Value) -> (Self, Vec<String>) {
        let mut reader = OptionReader::default();
        let default = Self::default();

        let value = get("audit_log_expires_after");
        let expires_after = match period(&value) {
            Ok(period) => period.unwrap_or(Rules::default().expires_after),
            Err(PeriodError) => reader.refuse("audit_log_expires_after", &value, "28 days", Rules::default().expires_after),
        };

        let v4 = reader.prefix("audit_log_ipv4_prefix", &get("audit_log_ipv4_prefix"), 32, FALLBACK_IPV4_PREFIX);
        let v6 = reader.prefix("audit_log_ipv6_prefix", &get("audit_log_ipv6_prefix"), 128, FALLBACK_IPV6_PREFIX);
        let stored = reader.boolean("audit_log_ips", &get("audit_log_ips"), false).unwrap_or(true);
        let addresses = if stored { Policy::new(v4, v6) } else { Policy::None };
        let mut inherited = Inherited {
            rules: Rules { expires_after, addresses, ..Rules::default() },
            expire_after: Period::Never,
            expire_to: Policy::prefix(v4, v6),
            ipv4_prefix: v4,
            ipv6_prefix: v6,
        };
        let value = get("audit_log_ips_expire_after");
        inherited.expire_after = match period(&value) {
            Ok(period) => period.unwrap_or(Period::Never),
            Err(PeriodError) => reader.refuse("audit_log_ips_expire_after", &value, "7 days", classes::STRICT_EXPIRY),
        };
        let value = get("audit_log_ips_expire_to");
        inherited.expire_to = classes::expiry_policy(&value, &inherited)
            .unwrap_or_else(|| reader.refuse("audit_log_ips_expire_to", &value, "\"none\"", Policy::None));
        inherited.rules.addresses_expire = classes::expiry(inherited.expire_after, inherited.expire_to);
        let retention = reader.classes(&get("audit_log_classes"), &inherited);

        let wanted = reader.boolean("audit_log_location", &get("audit_log_location"), false);
        let value = get("audit_log_location_database");
        let locations = match (wanted, value) {
            (Some(false), _) => Locations::Off,
            (Some(true), Value::Nil) => Locations::Wanted,
            (None, Value::Nil) => Locations::Usual,
            (_, Value::String(path)) if !path.is_empty() => Locations::File(PathBuf::from(path)),
            (_, value) => reader.refuse("audit_log_location_database", &value, "the usual places", Locations::Wanted),
        };

        let value = get("audit_log_layout");
        let layout = match &value {
            Value::Nil => default.layout,
            Value::String(name) if name == "partitions" => Layout::Partitions,
            Value::String(name) if name == "single" => Layout::Single,
            _ => reader.refuse("audit_log_layout", &value, "\"partitions\"", default.layout),
        };

        let value = get("audit_log_move_from");
        let move_from = match &value {
            Value::Nil => MoveFrom::Default,
            Value::Boolean(false) => MoveFrom::Nowhere,
            Value::String(name) if is_driver(name) => MoveFrom::Driver(name.clone()),
            _ => reader.refuse("audit_log_move_from", &value, "false", MoveFrom::Nowhere),
        };

        let value = get("audit_log_clock_trust");
        let clock_trust = match period(&value) {
            Ok(period) => period.unwrap_or(CLOCK_TRUST),
            Err(PeriodError) => reader.refuse("audit_log_clock_trust", &value, "1 day", CLOCK_TRUST),
        };

        let value = get("audit_log_write");
        let write = match &value {
            Value::Nil => default.write,
            Value::String(name) if name == "journal" => Write::Journal,
            Value::String(name) if name == "direct" => Write::Direct,
            _ => reader.refuse("audit_log_write", &value, "\"journal\"", default.write),
        };

        let value = get("audit_log_flood");
        let flood = match &value {
            Value::Nil => default.flood,
            Value::Boolean(false) => None,
            _ => burst(&value).map_or_else(|| reader.refuse("audit_log_flood", &value, "burst = 5 in 60 seconds", default.flood), Some),
        };
        let value = get("audit_auth_cache_size");
        let keys = match whole_number(&value, 1.0..=1e6) {
            _ if value == Value::Nil => default.repeats.keys,
            Some(keys) => keys as usize,
            None => reader.refuse("audit_auth_cache_size", &value, "128", default.repeats.keys),
        };
        let repeats = Repeats {
            failure: reader.timeout("audit_auth_repeat_failure_timeout", &get("audit_auth_repeat_failure_timeout")),
            success: reader.timeout("audit_auth_repeat_success_timeout", &get("audit_auth_repeat_success_timeout")),
            keys,
        };

        let value = get("audit_log_unknown_names");
        let unknown_names = match &value {
            Value::Nil => default.unknown_names,
            Value::String(name) if name == "plain" => UnknownNames::Plain,
            Value::String(name) if name == "hash" => UnknownNames::Hash,
            _ => reader.refuse("audit_log_unknown_names", &value, "\"hash\"", UnknownNames::Hash),
        };

        let chain = reader.boolean("audit_log_chain", &get("audit_log_chain"), true).unwrap_or(true);
        let value = get("audit_log_on_user_deleted");
        let on_user_deleted = match (&value, period(&value)) {
            (Value::String(word), _) if word == "keep" => Period::Never,
            (_, Ok(period)) => period.unwrap_or(Period::Never),
            (_, Err(PeriodError)) => reader.refuse("audit_log_on_user_deleted", &value, "\"keep\"", Period::Never),
        };
        let hold = reader.hold(&get("audit_log_hold"), &retention);

        for name in ["geoip_ipv4_country", "geoip_ipv6_country"] {
            if get(name) != Value::Nil {
                reader.refused.push(format!(
                    "Option {name} names a database in a format that is no longer published, and is not used: set \
                     audit_log_location_database to an .mmdb file such as GeoLite2-Country.mmdb instead"
                ));
            }
        }
        (
            Self {
                retention,
                locations,
                layout,
                move_from,
                clock_trust,
                write,
                flood,
                repeats,
                unknown_names,
                chain,
                on_user_deleted,
                hold,
            },
            reader.refused,
        )
    }
}

/// Whether a text can be the name of a storage driver: part of a file's name.
fn is_driver(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::retention::AddressExpiry;
    use crate::filter::person::Person;

    /// The defaults, except for the global rules.
    fn rules(rules: Rules) -> Settings {
        Settings { retention: Retention::new(rules, Vec::new()), ..Settings::default() }
    }

    fn expiring(expires_after: Period) -> Settings {
        rules(Rules { expires_after, ..Rules::default() })
    }

    fn expiring_addresses(days: f64, to: Policy) -> Settings {
        let expiry = AddressExpiry { after: Period::Seconds(days * 86_400.0), to };
        rules(Rules { addresses_expire: Some(expiry), ..Rules::default() })
    }

    fn storing(addresses: Policy) -> Settings {
        rules(Rules { addresses, ..Rules::default() })
    }

    fn read(set: &[(&str, Value)]) -> (Settings, Vec<String>) {
        Settings::read(|name| set.iter().find(|(set, _)| *set == name).map_or(Value::Nil, |(_, value)| value.clone()))
    }

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn flood(burst: Option<Value>, window: Option<Value>) -> Value {
        let fields = [("burst", burst), ("window", window)];
        Value::table(fields.into_iter().filter_map(|(name, value)| Some((text(name), value?))).collect())
    }

    fn burst(burst: u32, window: f64) -> Option<Burst> {
        Some(Burst { burst, window })
    }

    fn repeats() -> Repeats {
        Repeats::default()
    }

    #[test]
    fn without_options_the_defaults_are_used() {
        assert_eq!(read(&[]), (Settings::default(), vec![]));
    }

    #[test]
    fn a_good_value_is_used() {
        let default = Settings::default;
        let rows = [
            ("audit_log_expires_after", text("never"), expiring(Period::Never)),
            ("audit_log_expires_after", Value::Boolean(false), expiring(Period::Never)),
            ("audit_log_expires_after", Value::Number(3600.0), expiring(Period::Seconds(3600.0))),
            ("audit_log_ips", Value::Boolean(false), storing(Policy::None)),
            ("audit_log_ips", text("false"), storing(Policy::None)),
            ("audit_log_ips", Value::Boolean(true), default()),
            ("audit_log_ipv4_prefix", Value::Number(19.0), storing(Policy::new(Some(19), Some(48)))),
            ("audit_log_ipv6_prefix", text("61"), storing(Policy::new(Some(24), Some(61)))),
            ("audit_log_ips_expire_after", text("2d"), expiring_addresses(2.0, Policy::prefix(None, None))),
            ("audit_log_ips_expire_after", text("never"), default()),
            ("audit_log_location", Value::Boolean(false), Settings { locations: Locations::Off, ..default() }),
            ("audit_log_location", Value::Boolean(true), Settings { locations: Locations::Wanted, ..default() }),
            ("audit_log_location", Value::Number(0.0), Settings { locations: Locations::Off, ..default() }),
            ("audit_log_location", Value::Number(1.0), Settings { locations: Locations::Wanted, ..default() }),
            ("audit_log_location", text("false"), Settings { locations: Locations::Off, ..default() }),
            ("audit_log_location", text("true"), Settings { locations: Locations::Wanted, ..default() }),
            ("audit_log_location_database", text("/a.mmdb"), Settings { locations: Locations::File("/a.mmdb".into()), ..default() }),
            ("audit_log_layout", text("single"), Settings { layout: Layout::Single, ..default() }),
            ("audit_log_layout", text("partitions"), default()),
            ("audit_log_move_from", text("sql"), Settings { move_from: MoveFrom::Driver("sql".to_owned()), ..default() }),
            ("audit_log_move_from", Value::Boolean(false), Settings { move_from: MoveFrom::Nowhere, ..default() }),
            ("audit_log_write", text("direct"), Settings { write: Write::Direct, ..default() }),
            ("audit_log_write", text("journal"), default()),
            ("audit_log_unknown_names", text("plain"), Settings { unknown_names: UnknownNames::Plain, ..default() }),
            ("audit_log_unknown_names", text("hash"), Settings { unknown_names: UnknownNames::Hash, ..default() }),
            ("audit_log_flood", Value::Boolean(false), Settings { flood: None, ..default() }),
            ("audit_log_flood", Value::table(vec![]), default()),
            ("audit_log_flood", flood(Some(Value::Number(2.0)), None), Settings { flood: burst(2, 60.0), ..default() }),
            ("audit_log_flood", flood(Some(text("3")), Some(text("10 minutes"))), Settings { flood: burst(3, 600.0), ..default() }),
            ("audit_log_flood", flood(None, Some(Value::Number(30.0))), Settings { flood: burst(5, 30.0), ..default() }),
            ("audit_log_on_user_deleted", text("keep"), default()),
            ("audit_log_on_user_deleted", text("30d"), Settings { on_user_deleted: Period::Seconds(2_592_000.0), ..default() }),
            (
                "audit_log_hold",
                Value::table(vec![(Value::Number(1.0), text("Romeo@example.com")), (Value::Number(2.0), text("events"))]),
                Settings {
                    hold: Hold { people: Person::new("romeo@example.com").into_iter().collect(), classes: vec!["events".to_owned()] },
                    ..default()
                },
            ),
            ("audit_log_clock_trust", text("36h"), Settings { clock_trust: Period::Seconds(129_600.0), ..default() }),
            ("audit_log_clock_trust", text("never"), Settings { clock_trust: Period::Never, ..default() }),
            ("audit_auth_cache_size", Value::Number(2.0), Settings { repeats: Repeats { keys: 2, ..repeats() }, ..default() }),
            (
                "audit_auth_repeat_failure_timeout",
                text("10min"),
                Settings { repeats: Repeats { failure: Some(600.0), ..repeats() }, ..default() },
            ),
            (
                "audit_auth_repeat_success_timeout",
                Value::Number(0.0),
                Settings { repeats: Repeats { success: Some(0.0), ..repeats() }, ..default() },
            ),
        ];
        for (name, value, expected) in rows {
            assert_eq!(read(&[(name, value.clone())]), (expected, vec![]), "{name} = {value}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_name_and_what_is_allowed() {
        let default = Settings::default;
        let strict_v4 = storing(Policy::new(Some(24), None));
        let strict_v6 = storing(Policy::new(None, Some(48)));
        let rows = [
            ("audit_log_expires_after", text("soon"), default()),
            ("audit_log_expires_after", Value::Number(-1.0), default()),
            ("audit_log_expires_after", Value::Boolean(true), default()),
            ("audit_log_expires_after", Value::Other("function"), default()),
            ("audit_log_expires_after", Value::table(vec![(Value::Number(1.0), text("28d"))]), default()),
            ("audit_log_ips", text("no"), storing(Policy::None)),
            ("audit_log_ips_expire_after", text("soon"), expiring_addresses(7.0, Policy::prefix(None, None))),
            ("audit_log_ips_expire_to", text("full"), default()),
            ("audit_log_ipv4_prefix", Value::Number(33.0), strict_v4.clone()),
            ("audit_log_ipv4_prefix", Value::Number(-1.0), strict_v4.clone()),
            ("audit_log_ipv4_prefix", Value::Number(12.5), strict_v4.clone()),
            ("audit_log_ipv4_prefix", text("/24"), strict_v4),
            ("audit_log_ipv6_prefix", Value::Number(129.0), strict_v6.clone()),
            ("audit_log_ipv6_prefix", Value::Boolean(true), strict_v6),
            ("audit_log_location", text("yes"), Settings { locations: Locations::Off, ..default() }),
            ("audit_log_location_database", Value::Boolean(true), Settings { locations: Locations::Wanted, ..default() }),
            ("audit_log_location_database", text(""), Settings { locations: Locations::Wanted, ..default() }),
            ("audit_log_unknown_names", text("hidden"), Settings { unknown_names: UnknownNames::Hash, ..default() }),
            ("audit_log_layout", text("flat"), default()),
            ("audit_log_move_from", Value::Boolean(true), Settings { move_from: MoveFrom::Nowhere, ..default() }),
            ("audit_log_move_from", text("../x"), Settings { move_from: MoveFrom::Nowhere, ..default() }),
            ("audit_log_on_user_deleted", text("soon"), default()),
            ("audit_log_on_user_deleted", Value::Boolean(true), default()),
            ("audit_log_hold", text("romeo@example.com"), default()),
            ("audit_log_hold", Value::table(vec![(Value::Number(1.0), text("*@example.com"))]), default()),
            ("audit_log_hold", Value::table(vec![(Value::Number(1.0), text("no-such-class"))]), default()),
            ("audit_log_clock_trust", text("soon"), default()),
            ("audit_log_clock_trust", Value::Boolean(true), default()),
            ("audit_log_write", text("later"), default()),
            ("audit_log_flood", Value::Boolean(true), default()),
            ("audit_log_flood", Value::Number(5.0), default()),
            ("audit_log_flood", Value::table(vec![(text("burts"), Value::Number(5.0))]), default()),
            ("audit_log_flood", flood(Some(Value::Number(0.0)), None), default()),
            ("audit_log_flood", flood(Some(Value::Number(1001.0)), None), default()),
            ("audit_log_flood", flood(Some(Value::Number(2.5)), None), default()),
            ("audit_log_flood", flood(Some(Value::Boolean(true)), None), default()),
            ("audit_log_flood", flood(None, Some(text("0s"))), default()),
            ("audit_log_flood", flood(None, Some(text("2 days"))), default()),
            ("audit_log_flood", flood(None, Some(text("never"))), default()),
            ("audit_log_flood", flood(None, Some(text("soon"))), default()),
            ("audit_auth_cache_size", Value::Number(0.0), default()),
            ("audit_auth_cache_size", Value::Number(2.5), default()),
            ("audit_auth_cache_size", Value::Number(1e9), default()),
            ("audit_auth_cache_size", text("many"), default()),
            ("audit_auth_repeat_failure_timeout", text("soon"), default()),
            ("audit_auth_repeat_failure_timeout", text("never"), default()),
            ("audit_auth_repeat_failure_timeout", Value::Number(-1.0), default()),
            ("audit_auth_repeat_success_timeout", Value::Boolean(true), default()),
        ];
        for (name, value, expected) in rows {
            let (settings, refused) = read(&[(name, value.clone())]);
            assert_eq!(settings, expected, "{name} = {value}");
            let allowed = OPTIONS.iter().find(|option| option.name == name).unwrap().allowed;
            assert!(
                matches!(refused.as_slice(), [line] if line.contains(name) && line.contains(&value.to_string()) && line.contains(allowed)),
                "{name} = {value}: {refused:?}"
            );
        }
    }

    #[test]
    fn options_for_legacy_databases_are_refused_with_a_replacement() {
        let (_, refused) = read(&[("geoip_ipv4_country", text("/usr/share/GeoIP/GeoIP.dat"))]);
        assert!(
            matches!(refused.as_slice(), [line] if line.contains("geoip_ipv4_country") && line.contains("audit_log_location_database"))
        );
    }
}
