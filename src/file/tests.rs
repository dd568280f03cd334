//! What every kind of [`Files`] does.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::whole::{Durability, create, read, remove, replace, set_aside};
use super::*;

/// Runs a test on the disk and in memory, each with a folder of its own.
fn on_each(name: &str, test: impl Fn(&dyn Files, &Path)) {
    test(&Memory::default(), Path::new("/folder"));
    let folder = std::env::temp_dir().join(format!("audit-files-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    Disk.make_folder(&folder).unwrap();
    test(&Disk, &folder);
    std::fs::remove_dir_all(folder).unwrap();
}

fn content(file: &dyn OpenFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.length().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_file_is_made_once() {
    on_each("made", |files, folder| {
        let path = folder.join("a");
        assert_eq!(kind(files.open(&path, Access::Append)), ErrorKind::NotFound);
        assert_eq!((files.stamp(&path), kind(files.remove(&path))), (None, ErrorKind::NotFound));
        files.create_new(&path, Access::Append).unwrap();
        assert_eq!(kind(files.create_new(&path, Access::Append)), ErrorKind::AlreadyExists);
        assert_eq!(files.list(folder).unwrap(), ["a"].map(OsString::from));
        files.remove(&path).unwrap();
        assert!(files.list(folder).unwrap().is_empty());
    });
}

#[test]
fn appends_of_two_handles_go_to_the_end() {
    on_each("appends", |files, folder| {
        let path = folder.join("a");
        let mut one = files.create_new(&path, Access::Append).unwrap();
        let mut other = files.open(&path, Access::Append).unwrap();
        one.append(b"ab").unwrap();
        other.append(b"cd").unwrap();
        one.append(b"ef").unwrap();
        assert_eq!((content(&*one), other.length().unwrap()), (b"abcdef".to_vec(), 6));
        one.set_length(3).unwrap();
        other.append(b"x").unwrap();
        assert_eq!(content(&*one), b"abcx");
        let mut four = [0; 4];
        assert_eq!(kind(other.read_at(&mut four, 1)), ErrorKind::UnexpectedEof);
        assert_eq!((other.read_some_at(&mut four, 9).unwrap(), other.read_some_at(&mut four, 1).unwrap()), (0, 3));
        assert_eq!(&four[..3], b"bcx");
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut FileReader::new(&*other), &mut all).unwrap();
        assert_eq!(all, b"abcx");
        one.sync().unwrap();
    });
}

#[test]
fn a_file_can_be_written_anywhere() {
    on_each("anywhere", |files, folder| {
        let path = folder.join("a");
        let mut file = files.create_new(&path, Access::Write).unwrap();
        file.write_at(b"cd", 2).unwrap();
        file.write_at(b"a", 0).unwrap();
        file.append(b"e").unwrap();
        assert_eq!(content(&*file), b"a\0cde");
        file.set_length(7).unwrap();
        assert_eq!(content(&*files.open(&path, Access::Read).unwrap()), b"a\0cde\0\0");
        assert!(files.open(&path, Access::Read).unwrap().append(b"x").is_err());
    });
}

#[test]
fn an_open_file_stays_the_same_file() {
    on_each("same", |files, folder| {
        let (path, other) = (folder.join("a"), folder.join("b"));
        let mut file = files.create_new(&path, Access::Append).unwrap();
        file.append(b"old").unwrap();
        files.create_new(&other, Access::Append).unwrap().append(b"new").unwrap();
        files.rename(&other, &path).unwrap();
        file.append(b"er").unwrap();
        assert_eq!((content(&*file), read(files, &path, 9).unwrap()), (b"older".to_vec(), Some(b"new".to_vec())));
        assert!(!file.stamp().unwrap().is_same_file(&files.stamp(&path).unwrap()) && !files.is_at(&*file, &path));
        let new = files.open(&path, Access::Read).unwrap();
        assert!(files.is_at(&*new, &path) && !files.is_at(&*new, &other));
        let status = files.status(&path).unwrap();
        assert_eq!((status, status.length, status.is_plain, status.is_named), (new.status().unwrap(), 3, true, true));
        files.remove(&path).unwrap();
        assert_eq!((files.stamp(&path), content(&*file).len(), new.status().unwrap().is_named), (None, 5, false));
        assert_eq!((kind(files.status(&path)), files.is_at(&*new, &path)), (ErrorKind::NotFound, false));
    });
}

#[test]
fn folders_and_files_are_told_apart() {
    on_each("folders", |files, folder| {
        let path = folder.join("a");
        assert!(files.is_folder(folder) && files.is_missing(&path));
        files.create_new(&path, Access::Append).unwrap();
        assert!(!files.is_folder(&path) && !files.is_missing(&path));
    });
}

#[test]
fn a_second_name_is_of_the_same_file_and_never_takes_the_place_of_another() {
    on_each("linked", |files, folder| {
        let (path, other) = (folder.join("a"), folder.join("b"));
        files.create_new(&path, Access::Append).unwrap();
        files.link(&path, &other).unwrap();
        assert_eq!((files.stamp(&path), kind(files.link(&path, &other))), (files.stamp(&other), ErrorKind::AlreadyExists));
        assert_eq!(kind(files.rename(&folder.join("c"), &path)), ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_is_held_by_one_until_it_is_dropped() {
    on_each("locked", |files, folder| {
        let path = folder.join("a.lock");
        assert!(!files.is_locked(&path));
        let mut held = files.lock(&path).unwrap();
        assert!(matches!(files.lock(&path), Err(LockError::Held(held)) if held == path));
        assert!(files.is_locked(&path) && files.is_at(&*held, &path));
        held.append(b"of").unwrap();
        held.append(b" one").unwrap();
        assert_eq!(read(files, &path, 9).unwrap(), Some(b"of one".to_vec()));
        drop(held);
        assert!(!files.is_locked(&path));
        let held = files.lock(&path).unwrap();
        // The lock is of the file, not of the name.
        files.remove(&path).unwrap();
        assert!(!files.is_locked(&path) && !files.is_at(&*held, &path));
        let other = files.lock(&path).unwrap();
        drop(held);
        assert!(files.is_locked(&path) && files.is_at(&*other, &path));
    });
}

#[test]
fn a_file_is_written_whole() {
    on_each("whole", |files, folder| {
        let (path, beside) = (folder.join("a"), folder.join("a.new"));
        assert_eq!(read(files, &path, 9).unwrap(), None);
        // One that a process left there when it ended.
        files.create_new(&beside, Access::Append).unwrap();
        replace(files, &path, &beside, b"one", Durability::Relaxed).unwrap();
        replace(files, &path, &beside, b"two", Durability::Synced).unwrap();
        assert_eq!(read(files, &path, 3).unwrap(), Some(b"two".to_vec()));
        assert_eq!(kind(read(files, &path, 2)), ErrorKind::InvalidData);
        assert_eq!(kind(create(files, &path, &beside, b"three", Durability::Synced)), ErrorKind::AlreadyExists);
        create(files, &folder.join("b"), &beside, b"three", Durability::Synced).unwrap();
        assert_eq!((read(files, &folder.join("b"), 9).unwrap(), files.stamp(&beside)), (Some(b"three".to_vec()), None));
        remove(files, &path).unwrap();
        remove(files, &path).unwrap();
    });
}

#[test]
fn a_file_that_can_not_be_read_now_is_not_taken_for_missing() {
    let files = Memory::default();
    let path = Path::new("/a");
    replace(&files, path, Path::new("/a.new"), b"one", Durability::Relaxed).unwrap();
    for operation in [Operation::Open, Operation::ReadAt] {
        for error in [ErrorKind::PermissionDenied, ErrorKind::Interrupted, ErrorKind::Other] {
            files.fail(operation, error, 1);
            // A read that was interrupted is done again.
            let expected = if (operation, error) == (Operation::ReadAt, ErrorKind::Interrupted) { None } else { Some(error) };
            assert_eq!(read(&files, path, 9).err().map(|error| error.kind()), expected, "{operation:?}");
        }
    }
    // It is made by another process between two looks.
    files.fail(Operation::Open, ErrorKind::NotFound, 1);
    assert_eq!(read(&files, path, 9).unwrap(), Some(b"one".to_vec()));
}

#[test]
fn a_link_to_a_file_that_is_not_there_now_is_not_taken_for_missing() {
    let folder = std::env::temp_dir().join(format!("audit-files-{}-link", std::process::id()));
    Disk.make_folder(&folder).unwrap();
    let (link, target) = (folder.join("link"), folder.join("disk that is not mounted/file"));
    let _ = std::os::unix::fs::symlink(&target, &link);
    assert_eq!(kind(read(&Disk, &link, 9)), ErrorKind::NotFound);
    assert_eq!(read(&Disk, &target, 9).unwrap(), None);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_damaged_file_is_kept_under_another_name() {
    on_each("aside", |files, folder| {
        let (path, beside) = (folder.join("a"), folder.join("a.new"));
        for content in [b"one", b"two"] {
            replace(files, &path, &beside, content, Durability::Relaxed).unwrap();
            let aside = set_aside(files, &path).unwrap();
            assert_eq!((aside.clone(), files.is_missing(&path)), (folder.join("a.damaged"), true));
            assert_eq!(read(files, &aside, 9).unwrap(), Some(content.to_vec()), "the newest one");
        }
        assert_eq!(kind(set_aside(files, &path)), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_one_before() {
    let files = Memory::default();
    let (path, beside) = (PathBuf::from("/a"), PathBuf::from("/a.new"));
    replace(&files, &path, &beside, b"old", Durability::Relaxed).unwrap();
    for operation in [Operation::Create, Operation::Append, Operation::Sync, Operation::Rename] {
        files.fail(operation, ErrorKind::StorageFull, 1);
        assert_eq!(kind(replace(&files, &path, &beside, b"new", Durability::Synced)), ErrorKind::StorageFull, "{operation:?}");
        assert_eq!((read(&files, &path, 9).unwrap(), files.stamp(&beside)), (Some(b"old".to_vec()), None), "{operation:?}");
    }
}

#[test]
fn memory_runs_out_of_room_and_loses_what_was_not_synced() {
    let files = Memory::default();
    let mut file = files.create_new(Path::new("/a"), Access::Append).unwrap();
    files.set_room(Some(5));
    file.append(b"abc").unwrap();
    file.sync().unwrap();
    assert_eq!(kind(file.append(b"def")), ErrorKind::StorageFull);
    assert_eq!(content(&*file), b"abcde", "as much as there was room for");
    files.cut_power();
    assert_eq!(content(&*file), b"abc");
    let mut anywhere = files.open(Path::new("/a"), Access::Write).unwrap();
    anywhere.write_at(b"xyz", 0).unwrap();
    assert_eq!(kind(anywhere.write_at(b"xyz", 2)), ErrorKind::StorageFull, "only what is there can be overwritten");
    files.write_back(|path| path == Path::new("/b"));
    files.cut_power();
    assert_eq!(content(&*file), b"abc");
    anywhere.write_at(b"xyz", 0).unwrap();
    files.write_back(|_| true);
    files.cut_power();
    assert_eq!(content(&*file), b"xyz");
    files.set_room(None);
    files.fail(Operation::Append, ErrorKind::Other, 1);
    files.heal();
    file.append(b"x").unwrap();
    files.fail(Operation::Append, ErrorKind::Other, 2);
    assert!(file.append(b"x").is_err() && file.append(b"x").is_err() && file.append(b"x").is_ok());
}
