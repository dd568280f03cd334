//! How far a storage driver is trusted.

/// How many of the newest entries of a partition are searched for the one that was appended last. Another server may have
/// appended too.
pub const SEARCHED: usize = 10;

/// A store that did not give an entry back is offered no entry for this many seconds.
pub const REFUSED: f64 = 600.0;

/// For how many seconds the files of the embedded driver are taken to be unchanged. To look at them costs half as much as an
/// append.
pub const UNCHANGED: f64 = 0.008;
