//! The file with the key of the present epoch. It is one file for all hosts of a server, in Prosody's data folder and not in a store.
//!
//! It has two places of the same size, which are used in turn. The new key is written into one and synced, then the other one, with
//! the key before it, is overwritten with zeros and synced. So there is always a whole place, and the old key does not stay in the
//! file. A file system that copies on writing, a snapshot or an SSD may keep it all the same.
//!
//! The file begins with [`MAGIC`] and the size of a place (`u32`). A place is the SHA-256 of what follows, its length (`u32`), the
//! epoch (`u64`), the key (32 bytes), the number of hosts (`u32`), and for each its name (with a length, `u32`), its last authenticator
//! and the proof. Numbers are big-endian.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::hash::Bytes;
use super::seal::{LastSeal, SealKey, Sealer};
use crate::file::ownership::folder_of;
use crate::file::{Access, Files, OpenFile, whole};

/// What the file begins with.
const MAGIC: &[u8; 8] = b"PASeal1\n";
/// Where the first place begins.
const BEGIN: u64 = 64;
/// The smallest size of a place, in bytes: enough for the hosts of most servers.
const SMALLEST: usize = 8 * 1024;
/// The largest, in bytes. A larger number is damage.
const LARGEST: usize = 16 << 20;
/// The length of the hash and the length before the content of a place.
const HEADER: usize = 36;

/// Why the file can't be used.
#[derive(Debug, Error)]
pub enum SealFileError {
    /// It can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has no key.
    #[error("{0} holds no seal key: restore it, or begin anew with prosodyctl mod_audit --new-seal")]
    Damaged(PathBuf),
}

/// The file, open for writing.
#[derive(Debug)]
pub struct SealFile {
    files: Rc<dyn Files>,
    path: PathBuf,
    file: Box<dyn OpenFile>,
    size: usize,
}

impl SealFile {
    /// Makes the file. One that is there already is overwritten, so that its key does not stay.
    ///
    /// # Errors
    ///
    /// Returns [`SealFileError::Io`] if it can't be written. A file that was there is the same as before then.
    pub fn create(files: Rc<dyn Files>, path: &Path, sealer: &Sealer) -> Result<Self, SealFileError> {
        let content = content_of(sealer);
        let size = content.len().saturating_mul(2).next_power_of_two().max(SMALLEST);
        let beside = path.with_extension("seal-new");
        let io = |source| SealFileError::Io { path: path.to_owned(), source };
        let make = || -> io::Result<Box<dyn OpenFile>> {
            whole::remove(&*files, &beside)?;
            let mut file = files.create_new(&beside, Access::Write)?;
            let mut header = MAGIC.to_vec();
            header.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
            file.set_length(BEGIN.saturating_add(u64::try_from(size.saturating_mul(2)).unwrap_or(u64::MAX)))?;
            file.write_at(&header, 0)?;
            file.write_at(&content, offset(sealer.epoch, size))?;
            file.sync()?;
            Ok(file)
        };
        let before = match files.open(path, Access::Write) {
            Ok(file) => Some(file),
            Err(error) if is_missing(&*files, path, &error) => None,
            Err(error) => return Err(io(error)),
        };
        let file = make().and_then(|file| files.rename(&beside, path).map(|()| file)).map_err(io)?;
        if let Some(mut before) = before {
            // It has no name any more, but after a power cut it could have it again, and would be empty.
            files.sync_folder(folder_of(path)).map_err(io)?;
            let length = before.length().map_err(io)?;
            zero(&mut *before, BEGIN, length.saturating_sub(BEGIN)).map_err(io)?;
        }
        Ok(Self { files, path: path.to_owned(), file, size })
    }

