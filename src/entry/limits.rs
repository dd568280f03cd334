//! What one event may add to the log, and the names that stand for something. Each is defined once, here.

/// The archive's `with` of an entry that concerns a whole host.
pub const HOST_WIDE: &str = "@";

/// Stands for the type of an event that has none, and for the module that reports it.
pub const UNKNOWN: &str = "unknown";

/// The longest attribute value or user that is stored, in bytes.
///
/// A localpart and a domain may each have 1,023 bytes (RFC 7622). PostgreSQL can't index a value of more than about
/// 2,700 bytes, and Prosody's SQL driver indexes the user.
pub const ATTRIBUTE: usize = 1023;

/// The longest text of one element that is stored, in bytes.
pub const TEXT: usize = 4096;

/// How many elements an event may add to its entry.
pub const ELEMENTS: usize = 200;

/// How many bytes of names, values and texts an event may add to its entry. The last one may go beyond.
pub const BYTES: usize = 32 * 1024;

/// How deep the elements that an event adds may lie in each other.
pub const DEPTH: usize = 16;
