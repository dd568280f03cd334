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

/// How often in succession the store may take nothing of what was recorded before an erasure, until that is given up for now.
pub const TRIES: u32 = 60;

/// The pause after the store has taken nothing, in seconds.
pub const PAUSE: f64 = 0.5;
