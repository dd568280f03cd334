//! Showing events to people.

pub mod table;
pub mod zone;
