//! The numbers of the items of an archive.

use super::error::StorageError;

/// The largest number of an archive. `archive * 2^32` must be a row id.
const LARGEST_ARCHIVE: i64 = i32::MAX as i64;

/// The numbers that the items of an archive can have, or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Range {
    pub(super) const EMPTY: Self = Self { first: 1, last: 0 };

    pub(super) fn of(archive: i64) -> Result<Self, StorageError> {
        if !(1..=LARGEST_ARCHIVE).contains(&archive) {
            return Err(StorageError::TooMany { what: "the number of archives", most: LARGEST_ARCHIVE.unsigned_abs() });
        }
        let first = archive << 32;
        Ok(Self { first, last: first | 0xFFFF_FFFF })
    }

    pub(super) const fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub(super) const fn archive(self) -> i64 {
        self.first >> 32
    }
}
