//! Whether other users of the machine can read a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o001;

/// Whether users who are neither the owner nor in the group of a file may read it, or may open files in a folder. Links are followed.
/// Returns `false` if there is no such file, or if its permissions are not known.
#[must_use]
pub fn can_read(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    // They must be able to enter each folder above it.
    path.ancestors().all(|part| {
        fs::metadata(part).is_ok_and(|status| {
            let needed = if status.is_dir() { OTHERS_ENTER } else { OTHERS_READ };
            status.permissions().mode() & needed != 0
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn each_folder_on_the_way_must_let_others_in() {
        let top = std::env::temp_dir().join(format!("audit-others-{}", std::process::id()));
        let (folder, file, link) = (top.join("data"), top.join("data/log"), top.join("link"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        let may_enter = can_read(&std::env::temp_dir());
        for (top_mode, folder_mode, file_mode, of_folder, of_file) in [
            (0o755, 0o755, 0o644, true, true),
            (0o711, 0o711, 0o604, true, true),
            (0o755, 0o755, 0o640, true, false),
            (0o755, 0o750, 0o644, false, false),
            (0o755, 0o754, 0o644, false, false),
            (0o750, 0o755, 0o644, false, false),
        ] {
            for (path, mode) in [(&top, top_mode), (&folder, folder_mode), (&file, file_mode)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let found = (can_read(&folder), can_read(&file), can_read(&link));
            let (of_folder, of_file) = (of_folder && may_enter, of_file && may_enter);
            assert_eq!(found, (of_folder, of_file, of_file), "{top_mode:o} {folder_mode:o} {file_mode:o}");
        }
        assert!(!can_read(&top.join("missing")));
        fs::remove_dir_all(top).unwrap();
    }
}
