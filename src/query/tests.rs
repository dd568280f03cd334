//! Tests of queries, with a store in memory.

use super::*;
use crate::archive::retention::{RetentionClass, Rules, TypePattern};
use crate::filter::pattern::Pattern;
use crate::time::date_time;
use crate::time::period::Period;
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const NOON: f64 = 1_795_521_600.0;

/// Archive user nil of another driver, in a [`Store`].
const FORMER: &str = "former";

impl Page {
    fn archive_user(&self) -> Option<String> {
        match &self.from {
            ReadFrom::Store(partition) => partition.clone(),
            ReadFrom::Former => Some(FORMER.to_owned()),
            ReadFrom::Journal => panic!("no partition"),
        }
    }
}

/// Rows by archive user, oldest first.
#[derive(Clone, Debug, Default)]
struct Store(BTreeMap<Option<String>, Vec<Row>>);

impl Store {
    fn new(rows: &[(Option<&str>, usize, f64, Option<&str>)]) -> Self {
        let mut store = Self::default();
        for (partition, number, when, with) in rows {
            store.add(*partition, row(*number, *when, *with));
        }
        store
    }

    fn add(&mut self, partition: Option<&str>, row: Row) {
        self.0.entry(partition.map(ToOwned::to_owned)).or_default().push(row);
    }

    /// The partition that takes the next entry of a class.
    fn partition(&self, class: &str, when: f64, room: usize) -> String {
        let mut partition = Partition::new(class, when);
        while self.0.get(&Some(partition.to_string())).is_some_and(|rows| rows.len() >= room) {
            partition = partition.next();
        }
        partition.to_string()
    }

    /// A page as a driver gives it. A partition's page may begin at a time, as on the embedded driver of 13.
    fn page(&self, page: &Page, journal: &[Row]) -> Vec<Row> {
        let rows = match &page.from {
            ReadFrom::Store(partition) => self.0.get(partition).map(Vec::as_slice).unwrap_or_default(),
            ReadFrom::Former => self.0.get(&page.archive_user()).map(Vec::as_slice).unwrap_or_default(),
            ReadFrom::Journal => journal,
        };
        let mut rows: Vec<&Row> = rows.iter().filter(|row| page.with.is_none() || row.with == page.with).collect();
        if !page.oldest_first {
            rows.reverse();
        }
        if let (ReadFrom::Store(Some(_)), Some(near)) = (&page.from, page.near.or(page.bound)) {
            rows.retain(|row| if page.oldest_first { row.when >= near - 1.0 } else { row.when <= near + 1.0 });
        }
        let behind = page.behind.as_ref().map_or(0, |key| rows.iter().position(|row| row.key == *key).unwrap() + 1);
        rows[behind..].iter().take(page.limit).map(|row| (*row).clone()).collect()
    }

    fn query(&self, request: Request, expires_after: Period, journal: &[Row]) -> Query {
        let retention = Retention::new(Rules { expires_after, ..Rules::default() }, Vec::new());
        self.query_kept(request, retention, journal)
    }

    fn query_kept(&self, request: Request, retention: Retention, journal: &[Row]) -> Query {
        let conditions = Conditions { retention, now: NOON, slice: Some(0.01), seeks: Seeks::Nothing };
        Query::new(request, conditions, self.0.keys().flatten().cloned(), journal.first().map(|row| row.when))
    }

    /// Reads as the embedded Lua does: the event types found, and how many pages it took.
    fn read(&self, request: Request, expires_after: Period, journal: &[Row]) -> (Vec<String>, Query, usize) {
        self.read_all(self.query(request, expires_after, journal), journal)
    }

    fn read_all(&self, mut query: Query, journal: &[Row]) -> (Vec<String>, Query, usize) {
        let (mut found, mut pages) = (Vec::new(), 0);
        while let Some(page) = query.next_page() {
            pages += 1;
            query.feed(&page, self.page(&page, journal), 0, 0.001);
            while !query.is_taken() {
                found.extend(query.take().into_iter().map(|event| event.kind));
            }
        }
        (found, query, pages)
    }

    fn kinds(&self, request: Request) -> Vec<String> {
        self.read(request, Period::Never, &[]).0
    }
}

fn id(number: usize, when: f64) -> Uuid {
    let milliseconds = (when * 1000.0) as u64 + number as u64 % 1000;
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &(number as u128).to_be_bytes()[6..].try_into().unwrap()).into_uuid()
}

fn row(number: usize, when: f64, with: Option<&str>) -> Row {
    Row {
        key: format!("k{number}"),
        when,
        with: with.map(ToOwned::to_owned),
        xml: format!("<audit-event type='t{number}'/>"),
        ..Row::default()
    }
}

