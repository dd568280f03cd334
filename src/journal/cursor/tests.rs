//! Tests of cursors on a simulated host: entries are recorded, stored, removed, and read by a reader that fails and dies.

use proptest::prelude::*;

use super::saved::SavedError;
use super::*;

/// A host: the tail of its process, and a store that has every entry at once.
struct Host {
    tail: Tail,
    now: f64,
    last: u128,
    /// The second and id of each entry.
    store: Vec<(f64, u128)>,
}

fn payload(at: f64, id: u128) -> Vec<u8> {
    let id = Uuid::from_u128(id).to_string();
    [format!("{at}\0").as_bytes(), b"\x01audit-event\x02type\x03t\x02id\x03", id.as_bytes(), b"\x05"].concat()
}

fn event(when: f64, id: u128) -> StoredEvent {
    StoredEvent { time: when, stored: when, id: Some(Uuid::from_u128(id).to_string()), ..StoredEvent::default() }
}

impl Host {
    fn new() -> Self {
        Self { tail: Tail::new(600, 1000.0), now: 1000.0, last: 0, store: Vec::new() }
    }

    /// The next id, as the recorder makes them: each is higher than the one before within a process.
    fn id(&mut self) -> u128 {
        let of_time = (self.now * 1000.0) as u128 * 1_000_000;
        self.last = if of_time > self.last { of_time } else { self.last + 1 };
        self.last
    }

    fn record(&mut self) -> u128 {
        let id = self.id();
        self.tail.push(&payload(self.now, id), self.now);
        self.store.push((self.now.floor(), id));
        id
    }

    fn open(&mut self, saved: Option<&str>) -> Cursor {
        let fresh = Uuid::from_u128(self.id());
        Cursor::open(&mut self.tail, saved.map(|text| text.parse().unwrap()).as_ref(), fresh)
    }

    /// Dies and starts again.
    fn restart(&mut self, cursor: &mut Cursor, saved: &str) {
        self.tail = Tail::new(600, self.now);
        self.last = 0;
        *cursor = self.open(Some(saved));
    }

    /// Searches what a cursor asks for, in pages of `page` entries. Stops after `pages` pages.
    fn search(&mut self, cursor: &mut Cursor, page: usize, pages: usize) {
        let fresh = Uuid::from_u128(self.id());
        let Want::Search(since, after) = cursor.wants(&self.tail, || fresh) else { return };
        let after = after.map(|(when, id)| (when, number_of(&id).unwrap()));
        let mut found: Vec<(f64, u128)> = self.store.iter().copied().filter(|(when, _)| *when >= since).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.retain(|place| after.is_none_or(|after| place.0.total_cmp(&after.0).then(place.1.cmp(&after.1)).is_gt()));
        for (index, page) in found.chunks(page).enumerate() {
            if index >= pages || !cursor.feed(&self.tail, page.iter().map(|(when, id)| event(*when, *id)).collect()) {
                return;
            }
        }
        cursor.searched(&self.tail, self.now);
    }

    /// Everything that can be read now.
    fn read_all(&mut self, cursor: &mut Cursor) -> (Vec<u128>, u64) {
        let (mut ids, mut missing) = (Vec::new(), 0);
        for _ in 0..1000 {
            self.search(cursor, 10, usize::MAX);
            let taken = cursor.take(&self.tail, 100);
            for (read, place) in taken {
                match read {
                    Read::Event(event) => ids.extend(event.id.as_deref().and_then(number_of)),
                    Read::Gap(gap) => missing += gap.count,
                }
                cursor.commit(&mut self.tail, &place);
            }
            if cursor.behind(&self.tail) == 0 && cursor.place().search.is_none() {
                break;
            }
        }
        (ids, missing)
    }
}

