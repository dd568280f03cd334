use super::*;
use proptest::prelude::*;

const NOON: f64 = 1_795_521_600.0;

/// A journal and a store, with a clock.
#[derive(Default)]
struct World {
    now: f64,
    first: u64,
    /// The times of entries; the sequence is the index, and the id is the sequence.
    journal: Vec<f64>,
    store: Vec<(u64, f64)>,
    /// What each entry takes the store, and each batch, in seconds.
    each: f64,
    commit: f64,
    hand_over: HandOver,
    sizes: Vec<usize>,
    looks: usize,
    /// When the last entry was appended.
    appended: f64,
}

/// What a store does wrong in one slice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It takes this many entries of a batch, and refuses the next.
    Refuses(usize),
    /// It takes a whole batch, and says that it did not.
    Lies,
    /// It can't be read.
    IsUnreadable,
    /// The process dies after a batch, before the journal is told.
    Crashes,
}

impl World {
    fn new() -> Self {
        Self { now: NOON, each: 0.000_1, ..Self::default() }
    }

    fn end(&self) -> u64 {
        self.journal.len() as u64
    }

    fn add(&mut self, count: usize) {
        for _ in 0..count {
            self.journal.push(self.now);
            self.hand_over.added(self.now);
        }
    }

    fn restart(&mut self) {
        self.hand_over = HandOver::default();
        self.hand_over.attached(self.first, self.end());
    }

    /// Runs one slice. `None` if the process died in it.
    fn slice(&mut self, fault: Fault) -> Option<After> {
        self.hand_over.begin(self.now);
        let mut succeeded = true;
        for _ in 0..10_000 {
            let Some(step) = self.hand_over.next_step(self.now, self.first, self.end()) else {
                return Some(self.hand_over.ended(self.now, succeeded, self.first, self.end()));
            };
            match step {
                SliceStep::Learn(range) => {
                    self.now += 0.000_01 * (range.end - range.start) as f64;
                    let times: Vec<f64> = range.clone().map(|sequence| self.journal[sequence as usize]).collect();
                    self.hand_over.learned(range.end, times);
                }
                SliceStep::List if fault == Fault::IsUnreadable => succeeded = false,
                SliceStep::List => {
                    let days = self.hand_over.days().into_iter().map(|at| vec![format!("{}", (at / DAY).floor())]);
                    let days: Vec<Vec<String>> = days.collect();
                    self.hand_over.listed(days);
                }
                SliceStep::Look { partition, limit } => {
                    self.looks += 1;
                    let of_partition = self.store.iter().rev().filter(|(_, at)| partition == Some(format!("{}", (at / DAY).floor())));
                    let found: Vec<(u64, f64)> = of_partition.take(limit).copied().collect();
                    let oldest = found.last().map(|(_, at)| *at);
                    self.hand_over.looked(found.iter().map(|(id, _)| id.to_string()), found.len(), oldest);
                }
                SliceStep::Batch(batch) => {
                    self.sizes.push(batch.size);
                    let (count, done) = self.append(batch, fault);
                    if fault == Fault::Crashes {
                        self.restart();
                        return None;
                    }
                    self.hand_over.handed_over(self.appended, count, done);
                    succeeded = done == count || fault == Fault::None;
                }
            }
            if !succeeded {
                return Some(self.hand_over.ended(self.now, false, self.first, self.end()));
            }
        }
        panic!("a slice without an end");
    }