    /// Opens the file. Returns `None` if there is none: nothing is sealed. A key that should have been overwritten is overwritten now.
    ///
    /// # Errors
    ///
    /// Returns [`SealFileError`] if it can't be read or written, or holds no key.
    pub fn open(files: Rc<dyn Files>, path: &Path) -> Result<Option<(Self, Sealer)>, SealFileError> {
        let io = |source| SealFileError::Io { path: path.to_owned(), source };
        let file = match files.open(path, Access::Write) {
            Ok(file) => file,
            Err(error) if is_missing(&*files, path, &error) => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let (size, sealer) = read(&*file).map_err(io)?.ok_or_else(|| SealFileError::Damaged(path.to_owned()))?;
        let mut file = Self { files, path: path.to_owned(), file, size };
        file.forget(sealer.epoch.wrapping_add(1)).map_err(io)?;
        Ok(Some((file, sealer)))
    }

    /// Reads the file without changing it. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns [`SealFileError`] if it can't be read, or holds no key.
    pub fn look(files: &dyn Files, path: &Path) -> Result<Option<Sealer>, SealFileError> {
        let io = |source| SealFileError::Io { path: path.to_owned(), source };
        match files.open(path, Access::Read) {
            Ok(file) => {
                let found = read(&*file).map_err(io)?;
                found.map(|(_, sealer)| Some(sealer)).ok_or_else(|| SealFileError::Damaged(path.to_owned()))
            }
            Err(error) if is_missing(files, path, &error) => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    /// Writes the key of the next epoch and overwrites the one before.
    ///
    /// # Errors
    ///
    /// Returns [`SealFileError::Io`] if that fails. Then one of the two keys is in the file, or both.
    pub fn save(&mut self, sealer: &Sealer) -> Result<(), SealFileError> {
        let content = content_of(sealer);
        if content.len() > self.size {
            *self = Self::create(Rc::clone(&self.files), &self.path, sealer)?;
            return Ok(());
        }
        let write = |file: &mut dyn OpenFile| {
            file.write_at(&content, offset(sealer.epoch, self.size))?;
            file.sync()
        };
        let written = write(&mut *self.file).and_then(|()| self.forget(sealer.epoch.wrapping_add(1)));
        written.map_err(|source| SealFileError::Io { path: self.path.clone(), source })
    }

    /// Overwrites all keys: the file is not needed any more.
    ///
    /// # Errors
    ///
    /// Returns [`io::Error`] if that fails.
    pub fn clear(mut self) -> io::Result<()> {
        self.forget(0).and_then(|()| self.forget(1))
    }

    /// Overwrites the place of an epoch with zeros.
    fn forget(&mut self, epoch: u64) -> io::Result<()> {
        zero(&mut *self.file, offset(epoch, self.size), u64::try_from(self.size).unwrap_or(u64::MAX))
    }
}

/// Whether there is no file. A link to a file that is not there is something: its disk may not be mounted yet.
fn is_missing(files: &dyn Files, path: &Path, error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound && files.is_missing(path)
}

/// The place of an epoch.
fn offset(epoch: u64, size: usize) -> u64 {
    if epoch % 2 == 0 { BEGIN } else { BEGIN.saturating_add(u64::try_from(size).unwrap_or(u64::MAX)) }
}

fn zero(file: &mut dyn OpenFile, begin: u64, length: u64) -> io::Result<()> {
    file.write_at(&vec![0; usize::try_from(length).unwrap_or(LARGEST)], begin)?;
    file.sync()
}

fn content_of(sealer: &Sealer) -> Zeroizing<Vec<u8>> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    // As large as it gets: memory that is left behind when it grows would keep the key.
    let hosts: usize = sealer.last.keys().map(|host| host.len().saturating_add(68)).sum();
    let mut content = Zeroizing::new(Vec::with_capacity(hosts.saturating_add(HEADER + 52)));
    content.extend_from_slice(&[0; HEADER]);
    content.extend_from_slice(&sealer.id.0);
    content.extend_from_slice(&sealer.epoch.to_be_bytes());
    content.extend_from_slice(sealer.key.bytes());
    content.extend_from_slice(&length(sealer.last.len()));
    for (host, last) in &sealer.last {
        content.extend_from_slice(&length(host.len()));
        content.extend_from_slice(host.as_bytes());
        content.extend_from_slice(&last.authenticator.0);
        content.extend_from_slice(&last.proof.0);
    }
    let rest = length(content.len().saturating_sub(HEADER));
    let mut hash = Sha256::new_with_prefix(rest);
    hash.update(content.get(HEADER..).unwrap_or_default());
    let hash: [u8; 32] = hash.finalize().into();
    content.iter_mut().zip(hash.iter().chain(&rest)).for_each(|(to, from)| *to = *from);
    content
}

/// The size of a place, and what is in the newer one that is whole.
fn read(file: &dyn OpenFile) -> io::Result<Option<(usize, Sealer)>> {
    let mut header = [0; 12];
    match file.read_at(&mut header, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [.., a, b, c, d] = header;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if !header.starts_with(MAGIC) || !(SMALLEST..=LARGEST).contains(&size) {
        return Ok(None);
    }
    let mut newest: Option<Sealer> = None;
    for epoch in 0..2 {
        let mut content = Zeroizing::new(vec![0; size]);
        match file.read_at(&mut content, offset(epoch, size)) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => continue,
            result => result?,
        }
        if let Some(found) = sealer_of(&content) {
            if newest.as_ref().is_none_or(|known| found.epoch > known.epoch) {
                newest = Some(found);
            }
        }
    }
    Ok(newest.map(|sealer| (size, sealer)))
}

fn sealer_of(place: &[u8]) -> Option<Sealer> {
    let (hash, rest) = place.split_first_chunk::<32>()?;
    let (length, content) = rest.split_first_chunk::<4>()?;
    let content = content.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let found: [u8; 32] = Sha256::new_with_prefix(length).chain_update(content).finalize().into();
    if found != *hash {
        return None;
    }
    let (id, rest) = content.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut last = BTreeMap::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (host, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (authenticator, behind) = behind.split_first_chunk::<32>()?;
        let (proof, behind) = behind.split_first_chunk::<32>()?;
        let host = std::str::from_utf8(host).ok()?.to_owned();
        last.insert(host, LastSeal { authenticator: Bytes(*authenticator), proof: Bytes(*proof) });
        rest = behind;
    }
    rest.is_empty().then(|| Sealer { id: Bytes(*id), epoch: u64::from_be_bytes(*epoch), key: SealKey::new(*key), last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::seal::{Heads, SealedHead};
    use crate::file::{Memory, Operation};

    const PATH: &str = "/data/audit.seal";

    fn files() -> (Memory, Rc<dyn Files>) {
        let memory = Memory::default();
        (memory.clone(), Rc::new(memory))
    }

    fn sealer(hosts: usize) -> Sealer {
        let mut sealer = Sealer::new(SealKey::new([7; 32]));
        next(&mut sealer, hosts);
        sealer
    }

    fn next(sealer: &mut Sealer, hosts: usize) {
        let head = SealedHead { id: Bytes([1; 16]), n: sealer.epoch, hash: Bytes([3; 32]), rules: Bytes([4; 32]) };
        let heads = Heads { run: Bytes([2; 16]), heads: vec![head] };
        sealer.seal(1_795_521_600, &(0..hosts).map(|host| (format!("host{host}.example"), heads.clone())).collect());
    }

    fn content(memory: &Memory) -> Vec<u8> {
        let file = memory.open(Path::new(PATH), Access::Read).unwrap();
        let mut content = vec![0; usize::try_from(file.length().unwrap()).unwrap()];
        file.read_at(&mut content, 0).unwrap();
        content
    }

    fn holds(memory: &Memory, key: &SealKey) -> bool {
        content(memory).windows(32).any(|bytes| bytes == key.bytes())
    }

    #[test]
    fn the_key_before_is_not_in_the_file_any_more() {
        let (memory, files) = files();
        let mut sealer = sealer(2);
        let mut file = SealFile::create(Rc::clone(&files), Path::new(PATH), &sealer).unwrap();
        for hosts in [2, 2, 3, 200, 200, 1000] {
            let before = sealer.clone();
            next(&mut sealer, hosts);
            file.save(&sealer).unwrap();
            assert!(holds(&memory, &sealer.key) && !holds(&memory, &before.key), "{hosts}");
            assert_eq!(SealFile::look(&memory, Path::new(PATH)).unwrap(), Some(sealer.clone()));
        }
        assert_eq!(SealFile::open(Rc::clone(&files), Path::new("/data/other")).unwrap().map(|(_, sealer)| sealer), None);
        assert_eq!(SealFile::open(files, Path::new(PATH)).unwrap().map(|(_, found)| found), Some(sealer));
    }

    #[test]
    fn there_is_a_key_whatever_fails() {
        for operation in [Operation::WriteAt, Operation::Sync, Operation::Create, Operation::Rename, Operation::SetLength] {
            for skipped in 0..4 {
                for hosts in [2, 500] {
                    let (memory, files) = files();
                    let mut sealer = sealer(2);
                    let mut file = SealFile::create(Rc::clone(&files), Path::new(PATH), &sealer).unwrap();
                    let before = sealer.clone();
                    next(&mut sealer, hosts);
                    let mut rest = skipped;
                    // The operation succeeds a few times first: each failure is tried at each place.
                    while rest > 0 && file.save(&before).is_ok() {
                        rest -= 1;
                    }
                    memory.fail(operation, ErrorKind::StorageFull, 1);
                    let saved = file.save(&sealer).is_ok();
                    memory.cut_power();
                    let found = SealFile::look(&memory, Path::new(PATH)).unwrap().unwrap();
                    assert!(found == sealer || !saved && found == before, "{operation:?} {skipped} {hosts}");
                    // What should have been overwritten is overwritten when the file is opened.
                    let (_, opened) = SealFile::open(files, Path::new(PATH)).unwrap().unwrap();
                    assert!(opened == found && (opened != sealer || !holds(&memory, &before.key)), "{operation:?} {skipped} {hosts}");
                }
            }
        }
    }

    #[test]
    fn damage_is_said() {
        let (memory, files) = files();
        let sealer = sealer(1);
        drop(SealFile::create(Rc::clone(&files), Path::new(PATH), &sealer).unwrap());
        let whole = content(&memory);
        for place in [0, 9, 11, 64 + 8 * 1024, 64 + 8 * 1024 + 40, 64 + 8 * 1024 + 80] {
            let mut file = memory.open(Path::new(PATH), Access::Write).unwrap();
            file.write_at(&[whole[place] ^ 1], place as u64).unwrap();
            assert!(matches!(SealFile::look(&memory, Path::new(PATH)), Err(SealFileError::Damaged(_))), "{place}");
            file.write_at(&whole[place..=place], place as u64).unwrap();
        }
        for length in [0, 5, 64, 100] {
            let mut file = memory.open(Path::new(PATH), Access::Write).unwrap();
            file.set_length(length).unwrap();
            assert!(matches!(SealFile::open(Rc::clone(&files), Path::new(PATH)), Err(SealFileError::Damaged(_))), "{length}");
        }
    }
}
