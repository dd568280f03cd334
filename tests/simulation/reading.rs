//! Reading and following: the loop of the embedded Lua (`src/lua/read/read.lua`) around a query, and what each must show.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use audit_core::archive::partition::Partition;
use audit_core::archive::pruning::visible;
use audit_core::archive::retention::Retention;
use audit_core::entry::{Row, StoredEvent};
use audit_core::filter::Filter;
use audit_core::journal::Snapshot;
use audit_core::query::{Conditions, Follower, Look, Page, Query, ReadFrom, Request, Seeks, Steps};

use crate::disk::journal;
use crate::events::HOST;
use crate::hand_over::Item;
use crate::older::{OLD, name_of};
use crate::prune::partitions_of;
use crate::script::{Between, Driver, Mood};
use crate::world::{Crashed, Timer, World};

/// How often somebody who follows the log looks, in seconds.
const LOOK: f64 = 1800.0;

/// Somebody who follows the log, in another process.
pub struct Watcher {
    follower: Rc<RefCell<Follower>>,
}

/// What a reading is about: what waits, and what the store lists.
struct Scene {
    waiting: Snapshot,
    users: Vec<String>,
    retention: Retention,
    now: f64,
}

/// What a reading has shown: times and ids, in that order, how many entries it reported as damaged, and whether something could not be
/// read.
#[derive(Default)]
struct Shown {
    entries: Vec<(f64, String)>,
    damaged: u64,
    is_incomplete: bool,
}

/// What the store, or the journal, answers if it is asked for a page.
enum Answer {
    /// Rows, and how many entries are left out as they are damaged.
    Rows(Vec<Row>, usize),
    /// It does not know where the page begins.
    LostPlace,
    /// It can't be read now.
    Nothing,
}

fn request(oldest_first: bool) -> Request {
    Request { filter: Filter { host: HOST.to_owned(), ..Filter::default() }, oldest_first, ..Request::default() }
}

impl World {
    /// The partitions that count.
    pub fn visible(&self) -> Vec<Partition> {
        let users = self.store.users();
        visible(&partitions_of(&users), self.old_is_empty(&users))
    }

    /// The ids of all entries that the store has.
    pub fn present(&self) -> BTreeSet<String> {
        let visible: BTreeSet<Option<String>> = self.visible().iter().map(|partition| Some(partition.to_string())).collect();
        let lists = self.store.all().filter(|(user, _)| user.is_none() || visible.contains(*user));
        lists.flat_map(|(_, list)| list.iter().map(|stored| stored.id.clone())).collect()
    }

    /// Whether the journal, the store and the clock are as another process, or this one, finds them.
    fn scene(&mut self, elsewhere: bool) -> Result<Option<Scene>, Crashed> {
        let waiting = if elsewhere {
            Snapshot::read_from(&self.disk.files, &journal()).ok()
        } else {
            self.mend();
            Some(self.process().journal.snapshot())
        };
        let (Some(waiting), Ok(users)) = (waiting, self.users()?) else { return Ok(None) };
        let users: Vec<String> = visible(&partitions_of(&users), self.old_is_empty(&users)).iter().map(ToString::to_string).collect();
        let now = self.clock.wall();
        let partitions = partitions_of(&users);
        let retention = if elsewhere {
            let recorder = self.new_recorder();
            recorder.shown(HOST, &partitions, now, Some(&self.saved_clock()))
        } else {
            self.look_at_clock(None)?;
            let process = self.process();
            process.recorder.shown(HOST, &partitions, now, Some(&process.clock))
        };
        Ok(Some(Scene { waiting, users, retention, now }))
    }

