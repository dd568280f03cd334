//! A new file that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file that is being written under another name, and gets its own when it is finished. It is readable for its owner only:
/// an audit log is personal data. Where it is dropped before, nothing stays.
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
}

/// Why a file can't be made.
#[derive(Debug, Error)]
pub enum OutputError {
    /// There is one already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The system says so.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl NewFile {
    /// Begins a file that will be called `target`.
    ///
    /// # Errors
    ///
    /// [`OutputError`] where something of that name exists, or nothing can be made beside it.
    ///
    /// ```
    /// use audit_core::output::NewFile;
    /// # let folder = std::env::temp_dir().join(format!("new-file-example-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let target = folder.join("log.json");
    /// let mut file = NewFile::create(&target).unwrap();
    /// file.write(b"{}\n").unwrap();
    /// assert!(!target.exists());
    /// file.finish().unwrap();
    /// assert_eq!(std::fs::read(&target).unwrap(), b"{}\n");
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// ```
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        // What a link points to, or what can't be looked at, counts too.
        match std::fs::symlink_metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(OutputError::Io { path: target.to_owned(), source }),
            Ok(_) => return Err(OutputError::Exists(target.to_owned())),
        }
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        match opened {
            Ok(file) => Ok(Self { target: target.to_owned(), temporary, file }),
            Err(source) => Err(OutputError::Io { path: target.to_owned(), source }),
        }
    }

    /// Appends to it.
    ///
    /// # Errors
    ///
    /// [`OutputError::Io`]; a full disk, most often.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|source| OutputError::Io { path: self.target.clone(), source })
    }

    /// Puts it on the disk, and gives it its name.
    ///
    /// # Errors
    ///
    /// [`OutputError`] where it can't be written whole, or somebody made one of that name meanwhile.
    pub fn finish(self) -> Result<(), OutputError> {
        let error = |source: io::Error| match source.kind() {
            ErrorKind::AlreadyExists => OutputError::Exists(self.target.clone()),
            _ => OutputError::Io { path: self.target.clone(), source },
        };
        self.file.sync_all().map_err(error)?;
        // Unlike a renaming, a second name never takes the place of a file.
        match std::fs::hard_link(&self.temporary, &self.target) {
            Ok(()) => Ok(()),
            Err(exists) if exists.kind() == ErrorKind::AlreadyExists => Err(error(exists)),
            // Some file systems have one name a file.
            Err(_) if !self.target.exists() => std::fs::rename(&self.temporary, &self.target).map_err(error),
            Err(other) => Err(error(other)),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Where it has its own name now, this is the other one; there is nobody to tell of a failure.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("audit-output-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> =
                std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_there_whole_and_for_its_owner() {
        let folder = Folder::new("whole");
        let target = folder.0.join("x.json");
        let mut file = NewFile::create(&target).unwrap();
        file.write(b"a").unwrap();
        file.write(b"b").unwrap();
        assert!(!target.exists());
        file.finish().unwrap();
        assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["x.json".to_owned()], b"ab".to_vec()));
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_stays_of_a_file_that_is_not_finished() {
        let folder = Folder::new("dropped");
        NewFile::create(&folder.0.join("x")).unwrap().write(b"a").unwrap();
        assert_eq!(folder.names(), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let folder = Folder::new("exists");
        let target = folder.0.join("x");
        let file = NewFile::create(&target).unwrap();
        std::fs::write(&target, "mine").unwrap();
        assert!(matches!(file.finish(), Err(OutputError::Exists(path)) if path == target));
        assert!(matches!(NewFile::create(&target), Err(OutputError::Exists(_))));
        std::os::unix::fs::symlink("/nowhere", folder.0.join("link")).unwrap();
        assert!(matches!(NewFile::create(&folder.0.join("link")), Err(OutputError::Exists(_))));
        assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["link".to_owned(), "x".to_owned()], b"mine".to_vec()));
    }

    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let error = NewFile::create(Path::new("/no/such/folder/x")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/x: No such file"), "{error}");
        assert!(matches!(NewFile::create(Path::new("/")), Err(OutputError::Exists(_))));
    }
}