fn row_with_id(number: usize, when: f64, with: Option<&str>) -> Row {
    Row { xml: format!("<audit-event type='t{number}' id='{}'/>", id(number, when)), ..row(number, when, with) }
}

/// What stands for events of some accounts.
fn summary(number: usize, when: f64, users: &[&str], others: bool) -> Row {
    let often: String = users.iter().map(|user| format!("<often user='{user}' count='2'/>")).collect();
    let names = if others { "<names/>" } else { "" };
    let xml =
        format!("<audit-event type='t{number}'><repeated count='9' accounts='{}'>{often}{names}</repeated></audit-event>", users.len());
    Row { xml, ..row(number, when, Some("@")) }
}

#[test]
fn summaries_that_include_an_account_are_found_with_its_own_entries() {
    let mut store = Store::default();
    let day = "@events.2026-11-24";
    store.add(Some(day), row(0, NOON - 50.0, Some("juliet@example.com")));
    store.add(Some(day), summary(1, NOON - 40.0, &["romeo@example.com", "juliet@example.com"], false));
    store.add(Some(day), summary(2, NOON - 30.0, &["romeo@example.com", "nurse@example.com"], false));
    store.add(Some(day), row(3, NOON - 20.0, Some("@")));
    store.add(Some(day), summary(4, NOON - 10.0, &["romeo@example.com"], true));
    store.add(Some(day), row(5, NOON - 5.0, Some("juliet@example.com")));
    for (users, global, expected) in [
        (juliet(), None, vec!["t5", "t4", "t1", "t0"]),
        (juliet(), Some(false), vec!["t5", "t0"]),
        (juliet(), Some(true), vec!["t4", "t1"]),
        (vec![Pattern::new("j*")], None, vec!["t5", "t4", "t1", "t0"]),
        (vec![Pattern::new("nurse@example.com")], None, vec!["t4", "t2"]),
    ] {
        let request = filtered(|filter| (filter.users, filter.global) = (users.clone(), global));
        assert_eq!(store.read(request, Period::Never, &[]).0, expected, "{users:?} {global:?}");
    }
    // So it is where everything lies in one archive, and in the journal.
    let rows: Vec<Row> = store.0.remove(&Some(day.to_owned())).unwrap();
    let of_juliet = || filtered(|filter| filter.users = juliet());
    assert_eq!(Store::default().read(of_juliet(), Period::Never, &rows).0, ["t5", "t4", "t1", "t0"]);
    for row in rows {
        store.add(None, row);
    }
    assert_eq!(store.read(of_juliet(), Period::Never, &[]).0, ["t5", "t4", "t1", "t0"]);
}

fn all() -> Request {
    Request { filter: Filter { host: "example.com".to_owned(), ..Filter::default() }, ..Request::default() }
}

fn filtered(change: impl FnOnce(&mut Filter)) -> Request {
    let mut request = all();
    change(&mut request.filter);
    request
}

fn juliet() -> Vec<Pattern> {
    vec![Pattern::new("juliet@example.com")]
}

#[test]
fn partitions_and_the_old_archive_are_one_log() {
    let store = Store::new(&[
        (None, 1, NOON - 3.0 * DAY, Some("juliet")),
        (Some("@events.2026-11-22"), 2, NOON - 2.0 * DAY, Some("@")),
        (None, 3, NOON - 1.5 * DAY, Some("juliet@example.com")),
        (Some("@events.2026-11-23"), 4, NOON - DAY, Some("romeo@example.com")),
        (Some("@events.2026-11-24"), 5, NOON - 60.0, None),
        (Some("@events.2026-11-24.2"), 6, NOON - 59.0, Some("juliet@example.com")),
        (Some("someone"), 7, NOON, None),
    ]);
    assert_eq!(store.kinds(all()), ["t6", "t5", "t4", "t3", "t2", "t1"]);
    assert_eq!(store.kinds(Request { oldest_first: true, ..all() }), ["t1", "t2", "t3", "t4", "t5", "t6"]);
    assert_eq!(store.kinds(Request { limit: Some(2), ..all() }), ["t6", "t5"]);
    assert_eq!(store.kinds(Request { limit: Some(2), oldest_first: true, ..all() }), ["t1", "t2"]);
    assert_eq!(store.kinds(filtered(|filter| filter.global = Some(true))), ["t2"], "the driver is asked for @");
    assert_eq!(store.kinds(filtered(|filter| filter.global = Some(false))), ["t6", "t4", "t3", "t1"]);
    assert_eq!(store.kinds(filtered(|filter| filter.users = juliet())), ["t6", "t3", "t1"]);
    let one = Request { limit: Some(1), ..filtered(|filter| filter.users = juliet()) };
    assert_eq!(store.kinds(one), ["t6"], "the limit counts what is wanted");
    let since = |time| filtered(|filter| filter.since = Some(time));
    assert_eq!(store.kinds(since(NOON - 1.5 * DAY)), ["t6", "t5", "t4", "t3"]);
    assert_eq!(store.kinds(filtered(|filter| filter.until = Some(NOON - DAY))), ["t3", "t2", "t1"]);
    assert_eq!(store.read(all(), Period::Seconds(1.2 * DAY), &[]).0, ["t6", "t5", "t4"]);
}

