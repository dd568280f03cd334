//! Following the log: what was added to it since the last look.
//!
//! The times of entries do not show what is new. The clock may have been set back, an entry may be stored long after it was
//! recorded, and a summary is written after the events that it counts. So a follower remembers the last row of each partition. Rows
//! after it are new. An entry that was seen in the journal is recognised in the store by its id.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use chrono::{Days, NaiveDate};
use uuid::Uuid;

use super::{Damaged, MOST_RESTARTS, Page, Position, ReadFrom, Request, Steps, in_order, name_of, wanted};
use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::entry::{Row, StoredEvent};
use crate::time::day;

/// How many ids are remembered. More entries wait in the journal only if the store is unavailable for long.
const MOST_SEEN: usize = 100_000;
/// How many entries are held to be sorted.
const MOST_HELD: usize = 5000;
/// The first page of a partition has few rows, as there is usually little new.
const FIRST_PAGE: usize = 10;
const LARGEST_PAGE: usize = 200;
/// At the beginning, the last entries of this many days are remembered, in case the clock is set back.
const MARKED_DAYS: u64 = 31;
/// How many partitions of older days are read in each look.
const OLDER_EACH_LOOK: usize = 3;

/// What was seen of the log of a host.
#[derive(Debug)]
pub struct Follower {
    request: Request,
    /// The time of the last look. `None` before the first.
    looked_at: Option<f64>,
    /// Which of the older partitions are read next.
    turn: usize,
    /// The last row that was read of an archive user.
    marks: HashMap<Option<String>, LastRow>,
    /// Partitions that need no mark, as there are later ones of their class and day.
    known: HashSet<String>,
    seen: SeenIds,
}

#[derive(Clone, Debug)]
struct LastRow {
    key: String,
    place: Position,
}

/// The ids that were seen last.
#[derive(Debug, Default)]
struct SeenIds {
    order: VecDeque<u128>,
    ids: HashSet<u128>,
}

/// One look at the log, which finds what is new. The first look only remembers the last rows.
#[derive(Debug)]
pub struct Look {
    follower: Rc<RefCell<Follower>>,
    retention: Retention,
    now: f64,
    is_first: bool,
    tasks: VecDeque<Task>,
    held: Vec<(Position, StoredEvent)>,
    found: VecDeque<StoredEvent>,
    damaged: Damaged,
    /// The mark of a partition whose last row can't be read.
    unreadable: Option<LastRow>,
}

/// An archive user, or the journal, that a look reads.
#[derive(Clone, Debug)]
struct Task {
    from: ReadFrom,
    class: Option<String>,
    goal: Goal,
    behind: Option<String>,
    near: Option<f64>,
    limit: usize,
    restarts: u8,
    rows: Vec<Row>,
}

/// How far it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The last row, to remember it.
    Last,
    /// From the last row back to the one that was remembered.
    New,
    /// From the first row to the last.
    All,
}

