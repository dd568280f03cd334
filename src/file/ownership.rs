//! The owners of files that the log makes.
//!
//! `prosodyctl` may run as root, while the server runs as another user. The server could not use files that root makes in its
//! folders, so they are given to the owner of the folder. A process that may not do so keeps the files that it makes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

const ROOT: u32 = 0;

/// Makes a file (0600) that does not exist yet, and gives it to the owner of its folder. `options` says how it is opened.
///
/// # Errors
///
/// What the system says; `AlreadyExists` if there is something of that name.
pub fn make_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // A link is never followed.
    let file = options.create_new(true).mode(0o600).open(path)?;
    give_to_owner_of(folder_of(path), &file);
    Ok(file)
}

/// Makes a folder and its parents (0700), if they are missing. Each belongs to the owner of its parent.
///
/// # Errors
///
/// What the system says.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    if above != path {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            if let Ok(folder) = File::open(path) {
                give_to_owner_of(above, &folder);
            }
            Ok(())
        }
    }
}

/// Gives a file or folder that belongs to root, in a folder that does not, to the owner of that folder.
///
/// This is only done for a folder, or a plain file with one name, as the owner of the folder could have made a link to another
/// file.
pub fn give_from_root(path: &Path) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if found.uid() != ROOT || !(found.is_file() || found.is_dir()) {
        return;
    }
    let Ok(file) = File::open(path) else { return };
    let Ok(opened) = file.metadata() else { return };
    let is_the_same = (opened.dev(), opened.ino()) == (found.dev(), found.ino());
    if is_the_same && opened.uid() == ROOT && (opened.is_dir() || opened.nlink() == 1) {
        give_to_owner_of(folder_of(path), &file);
    }
}

/// Whether this process runs as root. Returns `false` if that is not known.
#[must_use]
pub fn is_root() -> bool {
    effective_user() == Some(ROOT)
}

/// The name of the user that runs this process, or the user's number.
#[must_use]
pub fn own_name() -> Option<String> {
    effective_user().map(user_name)
}

/// The name of a user, or `uid N`. Only the local file is read, as a directory server could take long to answer.
#[must_use]
pub fn user_name(uid: u32) -> String {
    let named = fs::read_to_string("/etc/passwd").ok().and_then(|users| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
        })
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

/// The folder of a file. Returns "." for a name alone.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new(if path.has_root() { "/" } else { "." }))
}

fn effective_user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}

fn give_to_owner_of(folder: &Path, file: &File) {
    let (Ok(folder), Ok(own)) = (fs::metadata(folder), file.metadata()) else { return };
    if folder.uid() != own.uid() {
        // Only root may do this. For other users it is not an error.
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Disk;
    use crate::file::whole::{Durability, replace};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    const OTHER: u32 = 65534;

    /// A folder of another user. Only root can make one; `None` says that this process is not root.
    fn folder_of_other(name: &str) -> Option<PathBuf> {
        let folder = std::env::temp_dir().join(format!("audit-ownership-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if !is_root() {
            eprintln!("not run: only root can give files away");
            return None;
        }
        chown(&folder, Some(OTHER), Some(OTHER)).unwrap();
        Some(folder)
    }

    fn owner(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn files_that_root_makes_belong_to_the_owner_of_the_folder() {
        let Some(folder) = folder_of_other("made") else { return };
        let path = folder.join("file");
        make_file(OpenOptions::new().write(true), &path).unwrap();
        assert_eq!((owner(&path), fs::metadata(&path).unwrap().permissions().mode() & 0o777), (OTHER, 0o600));
        make_folder(&folder.join("a/b")).unwrap();
        assert_eq!((owner(&folder.join("a")), owner(&folder.join("a/b"))), (OTHER, OTHER));
        make_folder(&folder.join("a/b")).unwrap();
        assert!(make_file(OpenOptions::new().write(true), &path).is_err(), "what exists is not taken");
        let beside = folder.join("beside");
        fs::write(&beside, "left there").unwrap();
        replace(&Disk, &path, &beside, b"new", Durability::Relaxed).unwrap();
        assert_eq!((owner(&path), fs::read(&path).unwrap(), beside.exists()), (OTHER, b"new".to_vec(), false));
        assert!(replace(&Disk, &folder, &beside, b"new", Durability::Relaxed).is_err());
        assert!(!beside.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_files_of_root_with_one_name_are_given_away() {
        let Some(folder) = folder_of_other("given") else { return };
        let elsewhere = folder.with_extension("elsewhere");
        let _ = fs::remove_dir_all(&elsewhere);
        fs::create_dir_all(&elsewhere).unwrap();
        let secret = elsewhere.join("secret");
        fs::write(&secret, "of root").unwrap();
        symlink(&secret, folder.join("link")).unwrap();
        fs::hard_link(&secret, folder.join("second-name")).unwrap();
        fs::write(folder.join("list"), "").unwrap();
        fs::write(folder.join("foreign"), "").unwrap();
        chown(folder.join("foreign"), Some(1), Some(1)).unwrap();
        for name in ["link", "second-name", "list", "foreign", "missing"] {
            give_from_root(&folder.join(name));
        }
        assert_eq!((owner(&secret), owner(&folder.join("link"))), (ROOT, ROOT));
        assert_eq!((owner(&folder.join("list")), owner(&folder.join("foreign"))), (OTHER, 1));
        fs::remove_dir_all(folder).unwrap();
        fs::remove_dir_all(elsewhere).unwrap();
    }

    #[test]
    fn users_have_names_where_the_local_file_has_them() {
        assert_eq!(user_name(ROOT), "root");
        assert_eq!(user_name(4_000_000_000), "uid 4000000000");
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
        assert_eq!(folder_of(Path::new("/")), Path::new("/"));
        assert_eq!(folder_of(Path::new("a/b")), Path::new("a"));
    }
}