#[test]
fn each_class_expires_by_itself_wherever_its_entries_lie() {
    let mut store = Store::new(&[
        (Some("@short.2026-11-22"), 2, NOON - 2.0 * DAY, None),
        (Some("@long.2026-11-22"), 3, NOON - 2.0 * DAY, None),
        (Some("@gone.2026-11-22"), 4, NOON - 2.0 * DAY + 1.0, None),
        (Some("@short.2026-11-23"), 5, NOON - DAY - 60.0, None),
        (Some("@short.2026-11-23"), 6, NOON - DAY + 60.0, None),
    ]);
    for (number, event_type, days) in [(7, "long-a", 2.5), (8, "short-a", 2.5), (9, "other", 2.5), (10, "short-b", 0.5)] {
        let xml = format!("<audit-event type='{event_type}'/>");
        store.add(None, Row { xml, ..row(number, NOON - days * DAY, None) });
    }
    let days = |days: f64| Rules { expires_after: Period::Seconds(days * DAY), ..Rules::default() };
    let class = |name: &str, rules| {
        let types = TypePattern::new(&format!("{name}-*")).into_iter().collect();
        RetentionClass { name: name.to_owned(), types, rules }
    };
    let retention = Retention::new(days(2.0), vec![class("short", days(1.0)), class("long", days(10.0))]);
    let found = |request| store.read_all(store.query_kept(request, retention.clone(), &[]), &[]).0;
    assert_eq!(found(all()), ["short-b", "t6", "t4", "t3", "long-a"]);
    let long = filtered(|filter| filter.classes = vec![Pattern::new("l*")]);
    assert_eq!(found(long), ["t3", "long-a"]);
}

#[test]
fn an_event_that_was_recorded_late_is_found_by_the_time_it_happened() {
    let mut store = Store::default();
    let hour = 3600.0;
    // The last two: the clock was set back by two hours.
    for (number, when, happened) in [(1, 5.0, 5.0), (2, 4.0, 4.0), (3, 3.0, 6.0), (4, 3.0, 5.0), (5, 3.0, 4.5)] {
        let occurred = date_time(NOON - happened * hour).unwrap();
        let row = row_with_id(number, NOON - when * hour, None);
        store.add(Some("@events.2026-11-24"), Row { xml: row.xml.replace("/>", &format!(" occurred='{occurred}'/>")), ..row });
    }
    for oldest_first in [false, true] {
        let found = |since: Option<f64>, until: Option<f64>| {
            let time = |ago: Option<f64>| ago.map(|ago| NOON - ago * hour);
            let wanted = filtered(|filter| (filter.since, filter.until) = (time(since), time(until)));
            let mut kinds = store.kinds(Request { oldest_first, ..wanted });
            kinds.sort();
            kinds
        };
        assert_eq!(found(None, Some(4.0)), ["t1", "t3", "t4", "t5"]);
        assert_eq!(found(Some(4.7), Some(3.9)), ["t2", "t5"]);
        assert_eq!(found(Some(6.5), None), ["t1", "t2", "t3", "t4", "t5"]);
    }
}

/// Reads a store that writes everything again under other keys after each page, and removes the row that was read last.
#[test]
fn a_row_that_is_gone_ends_no_reading() {
    for (class, oldest_first, grain) in
        [(true, false, 1), (true, true, 1), (true, false, 40), (true, true, 40), (false, false, 40), (false, true, 1)]
    {
        let mut store = Store::default();
        let partition = class.then_some("@events.2026-11-24");
        let when = |number: usize| NOON - 500.0 + (number / grain) as f64;
        (0..300).for_each(|number| store.add(partition, row_with_id(number, when(number), None)));
        let mut query = store.query(Request { oldest_first, ..all() }, Period::Never, &[]);
        let (mut found, mut lost) = (Vec::new(), 0);
        while let Some(page) = query.next_page() {
            let rows = &store.0.get(&page.archive_user()).cloned().unwrap_or_default();
            if page.behind.as_ref().is_some_and(|key| rows.iter().all(|row| row.key != *key)) {
                lost += 1;
                query.lost_place(&page);
                continue;
            }
            let read = store.page(&page, &[]);
            if lost < 4 && page.archive_user().as_deref() == partition {
                let last = read.last().map(|row| row.key.clone());
                let rows = store.0.get_mut(&page.archive_user()).unwrap();
                rows.retain(|row| Some(&row.key) != last.as_ref());
                rows.iter_mut().for_each(|row| row.key += "x");
            }
            query.feed(&page, read, 0, 0.001);
            found.extend(query.take().into_iter().map(|event| event.kind));
        }
        let expected: Vec<String> = (0..300).map(|number| format!("t{}", if oldest_first { number } else { 299 - number })).collect();
        assert_eq!(found, expected, "{class} {oldest_first} {grain}");
        assert_eq!((lost > 1, query.damaged().count), (true, 0), "{class} {oldest_first} {grain}: {lost}");
    }
}

