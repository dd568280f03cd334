//! What breaks a rule, and why. Lists only become shorter: an exception that is not needed any more fails the test, too.

use crate::rules::Exceptions;

pub const EXCEPTIONS: Exceptions = Exceptions { long: LONG, numbers: NUMBERS, makers: MAKERS, without_spec: WITHOUT_SPEC };

/// Files with more than 400 lines.
const LONG: &[(&str, &str)] = &[("benches/bench.lua", "a measurement, which reads best from top to bottom")];

/// Numbers that embedded Lua defines: the sizes of its own caches, and what it lends the garbage collector.
const NUMBERS: &[(&str, &[&str], &str)] = &[
    ("src/lua/hand_over/collector.lua", &["MOST_CREDIT", "MOST_GROWTH"], "the garbage collector of Lua is known to Lua alone"),
    ("src/lua/log/classes.lua", &["MAX_TYPES"], "the size of a cache"),
    ("src/lua/log/flood.lua", &["MAX_TYPES"], "the size of a cache"),
    ("src/lua/log/stanza.lua", &["MAX_WORD", "MAX_WORDS"], "the size of a cache"),
    ("src/lua/log/strangers.lua", &["MAX_ALIASES", "MAX_TYPES"], "the size of a cache"),
];

/// Where `<audit-event>` is made, beside entry/.
const MAKERS: &[&str] = &[
    // They make one to learn the metatable of a stanza.
    "lua/audit/reading/keys.lib.lua",
    "lua/mod_audit.lua",
];

/// Files that have no spec of their name yet.
const WITHOUT_SPEC: &[&str] = &[];
