//! Reading the log: which partitions to open, in which order, and which of their entries are wanted.
//!
//! The query does no reading of its own. It names the page that it needs next ([`Query::next_page`]), is given that
//! page's rows ([`Query::feed`]), and hands out events as they are certain ([`Query::take`]).

use std::collections::{HashSet, VecDeque};

use crate::event::{EventError, Row, StoredEvent};
use crate::partition::Partition;
use crate::recorder::HOST_WIDE;
use crate::retention::Retention;

/// The first page of each partition, and the largest one; between them pages double. The embedded driver of Prosody
/// 0.12 loads a partition whole for every page, so a long reading must not take many.
const PAGE: std::ops::RangeInclusive<usize> = 50..=3200;

/// Which entries are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Only those of this account.
    pub user: Option<User>,
    /// `Some(true)`: only events of the whole host; `Some(false)`: none of them.
    pub global: Option<bool>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
    /// What has been kept for longer is not shown.
    pub retention: Retention,
    /// When the query is made, in UNIX seconds.
    pub now: f64,
}

/// An account whose entries are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The bare JID.
    pub jid: String,
    /// The localpart: the first version of the community's module stored only that.
    pub local: String,
}

impl Filter {
    /// Whether the archive's columns say that a row is wanted.
    fn admits(&self, row: &Row) -> bool {
        let with = row.with.as_deref().unwrap_or_default();
        let host_wide = with.is_empty() || with == HOST_WIDE;
        let user = self.user.as_ref().is_none_or(|user| with == user.jid || with == user.local);
        user && self.global.is_none_or(|global| global == host_wide)
    }
}

/// A page of rows that a query needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which of the query's sequences it belongs to; for [`Query::feed`].
    pub sequence: usize,
    /// The archive user; nothing stands for `nil`.
    pub partition: Option<String>,
    /// The newest rows before the one with this key; nothing for the newest of all.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// One reading of the log of one host, newest entries first.
#[derive(Debug)]
pub struct Query {
    filter: Filter,
    sequences: Vec<Sequence>,
    /// Ids of entries that wait in the journal: they may have gone to the store since.
    waiting: HashSet<String>,
    /// The sequence of those.
    journal: usize,
    found: Vec<StoredEvent>,
    count: usize,
    damaged: usize,
}

/// Partitions that follow each other in time: those of one class, or the archive of the community's modules.
#[derive(Debug)]
struct Sequence {
    /// Not read to their end, newest first.
    partitions: VecDeque<Source>,
    rows: VecDeque<Read>,
    /// What is older has expired.
    cutoff: Option<f64>,
    /// Whether entries of all classes lie there, so that each goes by its type.
    mixed: bool,
}

/// A row that was read, with the time under which it is stored.
#[derive(Debug)]
struct Read {
    when: f64,
    event: Result<StoredEvent, EventError>,
}

impl Read {
    fn new(row: &Row) -> Self {
        Self { when: row.when, event: StoredEvent::read(row) }
    }

    /// Which of two is newer: of one second, the id says, which sorts by time. The community's modules gave none.
    fn is_older(&self, other: &Self) -> bool {
        let id = |read: &Self| read.event.as_ref().ok().and_then(|event| event.id.clone());
        self.when < other.when || (self.when <= other.when && id(self) < id(other))
    }
}

#[derive(Debug)]
struct Source {
    name: Option<String>,
    /// No row in it is newer.
    end: f64,
    before: Option<String>,
    page: usize,
}

