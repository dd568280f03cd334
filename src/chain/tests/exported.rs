//! A log is verified elsewhere as it is here, and a file that was changed is none.

use super::super::anchors::Anchors;
use super::super::exported::{Export, verify};
use super::*;
use crate::archive::retention::Retention;

/// The file for a log that has these rows, some of them as our own driver returns them. The last ones wait in the journal.
fn file_of(rows: &[Row], progress: &Progress, waiting: usize) -> Vec<u8> {
    let mut export = Export::begin("example.com", 1.0, [progress.clone()], &Retention::default(), None, None);
    export.place(Some(today()));
    let (stored_rows, rest) = rows.split_at(rows.len() - waiting);
    for (number, row) in stored_rows.iter().enumerate() {
        let row = stored(row);
        let element = element::of_xml(&row.xml).filter(|_| number % 2 == 1);
        export.row(&element.map_or(row.clone(), |element| crate::entry::Row { element, xml: String::new(), ..row.clone() }));
    }
    for row in rest {
        let mut payload = Vec::new();
        payload::begin(&mut payload, row.when);
        payload.extend(element::of_xml(&row.xml).unwrap_or_default());
        export.waiting(&payload);
    }
    assert_eq!(export.end([progress.clone()], None), rows.len() as u64);
    export.take()
}

fn read(mut file: &[u8]) -> Result<Verdict, String> {
    verify(&mut file, Anchors::default(), None, None).map(|of| of.verdict).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_file_is_verified_as_the_log_is(events in prop::collection::vec(given(), 1..6), waiting in any::<Index>(), gone in any::<Option<Index>>()) {
        let (mut rows, head) = log(&events);
        if let Some(gone) = gone {
            rows.remove(gone.index(rows.len()));
        }
        let file = file_of(&rows, &progress(&head), waiting.index(rows.len() + 1));
        let found = |verdict: &Verdict| verdict.findings.iter().map(|of| (of.n, of.fault)).collect::<Vec<_>>();
        let (here, elsewhere) = (verified(&rows, progress(&head)), read(&file).unwrap());
        prop_assert_eq!(found(&here), found(&elsewhere));
        prop_assert_eq!(here.verified, elsewhere.verified);
    }

    #[test]
    fn a_file_that_was_changed_is_none(events in prop::collection::vec(given(), 1..4), place in any::<Index>(), byte in any::<u8>()) {
        let (rows, head) = log(&events);
        let file = file_of(&rows, &progress(&head), 0);
        let place = place.index(file.len());
        let cut = read(&file[..place]).unwrap_err();
        prop_assert!(!cut.contains('\n'));
        let mut changed = file.clone();
        changed[place] = byte;
        if changed != file {
            // In the last line, only what is not needed can be changed.
            let end = file[..file.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
            prop_assert!(read(&changed).is_err() || place > end, "{}", String::from_utf8_lossy(&changed));
        }
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let (rows, head) = log(&[plain("a@example.com"), plain("b@example.com")]);
    let file = String::from_utf8(file_of(&rows, &progress(&head), 1)).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let without = |number: usize| {
        let rest: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != number).map(|(_, line)| *line).collect();
        format!("{}\n", rest.join("\n"))
    };
    for (text, expected) in [
        (String::new(), "it is not a file of --export-evidence"),
        ("{}\n".to_owned(), "it is not a file of --export-evidence"),
        ("{\"format\":\"x\",\"version\":1}\n".to_owned(), "it is not a file of --export-evidence"),
        (without(0), "it is not a file of --export-evidence"),
        (file.replacen("\"version\":1", "\"version\":2", 1), "it has version 2 of the format, and this program knows only 1"),
        (without(1), "it is not what was exported: its checksum does not fit"),
        (without(3), "it ends before the end of the export: it was cut off"),
        (file.trim_end().to_owned(), "it ends before the end of the export: it was cut off"),
        (file.replacen("a@example", "b@example", 1), "it is not what was exported: its checksum does not fit"),
        (file.replacen("\"key\"", "key", 1), "line 2 can't be read: it is not what was exported"),
        (file.replacen("\"@events.", "\"events.", 1), "line 2 can't be read: it is not what was exported"),
        (format!("{file}{}\n", lines[1]), "it goes on behind the end of the export"),
        (format!("{file}x"), "it ends before the end of the export: it was cut off"),
    ] {
        assert_eq!(read(text.as_bytes()).unwrap_err(), expected, "{text}");
    }
    assert_eq!(read(file.as_bytes()).unwrap().status(), 0);
    let of = |host| verify(&mut file.as_bytes(), Anchors::default(), Some(host), None);
    assert_eq!(of("example.com").unwrap().made, "1970-01-01T00:00:01Z");
    assert_eq!(of("example.net").unwrap_err().to_string(), "it is the log of example.com");
}

#[test]
fn anchors_are_compared_with_a_file() {
    let (rows, head) = log(&[plain("a@example.com")]);
    let file = file_of(&rows, &progress(&head), 0);
    for (hash, expected) in [(*head.hash(), 0), (Bytes([7; 32]), 3)] {
        let mut anchors = Anchors::default();
        anchors.read(&format!("audit-anchor:{}:{}:1:{hash}", chain().id, Bytes([2; 16])));
        let verdict = verify(&mut file.as_slice(), anchors, None, None).unwrap().verdict;
        assert_eq!((verdict.status(), verdict.compared), (expected, 1));
    }
}

#[test]
fn what_can_not_be_read_here_is_not_read_elsewhere() {
    let (rows, head) = log(&[plain("a@example.com")]);
    let mut export = Export::begin("example.com", 1.0, [progress(&head)], &Retention::default(), None, None);
    export.place(Some(today()));
    export.unreadable(0);
    export.unreadable(2);
    export.row(&crate::entry::Row { element: vec![1, b'x'], xml: String::new(), ..stored(&rows[0]) });
    export.end([progress(&head)], None);
    let verdict = read(&export.take()).unwrap();
    assert_eq!((verdict.unreadable, verdict.findings[0].fault), (2, Fault::Unreadable));
}
