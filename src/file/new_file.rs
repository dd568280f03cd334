//! A new file that is created atomically.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD};
use thiserror::Error;

use super::ownership::folder_of;

/// How many bytes are copied at once, if a copy is needed.
const CHUNK: usize = 1 << 16;

/// A file that has no name while it is written, and gets its name when it is finished. If the process ends before that, nothing is
/// left of it. Only its owner can read it, as an audit log is personal data.
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    file: File,
}

/// Why a file can't be made.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The file exists already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The process was told to end.
    #[error("{} was not written: interrupted", .0.display())]
    Stopped(PathBuf),
    /// The system reports an error.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl NewFile {
    /// Begins a file that will get the name `target`.
    ///
    /// # Errors
    ///
    /// Returns [`OutputError`] if the name is taken, or no file can be made in the folder.
    ///
    /// ```
    /// use audit_core::file::new_file::NewFile;
    /// # let folder = std::env::temp_dir().join(format!("new-file-example-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let target = folder.join("log.json");
    /// let mut file = NewFile::create(&target).unwrap();
    /// file.write(b"{}\n").unwrap();
    /// assert!(!target.exists());
    /// file.finish(|| false).unwrap();
    /// assert_eq!(std::fs::read(&target).unwrap(), b"{}\n");
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// ```
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        // A link counts as a file, wherever it points.
        match std::fs::symlink_metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(OutputError::Io { path: target.to_owned(), source }),
            Ok(_) => return Err(OutputError::Exists(target.to_owned())),
        }
        let error = |source: io::Error| OutputError::Io { path: target.to_owned(), source };
        // Some file systems don't support files without a name. There it has one for a moment.
        let file = without_name(target).or_else(|_| {
            let name = temporary_name(target);
            let file = create(&name)?;
            std::fs::remove_file(&name)?;
            Ok(file)
        });
        Ok(Self { target: target.to_owned(), file: file.map_err(error)? })
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// Returns [`OutputError::Io`] if they can't be written, for example because the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|source| OutputError::Io { path: self.target.clone(), source })
    }

    /// Syncs the file to the disk, and gives it its name. `is_stopped` returns whether the process was told to end. It is called
    /// while there is a temporary file that has to be removed.
    ///
    /// # Errors
    ///
    /// Returns [`OutputError`] if the file can't be written completely, or its name was taken in the meantime.
    pub fn finish(self, is_stopped: impl Fn() -> bool) -> Result<(), OutputError> {
        let error = |source: io::Error| self.error(source);
        self.file.sync_all().map_err(error)?;
        if !self.link().map_err(error)? {
            self.copy(is_stopped)?;
        }
        // The folder has the name, so it is synced, too. Not every file system supports this.
        let _ = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Gives the file its name. Returns false if the file system can't give a name to a file without one.
    fn link(&self) -> io::Result<bool> {
        let by_number = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let linked = rustix::fs::linkat(CWD, &by_number, CWD, &self.target, AtFlags::SYMLINK_FOLLOW).or_else(|error| match error {
            rustix::io::Errno::EXIST => Err(error),
            // Without /proc.
            _ => rustix::fs::linkat(&self.file, "", CWD, &self.target, AtFlags::EMPTY_PATH),
        });
        match linked {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => Ok(false),
        }
    }

    /// Copies the file to a temporary file, which then gets the target's name.
    fn copy(&self, is_stopped: impl Fn() -> bool) -> Result<(), OutputError> {
        let error = |source: io::Error| self.error(source);
        let name = temporary_name(&self.target);
        let mut copy = create(&name).map_err(error)?;
        let copied = copy_all(&self.file, &mut copy, &is_stopped).and_then(|whole| {
            if whole {
                copy.sync_all()?;
                rename_to_new(&name, &self.target)?;
            }
            Ok(whole)
        });
        // If it has the target's name now, this removes its temporary name only.
        let _ = std::fs::remove_file(&name);
        match copied {
            Ok(true) => Ok(()),
            Ok(false) => Err(OutputError::Stopped(self.target.clone())),
            Err(source) => Err(error(source)),
        }
    }

    fn error(&self, source: io::Error) -> OutputError {
        match source.kind() {
            ErrorKind::AlreadyExists => OutputError::Exists(self.target.clone()),
            _ => OutputError::Io { path: self.target.clone(), source },
        }
    }
}

