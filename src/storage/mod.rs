//! An archive store of our own: one SQLite file for the whole server, `audit.sqlite3` in the data folder.
//!
//! An *archive* is what Prosody's API calls an archive store of one user: it has a host, the name of the store, and a user. Its
//! items are in the order in which they were appended. [`Database`] has the operations of that API. Where the drivers that come
//! with Prosody differ, this one does what the SQL driver does: the criteria of a deletion must all be met.
//!
//! An item has the number `archive * 2^32 + place`, which is SQLite's row id. So the items of an archive are neighbours in the
//! file, in order, and no index is needed to read them or to remove an archive.
//!
//! A reading of the log leaves out what its filter does not want: [`Wanted`], with the help of digests of neighbouring items. What
//! the values mean is told by a [`Shape`].
//!
//! The file is in WAL mode. A write does not wait for the disk: [`Syncer`] does that, in a thread with a connection of its own.
//! So a kill of the process loses nothing, and a power failure at most the last second.
//!
//! If the file is damaged, deleted or replaced, [`Database::attend`] notices it, and a thread copies what can be read into a new one.

mod append;
mod blocks;
mod damage;
mod database;
mod device;
mod digest;
mod error;
mod find;
mod key;
mod leaves;
mod open;
mod range;
mod recover;
mod remove;
mod rewrite;
mod salvage;
mod search;
mod select;
mod shape;
mod sync;
#[cfg(test)]
mod tests;
mod thread;

pub use database::Database;
pub use error::StorageError;
pub use find::Cursor;
pub use open::Opening;
pub use recover::{Cause, Recovered};
pub use remove::Keep;
pub use rewrite::{Rewriting, Rewritten};
pub use salvage::Copied;
pub use search::Search;
pub use shape::{Shape, Wanted};
pub use sync::Syncer;

/// Which archive is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Archive<'a> {
    /// The host.
    pub host: &'a str,
    /// The name of the store, such as `audit`.
    pub store: &'a str,
    /// The user; empty for what belongs to the host.
    pub user: &'a str,
}

/// How the bytes of a value are to be read. What the kinds mean is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The encoding.
    pub kind: u8,
    /// The value in it.
    pub bytes: &'a [u8],
}

/// An item to append.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewItem<'a> {
    /// The key.
    pub key: &'a str,
    /// Whether the key was just made. If not, an item that has it already is replaced.
    pub is_new: bool,
    /// The value.
    pub value: Value<'a>,
    /// The time of the item, in UNIX seconds. It does not decide about the order.
    pub when: f64,
    /// With whom the item is connected.
    pub with: &'a str,
}

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// How the value is to be read.
    pub kind: u8,
    /// The value.
    pub value: Vec<u8>,
    /// The time, in UNIX seconds.
    pub when: f64,
    /// With whom the item is connected.
    pub with: String,
}

/// What an item is changed to. What is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Another value.
    pub value: Option<Value<'a>>,
    /// Another time.
    pub when: Option<f64>,
    /// Another connection.
    pub with: Option<&'a str>,
}

/// Which items of an archive are meant. All criteria must be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// The item with this key.
    pub key: Option<String>,
    /// The items with one of these keys.
    pub ids: Option<Vec<String>>,
    /// Items that are connected with this.
    pub with: Option<String>,
    /// Items of this time or later.
    pub start: Option<f64>,
    /// Items of this time or earlier.
    pub end: Option<f64>,
    /// Items that stand behind the one with this key.
    pub after: Option<String>,
    /// Items that stand before the one with this key.
    pub before: Option<String>,
}

/// How many items there are with one connection, and when the first and the last of them were.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// With whom the items are connected.
    pub with: String,
    /// How many there are.
    pub count: u64,
    /// The earliest time, in UNIX seconds.
    pub earliest: f64,
    /// The latest time, in UNIX seconds.
    pub latest: f64,
}
