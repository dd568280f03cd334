//! Which flags can't be combined, as one of them would be ignored. All pairs that are not listed here can be combined.
//!
//! If the same setting is given twice, as in `--limit 5 --limit 6` or `--zone +02:00 --utc`, the last one is used.

/// A flag, the flags that it can't be combined with, and why.
type Exclusion = (&'static str, &'static [&'static str], &'static str);

/// Flags that are about a table of entries.
const TABLE_ONLY: &[&str] = &["columns", "show-user", "show-ip", "show-location", "show-note"];

const APART: &[Exclusion] = &[
    ("stats", &["format", "report", "columns", "show-user", "show-ip", "show-location", "show-note"], "statistics have their own format"),
    (
        "report",
        &["format", "output", "columns", "show-user", "show-ip", "show-location", "show-note"],
        "the report has its own format and file",
    ),
    ("follow", &["until", "after", "oldest-first", "output", "stats", "report"], "new entries have no end and no other order"),
    ("format", TABLE_ONLY, "only a table has columns that can be chosen"),
    ("bom", TABLE_ONLY, "only a table has columns that can be chosen"),
];

/// Two flags that have no effect together without a third one, and why.
const WITHOUT: &[(&str, &str, &str, &str)] = &[
    ("follow", "since", "limit", "only new entries are followed; with --limit, that many earlier entries are shown first"),
    ("stats", "oldest-first", "limit", "statistics have no order; with --limit, the order determines which entries are counted"),
    ("report", "oldest-first", "limit", "statistics have no order; with --limit, the order determines which entries are counted"),
];

/// Whether two flags never go together.
pub(super) fn exclude_each_other(one: &str, other: &str) -> bool {
    let excludes = |one: &str, other: &str| APART.iter().any(|(name, others, _)| *name == one && others.contains(&other));
    excludes(one, other) || excludes(other, one)
}

/// Why flags can't be combined, for the first such pair. `given` has the names of all flags, and `format` only if it is not the
/// table.
pub(super) fn refusal(given: &[&str]) -> Option<String> {
    let has = |name: &str| given.contains(&name);
    let apart = APART.iter().filter(|(one, ..)| has(one)).find_map(|(one, others, why)| {
        let other = others.iter().find(|other| has(other))?;
        Some(format!("--{one} and --{other} do not go together: {why}"))
    });
    let without = || {
        let (one, other, third, why) = WITHOUT.iter().find(|(one, other, third, _)| has(one) && has(other) && !has(third))?;
        Some(format!("--{one} and --{other} do not go together without --{third}: {why}"))
    };
    apart.or_else(without)
}

/// Flags that an action takes besides a host.
const TAKEN: &[(&str, &str)] = &[
    ("prune", "trust-clock"),
    ("prune", "host-data"),
    ("token", "types"),
    ("token", "expires"),
    ("erase", "before"),
    ("erase", "reason"),
    ("erase", "acted"),
    ("erase", "yes"),
    ("person", "since"),
    ("person", "until"),
    ("person", "output"),
    ("person", "report"),
    ("person", "utc"),
    ("person", "zone"),
    ("person", "type"),
    ("person", "limit"),
    ("person", "global"),
    ("person", "host-data"),
    ("verify", "anchor"),
    ("verify", "seal-key"),
    ("verify", "from"),
    ("new-seal", "yes"),
];

/// Flags that make sense with some actions only.
const ONLY_WITH: &[(&str, &[&str])] = &[
    ("trust-clock", &["prune"]),
    ("anchor", &["verify"]),
    ("from", &["verify"]),
    ("seal-key", &["verify"]),
    ("before", &["erase"]),
    ("reason", &["erase"]),
    ("acted", &["erase"]),
    ("yes", &["erase", "new-seal"]),
];

/// Why flags can't be used without an action, for the first such flag.
pub(super) fn refusal_without_action(action: Option<&str>, given: &[&str]) -> Option<String> {
    let is_with = |with: &[&str]| action.is_some_and(|action| with.contains(&action));
    let (flag, with) = ONLY_WITH.iter().find(|(flag, with)| given.contains(flag) && !is_with(with))?;
    Some(format!("--{flag} goes with --{} only", with.join(" and --")))
}

/// Why an action can't be combined with another flag: it takes a host only, and the flags in [`TAKEN`].
pub(super) fn refusal_of_action(action: &str, given: &[&str]) -> Option<String> {
    let other = given.iter().find(|name| **name != action && !TAKEN.contains(&(action, **name)))?;
    let taken = if matches!(action, "erase" | "person") { "an account" } else { "a host" };
    Some(format!("--{action} and --{other} do not go together: --{action} takes only {taken}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::FLAGS;

    #[test]
    fn the_tables_name_flags() {
        let names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        for (one, others, _) in APART {
            assert!(names.contains(one) && others.iter().all(|other| names.contains(other)), "{one}");
        }
        for (one, other, third, _) in WITHOUT {
            assert!([one, other, third].iter().all(|name| names.contains(name)), "{one}");
        }
    }

    #[test]
    fn the_order_of_flags_does_not_matter() {
        assert_eq!(refusal(&["until", "follow"]), refusal(&["follow", "until"]));
        assert!(refusal(&["follow", "until"]).is_some() && refusal(&["since", "until", "limit", "stats"]).is_none());
        assert!(refusal(&["follow", "since"]).is_some() && refusal(&["follow", "since", "limit"]).is_none());
    }
}