#[test]
fn a_store_that_never_keeps_a_key_ends_a_reading_and_is_named() {
    let mut store = Store::default();
    (0..300).for_each(|number| store.add(Some("@events.2026-11-24"), row_with_id(number, NOON - 300.0 + number as f64, None)));
    let mut query = store.query(all(), Period::Never, &[]);
    let mut pages = 0;
    while let Some(page) = query.next_page() {
        pages += 1;
        if page.behind.is_some() {
            query.lost_place(&page);
        } else {
            // A driver that does not seek.
            let rows = store.page(&Page { near: None, bound: None, ..page.clone() }, &[]);
            query.feed(&page, rows, 0, 0.001);
        }
    }
    assert_eq!((pages < 50, query.damaged().count), (true, 1), "{pages}");
    assert_eq!(query.damaged().places, ["@events.2026-11-24 was written again and again while it was read"]);
}

#[test]
fn what_another_driver_holds_under_nil_is_shown_once_though_it_is_moved_meanwhile() {
    for (oldest_first, moved_at) in [(true, 1), (false, 1), (true, 3), (false, 3), (true, 1000)] {
        let mut store = Store::default();
        let rows: Vec<Row> = (0..300).map(|number| row(number, NOON - 500.0 + number as f64, None)).collect();
        rows.iter().cloned().for_each(|row| store.add(Some(FORMER), row));
        store.add(None, row(300, NOON - 600.0, None));
        let conditions = Conditions { retention: Retention::default(), now: NOON, slice: Some(0.01), seeks: Seeks::Nothing };
        let mut query = Query::new(Request { oldest_first, ..all() }, conditions, [], None).with_former();
        let (mut found, mut pages) = (Vec::new(), 0);
        while let Some(page) = query.next_page() {
            pages += 1;
            assert!(pages < 100);
            if pages == moved_at {
                let rows = store.0.remove(&Some(FORMER.to_owned())).unwrap();
                rows.into_iter().for_each(|row| store.add(Some("@old-events.2026-11-24.100001"), row));
            }
            let known = store.0.get(&page.archive_user()).map(Vec::as_slice).unwrap_or_default();
            let is_gone = page.behind.as_ref().is_some_and(|key| known.iter().all(|row| row.key != *key));
            if page.from == ReadFrom::Former && known.is_empty() {
                query.moved(&page, store.0.keys().flatten().cloned());
            }
            if is_gone {
                query.lost_place(&page);
            } else {
                query.feed(&page, store.page(&page, &[]), 0, 0.001);
            }
            found.extend(query.take().into_iter().map(|event| event.kind));
        }
        let mut expected: Vec<String> = std::iter::once(300).chain(0..300).map(|number| format!("t{number}")).collect();
        if !oldest_first {
            expected.reverse();
        }
        assert_eq!(found, expected, "{oldest_first} {moved_at}");
    }
}

#[test]
fn of_one_second_the_newer_id_is_the_newer_entry() {
    let mut store = Store::default();
    for (class, number) in [("events", 1), ("failures", 2), ("events", 3), ("accounts", 4), ("failures", 5), ("events", 6)] {
        store.add(Some(&Partition::new(class, NOON).to_string()), row_with_id(number, NOON, None));
    }
    assert_eq!(store.kinds(all()), ["t6", "t5", "t4", "t3", "t2", "t1"]);
    assert_eq!(store.kinds(Request { limit: Some(2), ..all() }), ["t6", "t5"]);
}

#[test]
fn entries_in_the_journal_are_shown_once() {
    let mut store = Store::default();
    for number in 1..=2 {
        store.add(Some("@events.2026-11-24"), row_with_id(number, NOON - 3.0 + number as f64, None));
    }
    let journal = [row_with_id(2, NOON - 1.0, None), row_with_id(3, NOON - 1.0, None)];
    assert_eq!(store.read(all(), Period::Never, &journal).0, ["t3", "t2", "t1"]);
    assert_eq!(store.read(Request { oldest_first: true, ..all() }, Period::Never, &journal).0, ["t1", "t2", "t3"]);
}

