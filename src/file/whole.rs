//! Files that are read and written in one piece: a reader finds the old content or the new one, never a part.
//!
//! All state of the log that is not in a journal's segments is in such files. One rule holds for all of them. A file that is not there
//! may be made. A file that is there but can't be read now is never replaced: [`read`] returns an error, and the caller tries again
//! later. A file that can be read but has the wrong content is kept under another name, see [`set_aside`].

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Access, Files};

/// Whether a file must be on the disk before it gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// No: after a power cut the file of before is as good.
    Relaxed,
    /// Yes.
    Synced,
}

/// The content of a file. Returns `None` if there is no such file. A link to a file that is not there is not "no such file": the
/// disk with its target may not be mounted yet.
///
/// # Errors
///
/// What the system says; `InvalidData` if the file has more than `limit` bytes. Except for `InvalidData` the file may be well, and
/// nothing may be put in its place.
pub fn read(files: &dyn Files, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match files.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && files.is_missing(path) => return Ok(None),
        // It may have been made a moment ago.
        Err(error) if error.kind() == ErrorKind::NotFound => files.open(path, Access::Read)?,
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.length()?).ok().filter(|length| *length <= limit);
    let mut content = vec![0; length.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("longer than {limit} bytes")))?];
    file.read_at(&mut content, 0)?;
    Ok(Some(content))
}

/// Gives a file with wrong content the name `<path>.damaged`, so that another one can be made and somebody can look at this one. An
/// older file of that name is replaced. Returns the new name.
///
/// # Errors
///
/// What the system says. Then the file keeps its name.
pub fn set_aside(files: &dyn Files, path: &Path) -> io::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = PathBuf::from(aside);
    files.rename(path, &aside).map(|()| aside)
}

/// Puts a file with this content in place of the one at `path`. It is written as `beside` first, in the same folder.
///
/// # Errors
///
/// What the system says. Then the file of before stays, and nothing is left of the new one.
pub fn replace(files: &dyn Files, path: &Path, beside: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let replaced = write(files, beside, content, durability).and_then(|()| files.rename(beside, path));
    if replaced.is_err() {
        // Half a file is of no use, and takes up space.
        let _ = files.remove(beside);
    }
    replaced
}

/// Makes a file with this content, which never takes the place of another one. It is written as `beside` first, in the same folder.
///
/// # Errors
///
/// What the system says; `AlreadyExists` if there is something of that name. Nothing is left of the new file then.
pub fn create(files: &dyn Files, path: &Path, beside: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let created = write(files, beside, content, durability).and_then(|()| files.link(beside, path));
    let _ = files.remove(beside);
    created
}

/// Removes a file, if there is one.
///
/// # Errors
///
/// What the system says.
pub fn remove(files: &dyn Files, path: &Path) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(files: &dyn Files, path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    // One that was left there may belong to another user.
    let _ = files.remove(path);
    let mut file = files.create_new(path, Access::Append)?;
    file.append(content)?;
    if durability == Durability::Synced { file.sync() } else { Ok(()) }
}