#[test]
fn a_cursor_reads_what_is_recorded_in_order_from_memory() {
    let mut host = Host::new();
    let before = host.record();
    let mut cursor = host.open(None);
    let recorded = [before, host.record(), host.record()];
    assert_eq!(cursor.wants(&host.tail, || unreachable!()), Want::Take);
    assert_eq!(host.read_all(&mut cursor), (recorded.to_vec(), 0), "those while modules are loaded too");
    assert_eq!(cursor.wants(&host.tail, || unreachable!()), Want::Nothing);
    assert_eq!((host.tail.first(), cursor.oldest(&host.tail)), (0, None));
}

#[test]
fn a_reader_that_comes_again_in_the_same_process_reads_nothing_twice() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    host.record();
    host.read_all(&mut cursor);
    let saved = cursor.saved(&host.tail, host.now).to_string();
    cursor.close(&mut host.tail);
    let recorded = [host.record(), host.record()];
    let mut cursor = host.open(Some(&saved));
    assert_eq!(host.read_all(&mut cursor), (recorded.to_vec(), 0));
}

/// Both were wrong: what was in memory was expected of the store, and what did not fit there any more was left out.
#[test]
fn a_reader_that_comes_again_in_the_same_process_misses_nothing_and_tells_no_gap() {
    for overflows in [false, true] {
        let mut host = Host::new();
        let another = host.open(None);
        let mut cursor = host.open(None);
        host.record();
        host.read_all(&mut cursor);
        let unread: Vec<u128> = (0..3).map(|_| host.record()).collect();
        let saved = cursor.saved(&host.tail, host.now).to_string();
        cursor.close(&mut host.tail);
        let mut all = unread;
        all.push(host.record());
        cursor = host.open(Some(&saved));
        // Half of what was in memory when it was opened is not there any more, when it searches.
        all.extend((0..if overflows { 7 } else { 0 }).map(|_| host.record()));
        assert_eq!((2..5).contains(&host.tail.first()), overflows, "{}", host.tail.first());
        assert_eq!(host.read_all(&mut cursor), (all, 0), "{overflows}");
        drop(another);
    }
}

#[test]
fn what_is_missing_after_a_reader_came_again_in_the_same_process_is_counted() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    // Nothing is kept without a reader.
    host.now += 60.0;
    host.record();
    host.read_all(&mut cursor);
    let unread: Vec<u128> = (0..3).map(|_| host.record()).collect();
    let saved = cursor.saved(&host.tail, host.now).to_string();
    cursor.close(&mut host.tail);
    // What is recorded meanwhile makes up for nothing that is missing.
    let later = host.record();
    host.store.retain(|(_, id)| *id != unread[0]);
    cursor = host.open(Some(&saved));
    assert_eq!(host.read_all(&mut cursor), (vec![unread[1], unread[2], later], 1));
}

#[test]
fn what_was_not_committed_is_read_again() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let recorded = [host.record(), host.record(), host.record()];
    let taken = cursor.take(&host.tail, 2);
    cursor.commit(&mut host.tail, &taken[0].1);
    assert_eq!((cursor.behind(&host.tail), cursor.oldest(&host.tail), cursor.next_time(&host.tail)), (2, Some(1000.0), Some(1000.0)));
    cursor.take(&host.tail, 9);
    assert_eq!(cursor.next_time(&host.tail), None);
    cursor.rewind();
    assert_eq!(host.read_all(&mut cursor), (recorded[1..].to_vec(), 0));
}

#[test]
fn a_cursor_that_falls_behind_what_is_in_memory_reads_the_store_and_then_memory_again() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let mut recorded: Vec<u128> = (0..50).map(|_| host.record()).collect();
    assert!(host.tail.first() > 30);
    host.search(&mut cursor, 5, 3);
    recorded.extend((0..3).map(|_| host.record()));
    assert_eq!(host.read_all(&mut cursor), (recorded, 0));
    assert_eq!(cursor.wants(&host.tail, || unreachable!()), Want::Nothing);
}

