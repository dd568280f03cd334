//! Keyed hashes of addresses. Equal addresses have equal hashes. Without the key, nobody can find the address by trying all of
//! them.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::file::Files;
use crate::file::ownership::folder_of;
use crate::file::whole::{self, Durability};
use crate::random::Random;

/// The length of a key, in bytes.
const LENGTH: usize = 32;
/// The length of a hash, in bytes. It is long enough that no two addresses have the same hash.
const HASH_LENGTH: usize = 16;
/// The length of the name of a key, in bytes.
const ID_LENGTH: usize = 4;
/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 1024;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum HashKeyError {
    /// Its file can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its file does not contain a key.
    #[error("{0} holds no key: restore it, or have a new one made (prosodyctl mod_audit --new-key)")]
    Damaged(PathBuf),
    /// There are no random numbers to make a key.
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The key of a host's hashes.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; LENGTH]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashKey({})", self.id())
    }
}

impl HashKey {
    /// Reads the key from its file. Returns `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// Returns [`HashKeyError`] if the file can't be read or holds no key.
    pub fn read(files: &dyn Files, path: &Path) -> Result<Option<Self>, HashKeyError> {
        let damaged = || HashKeyError::Damaged(path.to_owned());
        let content = whole::read(files, path, LONGEST_FILE).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => damaged(),
            _ => HashKeyError::Io { path: path.to_owned(), source },
        })?;
        let Some(content) = content else { return Ok(None) };
        let key = std::str::from_utf8(&content).ok().and_then(|text| from_hex(text.trim()));
        key.map(|bytes| Some(Self(bytes))).ok_or_else(damaged)
    }

    /// Reads the key from its file. If there is no such file, makes a key and the file.
    ///
    /// # Errors
    ///
    /// Returns [`HashKeyError`] if the file can't be read or written, or holds no key.
    pub fn read_or_make(files: &dyn Files, random: &dyn Random, path: &Path) -> Result<Self, HashKeyError> {
        if let Some(key) = Self::read(files, path)? {
            // One that an earlier release made as root can't be read by the server.
            files.give_from_root(path);
            return Ok(key);
        }
        Self::make_once(files, random, path)
    }

    /// Makes a key and its file, unless another process is faster. Then returns the other one's key.
    fn make_once(files: &dyn Files, random: &dyn Random, path: &Path) -> Result<Self, HashKeyError> {
        let (key, beside) = Self::make(files, random, path)?;
        match whole::create(files, path, &beside, &key.content(), Durability::Synced) {
            Ok(()) => Ok(key),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::read(files, path)?.ok_or_else(|| HashKeyError::Io { path: path.to_owned(), source: error })
            }
            Err(source) => Err(HashKeyError::Io { path: path.to_owned(), source }),
        }
    }

    /// Makes a new key, in place of the one that is in the file now, if any.
    ///
    /// # Errors
    ///
    /// Returns [`HashKeyError`] if it can't be written. The old key stays then.
    pub fn replace(files: &dyn Files, random: &dyn Random, path: &Path) -> Result<Self, HashKeyError> {
        let (key, beside) = Self::make(files, random, path)?;
        let replaced = whole::replace(files, path, &beside, &key.content(), Durability::Synced);
        replaced.map(|()| key).map_err(|source| HashKeyError::Io { path: path.to_owned(), source })
    }

    /// The name of the key, which is stored with hashes. It reveals nothing about the key.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.digest(b"prosody-audit key"), ID_LENGTH)
    }

    /// The hash of an address. An IPv4-mapped IPv6 address has the hash of the IPv4 address.
    #[must_use]
    pub fn hash(&self, address: IpAddr) -> String {
        let digest = match address.to_canonical() {
            IpAddr::V4(address) => self.digest(&address.octets()),
            IpAddr::V6(address) => self.digest(&address.octets()),
        };
        hex(&digest, HASH_LENGTH)
    }

    /// The hash of a name without an account. Upper and lower case are the same. It never equals the hash of an address, as the
    /// hashed text is longer than any address.
    #[must_use]
    pub fn hash_name(&self, name: &str) -> String {
        hex(&self.digest(format!("prosody-audit unknown name\0{}", name.to_lowercase()).as_bytes()), HASH_LENGTH)
    }

    fn digest(&self, message: &[u8]) -> Vec<u8> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Vec::new() };
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    /// A new key, and the name that its file has until it is complete. No other process uses that name.
    fn make(files: &dyn Files, random: &dyn Random, path: &Path) -> Result<(Self, PathBuf), HashKeyError> {
        let mut bytes = [0; LENGTH];
        let mut name = [0; ID_LENGTH];
        random.fill(&mut bytes).and_then(|()| random.fill(&mut name)).map_err(HashKeyError::Random)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", hex(&name, ID_LENGTH)));
        files.make_folder(folder_of(path)).map_err(|source| HashKeyError::Io { path: path.to_owned(), source })?;
        Ok((Self(bytes), PathBuf::from(beside)))
    }

    fn content(&self) -> Vec<u8> {
        format!("{}\n", hex(&self.0, LENGTH)).into_bytes()
    }
}