    pub fn read(&mut self, elsewhere: bool, oldest_first: bool, between: Between) -> Result<(), Crashed> {
        let (is_disturbed, yields) = (self.disk.is_ill, self.store.is_moody());
        let before = self.present();
        let Some(scene) = self.scene(elsewhere)? else { return Ok(()) };
        let twin = self.twin(&scene, oldest_first);
        let since = scene.waiting.since().map(f64::floor);
        let conditions = Conditions { retention: scene.retention.clone(), now: scene.now, slice: Some(0.004), seeks: Seeks::Rows };
        let mut query = Query::new(request(oldest_first), conditions, scene.users.clone(), since);
        let shown = self.scan(&mut query, &scene, between)?;
        let mut ids = BTreeSet::new();
        if let Some((_, id)) = shown.entries.iter().find(|(_, id)| !ids.insert(id.clone())) {
            self.wrong(format!("a reading shows {id} twice"));
        }
        // What waits is in the order in which it came. If the clock was set back meanwhile, that is not the order of time.
        let is_ordered = items(&scene.waiting).map(|item| item.at).is_sorted();
        let in_order =
            |pair: &[(f64, String)]| if oldest_first { place(&pair[0]) < place(&pair[1]) } else { place(&pair[0]) > place(&pair[1]) };
        if is_ordered && !shown.entries.windows(2).all(in_order) {
            self.wrong("a reading is not in order".to_owned());
        }
        if shown.is_incomplete {
            return Ok(());
        }
        if between == Between::Nothing && !yields && !is_disturbed {
            let damaged = (scene.waiting.len() - items(&scene.waiting).count()) as u64;
            if shown.damaged < damaged {
                self.wrong(format!("{damaged} entries in the journal are damaged, and a reading reports {}", shown.damaged));
            }
            let is_same = if is_ordered { shown.entries == twin } else { shown.entries.len() == twin.len() };
            if !is_same {
                let missing = twin.iter().filter(|entry| !shown.entries.contains(entry)).count();
                let more = shown.entries.iter().filter(|entry| !twin.contains(entry)).count();
                self.wrong(format!("a reading of {} entries lacks {missing} and has {more} that it should not have", twin.len()));
            }
            return Ok(());
        }
        // What was there all the time must be shown, also if the disk of the journal is ill.
        let after = self.present();
        let wanted = twin.iter().filter(|(_, id)| before.contains(id) && after.contains(id));
        let missing = wanted.filter(|(_, id)| !ids.contains(id)).count();
        if missing > 0 {
            self.wrong(format!("a reading lacks {missing} entries that were there all the time"));
        }
        Ok(())
    }

    /// What a reading should show, found in the simplest way.
    fn twin(&self, scene: &Scene, oldest_first: bool) -> Vec<(f64, String)> {
        let mut all: Vec<(f64, String)> = Vec::new();
        let kept = |class: &str, when: f64| scene.retention.cutoff(class, scene.now).is_none_or(|cutoff| when >= cutoff);
        for partition in partitions_of(&scene.users) {
            let list = self.store.list(&Some(partition.to_string()));
            all.extend(list.into_iter().map(|stored| (stored.when as f64, stored.id)).filter(|(when, _)| kept(partition.home(), *when)));
        }
        let old = self.store.list(&None).into_iter().map(|stored| stored.row());
        let of_type = |row: &Row| StoredEvent::read(row).is_ok_and(|event| kept(scene.retention.class_of(&event.kind), row.when));
        all.extend(old.filter(of_type).filter_map(|row| Some((row.when, name_of(StoredEvent::read(&row).ok()?)))));
        let waiting = items(&scene.waiting).filter(|item| kept(scene.retention.class_of(&item.kind), item.at.floor()));
        all.extend(waiting.map(|item| (item.at.floor(), item.id)));
        all.sort_by(|a, b| place(a).partial_cmp(&place(b)).expect("a time"));
        if !oldest_first {
            all.reverse();
        }
        let mut met = BTreeSet::new();
        all.retain(|(_, id)| met.insert(id.clone()));
        all
    }

