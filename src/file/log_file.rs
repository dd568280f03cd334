//! A file that another program reads while it grows, and may rename (logrotate).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// A file that is only appended to.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// How long it is if nobody else writes to it.
    length: u64,
}

impl LogFile {
    /// Opens a file, or makes it: its owner may write it, and its group read it (0640). The folder must be there.
    ///
    /// # Errors
    ///
    /// What the system says. A link is refused, as it could lead anywhere, and so is anything that is not a plain file.
    pub fn open(path: &Path) -> io::Result<Self> {
        #[allow(clippy::cast_possible_wrap)] // As the standard library takes them.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
        let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a plain file"));
        }
        Ok(Self { file, length: metadata.len() })
    }

    /// Appends a text with one `write`. If not all of it can be written, no part of it stays.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = loop {
            match self.file.write(text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match written {
            Ok(count) if count == text.len() => {
                self.length = self.length.saturating_add(u64::try_from(count).unwrap_or_default());
                Ok(())
            }
            Ok(count) => {
                // The disk is full. If somebody else has written meanwhile, nothing is cut.
                let end = self.length.saturating_add(u64::try_from(count).unwrap_or_default());
                if self.file.metadata().is_ok_and(|metadata| metadata.len() == end) {
                    self.file.set_len(self.length)?;
                }
                Err(io::Error::other("no space left for the whole entry"))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn entries_are_appended_to_a_plain_file_only() {
        let folder = std::env::temp_dir().join(format!("audit-log-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let mut file = LogFile::open(&path).unwrap();
        file.append(b"one\n").unwrap();
        LogFile::open(&path).unwrap().append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        // After it was renamed, the next open makes a new one.
        fs::rename(&path, folder.join("audit.jsonl.1")).unwrap();
        file.append(b"three\n").unwrap();
        LogFile::open(&path).unwrap().append(b"four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!(fs::read_to_string(folder.join("audit.jsonl.1")).unwrap(), "one\ntwo\nthree\n");
        symlink(&path, folder.join("link")).unwrap();
        for refused in [folder.join("link"), folder.clone(), folder.join("missing/audit.jsonl")] {
            assert!(LogFile::open(&refused).is_err(), "{}", refused.display());
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
