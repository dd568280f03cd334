//! Delivery of entries to other machines and programs: what to send next, and what follows from the answer.
//!
//! | | |
//! |---|---|
//! | [`messages`] | from an entry, or a gap, to a message: filter, address policy, format |
//! | [`delivery`] | batches, back-off, refused entries, and what a receiver has for certain |
//! | [`compress`] | bodies that are compressed |
//! | [`answer`] | what an answer of an HTTP server means |
//! | [`signature`] | signatures of bodies |
//!
//! Nothing here opens a socket. The modules do that, and report what came of it.

pub mod answer;
pub mod compress;
pub mod delivery;
pub mod messages;
pub mod signature;

pub use answer::Answer;
pub use delivery::{Delivery, Step};
pub use messages::{Message, Messages};