fn hex(bytes: &[u8], length: usize) -> String {
    bytes.iter().take(length).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() != 2 * LENGTH || !text.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..LENGTH).map(|n| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse;
    use crate::file::{Access, Disk, Memory};
    use crate::random::OsRandom;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("audit-key-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn equal_addresses_have_equal_hashes_under_one_key() {
        let key = HashKey([7; LENGTH]);
        let hash = |text: &str| key.hash(parse(text).unwrap());
        assert_eq!(hash("203.0.113.80"), hash("::ffff:203.0.113.80"));
        assert_eq!(hash("2001:db8::1"), hash("2001:DB8:0::0:1"));
        assert_ne!(hash("203.0.113.80"), hash("203.0.113.81"));
        assert_ne!(hash("203.0.113.80"), HashKey([8; LENGTH]).hash(parse("203.0.113.80").unwrap()));
        // RFC 2104 with SHA-256: python3 -c 'import hmac; print(hmac.digest(b"\x07"*32, bytes([203,0,113,80]), "sha256").hex()[:32])'
        assert_eq!(hash("203.0.113.80"), "4f429a4533a00b013391283dc4810347");
        assert_eq!(key.id().len(), 8);
        assert!(!format!("{key:?}").contains("0707"));
    }

    #[test]
    fn a_name_has_a_hash_of_its_own() {
        let key = HashKey([7; LENGTH]);
        assert_eq!(key.hash_name("Tr0ub4dor"), key.hash_name("tr0ub4dor"));
        assert_ne!(key.hash_name("tr0ub4dor"), key.hash_name("tr0ub4dor3"));
        assert_ne!(key.hash_name("tr0ub4dor"), HashKey([8; LENGTH]).hash_name("tr0ub4dor"));
        // Four bytes of a name, and the address that is made of them.
        assert_ne!(key.hash_name("PPPP"), key.hash(parse("80.80.80.80").unwrap()));
        assert_eq!(key.hash_name("").len(), 32);
    }

    #[test]
    fn a_key_is_made_once_and_kept_by_its_owner_alone() {
        let folder = folder("made");
        let path = folder.join("host/audit.key");
        assert_eq!(HashKey::read(&Disk, &path).unwrap(), None);
        let key = HashKey::read_or_make(&Disk, &OsRandom, &path).unwrap();
        assert_eq!(HashKey::read_or_make(&Disk, &OsRandom, &path).unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let stamp = Disk.stamp(&path);
        let new = HashKey::replace(&Disk, &OsRandom, &path).unwrap();
        assert_ne!((new.id(), Disk.stamp(&path)), (key.id(), stamp));
        assert_eq!(HashKey::read(&Disk, &path).unwrap(), Some(new));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_without_a_key_is_reported_and_not_changed() {
        let folder = folder("damaged");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.key");
        for content in [&b""[..], b"07", b"\xff\xfe", &[b'z'; 64], "é".repeat(32).as_bytes()] {
            fs::write(&path, content).unwrap();
            assert!(matches!(HashKey::read_or_make(&Disk, &OsRandom, &path), Err(HashKeyError::Damaged(_))), "{content:?}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert!(matches!(HashKey::read_or_make(&Disk, &OsRandom, &path.join("x")), Err(HashKeyError::Io { .. })));
        fs::remove_dir_all(folder).unwrap();
    }

    /// Two processes make the key at once: both use the one that was there first.
    #[test]
    fn a_key_that_another_process_made_meanwhile_is_used() {
        let files = Memory::default();
        let path = Path::new("/host/audit.key");
        let theirs = HashKey([7; LENGTH]);
        files.create_new(path, Access::Append).unwrap().append(&theirs.content()).unwrap();
        assert_eq!(HashKey::make_once(&files, &OsRandom, path).unwrap(), theirs);
        assert_eq!(files.list(Path::new("/host")).unwrap(), ["audit.key"]);
    }
}
