//! What the disk itself says about the file, where SQLite's answer can mean several things.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use super::error::StorageError;
use super::recover::{Cause, with};

/// How many parts of the file are read to learn whether the disk works.
const SAMPLES: u64 = 64;
/// How long a part is.
const BLOCK: u64 = 4096;

/// What a read error of the server means: the file is damaged, if the rest of it can be read, or the disk may be gone for a moment.
///
/// # Errors
///
/// [`StorageError::Unreadable`] in the second case.
///
/// No connection of this process may have the file open: closing a file gives up the locks that a process has on it.
pub(super) fn judge(path: &Path, reason: String) -> Result<Cause, StorageError> {
    if answers(path) { Ok(Cause::Damaged(reason)) } else { Err(StorageError::Unreadable(reason)) }
}

/// Whether the disk returns at least half of the file. Then parts of it are lost, and the rest can be saved. A disk that returns less
/// may be gone for a moment, and the file on it whole.
fn answers(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(found) = file.metadata() else { return false };
    // What the system remembers of the file says nothing about the disk.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    is_mostly_readable(found.len(), |at, buffer| file.read_at(buffer, at).map(drop))
}

fn is_mostly_readable(length: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> bool {
    let mut buffer = [0; BLOCK as usize];
    let blocks = length.div_ceil(BLOCK);
    let samples = blocks.min(SAMPLES);
    let good = (0..samples).filter(|sample| read(sample * blocks / samples * BLOCK, &mut buffer).is_ok()).count();
    samples > 0 && u64::try_from(good).is_ok_and(|good| good * 2 >= samples)
}

/// Why SQLite can't open the file, or write to it: it may be this user's rights, and it may be the disk.
///
/// No connection of this process may have the file open.
pub(super) fn why_not(path: &Path) -> StorageError {
    for end in ["", "-wal", "-shm"] {
        let path = with(path, end);
        let tried = OpenOptions::new().read(true).write(true).open(&path);
        if let Err(source) = tried {
            if !matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound) {
                return StorageError::Io { path, source };
            }
        }
    }
    StorageError::ReadOnly
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(is_bad: impl Fn(u64) -> bool) -> impl FnMut(u64, &mut [u8]) -> io::Result<()> {
        move |at, _| if is_bad(at) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    #[test]
    fn a_disk_that_returns_most_of_the_file_works() {
        assert!(is_mostly_readable(1 << 20, failing(|_| false)));
        assert!(is_mostly_readable(1 << 20, failing(|at| at < 1 << 19)));
        assert!(is_mostly_readable(1, failing(|_| false)));
    }

    #[test]
    fn a_disk_that_returns_less_is_gone() {
        assert!(!is_mostly_readable(1 << 20, failing(|_| true)));
        assert!(!is_mostly_readable(1 << 20, failing(|at| at >= 1 << 18)));
        assert!(!is_mostly_readable(1, failing(|_| true)));
        assert!(!is_mostly_readable(0, failing(|_| false)));
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_said_to_be_one() {
        let folder = std::env::temp_dir();
        assert!(matches!(why_not(&folder), StorageError::Io { path, .. } if path == folder));
        assert!(matches!(why_not(&folder.join("no such file")), StorageError::ReadOnly));
    }
}