impl Follower {
    /// A follower with the filter of a request. The limit and the position of the request are ignored.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self { request, looked_at: None, turn: 0, marks: HashMap::new(), known: HashSet::new(), seen: SeenIds::default() }
    }

    /// Remembers an entry that a query has shown.
    pub fn saw(&mut self, event: &StoredEvent) {
        self.seen.insert(event.id.as_deref().and_then(number_of));
    }

    /// What is to be read, of the partitions that a store lists now.
    fn tasks(&mut self, partitions: &[Partition], now: f64, is_first: bool) -> Vec<Task> {
        let before = |time: f64, days| day(time).checked_sub_days(Days::new(days)).unwrap_or_default();
        // The clock may have been set since the last look.
        let recent = before(now.min(self.looked_at.replace(now).unwrap_or(now)), 1);
        let names: HashSet<String> = partitions.iter().map(ToString::to_string).collect();
        self.known.retain(|name| names.contains(name));
        self.marks.retain(|name, _| name.as_ref().is_none_or(|name| names.contains(name)));
        let mut groups: BTreeMap<(NaiveDate, &str), Vec<&Partition>> = BTreeMap::new();
        for partition in partitions {
            // Copies, and entries moved from the old archive, are not new.
            let is_written = partition.class == partition.home() && !partition.is_marker();
            if is_written && self.request.filter.wants_class(partition.home()) {
                groups.entry((partition.day, &partition.class)).or_default().push(partition);
            }
        }
        let (mut tasks, mut others) = (Vec::new(), Vec::new());
        for ((day, _), mut group) in groups {
            group.sort_unstable();
            if is_first {
                self.known.extend(group.iter().map(ToString::to_string));
                if let Some(last) = group.last().filter(|_| day >= before(now, MARKED_DAYS)) {
                    self.known.remove(&last.to_string());
                    tasks.push(Task::new(last, Goal::Last));
                }
                continue;
            }
            let (marked, others_of_group): (Vec<&Partition>, Vec<&Partition>) =
                group.into_iter().partition(|partition| self.marks.contains_key(&Some(partition.to_string())));
            let is_new = |partition: &&Partition| !self.known.contains(&partition.to_string());
            let new: Vec<Task> = others_of_group.into_iter().filter(is_new).map(|partition| Task::new(partition, Goal::All)).collect();
            let marked = marked.into_iter().map(|partition| Task::new(partition, Goal::New));
            if day >= recent || !new.is_empty() {
                tasks.extend(marked.chain(new));
            } else {
                others.extend(marked);
            }
        }
        // Few entries are added to older days, so only a few of these partitions are read in each look.
        let count = others.len().max(1);
        tasks.extend(others.into_iter().cycle().skip(self.turn % count).take(OLDER_EACH_LOOK.min(count)));
        self.turn = (self.turn + OLDER_EACH_LOOK) % count;
        tasks
    }

    /// Remembers the last row that was read of an archive user. Only the last partition of a class and day needs a mark.
    fn mark(&mut self, from: &ReadFrom, mark: Option<LastRow>) {
        let (ReadFrom::Store(name), Some(mark)) = (from, mark) else { return };
        if let Some(partition) = name.as_ref().and_then(|name| name.parse::<Partition>().ok()) {
            let is_before = |other: &str| {
                other
                    .parse::<Partition>()
                    .is_ok_and(|other| other.class == partition.class && other.day == partition.day && other.number < partition.number)
            };
            let before: Vec<String> = self.marks.keys().flatten().filter(|name| is_before(name)).cloned().collect();
            for name in before {
                self.marks.remove(&Some(name.clone()));
                self.known.insert(name);
            }
        }
        self.marks.insert(name.clone(), mark);
    }
}

impl Look {
    /// Begins a look over the archive users that a store lists. `waits` says whether entries wait in the journal.
    #[must_use]
    pub fn new(
        follower: &Rc<RefCell<Follower>>,
        users: impl IntoIterator<Item = String>,
        waits: bool,
        retention: Retention,
        now: f64,
    ) -> Self {
        let partitions: Vec<Partition> = users.into_iter().filter_map(|name| name.parse().ok()).collect();
        let is_first = follower.borrow().looked_at.is_none();
        // The journal is read before the store. Entries that are handed over in between are recognised by their ids.
        let mut tasks = VecDeque::new();
        if waits {
            tasks.push_back(Task::from(ReadFrom::Journal, None, if is_first { Goal::All } else { Goal::New }));
        }
        tasks.push_back(Task::from(ReadFrom::Store(None), None, if is_first { Goal::Last } else { Goal::New }));
        tasks.extend(follower.borrow_mut().tasks(&partitions, now, is_first));
        let follower = Rc::clone(follower);
        let (held, found, damaged, unreadable) = (Vec::new(), VecDeque::new(), Damaged::default(), None);
        Self { follower, retention, now, is_first, tasks, held, found, damaged, unreadable }
    }

