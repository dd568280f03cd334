//! Erasing: what was erased is known, comes back with a backup, and names that are gone otherwise are found.

use super::*;
use crate::chain::erased::{Erased, Gone};

const NAME: Group = Group::Person(Role::Account, Aspect::Name);
const ADDRESS: Group = Group::Person(Role::Account, Aspect::Address);

fn three() -> (Vec<Row>, Head) {
    let given = |user: &str| Given {
        user: Some(format!("{user}@example.com")),
        ip: Some("203.0.113.7".to_owned()),
        client: None,
        actor: None,
        details: vec![],
    };
    log(&["romeo", "juliet", "romeo"].map(given))
}

/// The row without these groups of values, as an erasure leaves it.
fn without_groups(row: &Row, groups: &[Group]) -> Row {
    let payload = [b"0\0".as_slice(), &element::of_xml(&row.xml).unwrap()].concat();
    let (link, canon) = Link::read(Draft::of_payload(&payload).unwrap()).unwrap();
    let removed = canon.to_remove(|group| groups.contains(&group));
    let left = link.without(&canon, &removed);
    let written = without(&payload, &removed, |text| link.cut.narrow(text), |entry| left.write(entry)).unwrap();
    let with = if groups.contains(&NAME) { "@".to_owned() } else { row.with.clone() };
    Row { xml: element::to_xml(&written[2..]).unwrap(), with, ..row.clone() }
}

/// The names of these entries were erased.
fn erased_from(numbers: &[u64]) -> Erased {
    let (mut erased, mut gone) = (Erased::default(), Gone::default());
    numbers.iter().for_each(|n| gone.add(Bytes([1; 16]), *n, &[NAME].into()));
    erased.confirm(gone);
    erased
}

fn verdict(rows: &[Row], head: &Head, before: Option<&Erased>, after: Option<&Erased>) -> Verdict {
    let mut verifier = Verifier::new("example.com", [progress(head)]);
    if let Some(before) = before {
        verifier.know_erased(before.clone());
    }
    verifier.begin(Some(today()));
    rows.iter().for_each(|row| verifier.feed(&stored(row)));
    if let Some(after) = after {
        verifier.know_erased_now(after.clone());
    }
    verifier.finish()
}

#[test]
fn a_name_that_no_erasure_has_removed_is_found() {
    let (mut rows, head) = three();
    rows[1] = without_groups(&rows[1], &[NAME]);
    let nothing = Erased::default();
    let found = verdict(&rows, &head, Some(&nothing), None);
    assert_eq!((found.status(), found.findings.len()), (3, 1));
    assert_eq!((found.findings[0].fault, found.findings[0].n), (Fault::Emptied, Some(2)));
    // It was erased before, or while the log was read.
    let erased = erased_from(&[2]);
    assert_eq!(verdict(&rows, &head, Some(&erased), Some(&erased)).status(), 0);
    assert_eq!(verdict(&rows, &head, Some(&nothing), Some(&erased)).status(), 0);
    assert_eq!(verdict(&rows, &head, Some(&nothing), Some(&nothing)).status(), 3);
    // Nobody knows what was erased.
    assert_eq!(verdict(&rows, &head, None, None).status(), 0);
}

#[test]
fn an_address_may_have_expired() {
    let (mut rows, head) = three();
    rows[1] = without_groups(&rows[1], &[ADDRESS]);
    assert_eq!(verdict(&rows, &head, Some(&Erased::default()), None).status(), 0);
}

#[test]
fn what_is_there_again_is_named() {
    let (rows, head) = three();
    let erased = erased_from(&[1, 2]);
    let found = verdict(&rows, &head, Some(&erased), Some(&erased));
    assert_eq!((found.status(), found.again.clone()), (4, vec![("events".to_owned(), 1, 2)]));
    let line = "erased, and there again: events 1 to 2: the store was restored; the server erases it again when it verifies its log";
    assert!(found.lines("example.com").contains(&line.to_owned()), "{:?}", found.lines("example.com"));
}

#[test]
fn what_was_only_announced_may_be_gone_and_may_be_there() {
    let (mut rows, head) = three();
    let (mut erased, mut gone) = (Erased::default(), Gone::default());
    [1, 2].iter().for_each(|n| gone.add(Bytes([1; 16]), *n, &[NAME].into()));
    erased.announce(gone);
    rows[1] = without_groups(&rows[1], &[NAME]);
    assert_eq!(verdict(&rows, &head, Some(&erased), Some(&erased)).status(), 0);
}