    /// Reads the log for a reader of this process, who says of each page's entries whether it wants more. Returns whether it could be read.
    pub fn search(&mut self, request: Request, mut take: impl FnMut(&mut Self, Vec<StoredEvent>) -> bool) -> Result<bool, Crashed> {
        let Some(scene) = self.scene(false)?.filter(|scene| scene.waiting.problem().is_none()) else { return Ok(false) };
        let since = scene.waiting.since().map(f64::floor);
        let conditions = Conditions { retention: scene.retention.clone(), now: scene.now, slice: Some(0.004), seeks: Seeks::Rows };
        let mut query = Query::new(request, conditions, scene.users.clone(), since);
        let mut is_read = true;
        loop {
            let page = query.next_page();
            if let Some(page) = &page {
                match self.page(&scene, page)? {
                    Answer::Rows(rows, skipped) => {
                        if page.from == ReadFrom::Store(None) && rows.is_empty() && self.setup.driver == Driver::Embedded {
                            let users = self.users()?.unwrap_or_default();
                            let users = visible(&partitions_of(&users), self.old_is_empty(&users));
                            query.moved(page, users.iter().map(ToString::to_string).collect::<Vec<_>>());
                        }
                        // What waits and can't be read now is looked for again later.
                        is_read = page.from != ReadFrom::Journal || skipped == 0;
                        query.feed(page, rows, skipped, 0.001);
                    }
                    Answer::LostPlace => query.lost_place(page),
                    Answer::Nothing => {
                        is_read = false;
                        query.feed(page, Vec::new(), 0, 0.001);
                    }
                }
            }
            while !query.is_taken() {
                let found = query.take();
                if is_read && !take(self, found) {
                    return Ok(true);
                }
            }
            if page.is_none() || !is_read {
                return Ok(is_read);
            }
            self.breathe()?;
        }
    }

    fn scan(&mut self, query: &mut dyn Steps, scene: &Scene, between: Between) -> Result<Shown, Crashed> {
        let mut shown = Shown::default();
        let mut pages = 0;
        while let Some(page) = query.next_page() {
            pages += 1;
            if pages > 20_000 {
                self.wrong("a reading does not end".to_owned());
                break;
            }
            match self.page(scene, &page)? {
                Answer::Rows(rows, skipped) => {
                    if page.from == ReadFrom::Store(None) && rows.is_empty() && self.setup.driver == Driver::Embedded {
                        // The entries may have been moved since the store was listed.
                        let users = self.users()?.unwrap_or_default();
                        let users = visible(&partitions_of(&users), self.old_is_empty(&users));
                        query.moved(&page, users.iter().map(ToString::to_string).collect());
                    }
                    query.feed(&page, rows, skipped, 0.001);
                }
                Answer::LostPlace => query.lost_place(&page),
                Answer::Nothing => {
                    shown.is_incomplete = true;
                    query.feed(&page, Vec::new(), 0, 0.001);
                }
            }
            while !query.is_taken() {
                shown.entries.extend(query.take().into_iter().map(|event| (event.stored, name_of(event))));
            }
            if pages < 20 {
                self.between_pages(between)?;
            }
        }
        while !query.is_taken() {
            shown.entries.extend(query.take().into_iter().map(|event| (event.stored, name_of(event))));
        }
        shown.damaged = query.damaged().count as u64;
        let damaged = scene.waiting.len() - items(&scene.waiting).count();
        // What can't be read for the moment is reported, too, and that may be all that waits.
        let most = if self.disk.is_ill { scene.waiting.len() } else { damaged };
        if query.damaged().count > most {
            let places = query.damaged().places.join("; ");
            self.wrong(format!("entries can't be read, and {damaged} in the journal are damaged: {places}"));
        }
        Ok(shown)
    }

    fn between_pages(&mut self, between: Between) -> Result<(), Crashed> {
        if self.depth > 0 {
            return Ok(());
        }
        self.depth += 1;
        match between {
            Between::Nothing => {}
            Between::Events => {
                self.audit(&crate::events::EVENTS[4], b"user1@example.com", "198.18.0.7")?;
                self.pass(0.5)?;
            }
            Between::Prune => self.prune(false, false)?,
        }
        self.depth -= 1;
        Ok(())
    }

    /// The rows of a page.
    fn page(&mut self, scene: &Scene, page: &Page) -> Result<Answer, Crashed> {
        let ReadFrom::Store(user) = &page.from else { return Ok(waiting_rows(&scene.waiting, page)) };
        if self.call()?.is_some_and(Mood::fails) {
            return Ok(Answer::Nothing);
        }
        let found = self.store.find(user, !page.oldest_first, page.limit, page.behind.as_deref());
        Ok(found.map_or(Answer::LostPlace, |rows| Answer::Rows(rows.into_iter().map(|stored| stored.row()).collect(), 0)))
    }

