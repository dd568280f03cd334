//! Checks of the files of Prosody's embedded storage driver, before the driver writes or reads them.
//!
//! The driver keeps the entries of an archive user in a list (`.list`). Since Prosody 13 it also keeps the ends of all entries in an
//! index (`.lidx`). Two things that it does are dangerous for a log:
//!
//! - If it can't open a list for writing, it replaces the list by a new one that only has the new entry.
//! - It trusts the index. If Prosody 0.12 or another program has changed the list but not the index, the missing entries are hidden.
//!
//! The index is made from the list, so it can be removed at any time. The driver then makes a new one.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::file::ownership::{folder_of, give_from_root, own_name, user_name};

/// The size of one item of an index, in bytes: a `size_t` of this machine.
const ITEM: usize = size_of::<usize>();

/// The first item of an index is its format: that of Prosody 13.0.0 to 13.0.5, and that of later releases.
const FORMATS: [usize; 2] = [7_767_640, 7_767_641 + ITEM];

/// The largest number of lists that are remembered. A host has fewer partitions.
const MOST: usize = 10_000;

/// Why the driver must not use its files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// A file can't be opened.
    #[error("{} {owner} and can't be {wish} by {user}: {source}", path.display())]
    Closed {
        /// The list, the index, or the folder in which the driver would create them.
        path: PathBuf,
        /// The owner and the mode, as text.
        owner: String,
        /// What can't be done with it: "read" or "written".
        wish: &'static str,
        /// The user that this process runs as.
        user: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder of the host or of the store is missing.
    #[error("the folder {} is missing; put it back, or restart the server to begin a new one", .0.display())]
    NoFolder(PathBuf),
}

/// The result of checking an index before its list is read.
#[derive(Debug)]
pub enum Index {
    /// The index has all entries, or there is none.
    Fits,
    /// The index lacked entries and was removed. The driver makes a new one.
    Removed,
    /// The index lacks entries and can't be removed. These entries can't be read.
    Hides(EmbeddedError),
}

/// The device and inode of a list and its index when they were last compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownFiles {
    list: (u64, u64),
    index: (u64, u64),
}

/// The lists of the embedded driver, and what is known of their indexes.
#[derive(Debug, Default)]
pub struct Lists {
    seen: HashMap<PathBuf, KnownFiles>,
}

impl Lists {
    /// Checks that the driver can append to `list` without losing anything. Call this before each append.
    ///
    /// `own_folder` says that the list is in a folder of its store, which may be created. `keeps_index` says whether the driver
    /// maintains indexes. Returns whether an index that did not fit its list was removed.
    ///
    /// # Errors
    ///
    /// Returns [`EmbeddedError`] if the driver can't write, or would destroy the list.
    pub fn before_append(&mut self, list: &Path, own_folder: bool, keeps_index: bool) -> Result<bool, EmbeddedError> {
        let opened = match OpenOptions::new().read(true).write(true).open(list) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NotFound && !list.is_symlink() => {
                find_room(list, own_folder)?;
                None
            }
            Err(source) => return Err(closed(list, "written", source)),
        };
        let index = index_of(list);
        if !keeps_index {
            // The driver does not add the new entry to the index.
            return Ok(fs::remove_file(index).is_ok());
        }
        let fits = match OpenOptions::new().read(true).write(true).open(&index) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            // The driver removes an index whose list is gone.
            Ok(mut file) => opened.is_none_or(|list| ends_with(&mut file, &list).unwrap_or(false)),
            Err(_) => false,
        };
        if fits {
            return Ok(false);
        }
        remove(&index)?;
        Ok(true)
    }

    /// Checks that the driver will find all entries of `list`. Call this before each read.
    ///
    /// The first time, and if the list or its index is a new file, the whole list is compared with the index. Otherwise only their
    /// ends are compared.
    ///
    /// # Errors
    ///
    /// Returns [`EmbeddedError`] if the list can't be read.
    pub fn before_read(&mut self, list: &Path, keeps_index: bool) -> Result<Index, EmbeddedError> {
        let list_file = match File::open(list) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Index::Fits),
            Err(source) => return Err(closed(list, "read", source)),
        };
        if !keeps_index {
            return Ok(Index::Fits);
        }
        let index = index_of(list);
        // If there is no index, the driver makes one.
        let Ok(mut index_file) = File::open(&index) else { return Ok(Index::Fits) };
        let (Ok(of_index), Ok(of_list)) = (index_file.metadata(), list_file.metadata()) else { return Ok(Index::Fits) };
        let now = KnownFiles { list: identity(&of_list), index: identity(&of_index) };
        let fits = if self.seen.get(list) == Some(&now) {
            ends_with(&mut index_file, &list_file)
        } else {
            is_complete(&list_file, of_list.len(), index_file)
        };
        match fits {
            Ok(true) => {
                if self.seen.len() >= MOST {
                    self.seen.clear();
                }
                self.seen.insert(list.to_owned(), now);
                Ok(Index::Fits)
            }
            // If it can't be read, the driver reports the error.
            Err(_) => Ok(Index::Fits),
            Ok(false) => {
                self.seen.remove(list);
                Ok(remove(&index).map_or_else(Index::Hides, |()| Index::Removed))
            }
        }
    }

    /// Gives the files to the owner of their folder. Call this after the driver has written or read as root, because the server may
    /// run as another user. `own_folder` says that the list is in a folder of its store, and not in that of the host.
    pub fn after_root(&self, list: &Path, own_folder: bool) {
        let folder = folder_of(list);
        if own_folder {
            give_from_root(folder_of(folder));
        }
        give_from_root(folder);
        give_from_root(list);
        give_from_root(&index_of(list));
    }
}

