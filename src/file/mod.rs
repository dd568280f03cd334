//! Files of the log's own: who owns them, locks on them, and files that are created atomically.

pub mod lock;
pub mod new_file;
pub mod ownership;