impl Query {
    /// A query over the archive users that a store lists. Names that are no partitions of the log are passed over; the
    /// archive of the community's modules, which no driver lists, is always read. `waiting` are entries that the store has
    /// not taken yet, or had not when they were looked up: newest last, as in the journal.
    #[must_use]
    pub fn new(filter: Filter, users: impl IntoIterator<Item = String>, waiting: Vec<Row>) -> Self {
        let mut partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut classes: Vec<String> = partitions.iter().map(|partition| partition.class.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let first = filter.limit.map_or(*PAGE.end(), |limit| limit.clamp(*PAGE.start(), *PAGE.end()));
        let source = |name, end| Source { name, end, before: None, page: first };
        let of_class = |class: &String| {
            let own = partitions.iter().rev().filter(|partition| partition.class == *class);
            let kept = own.filter(|partition| !filter.retention.is_expired(partition, filter.now));
            Sequence {
                partitions: kept.map(|partition| source(Some(partition.to_string()), partition.end())).collect(),
                rows: VecDeque::new(),
                cutoff: filter.retention.cutoff(class, filter.now),
                mixed: false,
            }
        };
        let mut sequences: Vec<Sequence> = classes.iter().map(of_class).collect();
        let mixed = |partitions, rows| Sequence { partitions, rows, cutoff: filter.retention.last_cutoff(filter.now), mixed: true };
        sequences.push(mixed(VecDeque::from([source(None, f64::INFINITY)]), VecDeque::new()));
        let journal = sequences.len();
        let ids = waiting.iter().filter_map(|row| StoredEvent::read(row).ok()?.id).collect();
        let rows = waiting.iter().rev().filter(|row| filter.admits(row)).map(Read::new).collect();
        sequences.push(mixed(VecDeque::new(), rows));
        let mut query = Self { filter, sequences, waiting: ids, journal, found: Vec::new(), count: 0, damaged: 0 };
        query.merge();
        query
    }

    /// The page that must be read before more events are certain; nothing where all are, or enough are found.
    #[must_use]
    pub fn next_page(&self) -> Option<Page> {
        if self.is_satisfied() {
            return None;
        }
        let newest =
            self.sequences.iter().filter_map(|sequence| sequence.rows.front()).map(|row| row.when).fold(f64::NEG_INFINITY, f64::max);
        let unread = |(index, sequence): (usize, &Sequence)| {
            let source = sequence.partitions.front().filter(|source| sequence.rows.is_empty() && source.end > newest)?;
            Some((index, source.name.clone(), source.before.clone(), source.page))
        };
        let (sequence, partition, before, limit) = self.sequences.iter().enumerate().find_map(unread)?;
        Some(Page { sequence, partition, before, limit })
    }

    /// Takes the rows of a page, newest first. Fewer rows than the page's limit are the last of their partition.
    ///
    /// `skipped` is the number of rows in it that the store could not read.
    pub fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize) {
        self.damaged = self.damaged.saturating_add(skipped);
        let Some(sequence) = self.sequences.get_mut(page.sequence) else { return };
        let last = rows.last().map(|row| row.key.clone());
        let ended = rows.len().saturating_add(skipped) < page.limit || last.is_none();
        if let Some(source) = sequence.partitions.front_mut().filter(|source| source.name == page.partition) {
            source.before = last;
            source.page = source.page.saturating_mul(2).min(*PAGE.end());
        }
        if ended {
            sequence.partitions.pop_front();
        }
        let kept = |row: &Row| sequence.cutoff.is_none_or(|cutoff| row.when >= cutoff);
        sequence.rows.extend(rows.iter().filter(|row| kept(row) && self.filter.admits(row)).map(Read::new));
        self.merge();
    }

    /// The events that are certain and were not taken yet, newest first.
    pub fn take(&mut self) -> Vec<StoredEvent> {
        std::mem::take(&mut self.found)
    }

    /// How many entries could not be read.
    #[must_use]
    pub const fn damaged(&self) -> usize {
        self.damaged
    }

    fn has_expired(&self, event: &StoredEvent, when: f64) -> bool {
        let class = self.filter.retention.class_of(&event.kind);
        self.filter.retention.cutoff(class, self.filter.now).is_some_and(|cutoff| when < cutoff)
    }

    fn is_satisfied(&self) -> bool {
        self.filter.limit.is_some_and(|limit| self.count >= limit)
    }