fn index_of(list: &Path) -> PathBuf {
    list.with_extension("lidx")
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Checks that the driver can create a list that does not exist.
fn find_room(list: &Path, own_folder: bool) -> Result<(), EmbeddedError> {
    let folder = folder_of(list);
    if !folder.is_dir() {
        // The driver creates folders only once.
        let above = folder_of(folder);
        if !own_folder || !above.is_dir() {
            return Err(EmbeddedError::NoFolder(if own_folder && !above.is_dir() { above } else { folder }.to_owned()));
        }
        DirBuilder::new().mode(0o750).create(folder).map_err(|source| closed(above, "written", source))?;
        give_from_root(folder);
    }
    // The driver writes a new list under this name, and then renames it.
    let mut scratch = list.as_os_str().to_owned();
    scratch.push("~");
    let scratch = PathBuf::from(scratch);
    match OpenOptions::new().write(true).create_new(true).open(&scratch) {
        Ok(_) => {
            let _ = fs::remove_file(&scratch);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match OpenOptions::new().write(true).open(&scratch) {
            Ok(_) => Ok(()),
            Err(source) => Err(closed(&scratch, "written", source)),
        },
        Err(source) => Err(closed(folder, "written", source)),
    }
}

fn closed(path: &Path, wish: &'static str, source: io::Error) -> EmbeddedError {
    let owner = match fs::metadata(path) {
        Ok(file) => format!("belongs to {} (mode {:04o})", user_name(file.uid()), file.mode() & 0o7777),
        Err(_) => "belongs to an unknown user".to_owned(),
    };
    let user = own_name().unwrap_or_else(|| "this process".to_owned());
    EmbeddedError::Closed { path: path.to_owned(), owner, wish, user, source }
}

fn remove(index: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(index) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(closed(index, "written", source)),
        _ => Ok(()),
    }
}

/// Whether the last entry of an index ends at the end of its list.
fn ends_with(index: &mut File, list: &File) -> io::Result<bool> {
    let length = index.metadata()?.len();
    let item = u64::try_from(ITEM).unwrap_or(u64::MAX);
    if length < item.saturating_mul(2) || length % item != 0 {
        return Ok(false);
    }
    let mut last = [0; ITEM];
    index.seek(SeekFrom::Start(length.saturating_sub(item)))?;
    index.read_exact(&mut last)?;
    let size = list.metadata()?.len();
    Ok(u64::try_from(usize::from_ne_bytes(last)).is_ok_and(|end| end == size))
}

/// Whether an index has the end of each entry in the first `size` bytes of a list. Returns true for unknown formats, which only the
/// driver can check.
fn is_complete(list: &File, size: u64, mut index: File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    index.read_to_end(&mut bytes)?;
    let mut items = bytes.chunks_exact(ITEM).filter_map(|item| Some(usize::from_ne_bytes(item.try_into().ok()?)));
    if !items.next().is_some_and(|format| FORMATS.contains(&format)) {
        return Ok(true);
    }
    if bytes.len() % ITEM != 0 {
        return Ok(false);
    }
    let mut lines = BufReader::with_capacity(1 << 16, list.take(size));
    let (mut line, mut position, mut in_entry) = (Vec::new(), 0_usize, false);
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if line.starts_with(b"item") {
            if in_entry && items.next() != Some(position) {
                return Ok(false);
            }
            in_entry = true;
        }
        position = position.saturating_add(read);
    }
    if in_entry && items.next() != Some(position) {
        return Ok(false);
    }
    // If a server has appended since `size` was read, the index may have more entries. Otherwise it belongs to another list.
    let Some(end) = items.next_back().and_then(|end| u64::try_from(end).ok()) else { return Ok(true) };
    Ok(end > size && end == list.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("audit-embedded-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("host/audit")).unwrap();
            Self(folder)
        }

        fn list(&self) -> PathBuf {
            self.0.join("host/audit/events.list")
        }

        fn index(&self) -> PathBuf {
            self.0.join("host/audit/events.lidx")
        }

        /// Writes a list, and an index with these ends.
        fn write(&self, list: &str, format: usize, ends: &[usize]) {
            fs::write(self.list(), list).unwrap();
            let items = std::iter::once(&format).chain(ends).flat_map(|item| item.to_ne_bytes());
            fs::write(self.index(), items.collect::<Vec<u8>>()).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn removes(lists: &mut Lists, folder: &Folder) -> bool {
        matches!(lists.before_read(&folder.list(), true).unwrap(), Index::Removed)
    }

    /// Two entries. The second has several lines. They end at 9 and 24.
    const LIST: &str = "item(1);\nitem({\n\t2;\n});\n";

    #[test]
    fn an_index_that_lacks_an_entry_is_removed_before_it_is_used() {
        let folder = Folder::new("index");
        let [old, new] = FORMATS;
        let cases: &[(&str, usize, &[usize], bool, bool)] = &[
            // list, format, ends, fits for reading, fits for appending
            (LIST, old, &[9, 24], true, true),
            (LIST, new, &[9, 24], true, true),
            (LIST, old, &[24], false, true),
            (LIST, old, &[9], false, false),
            (LIST, old, &[8, 24], false, true),
            (LIST, old, &[9, 24, 33], false, false),
            (LIST, old, &[], false, false),
            ("", old, &[9], false, false),
            (LIST, 7, &[24], true, true),
        ];
        for (list, format, ends, reads, appends) in cases {
            folder.write(list, *format, ends);
            assert_eq!(removes(&mut Lists::default(), &folder), !reads, "{list:?} {ends:?}");
            assert_eq!(folder.index().exists(), *reads, "{list:?} {ends:?}");
            folder.write(list, *format, ends);
            assert_eq!(Lists::default().before_append(&folder.list(), true, true).unwrap(), !appends, "{list:?} {ends:?}");
            assert_eq!(fs::read_to_string(folder.list()).unwrap(), *list, "the list stays as it is");
        }
        fs::write(folder.index(), [1, 2, 3]).unwrap();
        assert!(!removes(&mut Lists::default(), &folder), "of no known format");
        assert!(Lists::default().before_append(&folder.list(), true, true).unwrap());
    }

    #[test]
    fn a_new_index_file_is_checked_again() {
        let folder = Folder::new("known");
        let mut lists = Lists::default();
        folder.write(LIST, FORMATS[0], &[9, 24]);
        assert!(!removes(&mut lists, &folder));
        // Prosody 0.12 appends, then Prosody 13.
        fs::write(folder.list(), format!("{LIST}item(3);\n")).unwrap();
        assert!(removes(&mut lists, &folder), "its end is not that of the list");
        folder.write(LIST, FORMATS[0], &[9, 24]);
        assert!(!removes(&mut lists, &folder));
        // The old file stays, so that the new one has another inode.
        fs::rename(folder.index(), folder.0.join("before")).unwrap();
        folder.write(LIST, FORMATS[0], &[24]);
        assert!(removes(&mut lists, &folder), "another file");
    }

    #[test]
    fn if_the_driver_keeps_no_index_an_old_one_is_removed() {
        let folder = Folder::new("without");
        folder.write(LIST, FORMATS[0], &[9, 24]);
        assert!(Lists::default().before_append(&folder.list(), true, false).unwrap());
        assert!(!folder.index().exists());
        assert!(!Lists::default().before_append(&folder.list(), true, false).unwrap());
    }

    #[test]
    fn a_folder_that_is_missing_is_not_written_to() {
        let folder = Folder::new("folder");
        let mut lists = Lists::default();
        assert!(!lists.before_append(&folder.list(), true, true).unwrap());
        assert_eq!(fs::read_dir(folder.0.join("host/audit")).unwrap().count(), 0, "the test file is removed");
        // The folder of the store is created again, because the driver creates it only once. That of the host is not.
        fs::remove_dir(folder.0.join("host/audit")).unwrap();
        assert!(!lists.before_append(&folder.list(), true, true).unwrap());
        assert!(folder.0.join("host/audit").is_dir());
        fs::remove_dir_all(folder.0.join("host")).unwrap();
        for (list, own_folder) in [(folder.list(), true), (folder.0.join("host/audit.list"), false)] {
            let error = lists.before_append(&list, own_folder, true).unwrap_err().to_string();
            assert!(error.contains(&format!("the folder {} is missing", folder.0.join("host").display())), "{error}");
        }
        assert!(!folder.0.join("host").exists());
        assert!(!removes(&mut lists, &folder));
    }

    #[test]
    fn the_error_names_the_file_and_its_owner() {
        let folder = Folder::new("unwritable");
        let mut lists = Lists::default();
        // Not even root can write to a folder.
        fs::create_dir(folder.list()).unwrap();
        let error = lists.before_append(&folder.list(), true, true).unwrap_err().to_string();
        let expected = format!("{} belongs to {} (mode ", folder.list().display(), own_name().unwrap());
        assert!(error.starts_with(&expected) && error.contains("can't be written by"), "{error}");
        fs::remove_dir(folder.list()).unwrap();
        // A dangling link would be replaced by a list.
        std::os::unix::fs::symlink(folder.0.join("nowhere/x"), folder.list()).unwrap();
        assert!(lists.before_append(&folder.list(), true, true).is_err());
        fs::remove_file(folder.list()).unwrap();
        // Not even root can read a path through a file.
        fs::write(folder.0.join("file"), "").unwrap();
        assert!(lists.before_read(&folder.0.join("file/x.list"), false).is_err());
        if !crate::file::ownership::is_root() {
            folder.write(LIST, FORMATS[0], &[9, 24]);
            fs::set_permissions(folder.list(), fs::Permissions::from_mode(0o444)).unwrap();
            assert!(lists.before_append(&folder.list(), true, true).is_err());
            fs::set_permissions(folder.list(), fs::Permissions::from_mode(0o644)).unwrap();
            // A new index can be made.
            fs::set_permissions(folder.index(), fs::Permissions::from_mode(0o444)).unwrap();
            assert!(lists.before_append(&folder.list(), true, true).unwrap());
            folder.write(LIST, FORMATS[0], &[24]);
            fs::set_permissions(folder.0.join("host/audit"), fs::Permissions::from_mode(0o555)).unwrap();
            assert!(matches!(lists.before_read(&folder.list(), true).unwrap(), Index::Hides(_)));
            fs::set_permissions(folder.0.join("host/audit"), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}