    /// Somebody looks what is new.
    pub fn follow(&mut self) -> Result<(), Crashed> {
        let Some(scene) = self.scene(true)? else { return Ok(()) };
        let is_first = self.watcher.is_none();
        if is_first {
            self.after(LOOK, Timer::Follow);
            self.watcher = Some(Watcher { follower: Rc::new(RefCell::new(Follower::new(request(true)))) });
        }
        let Some(watcher) = &self.watcher else { return Ok(()) };
        let follower = Rc::clone(&watcher.follower);
        // What is not there now is forgotten. If it is made anew later, it is new.
        self.model.removed.retain(|name| scene.users.contains(name));
        let waits = scene.waiting.since().is_some();
        // Entries that have expired are not new, but what is old by a wrong clock is.
        let mut look = Look::new(&follower, scene.users.clone(), waits, scene.retention.clone(), scene.now);
        let shown = self.scan(&mut look, &scene, Between::Nothing)?;
        if is_first {
            self.model.removed.clear();
            self.model.follows_from = Some(self.model.numbers).filter(|_| !shown.is_incomplete);
        }
        for (_, id) in shown.entries {
            let times = self.model.followed.entry(id.clone()).or_default();
            *times += 1;
            if *times > 1 {
                self.wrong(format!("who follows the log sees {id} twice"));
            }
        }
        Ok(())
    }

    /// The next look of one who follows the log.
    pub fn follow_on(&mut self) -> Result<(), Crashed> {
        if self.watcher.is_some() {
            self.after(LOOK, Timer::Follow);
            if self.depth == 0 && self.process.is_some() {
                self.elsewhere(Self::follow)?;
            }
        }
        Ok(())
    }

    /// At the end everything that is new was shown to the one who follows.
    pub fn check_followed(&mut self) {
        // Who follows goes on behind the last row of the look before, and needs a driver that adds rows at the end.
        let Some(from) = self.model.follows_from.filter(|_| self.setup.driver != Driver::Unordered) else { return };
        let looks = self.store.users().len() / 3 + 3;
        for _ in 0..looks {
            self.or_die(Self::follow);
        }
        let now = self.clock.wall();
        let retention = self.settings().retention;
        let mut missing = Vec::new();
        // Copies, and what is moved from archive user nil, are not new.
        let is_first = |partition: &&Partition| !self.model.removed.contains(&partition.to_string());
        for partition in self.visible().iter().filter(|partition| !partition.is_cut() && partition.generation().is_none()).filter(is_first)
        {
            for stored in self.store.list(&Some(partition.to_string())) {
                let is_new = self.model.entries.get(&stored.id).is_some_and(|known| known.number > from);
                let is_kept = retention.cutoff(partition.home(), now).is_none_or(|cutoff| stored.when as f64 >= cutoff);
                if is_new && is_kept && !self.model.followed.contains_key(&stored.id) {
                    missing.push(format!("{partition} {} {}", stored.when, stored.xml));
                }
            }
        }
        if let Some(first) = missing.first() {
            self.wrong(format!("who follows the log has not seen {} entries, the first is {first}", missing.len()));
        }
    }
}

/// The place of an entry in the order of a reading: entries without an id come before the others of their second.
fn place((when, name): &(f64, String)) -> (f64, bool, &str) {
    (*when, !name.starts_with(OLD), name)
}

/// The rows of the entries that wait, as the embedded Lua makes them.
fn waiting_rows(waiting: &Snapshot, page: &Page) -> Answer {
    let count = waiting.len() as i64;
    let step: i64 = if page.oldest_first { 1 } else { -1 };
    let behind: Option<i64> = page.behind.as_ref().and_then(|key| key.parse().ok());
    let first = behind.map_or(if page.oldest_first { 1 } else { count }, |behind| behind + step);
    let indexes = (0..page.limit as i64).map(|index| first + index * step).filter(|index| (1..=count).contains(index));
    let wanted = indexes.clone().count();
    let item = |index: i64| Some((index, Item::of(0, &waiting.get(index as usize - 1)?.1?)?));
    let row = |(index, item): (i64, Item)| Row {
        key: index.to_string(),
        when: item.at.floor(),
        with: Some(item.with),
        xml: item.xml,
        ..Row::default()
    };
    let rows: Vec<Row> = indexes.filter_map(item).map(row).collect();
    let skipped = wanted - rows.len();
    Answer::Rows(rows, skipped)
}

/// The entries that wait, without damaged ones.
fn items(waiting: &Snapshot) -> impl Iterator<Item = Item> + '_ {
    (0..waiting.len()).filter_map(|index| Item::of(0, &waiting.get(index)?.1?))
}