#[test]
fn the_upkeep_of_the_log_is_counted_apart_and_uses_up_no_limit() {
    let mut store = Store::default();
    let kinds = ["audit-queried", "a", "audit-pruned", "b", "audit-exported", "audit-options-changed", "audit-queried"];
    let kind = |row: Row, kind: &str| Row { xml: row.xml.replacen(&format!("'t{}'", &row.key[1..]), &format!("'{kind}'"), 1), ..row };
    for (number, name) in kinds.iter().enumerate() {
        store.add(Some("@events.2026-11-24"), kind(row_with_id(number, NOON - 20.0 + number as f64, None), name));
    }
    // This one is in the store, too.
    let journal = [kind(row_with_id(6, NOON - 14.0, None), "audit-queried")];
    let hidden = |limit, types: &[&str]| {
        let types = types.iter().map(|name| Pattern::new(name)).collect();
        let request = Request { limit, ..filtered(|filter| (filter.hides_housekeeping, filter.types) = (true, types)) };
        let (found, mut query, _) = store.read(request, Period::Never, &journal);
        (found, query.take_hidden().into_iter().map(|event| event.kind).collect::<Vec<_>>())
    };
    let all = (vec!["audit-options-changed", "b", "a"], vec!["audit-queried", "audit-exported", "audit-pruned", "audit-queried"]);
    for (limit, shown, passed) in [(None, 3, 4), (Some(1), 1, 1), (Some(2), 2, 2), (Some(3), 3, 3)] {
        let (found, hidden) = hidden(limit, &[]);
        assert_eq!((found, hidden), (own(&all.0[..shown]), own(&all.1[..passed])), "{limit:?}");
    }
    assert_eq!(hidden(Some(2), &["audit-*"]), (own(&["audit-queried", "audit-options-changed"]), Vec::new()));
    // Whoever does not ask for it to be hidden gets all.
    assert_eq!(store.read(self::all(), Period::Never, &journal).0.len(), kinds.len());
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_day_is_only_opened_when_it_is_needed() {
    let days: Vec<String> = (10..=24).map(|day| format!("@events.2026-11-{day}")).collect();
    let rows: Vec<_> = days.iter().enumerate().map(|(n, day)| (Some(day.as_str()), n, NOON - DAY * (14 - n) as f64, None)).collect();
    let store = Store::new(&rows);
    let (found, _, pages) = store.read(Request { limit: Some(1), ..all() }, Period::Never, &[]);
    assert_eq!((found.as_slice(), pages), (["t14".to_owned()].as_slice(), 2), "today and the old archive");
    let midnight = NOON - DAY / 2.0 - 5.0 * DAY;
    let day = filtered(|filter| (filter.since, filter.until) = (Some(midnight), Some(midnight + DAY)));
    for oldest_first in [false, true] {
        let (found, _, pages) = store.read(Request { oldest_first, ..day.clone() }, Period::Never, &[]);
        assert_eq!((found.as_slice(), pages), (["t9".to_owned()].as_slice(), 2), "that day and the old archive");
    }
    let class = filtered(|filter| filter.classes = vec![Pattern::new("accounts")]);
    assert_eq!(store.read(class, Period::Never, &[]).2, 1, "the old archive");
}

/// Where one class has what is wanted, the other is read as far as that and no further.
#[test]
fn classes_are_read_side_by_side() {
    let mut rows = Vec::new();
    let days: Vec<String> = (10..=24).flat_map(|day| [format!("@events.2026-11-{day}"), format!("@failures.2026-11-{day}")]).collect();
    for (n, day) in days.iter().enumerate() {
        let when = NOON - DAY * (14 - n / 2) as f64;
        rows.push((Some(day.as_str()), n, when, Some(if day.starts_with("@e") { "juliet@example.com" } else { "mallory@example.com" })));
    }
    let store = Store::new(&rows);
    let wanted =
        |request: Request| Request { limit: Some(1), filter: Filter { types: vec![Pattern::new("t15")], ..request.filter }, ..request };
    for (oldest_first, needed) in [(false, 18), (true, 18)] {
        let (found, _, pages) = store.read(Request { oldest_first, ..wanted(all()) }, Period::Never, &[]);
        assert_eq!(found, ["t15"]);
        assert!(pages <= needed, "{pages} pages, oldest first: {oldest_first}");
    }
}

#[test]
fn a_class_without_anything_wanted_is_read_no_further_than_the_others() {
    let mut store = Store::default();
    for number in 0..2000 {
        let (class, kind) = if number % 2 == 0 { ("events", "other") } else { ("failures", "wanted") };
        let xml = format!("<audit-event type='{kind}'/>");
        store.add(Some(&format!("@{class}.2026-11-24")), Row { xml, ..row(number, NOON - 2000.0 + number as f64, None) });
    }
    for oldest_first in [false, true] {
        let wanted = filtered(|filter| filter.types = vec![Pattern::new("wanted")]);
        let (found, _, pages) = store.read(Request { limit: Some(20), oldest_first, ..wanted }, Period::Never, &[]);
        assert_eq!((found.len(), pages), (20, 3), "one page of each class and of the old archive");
    }
}

/// Where the partitions of a day are many, what is known of one says what the next can hold.
#[test]
fn of_a_day_in_many_partitions_a_page_of_each_class_is_held() {
    let mut store = Store::default();
    for number in 0..4000 {
        let (class, when) = (["events", "failures"][number % 2], NOON - 4000.0 + number as f64);
        store.add(Some(&store.partition(class, when, 100)), row_with_id(number, when, None));
    }
    for oldest_first in [false, true] {
        let mut query = store.query(Request { oldest_first, ..all() }, Period::Never, &[]);
        let (mut held, mut most, mut found) = (0usize, 0, 0);
        while let Some(page) = query.next_page() {
            let rows = store.page(&page, &[]);
            held += rows.len();
            query.feed(&page, rows, 0, 0.001);
            while !query.is_taken() {
                let taken = query.take().len();
                (held, found) = (held - taken, found + taken);
            }
            most = most.max(held);
        }
        assert_eq!((found, held), (4000, 0));
        assert!(most <= 300, "{most} are held, oldest first: {oldest_first}");
        let since = Filter { since: Some(NOON - 150.0), ..all().filter };
        let (found, _, pages) = store.read(Request { filter: since, limit: Some(200), ..all() }, Period::Never, &[]);
        assert!(found.len() == 150 && pages <= 7, "{pages} pages for {} entries", found.len());
    }
}

#[test]
fn a_damaged_entry_is_counted_and_passed_over() {
    let mut store = Store::new(&[(None, 1, NOON, None), (None, 2, NOON - 1.0, None), (None, 3, NOON - 2.0, None)]);
    store.0.get_mut(&None).unwrap()[1].xml = "<audit-event".to_owned();
    let (found, query, _) = store.read(all(), Period::Never, &[]);
    assert_eq!(found, ["t1", "t3"]);
    assert_eq!(*query.damaged(), Damaged { count: 1, places: vec!["the archive of an older log, key \"k2\"".to_owned()] });
}

/// All entries, each with where it lies.
type Entries = Vec<(Option<String>, Row)>;

/// Entries as a writer leaves them: in each partition the time never goes back, whatever the clock did.
fn logs() -> impl Strategy<Value = (Store, Vec<Row>, Entries)> {
    let entry = (0usize..5, 0u32..5 * 86_400, 0usize..4, any::<bool>(), prop::option::of(0u32..100_000));
    (prop::collection::vec(entry, 0..150), 1u32..5000, 1usize..40).prop_map(|(entries, grain, room)| {
        let withs = [None, Some("@"), Some("juliet@example.com"), Some("romeo@example.com")];
        let mut entries = entries;
        entries.sort_by_key(|(_, ago, ..)| u32::MAX - ago);
        let (mut store, mut journal, mut rows) = (Store::default(), Vec::new(), Vec::new());
        let waits_from = NOON - 3600.0;
        for (number, (class, ago, with, has_id, late)) in entries.iter().enumerate() {
            // Some seconds have many entries.
            let when = NOON - f64::from(ago / grain * grain);
            let class = ["", "events", "failures", "accounts", "events"][*class];
            let has_id = *has_id || !class.is_empty();
            let mut row = if has_id { row_with_id(number, when, withs[*with]) } else { row(number, when, withs[*with]) };
            // It was recorded later than it happened, or the clock had been set back.
            if let Some(late) = late {
                let occurred = date_time(when - f64::from(*late)).unwrap();
                row.xml = row.xml.replace("/>", &format!(" occurred='{occurred}'/>"));
            }
            let partition = (!class.is_empty()).then(|| store.partition(class, when, room));
            if class == "events" && when > waits_from {
                journal.push(row.clone());
                if number % 3 > 0 {
                    rows.push((Some("journal".to_owned()), row));
                    continue;
                }
            }
            store.add(partition.as_deref(), row.clone());
            rows.push((partition, row));
        }
        (store, journal, rows)
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let range = (prop::option::of(0u32..6 * 86_400), prop::option::of(0u32..6 * 86_400));
    let who = (prop::option::of(any::<bool>()), 0usize..4);
    (range, who, prop::option::of(0usize..200), any::<bool>(), (0usize..3, 0usize..3), any::<bool>()).prop_map(
        |((since, until), (global, users), limit, oldest_first, (types, excluded), of_class)| {
            let users = [vec![], vec!["juliet@example.com"], vec!["*@example.com"], vec!["j*", "romeo@example.com"]][users].clone();
            let types = [vec![], vec!["*1*"], vec!["t1*", "t2*"]][types].clone();
            let excluded_types = [vec![], vec!["*2*"], vec!["t10", "t3*"]][excluded].iter().map(|text| Pattern::new(text)).collect();
            let filter = Filter {
                host: "example.com".to_owned(),
                since: since.map(|ago| NOON - f64::from(ago)),
                until: until.map(|ago| NOON - f64::from(ago)),
                users: users.into_iter().map(Pattern::new).collect(),
                types: types.into_iter().map(Pattern::new).collect(),
                excluded_types,
                classes: if of_class { vec![Pattern::new("fail*"), Pattern::new("events")] } else { vec![] },
                global,
                ..Filter::default()
            };
            Request { filter, oldest_first, limit, after: None }
        },
    )
}

/// What is wanted, by reading everything: kind and place, in order.
fn naive(rows: &[(Option<String>, Row)], request: &Request, cutoff: f64) -> Vec<(String, Position)> {
    let filter = &request.filter;
    let mut wanted: Vec<(String, Position)> = rows
        .iter()
        .filter(|(partition, row)| {
            let class =
                partition.as_ref().and_then(|name| name.parse::<Partition>().ok()).map_or("events".to_owned(), |partition| partition.class);
            let with = row.with.as_deref().unwrap_or("@");
            let event = StoredEvent::read(row).unwrap();
            let (kind, time) = (event.kind, crate::filter::position(event.time, row.when));
            row.when >= cutoff
                && filter.since.is_none_or(|since| time >= since)
                && filter.until.is_none_or(|until| time < until)
                && filter.global.is_none_or(|global| global == (with == "@"))
                && (filter.users.is_empty() || with != "@" && filter.users.iter().any(|user| user.matches(with)))
                && (filter.types.is_empty() || filter.types.iter().any(|wanted| wanted.matches(&kind)))
                && !filter.excluded_types.iter().any(|excluded| excluded.matches(&kind))
                && (filter.classes.is_empty() || filter.classes.iter().any(|wanted| wanted.matches(&class)))
        })
        .map(|(_, row)| (StoredEvent::read(row).unwrap().kind, Position::of(row)))
        .collect();
    wanted.sort_by(|a, b| in_order(request.oldest_first, &a.1, &b.1));
    wanted
}

proptest! {
    #[test]
    fn a_query_finds_the_same_as_a_naive_one((store, journal, rows) in logs(), request in requests(), days in prop::option::of(1u32..6)) {
        // The driver is asked for "@", and does not give what has nothing there: the log always has something.
        prop_assume!(request.filter.global != Some(true) || rows.iter().all(|(_, row)| row.with.is_some()));
        let expires_after = days.map_or(Period::Never, |days| Period::Seconds(f64::from(days) * DAY));
        let wanted = naive(&rows, &request, expires_after.cutoff(NOON).unwrap_or(f64::NEG_INFINITY));
        let limit = request.limit.unwrap_or(usize::MAX);
        let (found, query, _) = store.read(request, expires_after, &journal);
        prop_assert_eq!(query.damaged().count, 0);
        prop_assert_eq!(found, wanted.into_iter().map(|(kind, _)| kind).take(limit).collect::<Vec<_>>());
    }

    /// The archive of the community's modules and the journal are in the order of writing, whatever the clock did.
    #[test]
    fn entries_are_found_although_the_clock_was_set_back(entries in prop::collection::vec(0u32..2 * 86_400, 0..300), split in 0usize..300, (since, until) in (0u32..2 * 86_400, 0u32..2 * 86_400), oldest_first in any::<bool>()) {
        let mut entries = entries;
        entries.sort_by_key(|ago| u32::MAX - ago);
        let (mut store, mut journal, mut wanted) = (Store::default(), Vec::new(), Vec::new());
        let request = filtered(|filter| (filter.since, filter.until) = (Some(NOON - f64::from(since.max(until)) - 1.0), Some(NOON - f64::from(since.min(until)))));
        for (number, ago) in entries.iter().enumerate() {
            let when = NOON - f64::from(*ago) - if number >= split { 80_000.0 } else { 0.0 };
            let row = row_with_id(number, when, None);
            if request.filter.since.is_some_and(|since| when >= since) && request.filter.until.is_some_and(|until| when < until) {
                wanted.push(format!("t{number}"));
            }
            if number % 3 == 0 { journal.push(row) } else { store.add(None, row) }
        }
        let (mut found, ..) = store.read(Request { oldest_first, ..request }, Period::Never, &journal);
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn pages_are_the_log_whatever_arrives_meanwhile((store, journal, rows) in logs(), request in requests(), size in 1usize..40) {
        prop_assume!(request.filter.global != Some(true) || rows.iter().all(|(_, row)| row.with.is_some()));
        let wanted = naive(&rows, &request, f64::NEG_INFINITY);
        let mut store = store;
        let mut request = Request { limit: Some(size), ..request };
        let (mut found, mut arrived) = (Vec::new(), 0);
        loop {
            let (page, query, _) = store.read(request.clone(), Period::Never, &journal);
            let is_last = page.len() < size;
            found.extend(page);
            // The next page begins where a person says, by a text.
            request.after = query.last().map(|place| place.to_string().parse().unwrap()).or(request.after);
            if is_last || !request.oldest_first && arrived > 400 {
                break;
            }
            if !request.oldest_first {
                arrived += 1;
                store.add(Some("@failures.2026-11-24"), row_with_id(1000 + arrived, NOON + 1.0, Some("juliet@example.com")));
            }
        }
        prop_assert_eq!(found, wanted.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>());
    }
}

#[test]
fn a_page_is_as_small_as_what_is_done_with_it_needs() {
    let mut log = Store::default();
    for number in 0..2000 {
        log.add(Some("@events.2026-11-24"), row(number, NOON + number as f64 / 10.0, None));
    }
    let sizes = |used: f64| {
        let mut query = log.query(Request::default(), Period::Never, &[]);
        let mut sizes = Vec::new();
        while let Some(page) = query.next_page() {
            sizes.push(page.limit);
            query.feed(&page, log.page(&page, &[]), 0, 0.001);
            while !query.is_taken() {
                let count = query.take().len();
                query.use_took(used * count as f64);
            }
        }
        sizes
    };
    assert!(sizes(0.000_01).contains(&200));
    // At most 0.01 seconds.
    assert!(sizes(0.000_1).iter().skip(5).all(|size| *size <= 100), "{:?}", sizes(0.000_1));
}

#[test]
fn what_is_used_in_batches_is_taken_in_small_ones_from_large_pages() {
    let mut log = Store::default();
    for number in 0..2000 {
        // Entries of three classes take turns, so that those of one wait for those of another.
        let partition = ["@events.2026-11-24", "@failures.2026-11-24", "@logins.2026-11-24"][number % 3];
        log.add(Some(partition), row(number, NOON + number as f64 / 10.0, None));
    }
    let batches = |used: f64| {
        let mut query = log.query(Request::default(), Period::Never, &[]).in_batches(0.01);
        let (mut pages, mut batches) = (Vec::new(), Vec::new());
        while let Some(page) = query.next_page() {
            pages.push(page.limit);
            query.feed(&page, log.page(&page, &[]), 0, 0.001);
            while !query.is_taken() {
                let count = query.take().len();
                batches.push(count);
                query.use_took(used * count as f64);
            }
        }
        assert_eq!(batches.iter().sum::<usize>(), 2000);
        assert!(pages.iter().skip(3).all(|limit| *limit == 200), "reading is not slower for it: {pages:?}");
        batches
    };
    assert!(batches(0.000_01).contains(&200));
    // At most 0.01 seconds.
    assert!(batches(0.000_1).iter().all(|size| *size <= 100), "{:?}", batches(0.000_1));
    assert!(batches(0.000_5).iter().skip(1).all(|size| *size <= 20), "{:?}", batches(0.000_5));
}

#[test]
fn a_second_of_a_flood_is_found_batch_by_batch() {
    let mut log = Store::default();
    for number in 0..3000 {
        log.add(Some(["@events.2026-11-24", "@failures.2026-11-24"][number % 2]), row_with_id(number, NOON, None));
    }
    let oldest_first = Request { oldest_first: true, ..Request::default() };
    let mut query = log.query(oldest_first, Period::Never, &[]).in_batches(0.01);
    let mut ids = Vec::new();
    while let Some(page) = query.next_page() {
        query.feed(&page, log.page(&page, &[]), 0, 0.0);
        while !query.is_taken() {
            assert!(query.found.len() <= 200, "{} entries are dealt with at once", query.found.len());
            ids.extend(query.take().into_iter().filter_map(|event| event.id));
        }
    }
    assert_eq!(ids.len(), 3000);
    assert!(ids.is_sorted());
}

#[test]
fn what_is_left_of_a_second_is_freed_step_by_step() {
    let mut log = Store::default();
    for number in 0..1000 {
        log.add(Some("@events.2026-11-24"), row_with_id(number, NOON, None));
    }
    let mut query = log.query(Request { limit: Some(10), ..Request::default() }, Period::Never, &[]);
    while let Some(page) = query.next_page() {
        query.feed(&page, log.page(&page, &[]), 0, 0.0);
    }
    assert_eq!(query.take().len(), 10);
    let mut steps = 1;
    while !query.release(200) {
        steps += 1;
    }
    assert_eq!(steps, 5, "all entries of the second were read, to find the newest 10");
    assert_eq!((query.take().len(), query.last().is_some(), query.next_page()), (0, true, None));
    assert!(query.release(1));
}