#[test]
fn what_was_removed_before_it_was_read_is_a_gap_in_its_place() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let recorded: Vec<u128> = (0..50).map(|_| host.record()).collect();
    host.store.drain(..20);
    host.search(&mut cursor, 10, usize::MAX);
    let taken = cursor.take(&host.tail, 100);
    assert_eq!(taken.len(), 31);
    assert_eq!(taken[30].0, Read::Gap(Gap { count: 20, since: 1000.0, until: 1000.0 }));
    let ids: Vec<u128> = taken[..30]
        .iter()
        .filter_map(|(read, _)| if let Read::Event(event) = read { number_of(event.id.as_ref()?) } else { None })
        .collect();
    assert_eq!(ids, recorded[20..]);
    // A position in the middle of a search has what is missing too.
    cursor.commit(&mut host.tail, &taken[4].1);
    host.now += 2.0;
    let saved = cursor.saved(&host.tail, host.now).to_string();
    assert_eq!(saved.parse::<Saved>().unwrap().to_string(), saved);
    host.now += 2.0;
    host.restart(&mut cursor, &saved);
    assert_eq!(host.read_all(&mut cursor), (recorded[25..].to_vec(), 20));
}

#[test]
fn what_expired_while_a_receiver_was_away_is_counted_although_a_new_process_has_recorded_more_than_fits_into_memory() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let expired: Vec<u128> = (0..50).map(|_| host.record()).collect();
    let saved = cursor.saved(&host.tail, host.now).to_string();
    host.now += 100.0;
    host.restart(&mut cursor, &saved);
    host.store.clear();
    host.now += 1.0;
    let recorded: Vec<u128> = (0..30).map(|_| host.record()).collect();
    assert!(host.tail.first() > 10);
    assert_eq!(cursor.behind(&host.tail), 80);
    assert_eq!(host.read_all(&mut cursor), (recorded, expired.len() as u64));
}

#[test]
fn what_a_process_recorded_after_its_position_was_saved_is_counted_once_it_was_found() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let saved = cursor.saved(&host.tail, host.now).to_string();
    let recorded: Vec<u128> = (0..50).map(|_| host.record()).collect();
    host.now += 2.0;
    host.restart(&mut cursor, &saved);
    assert_eq!(cursor.behind(&host.tail), 0);
    host.search(&mut cursor, 10, usize::MAX);
    assert_eq!(cursor.behind(&host.tail), 50);
    // The receiver takes some of them, and is away then.
    let taken = cursor.take(&host.tail, 30);
    cursor.commit(&mut host.tail, &taken[4].1);
    cursor.commit(&mut host.tail, &taken[9].1);
    assert_eq!(cursor.behind(&host.tail), 40);
    cursor.rewind();
    host.search(&mut cursor, 10, usize::MAX);
    assert_eq!(cursor.behind(&host.tail), 40);
    let saved = cursor.saved(&host.tail, host.now).to_string();
    host.now += 2.0;
    host.store.retain(|(_, id)| *id == recorded[20]);
    host.restart(&mut cursor, &saved);
    assert_eq!(host.read_all(&mut cursor), (vec![recorded[20]], 39));
}

#[test]
fn entries_from_before_the_clock_was_set_back_are_not_missing_if_new_ones_do_not_fit_into_memory() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let before = host.record();
    host.now += 20.0;
    let ahead: Vec<u128> = (0..20).map(|_| host.record()).collect();
    let saved = cursor.saved(&host.tail, host.now).to_string();
    host.now -= 10.0;
    host.restart(&mut cursor, &saved);
    host.now += 5.0;
    let mut all = vec![before];
    all.extend((0..30).map(|_| host.record()));
    host.now += 15.0;
    all.extend(ahead);
    all.push(host.record());
    let (mut read, missing) = host.read_all(&mut cursor);
    read.sort_unstable();
    all.sort_unstable();
    assert_eq!((read, missing), (all, 0));
}

