//! A person's rights over their data (GDPR, articles 15, 17 and 20): what is shown to them of the log, and what is erased.
//!
//! Both are pure functions over one entry: where it tells of the person ([`Occurrence`]) decides which groups of values
//! ([`personal`](crate::entry::personal)) are removed. [`shown`] removes those of all others, [`erased`] those of the person.

mod erase;
mod erasure;
mod export;
mod receipt;

pub use crate::filter::person::{Occurrence, Person};
pub use erase::{Acted, Left, erased};
pub use erasure::{Erasure, Look, Total};
pub use export::shown;
pub use receipt::receipt;

/// How often an erasure looks whether the store has taken what was recorded before. The server goes on for a moment in between.
pub const TRIES: u32 = 2000;
