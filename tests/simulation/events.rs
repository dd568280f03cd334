//! The events that are reported, and the options of the log.

use audit_core::address::Policy;
use audit_core::archive::Layout;
use audit_core::archive::retention::{AddressExpiry, Retention, RetentionClass, Rules, TypePattern};
use audit_core::options::{Locations, Settings, Write};
use audit_core::time::period::Period;

pub const HOST: &str = "example.com";

/// An event type, the module that reports it, and whether only an administrator can cause it: then each event is stored.
pub struct Kind {
    pub name: &'static str,
    pub source: &'static str,
    pub is_by_admin: bool,
}

const fn kind(name: &'static str, source: &'static str, is_by_admin: bool) -> Kind {
    Kind { name, source, is_by_admin }
}

pub const EVENTS: [Kind; 7] = [
    kind("authentication-success", "mod_audit_auth", false),
    kind("authentication-failure", "mod_audit_auth", false),
    kind("user-registered", "mod_audit_register", false),
    kind("s2s-refused", "mod_audit_s2s", false),
    kind("shell-command", "mod_audit_admin", true),
    kind("something-refused", "mod_other", false),
    kind("user-role-changed", "mod_audit_admin", true),
];

/// How many of them a script has at random. The last one is what an administrator does to somebody else.
pub const KINDS: u64 = EVENTS.len() as u64 - 1;

/// The account with a number. Some have names that nobody would choose for a good reason.
pub fn user(number: u32) -> Vec<u8> {
    match number {
        4 => b"\xff\x00<a&'\"]]>\n@example.com".to_vec(),
        _ => format!("user{number}@example.com").into_bytes(),
    }
}

pub fn address(number: u32) -> String {
    format!("198.{}.{}.7", 18 + number / 256 % 2, number % 256)
}

pub const CONFIGURATIONS: u64 = 7;

/// The options with a number.
pub fn settings(number: usize) -> Settings {
    const DAY: f64 = 86_400.0;
    let days = |days: f64| Period::Seconds(days * DAY);
    let class = |name: &str, types: &[&str], rules: Rules| RetentionClass {
        name: name.to_owned(),
        types: types.iter().filter_map(|text| TypePattern::new(text)).collect(),
        rules,
    };
    let failures = ["authentication-failure", "*-refused"];
    let retention = match number {
        0 => Retention::default(),
        1 => {
            let rules = Rules { expires_after: days(2.0), ..Rules::default() };
            let cut = Some(AddressExpiry { after: days(1.0), to: Policy::None });
            let classes = vec![
                class("failures", &failures, Rules { limit: Some(200), ..rules }),
                class("admins", &["shell-command"], Rules { expires_after: days(20.0), addresses_expire: cut, ..rules }),
            ];
            Retention::new(rules, classes)
        }
        2 => {
            let rules = Rules { expires_after: Period::Never, limit: Some(150), ..Rules::default() };
            Retention::new(rules, vec![class("failures", &failures, rules)])
        }
        // Entries have parts of addresses, hashes, or none, and go to archive user nil, or directly to the store.
        4..=6 => {
            let addresses = [Policy::Prefix { ipv4: 16, ipv6: 48 }, Policy::Hash, Policy::None][number - 4];
            Retention::new(Rules { expires_after: days(9.0), addresses, ..Rules::default() }, Vec::new())
        }
        _ => {
            let cut = Some(AddressExpiry { after: days(3.0), to: Policy::None });
            let rules = Rules { expires_after: days(7.0), addresses_expire: cut, ..Rules::default() };
            Retention::new(rules, Vec::new())
        }
    };
    let layout = if number == 4 { Layout::Single } else { Layout::Partitions };
    let write = if number == 5 { Write::Direct } else { Write::Journal };
    // If the options change to the last configuration, entries are not linked any more.
    Settings { chain: number != 6, retention, layout, write, locations: Locations::Off, ..Settings::default() }
}
