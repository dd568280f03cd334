//! How long pruning may hold the server's loop, and how much it reads or removes at once.

use crate::pace::Pace;

/// How long pruning may hold the loop, in seconds.
pub const SLICE: f64 = 0.006;

/// The pause after that, in seconds.
pub const REST: f64 = 0.015;

/// The same with the storage driver of this library, which does not wait for the disk. Short slices cost no more there.
pub const NATIVE_SLICE: f64 = 0.002;

/// The pause after that, in seconds.
pub const NATIVE_REST: f64 = 0.006;

/// If more rows than this in succession can't be read, the archive user is damaged as a whole.
pub const DAMAGED: usize = 100;

/// The embedded driver does not force what it writes to disk. The kernel has this many seconds to write a copy before its
/// original is removed.
pub const SETTLE: f64 = 45.0;

/// The first rows that are read from an SQL store at once.
const ROWS: usize = 25;

/// The first span whose entries are removed from an SQL store at once, in seconds of the log.
const SPAN: usize = 60;

/// If another process writes to the file of the driver `audit`, pruning asks again after this many seconds, and for so long at most.
pub const ASK_AGAIN: f64 = 0.05;

/// See [`ASK_AGAIN`].
pub const BUSY: f64 = 60.0;

/// How many rows of a store to read or remove at once. `is_native` is for the storage driver of this library.
#[must_use]
pub fn rows(is_native: bool) -> Pace {
    Pace::of_rows(ROWS, if is_native { NATIVE_SLICE } else { SLICE })
}

/// From how many seconds of the log to remove entries at once. It grows without a bound, as there may be years with none.
#[must_use]
pub fn span() -> Pace {
    Pace::within(SPAN, 1, usize::MAX, SLICE)
}