    /// Ends the first task, which was read as far as needed.
    fn done(&mut self) {
        let Some(mut task) = self.tasks.pop_front() else { return };
        if task.goal != Goal::All {
            task.rows.reverse();
        }
        let mut follower = self.follower.borrow_mut();
        // What has expired is not shown. The clock may be wrong, so it is looked at again the next time.
        let is_held = |row: &Row| !self.is_first && task.class.is_none() && is_expired(row, &self.retention, self.now);
        let mark = task.rows.iter().take_while(|row| !is_held(row)).last();
        let mark = mark.map(|row| LastRow { key: row.key.clone(), place: Position::of(row) });
        follower.mark(&task.from, mark.or(self.unreadable.take()));
        for row in &task.rows {
            let place = Position::of(row);
            let id = Some(&place.name).filter(|_| place.has_id).and_then(|name| number_of(name));
            if is_held(row) {
                continue;
            }
            let is_new = follower.seen.insert(id) && !self.is_first;
            if !is_new || !follower.request.filter.may_admit(row) {
                continue;
            }
            match StoredEvent::read(row) {
                Ok(event) => {
                    let wanted = wanted(&follower.request.filter, row, event, task.class.as_deref(), &self.retention, self.now);
                    let shown = wanted.filter(|event| !follower.request.filter.hides(&event.kind));
                    self.held.extend(shown.map(|event| (place, *event)));
                }
                Err(_) => self.damaged.add(1, || name_of(&task.from, Some(&row.key))),
            }
        }
        drop(follower);
        if self.tasks.is_empty() || self.held.len() >= MOST_HELD {
            self.held.sort_by(|a, b| in_order(true, &a.0, &b.0));
            self.found.extend(self.held.drain(..).map(|(_, event)| event));
        }
    }
}

impl Steps for Look {
    fn next_page(&self) -> Option<Page> {
        let task = self.tasks.front()?;
        Some(Page {
            sequence: 0,
            from: task.from.clone(),
            with: None,
            oldest_first: task.goal == Goal::All,
            behind: task.behind.clone(),
            near: task.near,
            bound: None,
            limit: task.limit,
        })
    }

    fn feed(&mut self, page: &Page, rows: Vec<Row>, skipped: usize, _seconds: f64) {
        if skipped > 0 && !self.is_first {
            self.damaged.add(skipped, || name_of(&page.from, None));
        }
        let Some(task) = self.tasks.front_mut().filter(|task| task.from == page.from) else { return };
        let mut ended = rows.len().saturating_add(skipped) < page.limit || rows.is_empty();
        if let Some(last) = rows.last() {
            (task.behind, task.near) = (Some(last.key.clone()), Some(last.when));
        }
        let follower = self.follower.borrow();
        let mark = match &task.from {
            ReadFrom::Store(name) => follower.marks.get(name),
            ReadFrom::Former | ReadFrom::Journal => None,
        };
        let was_seen = |row: &Row| number_of(&Position::of(row).name).is_some_and(|id| follower.seen.ids.contains(&id));
        match task.goal {
            Goal::All => task.rows.extend(rows),
            Goal::Last => {
                let unreadable = || unreadable_mark(self.now);
                self.unreadable = rows.is_empty().then(unreadable).filter(|_| skipped > 0);
                task.rows.extend(rows.into_iter().take(1));
                ended = true;
            }
            Goal::New => {
                let at_mark = mark.and_then(|mark| rows.iter().position(|row| row.key == mark.key));
                // Entries of the journal are handed over nearly in order.
                let all_seen = task.from == ReadFrom::Journal && rows.iter().all(was_seen);
                task.rows.extend(rows.into_iter().take(at_mark.unwrap_or(usize::MAX)));
                if let Some(mark) = mark.filter(|_| ended && at_mark.is_none()) {
                    // The partition was written again under other keys.
                    task.rows.retain(|row| Position::of(row).compare(&mark.place).is_gt());
                }
                ended = ended || at_mark.is_some() || all_seen;
            }
        }
        task.limit = task.limit.saturating_mul(2).min(LARGEST_PAGE);
        drop(follower);
        if ended {
            self.done();
        }
    }

    fn lost_place(&mut self, page: &Page) {
        let Some(task) = self.tasks.front_mut().filter(|task| task.from == page.from) else { return };
        task.restarts = task.restarts.saturating_add(1);
        task.rows.clear();
        (task.behind, task.near) = (None, None);
        if task.restarts > MOST_RESTARTS {
            self.damaged.add(1, || format!("{} was written again and again while it was read", name_of(&page.from, None)));
            self.done();
        }
    }

    fn moved(&mut self, _page: &Page, _users: Vec<String>) {}

    fn take(&mut self) -> Vec<StoredEvent> {
        let count = self.found.len().min(LARGEST_PAGE);
        self.found.drain(..count).collect()
    }