    /// Moves rows to the found events, newest first, until a sequence must be read further.
    fn merge(&mut self) {
        while !self.is_satisfied() && self.next_page().is_none() {
            let newest = self
                .sequences
                .iter()
                .enumerate()
                .filter_map(|(index, sequence)| sequence.rows.front().map(|row| (index, row)))
                // Of what can't be told apart, what is still in the journal is the newest.
                .reduce(|a, b| if b.1.is_older(a.1) { a } else { b })
                .map(|(index, _)| index);
            let newest = newest.and_then(|index| Some((index, self.sequences.get_mut(index)?.rows.pop_front()?)));
            let Some((index, row)) = newest else { return };
            match row.event {
                Ok(event) if index != self.journal && event.id.as_ref().is_some_and(|id| self.waiting.contains(id)) => {}
                Ok(event) if self.sequences.get(index).is_some_and(|sequence| sequence.mixed) && self.has_expired(&event, row.when) => {}
                Ok(event) => {
                    self.found.push(event);
                    self.count = self.count.saturating_add(1);
                }
                Err(_) => self.damaged = self.damaged.saturating_add(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Period;
    use crate::retention::{Class, Pattern, Rules};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NOON: f64 = 1_795_521_600.0;
    const DAY: f64 = 86_400.0;

    type Store = BTreeMap<Option<String>, Vec<Row>>;

    fn row(number: usize, when: f64, with: Option<&str>) -> Row {
        Row { key: format!("k{number}"), when, with: with.map(ToOwned::to_owned), xml: format!("<audit-event type='t{number}'/>") }
    }

    fn expiring(expires_after: Period) -> Retention {
        Retention::new(Rules { expires_after, ..Rules::default() }, Vec::new())
    }

    fn class(name: &str, expires_after: Period) -> Class {
        let types = Pattern::new(&format!("{name}-*")).into_iter().collect();
        Class { name: name.to_owned(), types, rules: Rules { expires_after, ..Rules::default() } }
    }

    fn all() -> Filter {
        Filter { user: None, global: None, limit: None, retention: expiring(Period::Never), now: NOON }
    }

    /// Reads `store` as the glue does.
    fn read(filter: Filter, store: &Store) -> (Vec<String>, usize, usize) {
        let mut query = Query::new(filter, store.keys().flatten().cloned(), Vec::new());
        let (mut found, mut pages) = (Vec::new(), 0);
        while let Some(page) = query.next_page() {
            pages += 1;
            let rows = store.get(&page.partition).map(Vec::as_slice).unwrap_or_default();
            let end = page.before.as_ref().map_or(rows.len(), |key| rows.iter().position(|row| row.key == *key).unwrap());
            let page_rows: Vec<Row> = rows[..end].iter().rev().take(page.limit).cloned().collect();
            query.feed(&page, page_rows, 0);
            found.extend(query.take().into_iter().map(|event| event.kind));
        }
        found.extend(query.take().into_iter().map(|event| event.kind));
        (found, query.damaged(), pages)
    }

    fn store(rows: &[(Option<&str>, usize, f64, Option<&str>)]) -> Store {
        let mut store = Store::new();
        for (partition, number, when, with) in rows {
            store.entry(partition.map(ToOwned::to_owned)).or_default().push(row(*number, *when, *with));
        }
        store
    }

    #[test]
    fn partitions_and_the_old_archive_are_one_log_newest_first() {
        let store = store(&[
            (None, 1, NOON - 3.0 * DAY, Some("juliet")),
            (Some("@events.2026-11-22"), 2, NOON - 2.0 * DAY, Some("@")),
            (None, 3, NOON - 1.5 * DAY, Some("juliet@example.com")),
            (Some("@events.2026-11-23"), 4, NOON - DAY, Some("romeo@example.com")),
            (Some("@events.2026-11-24"), 5, NOON - 60.0, None),
            (Some("@events.2026-11-24.2"), 6, NOON - 59.0, Some("juliet@example.com")),
            (Some("someone"), 7, NOON, None),
        ]);
        let kinds = |filter: Filter| read(filter, &store).0;
        assert_eq!(kinds(all()), ["t6", "t5", "t4", "t3", "t2", "t1"]);
        assert_eq!(kinds(Filter { limit: Some(2), ..all() }), ["t6", "t5"]);
        assert_eq!(kinds(Filter { global: Some(true), ..all() }), ["t5", "t2"]);
        assert_eq!(kinds(Filter { global: Some(false), ..all() }), ["t6", "t4", "t3", "t1"]);
        let juliet = Some(User { jid: "juliet@example.com".to_owned(), local: "juliet".to_owned() });
        assert_eq!(kinds(Filter { user: juliet.clone(), ..all() }), ["t6", "t3", "t1"]);
        assert_eq!(kinds(Filter { user: juliet, limit: Some(1), ..all() }), ["t6"], "the limit counts what is wanted");
        assert_eq!(kinds(Filter { retention: expiring(Period::Seconds(1.2 * DAY)), ..all() }), ["t6", "t5", "t4"]);
    }

    #[test]
    fn each_class_expires_by_itself_wherever_its_entries_lie() {
        let store = store(&[
            (None, 1, NOON - 3.0 * DAY, None),
            (Some("@short.2026-11-22"), 2, NOON - 2.0 * DAY, None),
            (Some("@long.2026-11-22"), 3, NOON - 2.0 * DAY, None),
            (Some("@gone.2026-11-22"), 4, NOON - 2.0 * DAY + 1.0, None),
            (Some("@short.2026-11-23"), 5, NOON - DAY - 60.0, None),
            (Some("@short.2026-11-23"), 6, NOON - DAY + 60.0, None),
        ]);
        let of_type = |number: usize, event_type: &str, ago: f64| Row {
            xml: format!("<audit-event type='{event_type}'/>"),
            ..row(number, NOON - ago, None)
        };
        let mut store = store;
        store.insert(
            None,
            vec![
                of_type(7, "long-a", 2.5 * DAY),
                of_type(8, "short-a", 2.5 * DAY),
                of_type(9, "other", 2.5 * DAY),
                of_type(10, "short-b", DAY / 2.0),
            ],
        );
        let days = |days: f64| Period::Seconds(days * DAY);
        let classes = vec![class("short", days(1.0)), class("long", days(10.0))];
        let filter = Filter { retention: Retention::new(Rules { expires_after: days(2.0), ..Rules::default() }, classes), ..all() };
        assert_eq!(read(filter, &store).0, ["short-b", "t6", "t4", "t3", "long-a"]);
    }

    #[test]
    fn what_waits_in_the_journal_is_shown_once() {
        let with_id =
            |number: usize, when: f64| Row { xml: format!("<audit-event type='t{number}' id='i{number}'/>"), ..row(number, when, None) };
        let mut query = Query::new(all(), ["@events.2026-11-24".to_owned()], vec![with_id(2, NOON - 2.0), with_id(3, NOON - 1.0)]);
        let mut found = Vec::new();
        while let Some(page) = query.next_page() {
            let rows = if page.partition.is_some() { vec![with_id(2, NOON - 2.0), with_id(1, NOON - 3.0)] } else { vec![] };
            query.feed(&page, rows, 0);
            found.extend(query.take().into_iter().map(|event| event.kind));
        }
        assert_eq!(found, ["t3", "t2", "t1"]);
        let mut query = Query::new(Filter { limit: Some(1), ..all() }, [], vec![with_id(1, NOON)]);
        assert_eq!((query.next_page().is_some(), query.take().len()), (true, 0), "the old archive may have a newer one");
    }

    #[test]
    fn of_one_second_the_newer_id_is_the_newer_entry() {
        let mut store = Store::new();
        for (class, id) in [("events", 1), ("failures", 2), ("events", 3), ("accounts", 4), ("failures", 5), ("events", 6)] {
            let entry = Row { xml: format!("<audit-event type='t{id}' id='01a-{id}'/>"), ..row(id, NOON, None) };
            store.entry(Some(Partition::new(class, NOON).to_string())).or_default().push(entry);
        }
        assert_eq!(read(all(), &store).0, ["t6", "t5", "t4", "t3", "t2", "t1"]);
        assert_eq!(read(Filter { limit: Some(2), ..all() }, &store).0, ["t6", "t5"]);
    }

    #[test]
    fn a_day_is_only_opened_when_it_is_needed() {
        let days: Vec<String> = (10..=24).map(|day| format!("@events.2026-11-{day}")).collect();
        let rows: Vec<_> = days.iter().enumerate().map(|(n, day)| (Some(day.as_str()), n, NOON - DAY * (14 - n) as f64, None)).collect();
        let (found, _, pages) = read(Filter { limit: Some(1), ..all() }, &store(&rows));
        assert_eq!((found.as_slice(), pages), (["t14".to_owned()].as_slice(), 2), "today and the old archive");
    }

    #[test]
    fn a_damaged_entry_is_counted_and_passed_over() {
        let mut store = store(&[(None, 1, NOON, None), (None, 2, NOON, None), (None, 3, NOON, None)]);
        store.get_mut(&None).unwrap()[1].xml = "<audit-event".to_owned();
        assert_eq!(read(all(), &store), (vec!["t3".to_owned(), "t1".to_owned()], 1, 1));
    }

    proptest! {
        #[test]
        fn a_query_equals_a_naive_one(
            entries in prop::collection::vec((any::<bool>(), 0usize..3, 0u32..5 * 86_400, 0usize..4), 0..400),
            limit in prop::option::of(0usize..200),
            global in prop::option::of(any::<bool>()),
            of_user in any::<bool>(),
            days in prop::collection::vec(prop::option::of(0u32..6), 3),
        ) {
            let withs = [None, Some("@"), Some("juliet@example.com"), Some("romeo@example.com")];
            let names = ["events", "failures", "accounts"];
            let periods: Vec<Period> = days.iter().map(|days| days.map_or(Period::Never, |days| Period::Seconds(f64::from(days) * DAY))).collect();
            let mut rows: Vec<(Option<String>, Row)> = entries
                .iter()
                .enumerate()
                .map(|(number, (old, class, ago, with))| {
                    let (when, class) = (NOON - f64::from(*ago), names[*class]);
                    let row = Row { xml: format!("<audit-event type='{class}-{number}'/>"), ..row(number, when, withs[*with]) };
                    ((!old).then(|| Partition::new(class, when).to_string()), row)
                })
                .collect();
            rows.sort_by(|a, b| a.1.when.total_cmp(&b.1.when));
            let mut store = Store::new();
            for (partition, row) in &rows {
                store.entry(partition.clone()).or_default().push(row.clone());
            }
            let filter = Filter {
                user: of_user.then(|| User { jid: "juliet@example.com".to_owned(), local: "juliet".to_owned() }),
                global,
                limit,
                retention: Retention::new(
                    Rules { expires_after: periods[0], ..Rules::default() },
                    vec![class("failures", periods[1]), class("accounts", periods[2])],
                ),
                now: NOON,
            };
            let (found, damaged, _) = read(filter.clone(), &store);
            let kept = |row: &&Row| {
                let at = names.iter().position(|name| row.xml.contains(&format!("'{name}-"))).unwrap();
                periods[at].cutoff(NOON).is_none_or(|cutoff| row.when >= cutoff)
            };
            let newest_first = rows.iter().rev().map(|(_, row)| row);
            let wanted: Vec<&Row> = newest_first.filter(|row| filter.admits(row)).filter(kept).take(limit.unwrap_or(usize::MAX)).collect();
            // Entries of one second have no order across partitions.
            let when = |kind: &String| rows.iter().find(|(_, row)| row.xml.contains(&format!("'{kind}'"))).map(|(_, row)| row.when);
            prop_assert_eq!(damaged, 0);
            prop_assert_eq!(found.iter().filter_map(when).collect::<Vec<_>>(), wanted.iter().map(|row| row.when).collect::<Vec<_>>());
            let mut unique = found.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), found.len());
        }
    }
}
