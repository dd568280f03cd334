//! How entries lie in the archive: partitions, retention classes, where an entry goes, and what is removed when.

pub mod clock;
pub mod embedded;
pub mod limits;
pub mod moving;
pub mod partition;
pub mod patience;
pub mod placement;
pub mod pruning;
pub mod retention;
pub mod schedule;
pub mod slices;
mod slot;
pub mod transfer;
pub mod trust;

pub use slot::{Archive, Layout, Slot};