    fn append(&mut self, batch: Batch, fault: Fault) -> (usize, usize) {
        let mut items = Vec::new();
        let mut behind = self.first;
        while behind < self.end() && items.len() < batch.size {
            if !self.hand_over.is_recognised(&behind.to_string()) {
                items.push(behind);
            }
            behind += 1;
        }
        // What was recognised is released first. Otherwise each crash would leave more to recognise.
        self.first = items.first().copied().unwrap_or(behind);
        let mut done = 0;
        for sequence in &items {
            if fault == Fault::Refuses(done) {
                break;
            }
            self.store.push((*sequence, self.journal[*sequence as usize]));
            self.now += self.each;
            done += 1;
            if self.now > batch.deadline && (done >= batch.at_least || self.now > batch.latest) {
                break;
            }
        }
        self.appended = self.now;
        if fault == Fault::Lies || fault == Fault::Crashes {
            return (items.len(), 0);
        }
        self.first = if done < items.len() { items[done] } else { behind };
        self.now += self.commit;
        (items.len(), done)
    }

    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.first >= self.end() {
                return;
            }
            let after = self.slice(Fault::None).unwrap();
            self.now += after.pause.unwrap_or(DELAY);
        }
        panic!("{} of {} entries were handed over", self.first, self.end());
    }

    fn ids(&self) -> Vec<u64> {
        self.store.iter().map(|(id, _)| *id).collect()
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        1 => (0usize..30).prop_map(Fault::Refuses),
        1 => Just(Fault::Lies),
        1 => Just(Fault::IsUnreadable),
        1 => Just(Fault::Crashes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_store_does_each_entry_is_stored_once_and_in_order(
        steps in prop::collection::vec((0usize..260, fault(), 0f64..50_000.0), 1..30),
        each in 0.000_01f64..0.003,
    ) {
        let mut world = World { each, ..World::new() };
        for (count, fault, pass) in steps {
            world.add(count);
            let after = world.slice(fault);
            if let Some(pause) = after.and_then(|after| after.pause) {
                prop_assert!((0.0..=Backoff::LONGEST).contains(&pause));
            }
            world.now += pass;
        }
        world.finish();
        prop_assert_eq!(world.ids(), (0..world.end()).collect::<Vec<_>>());
        prop_assert!(world.sizes.iter().all(|size| (Pace::FEWEST_ROWS..=Pace::MOST_ROWS).contains(size)));
    }

    #[test]
    fn a_slice_ends_in_time_whatever_an_entry_takes(each in 0.000_001f64..0.2, count in 1usize..2000) {
        let mut world = World { each, ..World::new() };
        world.add(count);
        for _ in 0..20 {
            let began = world.now;
            world.slice(Fault::None);
            let took = world.now - began;
            // A transaction that has reached the end of the slice goes on to the smallest batch, for as long as it may.
            let more = (Pace::FEWEST_ROWS as f64 * each).min(HOLD) + each;
            prop_assert!(took <= SLICE + more + 0.000_01, "{took}");
            world.now += 1.0;
        }
    }

    #[test]
    fn pauses_grow_while_it_fails_and_a_success_ends_that(failures in 1usize..40) {
        let mut world = World::new();
        world.add(1);
        let mut last = 0.0;
        for _ in 0..failures {
            let After { more, pause } = world.slice(Fault::Refuses(0)).unwrap();
            let pause = pause.unwrap();
            prop_assert!(more && pause >= last && pause <= Backoff::LONGEST);
            prop_assert_eq!(world.hand_over.when(world.first, world.end()), When { delay: None, until: None });
            last = pause;
        }
        prop_assert_eq!(world.slice(Fault::None), Some(After { more: false, pause: None }));
        world.add(1);
        prop_assert_eq!(world.slice(Fault::Refuses(0)).unwrap().pause, Some(FIRST_PAUSE));
    }
}

#[test]
fn entries_are_handed_over_soon_and_at_once_if_many_wait() {
    let mut hand_over = HandOver::default();
    assert_eq!(hand_over.when(10, 11), When { delay: Some(DELAY), until: Some(210) });
    assert_eq!(hand_over.when(10, 210), When { delay: Some(DELAY), until: Some(210) });
    assert_eq!(hand_over.when(10, 211), When { delay: Some(0.0), until: None });
    assert!(!hand_over.is_running());
    hand_over.begin(NOON);
    assert!(hand_over.is_running());
    assert_eq!(hand_over.when(10, 211), When { delay: None, until: None }, "it runs");
    assert_eq!(hand_over.ended(NOON + 0.01, true, 200, 211), After { more: true, pause: Some(0.03) }.rounded());
    assert_eq!(hand_over.when(200, 411), When { delay: None, until: None }, "it rests");
    hand_over.begin(NOON + 1.0);
    assert_eq!(hand_over.ended(NOON + 3.0, true, 300, 411).pause, Some(DELAY), "no rest is longer than the delay");
    assert_eq!(hand_over.longest(), 2.0);
}

impl After {
    /// With the pause that a computation with floating-point numbers gives.
    fn rounded(self) -> Self {
        Self { pause: self.pause.map(|_| REST * (NOON + 0.01 - NOON)), ..self }
    }
}

#[test]
fn a_slice_goes_on_until_its_time_is_over() {
    let mut hand_over = HandOver::default();
    hand_over.begin(0.0);
    for (now, goes_on) in [(0.0, true), (SLICE, true), (SLICE + 0.001, false)] {
        assert_eq!(hand_over.next_step(now, 0, 1).is_some(), goes_on, "{now}");
    }
}

#[test]
fn a_slice_of_the_native_store_is_shorter_and_never_held_up() {
    let mut hand_over = HandOver::default();
    hand_over.begin_native(0.0);
    let Some(SliceStep::Batch(batch)) = hand_over.next_step(0.0, 0, 1) else { panic!() };
    assert_eq!((batch.deadline, batch.latest), (NATIVE_SLICE, NATIVE_SLICE));
    assert!(hand_over.next_step(NATIVE_SLICE, 0, 1).is_some() && hand_over.next_step(SLICE, 0, 1).is_none());
}

#[test]
fn looking_for_what_the_store_has_is_done_in_several_slices() {
    let mut hand_over = HandOver::default();
    hand_over.added(NOON);
    hand_over.doubt();
    let mut steps = Vec::new();
    for slice in 0..4 {
        let now = NOON + f64::from(slice);
        hand_over.begin(now);
        steps.push(hand_over.next_step(now, 0, 1));
        match &steps[steps.len() - 1] {
            Some(SliceStep::List) => hand_over.listed([vec!["b".to_owned()]]),
            Some(SliceStep::Look { .. }) => hand_over.looked([], 1, None),
            _ => {}
        }
        assert_eq!(hand_over.next_step(now + 0.5, 0, 1), None, "it took too long");
        hand_over.ended(now + 0.5, true, 0, 1);
    }
    let look = |partition: Option<&str>| Some(SliceStep::Look { partition: partition.map(ToOwned::to_owned), limit: RECOGNISED });
    assert_eq!(steps[..3], [look(None), Some(SliceStep::List), look(Some("b"))]);
    assert!(matches!(steps[3], Some(SliceStep::Batch(_))));
}

#[test]
fn another_process_that_writes_is_waited_for_and_reported_if_that_takes_long() {
    let mut hand_over = HandOver::default();
    let mut slice = |now: f64, is_free: bool| {
        hand_over.begin_native(now);
        assert!(matches!(hand_over.next_step(now, 0, 1), Some(SliceStep::Batch(_))));
        if is_free {
            hand_over.handed_over(now, 1, 1);
            return (true, hand_over.ended(now, true, 0, 1).pause);
        }
        let waits = hand_over.blocked(now);
        assert_eq!(hand_over.next_step(now, 0, 1), None, "the slice is over");
        (waits, hand_over.ended(now, true, 0, 1).pause)
    };
    assert_eq!([slice(0.0, false), slice(BLOCKED - 0.1, false)], [(true, Some(DELAY)); 2]);
    assert!(!slice(BLOCKED, false).0);
    assert_eq!(slice(BLOCKED + 1.0, true), (true, Some(0.0)));
    assert!(slice(BLOCKED + 2.0, false).0, "it was free in between");
}

#[test]
fn the_size_of_a_batch_follows_from_the_entries_and_not_from_the_commit() {
    let mut world = World { commit: 0.05, each: 0.000_01, ..World::new() };
    world.add(1000);
    world.finish();
    assert_eq!(world.sizes[..4], [25, 50, 100, 200]);
    let mut slow = World { each: 0.01, ..World::new() };
    slow.add(100);
    slow.finish();
    assert_eq!(slow.sizes[..3], [25, 12, 10]);
}

#[test]
fn on_a_store_that_is_slow_a_transaction_ends_with_fewer_entries() {
    let mut world = World { each: 0.1, ..World::new() };
    world.add(100);
    world.slice(Fault::None);
    assert_eq!(world.first, 3, "after 0.3 seconds");
}

#[test]
fn what_a_crash_left_in_both_is_recognised_beyond_full_partitions() {
    let mut hand_over = HandOver::default();
    hand_over.attached(0, 3);
    hand_over.begin(NOON);
    assert_eq!(hand_over.next_step(NOON, 0, 3), Some(SliceStep::Learn(0..3)));
    hand_over.learned(3, [NOON, NOON + 1.0, NOON + DAY]);
    assert_eq!(hand_over.days(), [NOON, NOON + DAY]);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let look = |partition: Option<&str>| Some(SliceStep::Look { partition: partition.map(ToOwned::to_owned), limit: RECOGNISED });
    assert_eq!(hand_over.next_step(NOON, 0, 3), look(None));
    hand_over.looked(names(&["nil"]), 400, Some(NOON - 1.0));
    assert_eq!(hand_over.next_step(NOON, 0, 3), Some(SliceStep::List));
    hand_over.listed([names(&["a.3", "a.2", "a"]), names(&[]), names(&["b"])]);
    for (partition, entries) in [(Some("a.3"), 250), (Some("a.2"), RECOGNISED - 250), (Some("b"), 0)] {
        assert_eq!(hand_over.next_step(NOON, 0, 3), look(partition));
        hand_over.looked(names(&[partition.unwrap()]), entries, (entries > 0).then_some(NOON - 1.0));
    }
    assert!(matches!(hand_over.next_step(NOON, 0, 3), Some(SliceStep::Batch(_))));
    assert!(hand_over.recognises() && ["nil", "a.3", "b"].iter().all(|id| hand_over.is_recognised(id)) && !hand_over.is_recognised("x"));
    hand_over.ended(NOON, true, 3, 3);
    assert!(!hand_over.recognises(), "nothing waits");
}

/// They were given up after 400 of them, if another process had written them.
#[test]
fn what_waits_is_looked_for_behind_all_entries_that_were_written_since() {
    let mut hand_over = HandOver::default();
    hand_over.attached(0, 1);
    hand_over.begin(NOON);
    assert_eq!(hand_over.next_step(NOON, 0, 1), Some(SliceStep::Learn(0..1)));
    hand_over.learned(1, [NOON + 0.5]);
    let mut looks = |partition: Option<&str>, limit: usize, entries: usize, oldest: f64| {
        let look = SliceStep::Look { partition: partition.map(ToOwned::to_owned), limit };
        assert_eq!(hand_over.next_step(NOON, 0, 1), Some(look));
        hand_over.looked([], entries, Some(oldest));
        if partition.is_none() && (entries < limit || oldest < NOON) {
            assert_eq!(hand_over.next_step(NOON, 0, 1), Some(SliceStep::List));
            hand_over.listed([["a.4", "a.3", "a.2", "a"].map(ToOwned::to_owned).into(), vec!["b.2".to_owned(), "b".to_owned()]]);
        }
    };
    looks(None, RECOGNISED, RECOGNISED, NOON);
    looks(None, 2 * RECOGNISED, 2 * RECOGNISED, NOON - 1.0);
    // The time is that of the second. There are more in it.
    looks(Some("a.4"), RECOGNISED, RECOGNISED, NOON + 9.0);
    looks(Some("a.4"), 2 * RECOGNISED, 500, NOON + 7.0);
    looks(Some("a.3"), RECOGNISED, 300, NOON);
    looks(Some("a.2"), RECOGNISED, 10, NOON - 1.0);
    // The others are older.
    looks(Some("b.2"), RECOGNISED, RECOGNISED, NOON - 1.0);
    assert!(matches!(hand_over.next_step(NOON, 0, 1), Some(SliceStep::Batch(_))));
}

#[test]
fn many_entries_of_an_earlier_process_are_read_in_several_slices() {
    let mut world = World::new();
    world.journal = vec![NOON - DAY; 5000];
    world.restart();
    let after = world.slice(Fault::None).unwrap();
    assert_eq!((world.first, after.more, world.looks), (0, true, 0));
    assert!(world.now - NOON < SLICE + 0.001);
    world.finish();
    assert_eq!((world.ids().len(), world.looks), (5000, 2));
}

#[test]
fn a_lock_is_reported_at_the_second_attempt_and_other_failures_at_the_first() {
    for (is_locked, expected) in [(true, [false, true, false]), (false, [true, false, false])] {
        let mut hand_over = HandOver::default();
        let told = [0, 1, 2].map(|_| hand_over.not_attached(is_locked));
        assert_eq!(told.map(|(_, told)| told), expected);
        assert_eq!(told.map(|(pause, _)| pause), [DELAY, 2.0 * DELAY, 4.0 * DELAY]);
    }
    let mut hand_over = HandOver::default();
    assert_eq!(hand_over.attach_pause(), None);
    hand_over.begin(NOON);
    assert_eq!(hand_over.attach_pause(), Some(DELAY));
}

#[test]
fn a_driver_that_does_not_answer_is_reported_once_for_each_slice() {
    let mut hand_over = HandOver::default();
    assert_eq!(hand_over.unanswered(NOON + 100.0), None);
    hand_over.begin(NOON);
    assert_eq!([60.0, 60.5, 70.0].map(|passed| hand_over.unanswered(NOON + passed)), [None, Some(60.0), None]);
    hand_over.ended(NOON + 80.0, true, 0, 0);
    hand_over.begin(NOON + 80.0);
    assert_eq!(hand_over.unanswered(NOON + 141.0), Some(60.0));
}
