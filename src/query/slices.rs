//! How long the parts of a reading may hold the server's loop, in seconds, if others wait for it.

/// How long a page may take to read.
pub const PAGE: f64 = 0.004;

/// How long a reading may hold the loop.
pub const SLICE: f64 = 0.005;

/// Both for readings whose results are used in small batches, such as those in a browser. Lua's garbage collector may take as long again
/// and more.
pub const BRIEF: f64 = 0.0015;

/// Both for readers that read on and on beside everything else, such as sinks. With a collection in the same turn the loop should be held
/// for 5 ms at most, and Prosody's settings let Lua collect everything at once, which takes 2 to 4 ms.
pub const BESIDE: f64 = 0.0005;