    /// None: a look has no end at which their number could be told.
    fn take_hidden(&mut self) -> Vec<StoredEvent> {
        Vec::new()
    }

    fn is_taken(&self) -> bool {
        self.found.is_empty()
    }

    fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    fn last(&self) -> Option<&Position> {
        None
    }
}

impl Task {
    fn new(partition: &Partition, goal: Goal) -> Self {
        Self::from(ReadFrom::Store(Some(partition.to_string())), Some(partition.home().to_owned()), goal)
    }

    fn from(from: ReadFrom, class: Option<String>, goal: Goal) -> Self {
        let limit = if goal == Goal::All { LARGEST_PAGE } else { FIRST_PAGE };
        Self { from, class, goal, behind: None, near: None, limit, restarts: 0, rows: Vec::new() }
    }
}

impl SeenIds {
    /// Remembers an id. Returns whether it is new; an entry without an id always is.
    fn insert(&mut self, id: Option<u128>) -> bool {
        let Some(id) = id else { return true };
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MOST_SEEN {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        true
    }
}

/// A mark before all entries that are recorded from now on.
fn unreadable_mark(now: f64) -> LastRow {
    LastRow { key: String::new(), place: Position { when: now.floor(), has_id: false, name: String::new() } }
}

/// Whether an entry of the journal or of archive user `nil` has expired. In partitions they expire together.
fn is_expired(row: &Row, retention: &Retention, now: f64) -> bool {
    let is_before = |event: StoredEvent| retention.cutoff(retention.class_of(&event.kind), now).is_some_and(|cutoff| row.when < cutoff);
    StoredEvent::read(row).is_ok_and(is_before)
}

fn number_of(id: &str) -> Option<u128> {
    Uuid::try_parse(id).ok().map(|id| id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Filter;
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    /// A log and its writer.
    #[derive(Debug, Default)]
    struct Log {
        store: BTreeMap<Option<String>, Vec<Row>>,
        journal: VecDeque<(String, Row)>,
        recorded: Vec<String>,
        keys: usize,
    }

    impl Log {
        /// Records an entry of a class: it waits in the journal, with the clock at `when`.
        fn record(&mut self, class: &str, when: f64, id_at: f64) {
            let number = self.recorded.len();
            let bytes: [u8; 10] = (number as u128).to_be_bytes()[6..].try_into().unwrap();
            let id = uuid::Builder::from_unix_timestamp_millis((id_at * 1000.0) as u64, &bytes).into_uuid();
            self.recorded.push(format!("t{number}"));
            let xml = format!("<audit-event type='t{number}' id='{id}'/>");
            self.journal.push_back((class.to_owned(), Row { key: String::new(), when, with: Some("@".to_owned()), xml, ..Row::default() }));
        }

        /// Hands over the first that wait. One that was handed over may still be in the journal.
        fn hand_over(&mut self, count: usize, is_released: bool) {
            let waiting: Vec<(String, Row)> = self.journal.iter().take(count).cloned().collect();
            for (class, row) in waiting {
                let mut partition = Partition::new(&class, row.when);
                while self.store.get(&Some(partition.to_string())).is_some_and(|rows| rows.len() >= 7) {
                    partition = partition.next();
                }
                self.append(Some(partition.to_string()), row);
                if is_released {
                    self.journal.pop_front();
                } else {
                    return;
                }
            }
        }

        fn append(&mut self, user: Option<String>, row: Row) {
            self.keys += 1;
            let key = format!("k{}", self.keys);
            let rows = self.store.entry(user).or_default();
            // Within a partition the time never goes back, and an entry is there once.
            let when = rows.last().map_or(row.when, |last| last.when.max(row.when));
            if rows.iter().all(|other| other.xml != row.xml) {
                rows.push(Row { key, when, ..row });
            }
        }

        fn snapshot(&self) -> Vec<Row> {
            self.journal.iter().enumerate().map(|(n, (_, row))| Row { key: n.to_string(), ..row.clone() }).collect()
        }

        fn look(&mut self, follower: &Rc<RefCell<Follower>>, now: f64, mut meanwhile: impl FnMut(&mut Self, usize)) -> Vec<String> {
            let journal = self.snapshot();
            meanwhile(self, 0);
            let users: Vec<String> = self.store.keys().flatten().cloned().collect();
            let mut look = Look::new(follower, users, !journal.is_empty(), Retention::default(), now);
            let (mut found, mut pages) = (Vec::new(), 0);
            while let Some(page) = look.next_page() {
                pages += 1;
                assert!(pages < 10_000);
                let rows = match &page.from {
                    ReadFrom::Former => Vec::new(),
                    ReadFrom::Journal => journal.clone(),
                    ReadFrom::Store(user) => self.store.get(user).cloned().unwrap_or_default(),
                };
                let mut rows = rows;
                if !page.oldest_first {
                    rows.reverse();
                }
                let behind = page.behind.as_ref().map(|key| rows.iter().position(|row| row.key == *key).map(|at| at + 1));
                match behind.unwrap_or(Some(0)) {
                    Some(at) => look.feed(&page, rows[at..].iter().take(page.limit).cloned().collect(), 0, 0.0),
                    None => look.lost_place(&page),
                }
                meanwhile(self, pages);
                found.extend(look.take().into_iter().map(|event| event.kind));
            }
            while !look.is_taken() {
                found.extend(look.take().into_iter().map(|event| event.kind));
            }
            assert_eq!(look.damaged().count, 0);
            found
        }
    }

    fn follower() -> Rc<RefCell<Follower>> {
        Rc::new(RefCell::new(Follower::new(Request { filter: Filter::default(), ..Request::default() })))
    }

    fn nothing(_: &mut Log, _: usize) {}

    /// It was taken for expired, and then for known.
    #[test]
    fn an_entry_that_had_expired_by_a_wrong_clock_is_shown_when_the_clock_is_right() {
        for waits in [true, false] {
            let (mut log, follower) = (Log::default(), follower());
            log.record("events", NOON, NOON);
            log.append(None, log.journal[0].1.clone());
            log.journal.pop_front();
            assert!(log.look(&follower, NOON, nothing).is_empty(), "what was there before");
            log.record("events", NOON + 1.0, NOON + 1.0);
            if !waits {
                log.append(None, log.journal[0].1.clone());
                log.journal.pop_front();
            }
            assert!(log.look(&follower, NOON + 40.0 * 86_400.0, nothing).is_empty(), "it has expired");
            assert_eq!(log.look(&follower, NOON + 2.0, nothing), ["t1"]);
            assert!(log.look(&follower, NOON + 3.0, nothing).is_empty(), "it is shown once");
            log.hand_over(1, true);
            assert!(log.look(&follower, NOON + 3.0, nothing).is_empty(), "it is shown once");
        }
    }

    #[test]
    fn a_late_entry_is_shown_when_it_arrives() {
        let (mut log, follower) = (Log::default(), follower());
        log.record("events", NOON, NOON);
        log.hand_over(1, true);
        log.record("failures", NOON + 1.0, NOON + 1.0);
        assert!(log.look(&follower, NOON + 2.0, nothing).is_empty(), "what was there before");
        // A summary with the id of the moment when counting began, and an entry after the clock was set back by a day and more.
        log.record("failures", NOON + 1.0, NOON - 600.0);
        log.record("events", NOON - 100_000.0, NOON - 100_000.0);
        assert_eq!(log.look(&follower, NOON - 100_000.0, nothing), ["t3", "t2"]);
        log.hand_over(9, true);
        assert!(log.look(&follower, NOON - 99_999.0, nothing).is_empty(), "known from the journal");
        log.record("events", NOON - 99_999.0, NOON - 99_999.0);
        log.hand_over(1, true);
        assert_eq!(log.look(&follower, NOON + 3.0, nothing), ["t4"]);
    }

    #[test]
    fn a_partition_that_was_written_again_is_not_shown_again() {
        let (mut log, follower) = (Log::default(), follower());
        (0..5).for_each(|n| log.record("events", NOON + f64::from(n), NOON + f64::from(n)));
        log.hand_over(4, true);
        log.look(&follower, NOON + 5.0, nothing);
        for rows in log.store.values_mut() {
            rows.iter_mut().for_each(|row| row.key += "x");
        }
        log.hand_over(1, true);
        log.record("events", NOON + 6.0, NOON + 6.0);
        log.hand_over(1, true);
        assert_eq!(log.look(&follower, NOON + 6.0, nothing), ["t5"]);
    }

    #[test]
    fn a_look_at_a_long_log_reads_its_last_partitions_only() {
        let (mut log, follower) = (Log::default(), follower());
        (0..2000).for_each(|n| log.record("events", NOON - 2000.0 * 60.0 + f64::from(n) * 60.0, NOON));
        log.hand_over(2000, true);
        log.look(&follower, NOON, nothing);
        let mut pages = 0;
        log.look(&follower, NOON, |_, _| pages += 1);
        assert!(pages <= 7, "{pages}");
        let follower = follower.borrow();
        assert!(follower.marks.len() <= 5 && follower.known.len() < 2000, "{}", follower.marks.len());
    }

    #[test]
    fn the_ids_that_are_remembered_are_bounded() {
        let mut seen = SeenIds::default();
        (0..MOST_SEEN as u128 + 50).for_each(|id| assert!(seen.insert(Some(id))));
        assert_eq!((seen.order.len(), seen.ids.len()), (MOST_SEEN, MOST_SEEN));
        assert!(!seen.insert(Some(60)) && seen.insert(Some(3)) && seen.insert(None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Record(usize, i32, i32),
        HandOver(usize, bool),
        Old(i32),
        Look(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0usize..3, -200_000i32..200_000, -90_000i32..10).prop_map(|(class, by, id)| Step::Record(class, by, id)),
            4 => (0usize..3, -5i32..5, -90_000i32..10).prop_map(|(class, by, id)| Step::Record(class, by, id)),
            4 => (1usize..20, prop::bool::weighted(0.8)).prop_map(|(count, is_released)| Step::HandOver(count, is_released)),
            1 => (-90_000i32..10).prop_map(Step::Old),
            3 => (0usize..6).prop_map(Step::Look),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        /// Whatever the clock does, and whatever happens while it looks.
        #[test]
        fn a_follower_is_shown_each_entry_once(before in steps(), steps in steps()) {
            let (mut log, follower) = (Log::default(), follower());
            let mut clock = NOON;
            let classes = ["events", "failures", "accounts"];
            let do_step = |log: &mut Log, step: &Step, clock: &mut f64| match step {
                Step::Record(class, by, id) => {
                    *clock += f64::from(*by);
                    log.record(classes[*class], clock.floor(), (*clock + f64::from(*id)).max(0.0));
                }
                Step::HandOver(count, is_released) => log.hand_over(*count, *is_released),
                Step::Old(ago) => {
                    let number = log.recorded.len();
                    log.recorded.push(format!("t{number}"));
                    let xml = format!("<audit-event type='t{number}'/>");
                    log.append(None, Row { when: *clock + f64::from(*ago), xml, ..Row::default() });
                }
                Step::Look(_) => {}
            };
            // Nobody follows a log whose partitions are of days to come: the clock was right before.
            for step in &before {
                let step = match step { Step::Record(class, by, id) => Step::Record(*class, (*by).rem_euclid(100), *id), other => other.clone() };
                do_step(&mut log, &step, &mut clock);
            }
            prop_assert!(log.look(&follower, clock, nothing).is_empty());
            let first = log.recorded.len();
            let mut found = Vec::new();
            let mut at = 0;
            while at < steps.len() {
                let step = steps[at].clone();
                at += 1;
                if let Step::Look(meanwhile) = step {
                    let now = clock;
                    let mut left = meanwhile;
                    found.extend(log.look(&follower, now, |log, _| {
                        while left > 0 && at < steps.len() && !matches!(steps[at], Step::Look(_)) {
                            do_step(log, &steps[at], &mut clock);
                            (at, left) = (at + 1, left - 1);
                        }
                    }));
                } else {
                    do_step(&mut log, &step, &mut clock);
                }
            }
            log.hand_over(usize::MAX, true);
            (0..30).for_each(|_| found.extend(log.look(&follower, clock, nothing)));
            let mut expected = log.recorded[first..].to_vec();
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected);
            prop_assert!(log.look(&follower, clock, nothing).is_empty());
        }
    }
}
