//! The native core of prosody-audit, the security audit log of the Prosody XMPP server.
//!
//! The project has three rings. Two of them are in this crate:
//!
//! - the core (everything but [`mod@lua`]) knows audit events, addresses, retention, queries, reports and XML. It does not read the
//!   clock (time is an argument), open sockets, start threads or name mlua.
//! - the binding (`lua`, behind the features `lua52` to `lua54` and `luajit`) turns Lua values into core types and back. Its
//!   embedded Lua is the only code in this crate that calls a store.
//!
//! The third ring is in `lua/`: the modules that hook Prosody's events.

// Tests may panic. The library may not.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod address;
pub mod alert;
pub mod archive;
pub mod catalogue;
pub mod chain;
pub mod command;
pub mod entry;
pub mod file;
pub mod filter;
pub mod flood;
pub mod journal;
pub mod options;
pub mod pace;
pub mod person;
pub mod query;
pub mod random;
pub mod recorder;
pub mod redact;
pub mod render;
pub mod sink;
#[cfg(feature = "storage")]
pub mod storage;
pub mod time;
pub mod web;
pub mod wildcard;

#[cfg(any(feature = "lua52", feature = "lua53", feature = "lua54", feature = "luajit"))]
pub mod lua;

/// The namespace of all elements in an audit event except its root.
pub const NAMESPACE: &str = "xmpp:prosody.im/audit";