#[test]
fn a_summary_that_was_offered_again_has_an_older_id_and_is_read_nevertheless() {
    let mut host = Host::new();
    let mut cursor = host.open(None);
    let old = host.id();
    let mut recorded: Vec<u128> = (0..5).map(|_| host.record()).collect();
    assert_eq!(host.read_all(&mut cursor), (recorded.clone(), 0));
    host.tail.push(&payload(host.now, old), host.now);
    host.store.push((host.now, old));
    recorded = (0..50).map(|_| host.record()).collect();
    let (read, missing) = host.read_all(&mut cursor);
    assert_eq!((read[0], &read[1..], missing), (old, recorded.as_slice(), 0));
}

#[test]
fn entries_of_other_modules_have_no_id_and_are_passed_over() {
    let mut host = Host::new();
    let mut cursor = host.open(Some("1 00000000-0000-0000-0000-000000000001 0 1"));
    assert!(matches!(cursor.wants(&host.tail, || unreachable!()), Want::Search(..)));
    cursor.feed(&host.tail, vec![StoredEvent::default(), event(5.0, 77)]);
    cursor.searched(&host.tail, 9.0);
    assert_eq!(cursor.take(&host.tail, 10).len(), 1);
}

#[test]
fn what_is_no_position_is_refused() {
    for text in ["", "1", "2 00000000-0000-0000-0000-000000000001 0 1", "1 x 0 1", "1 00000000-0000-0000-0000-000000000001 NaN 1"] {
        assert_eq!(text.parse::<Saved>(), Err(SavedError), "{text}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(usize),
    Clock(f64),
    Read(usize),
    Search(usize, usize),
    Commit,
    Rewind,
    Save,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..12).prop_map(Step::Record),
        1 => (0.0..5.0).prop_map(Step::Clock),
        1 => (-3000.0..0.0).prop_map(Step::Clock),
        4 => (1_usize..8).prop_map(Step::Read),
        3 => ((1_usize..9), (0_usize..4)).prop_map(|(page, pages)| Step::Search(page, pages)),
        3 => Just(Step::Commit),
        1 => Just(Step::Rewind),
        2 => Just(Step::Save),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    /// The position is saved at each step of the clock, as the binding does. Whatever happens, nothing is left out, and without a
    /// failure or a step of the clock nothing comes twice or in another order.
    #[test]
    fn nothing_is_left_out(steps in steps()) {
        let mut host = Host::new();
        let mut cursor = host.open(None);
        let (mut recorded, mut read, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let mut saved = cursor.saved(&host.tail, host.now).to_string();
        let mut is_plain = true;
        for step in steps {
            match step {
                Step::Record(count) => recorded.extend((0..count).map(|_| host.record())),
                Step::Clock(seconds) => {
                    is_plain = is_plain && seconds >= 0.0;
                    host.now = (host.now + seconds).max(1.0);
                    saved = cursor.saved(&host.tail, host.now).to_string();
                }
                Step::Read(most) => {
                    for (event, place) in cursor.take(&host.tail, most) {
                        let Read::Event(event) = event else { prop_assert!(!is_plain, "a gap"); continue };
                        read.push((number_of(event.id.as_ref().unwrap()).unwrap(), place));
                    }
                }
                Step::Search(page, pages) => host.search(&mut cursor, page, pages),
                Step::Commit => {
                    if let Some((_, place)) = read.last() {
                        cursor.commit(&mut host.tail, place);
                    }
                    done.extend(read.drain(..).map(|(id, _)| id));
                }
                Step::Rewind => {
                    read.clear();
                    cursor.rewind();
                }
                Step::Save => saved = cursor.saved(&host.tail, host.now).to_string(),
                Step::Restart => {
                    is_plain = false;
                    read.clear();
                    host.restart(&mut cursor, &saved);
                }
            }
        }
        cursor.rewind();
        done.extend(host.read_all(&mut cursor).0);
        let mut seen = done.clone();
        seen.sort_unstable();
        for id in &recorded {
            prop_assert!(seen.binary_search(id).is_ok(), "{id} of {recorded:?} is not in {done:?}");
        }
        if is_plain {
            prop_assert_eq!(done, recorded);
        }
        prop_assert_eq!(cursor.behind(&host.tail), 0);
    }
}
