//! The threads of the driver. None of them touches Lua.

use std::path::Path;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};

use super::StorageError;

/// Starts a thread that gets no signals: one that came to it would not reach Prosody, or would end it. `database` is the file it works on.
///
/// # Errors
///
/// What the system says if it makes no thread.
pub(super) fn start<T: Send + 'static>(
    name: &str,
    database: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StorageError> {
    let io = |source| StorageError::Io { path: database.to_owned(), source };
    // A thread inherits the mask.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(|error| io(error.into()))?;
    let thread = Builder::new().name(name.to_owned()).spawn(work);
    let restored = before.thread_set_mask();
    let thread = thread.map_err(io)?;
    restored.map_err(|error| io(error.into()))?;
    Ok(thread)
}