/// A file without a name, on the file system of the target. Only Linux can make one.
#[cfg(target_os = "linux")]
fn without_name(target: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(folder_of(target), flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(not(target_os = "linux"))]
fn without_name(_: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn temporary_name(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    target.with_file_name(name)
}

/// Copies the file. Returns false if the process was told to end before that was complete.
fn copy_all(mut from: &File, to: &mut File, is_stopped: impl Fn() -> bool) -> io::Result<bool> {
    from.rewind()?;
    let mut chunk = vec![0; CHUNK];
    loop {
        if is_stopped() {
            return Ok(false);
        }
        let count = from.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(true) };
        to.write_all(bytes)?;
    }
}

/// Renames a file, unless the target exists.
fn rename_to_new(name: &Path, target: &Path) -> io::Result<()> {
    // Unlike a rename, a link never replaces a file.
    match std::fs::hard_link(name, target) {
        // Some file systems don't support links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !target.exists() => std::fs::rename(name, target),
        linked => linked,
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
    fn a_finished_file_is_complete_and_private() {
        let folder = Folder::new("whole");
        let target = folder.0.join("x.json");
        let mut file = NewFile::create(&target).unwrap();
        file.write(b"a").unwrap();
        file.write(b"b").unwrap();
        assert!(!target.exists());
        file.finish(|| false).unwrap();
        assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["x.json".to_owned()], b"ab".to_vec()));
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = Folder::new("dropped");
        NewFile::create(&folder.0.join("x")).unwrap().write(b"a").unwrap();
        assert_eq!(folder.names(), Vec::<String>::new());
    }

    /// A file as it is on a file system that has none without a name.
    fn unlinked(target: &Path) -> NewFile {
        let name = temporary_name(target);
        let file = create(&name).unwrap();
        std::fs::remove_file(&name).unwrap();
        NewFile { target: target.to_owned(), file }
    }

    #[test]
    fn a_file_has_no_name_before_it_is_finished() {
        let folder = Folder::new("nameless");
        for make in [|target: &Path| NewFile::create(target).unwrap(), unlinked] {
            let target = folder.0.join("x");
            let mut file = make(&target);
            file.write(&vec![b'a'; 3 * CHUNK + 1]).unwrap();
            assert_eq!(folder.names(), Vec::<String>::new());
            file.finish(|| false).unwrap();
            assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["x".to_owned()], vec![b'a'; 3 * CHUNK + 1]));
            assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn a_copy_is_interrupted_when_the_process_must_end() {
        let folder = Folder::new("stopped");
        let mut file = unlinked(&folder.0.join("x"));
        file.write(&vec![b'a'; 3 * CHUNK]).unwrap();
        let asked = std::cell::Cell::new(0);
        let stopped = file.finish(|| asked.replace(asked.get() + 1) == 2 && folder.names() == [format!(".x.{}.part", std::process::id())]);
        assert!(matches!(stopped, Err(OutputError::Stopped(path)) if path == folder.0.join("x")));
        assert_eq!(folder.names(), Vec::<String>::new());
    }

    #[test]
    fn a_copy_never_replaces_a_file() {
        let folder = Folder::new("copied");
        let target = folder.0.join("x");
        let file = unlinked(&target);
        std::fs::write(&target, "mine").unwrap();
        assert!(matches!(file.finish(|| false), Err(OutputError::Exists(path)) if path == target));
        assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["x".to_owned()], b"mine".to_vec()));
    }

    #[test]
    fn a_file_that_exists_is_never_replaced() {
        let folder = Folder::new("exists");
        let target = folder.0.join("x");
        let file = NewFile::create(&target).unwrap();
        std::fs::write(&target, "mine").unwrap();
        assert!(matches!(file.finish(|| false), Err(OutputError::Exists(path)) if path == target));
        assert!(matches!(NewFile::create(&target), Err(OutputError::Exists(_))));
        std::os::unix::fs::symlink("/nowhere", folder.0.join("link")).unwrap();
        assert!(matches!(NewFile::create(&folder.0.join("link")), Err(OutputError::Exists(_))));
        assert_eq!((folder.names(), std::fs::read(&target).unwrap()), (vec!["link".to_owned(), "x".to_owned()], b"mine".to_vec()));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_in_the_error() {
        let error = NewFile::create(Path::new("/no/such/folder/x")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/x: No such file"), "{error}");
        assert!(matches!(NewFile::create(Path::new("/")), Err(OutputError::Exists(_))));
    }
}
