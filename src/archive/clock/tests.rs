use super::*;
use crate::archive::retention::Rules;
use crate::time::period::Period;
use proptest::prelude::*;

const NOON: f64 = 1_795_521_600.0;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.0 * DAY;
const TRUST: f64 = DAY;
const NONE: Witnesses = Witnesses { heartbeat: None, files: None, elsewhere: None };

fn reading(wall: f64, uptime: f64, boot: &str) -> ClockReading {
    ClockReading { wall, uptime, boot: (!boot.is_empty()).then(|| boot.to_owned()) }
}

fn named(name: &str) -> Partition {
    name.parse().unwrap()
}

/// The clock in the next process, which reads the saved state.
fn restarted(clock: &Clock) -> Clock {
    Clock::parse(&clock.to_text()).unwrap()
}

/// A clock that has been right for two days, until `NOON`. The machine has been up for as long.
fn settled() -> Clock {
    let mut clock = Clock::default();
    for hour in 0..=48 {
        let passed = f64::from(hour) * 3600.0;
        assert_eq!(clock.look(&reading(NOON - 2.0 * DAY + passed, passed, "a"), &NONE, TRUST), ClockCheck::Same);
    }
    assert!(clock.settled);
    clock
}

fn is_jump(seen: ClockCheck) -> bool {
    matches!(seen, ClockCheck::Jumped { is_told: true, .. })
}

#[test]
fn a_clock_that_goes_on_does_not_jump() {
    // Hours since the last check, and by how many seconds the clock is off.
    for (hours, off) in [(1.0, 0.0), (1.0, 900.0), (1.0, -900.0), (24.0, 1.0), (240.0, -1.0), (2000.0, 0.0)] {
        let passed = hours * 3600.0;
        let now = reading(NOON + passed + off, 2.0 * DAY + passed, "a");
        assert_eq!(settled().look(&now, &NONE, TRUST), ClockCheck::Same, "{hours} h, {off} s");
        assert_eq!(restarted(&settled()).look(&now, &NONE, TRUST), ClockCheck::Same, "in another process: {hours} h, {off} s");
    }
}

#[test]
fn slow_drift_is_no_jump_and_fast_drift_is() {
    for (drift, jumps) in [(30.0, false), (-30.0, false), (600.0, true), (-600.0, true)] {
        let mut clock = settled();
        let seen: Vec<ClockCheck> = (1..200)
            .map(f64::from)
            .map(|hour| clock.look(&reading(NOON + hour * (3600.0 + drift), 2.0 * DAY + hour * 3600.0, "a"), &NONE, TRUST))
            .collect();
        assert_eq!(seen.iter().any(|seen| is_jump(*seen)), jumps, "{drift} seconds an hour");
    }
}

#[test]
fn a_step_is_a_jump_in_the_same_boot_whichever_process_sees_it() {
    for step in [2.0 * 3600.0, -2.0 * 3600.0, 40.0 * DAY, -40.0 * DAY, 9.0 * YEAR, -56.0 * YEAR] {
        for mut clock in [settled(), restarted(&settled())] {
            let seen = clock.look(&reading(NOON + 3.0 + step, 2.0 * DAY + 3.0, "a"), &NONE, TRUST);
            assert!(is_jump(seen), "{step}");
            let jump = clock.doubt().unwrap();
            assert_eq!((jump.expected, jump.shown, jump.exact), (NOON + 3.0, NOON + 3.0 + step, true));
        }
    }
}

#[test]
fn a_clock_in_doubt_has_to_agree_for_long_enough() {
    let mut clock = settled();
    let back = NOON + 100.0;
    assert!(is_jump(clock.look(&reading(back + 40.0 * DAY, 2.0 * DAY + 100.0, "a"), &NONE, TRUST)));
    assert!(is_jump(clock.look(&reading(back + 3.0, 2.0 * DAY + 103.0, "a"), &NONE, TRUST)), "back where it was is a jump too");
    assert!(!clock.is_trusted() && clock.remaining(TRUST) == TRUST);
    let mut clock = restarted(&clock);
    let after = |passed: f64| reading(back + 3.0 + passed, 2.0 * DAY + 103.0 + passed, "a");
    assert_eq!(clock.look(&after(DAY - 10.0), &NONE, TRUST), ClockCheck::Same);
    assert_eq!((clock.is_trusted(), clock.remaining(TRUST)), (false, 10.0));
    assert_eq!(clock.look(&after(DAY + 1.0), &NONE, TRUST), ClockCheck::Settled);
    assert!(clock.is_trusted());
    assert_eq!(clock.look(&after(DAY + 2.0), &NONE, TRUST), ClockCheck::Same);
}

#[test]
fn an_operator_can_trust_the_clock() {
    let mut clock = settled();
    assert!(!clock.trust());
    clock.look(&reading(NOON + YEAR, 2.0 * DAY, "a"), &NONE, f64::INFINITY);
    assert!(!clock.is_trusted() && clock.trust() && clock.is_trusted());
    assert_eq!(clock.look(&reading(NOON + YEAR + 60.0, 2.0 * DAY + 60.0, "a"), &NONE, f64::INFINITY), ClockCheck::Same);
}

#[test]
fn after_another_boot_the_clock_may_be_later_but_much_later_only_with_a_witness() {
    let elsewhere = |time: f64| Witnesses { elsewhere: Some(time), ..NONE };
    for (off, up, witnesses, jumps) in [
        (60.0, 30.0, NONE, false),
        (0.9 * DAY, 30.0, NONE, false),
        (-60.0, 30.0, NONE, false),
        (-2.0 * 3600.0, 30.0, NONE, true),
        // The machine has been up for longer than the server was off by the clock.
        (60.0, 3.0 * 3600.0, NONE, true),
        (60.0 * DAY, 30.0, NONE, true),
        (60.0 * DAY, 60.0 * DAY, NONE, false),
        (60.0 * DAY, 30.0, elsewhere(NOON + 59.5 * DAY), false),
        (60.0 * DAY, 30.0, elsewhere(NOON + 40.0 * DAY), true),
        (60.0 * DAY, 30.0, elsewhere(NOON + 80.0 * DAY), true),
        (9.0 * YEAR, 30.0, NONE, true),
        (-56.0 * YEAR, 30.0, elsewhere(NOON - 56.0 * YEAR), true),
    ] {
        let mut clock = restarted(&settled());
        let seen = clock.look(&reading(NOON + off, up, "b"), &witnesses, TRUST);
        assert_eq!((is_jump(seen), clock.is_trusted()), (jumps, !jumps), "{off} s later, up for {up} s, {witnesses:?}");
    }
}

#[test]
fn a_log_of_an_earlier_version_is_compared_with_heartbeat_and_files() {
    for (witnesses, jumps) in [
        (NONE, false),
        (Witnesses { heartbeat: Some(NOON - 60.0), ..NONE }, false),
        (Witnesses { heartbeat: Some(NOON - 30.0 * DAY), files: Some(NOON - 60.0), ..NONE }, false),
        (Witnesses { heartbeat: Some(NOON - 30.0 * DAY), files: Some(NOON - 30.0 * DAY), ..NONE }, true),
        (Witnesses { heartbeat: Some(NOON - 30.0 * DAY), elsewhere: Some(NOON - 60.0), ..NONE }, false),
        (Witnesses { files: Some(NOON + 30.0 * DAY), ..NONE }, true),
        (Witnesses { files: Some(f64::NAN), ..NONE }, false),
    ] {
        let mut clock = Clock::default();
        assert_eq!(is_jump(clock.look(&reading(NOON, 100.0, "a"), &witnesses, TRUST)), jumps, "{witnesses:?}");
    }
}

#[test]
fn if_nothing_else_is_known_the_newest_day_of_the_archive_is_compared() {
    for (names, jumps) in [
        (&[][..], false),
        (&["@events.2026-11-23"], false),
        (&["@events.2026-11-01", "@failures.2026-11-23"], false),
        (&["@events.2026-11-01"], true),
        (&["@events.2027-11-01"], true),
        (&["@moving-old.2027-11-01"], false),
        // Written since this process began.
        (&["@events.2026-11-24"], false),
    ] {
        let mut clock = Clock::default();
        let now = reading(NOON, 100.0, "a");
        clock.look(&now, &NONE, TRUST);
        let partitions: Vec<Partition> = names.iter().map(|name| named(name)).collect();
        assert_eq!(is_jump(clock.look_at_partitions(&partitions, &now, &NONE)), jumps, "{names:?}");
        assert!(!is_jump(clock.look_at_partitions(&[named("@events.2026-01-01")], &now, &NONE)), "what comes later is from us");
        assert_eq!(clock.look(&reading(NOON + 10.0, 110.0, "a"), &NONE, TRUST), ClockCheck::Same);
    }
}

#[test]
fn a_year_before_this_program_existed_is_never_trusted() {
    let mut clock = Clock::default();
    assert!(is_jump(clock.look(&reading(100.0, 10.0, "a"), &NONE, TRUST)));
    for day in 1..10 {
        let passed = f64::from(day) * DAY;
        assert_eq!(clock.look(&reading(100.0 + passed, 10.0 + passed, "a"), &NONE, TRUST), ClockCheck::Same);
    }
    assert!(!clock.is_trusted());
}

#[test]
fn a_clock_that_keeps_jumping_is_logged_a_few_times() {
    let mut clock = settled();
    let told = (1..100).filter(|n| {
        let step = if n % 2 == 0 { 0.0 } else { YEAR };
        is_jump(clock.look(&reading(NOON + step + f64::from(*n), 2.0 * DAY + f64::from(*n), "a"), &NONE, TRUST))
    });
    assert_eq!(told.count(), TOLD as usize);
    assert!(clock.to_text().len() < 10_000, "and it does not grow");
}

#[test]
fn invalid_saved_state_is_ignored() {
    for text in ["", "{", "null", "7", "{\"seen\":\"x\"}", "\u{0}"] {
        assert_eq!(Clock::parse(text), None, "{text}");
    }
    assert_eq!(Clock::parse("{}"), Some(Clock::default()));
}

#[test]
fn partitions_of_a_later_year_are_recognised_by_their_days() {
    let mut clock = settled();
    let up = |passed: f64| 2.0 * DAY + passed;
    clock.look(&reading(NOON + 9.0 * YEAR, up(0.0), "a"), &NONE, TRUST);
    let excursion = Partition::new("events", NOON + 9.0 * YEAR);
    let before = Partition::new("events", NOON);
    assert_eq!(clock.timeline(NOON + 9.0 * YEAR).shift(&excursion), -9.0 * YEAR, "in doubt: by the clock of before");
    assert_eq!(clock.timeline(NOON + 9.0 * YEAR).shift(&before), 0.0);
    clock.look(&reading(NOON + 9.0 * YEAR + 600.0, up(600.0), "a"), &NONE, TRUST);
    clock.look(&reading(NOON + 610.0, up(610.0), "a"), &NONE, TRUST);
    clock.look(&reading(NOON + 610.0 + DAY, up(610.0 + DAY), "a"), &NONE, TRUST);
    assert!(clock.is_trusted());
    let shift = |clock: &Clock, now: f64, partition: &Partition| clock.timeline(now).shift(partition);
    assert_eq!(shift(&clock, NOON + 2.0 * DAY, &excursion), -9.0 * YEAR);
    assert_eq!(shift(&clock, NOON + 2.0 * DAY, &before), 0.0);
    assert_eq!(shift(&clock, NOON + 9.0 * YEAR, &excursion), 0.0, "when that day has come, its own entries are there too");
}

#[test]
fn entries_of_1970_were_written_when_the_clock_was_corrected() {
    for exact in [true, false] {
        let mut clock = Clock::default();
        clock.look(&reading(10.0, 10.0, "a"), &NONE, TRUST);
        clock.look(&reading(3610.0, 3610.0, "a"), &NONE, TRUST);
        let boot = if exact { "a" } else { "b" };
        assert!(is_jump(restarted(&clock).look(&reading(NOON, 3620.0, boot), &NONE, TRUST)));
        let mut clock = restarted(&clock);
        clock.look(&reading(NOON, 3620.0, boot), &NONE, TRUST);
        clock.trust();
        let shift = clock.timeline(NOON).shift(&named("@events.1970-01-01"));
        assert!((shift - (NOON - 3620.0)).abs() <= 3610.0, "{exact} {shift}");
    }
}

#[test]
fn impossible_days_count_from_when_they_are_seen() {
    let mut clock = settled();
    let now = reading(NOON, 2.0 * DAY, "a");
    let all = ["@events.1970-01-01", "@events.1980-01-01", "@events.2035-05-05", "@events.2026-11-24", "@events.2026-11-25"].map(named);
    assert_eq!(clock.timeline(NOON).shift(&all[0]), f64::INFINITY);
    clock.look_at_partitions(&all, &now, &NONE);
    for partition in &all[..3] {
        assert_eq!(partition.end() + clock.timeline(NOON).shift(partition), NOON, "{partition}");
    }
    for partition in &all[3..] {
        assert_eq!(clock.timeline(NOON).shift(partition), 0.0, "{partition}");
    }
    clock.look_at_partitions(&all, &reading(NOON + DAY, 3.0 * DAY, "a"), &NONE);
    assert_eq!(all[1].end() + clock.timeline(NOON + DAY).shift(&all[1]), NOON, "and not again");
}

/// An event that may happen to a machine.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// This many seconds pass. The server checks the clock about once a minute.
    Run(u32),
    /// The server is restarted.
    Restart,
    /// The machine is off for this many seconds.
    Reboot(u32),
    /// From now on the clock is wrong by this many seconds.
    Wrong(i32),
    /// The clock is right again.
    Right,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wrong = prop_oneof![Just(284_000_000), Just(-284_000_000), Just(3_500_000), -9_000_000i32..9_000_000, -4000i32..4000];
    prop::collection::vec(
        prop_oneof![
            (1u32..200_000).prop_map(Step::Run),
            Just(Step::Restart),
            (30u32..200_000).prop_map(Step::Reboot),
            wrong.prop_map(Step::Wrong),
            Just(Step::Right),
        ],
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Entries are written all the time. As long as the clock is never wrong for longer than it takes to trust it, no entry is removed
    /// too early. Once the clock has been right for long enough, expired entries are removed.
    #[test]
    fn no_entry_is_removed_too_early_and_expired_entries_are_removed_in_the_end(steps in steps(), keep in 1u32..10) {
        let expiry = f64::from(keep) * DAY;
        let mut clock = settled();
        let (mut real, mut up, mut off, mut boot) = (NOON, 2.0 * DAY, 0.0, 0);
        let mut wrong_since: Option<f64> = None;
        let mut entries: Vec<(Partition, f64)> = Vec::new();
        let mut removed_early = None;
        let look = |clock: &mut Clock, entries: &mut Vec<(Partition, f64)>, real: f64, up: f64, off: f64, boot: i32| {
            let name = if boot == 0 { "a".to_owned() } else { boot.to_string() };
            let now = reading(real + off, up, &name);
            let partitions: Vec<Partition> = entries.iter().map(|(partition, _)| partition.clone()).collect();
            clock.look(&now, &NONE, TRUST);
            clock.look_at_partitions(&partitions, &now, &NONE);
            let mut early = None;
            if clock.is_trusted() {
                let timeline = clock.timeline(now.wall);
                entries.retain(|(partition, written)| {
                    let expired = partition.end() + timeline.shift(partition) + expiry <= now.wall;
                    // An outage of a day, plus the allowed difference, is accepted.
                    if expired && real - written < expiry - OUTAGE - 2.0 * SLACK {
                        early = Some((partition.clone(), *written, real));
                    }
                    !expired
                });
            }
            early
        };
        for step in steps.into_iter().chain([Step::Right, Step::Run(200_000), Step::Run(1_000_000)]) {
            match step {
                Step::Run(seconds) => {
                    let mut left = f64::from(seconds);
                    // A wrong clock is corrected in time.
                    if let Some(since) = wrong_since {
                        left = left.min(since + 0.9 * TRUST - real).max(0.0);
                    }
                    while left > 0.0 {
                        let pass = left.min(3000.0);
                        (real, up, left) = (real + pass, up + pass, left - pass);
                        let partition = Partition::new("events", real + off);
                        match entries.iter_mut().find(|entry| entry.0 == partition) {
                            Some(entry) => entry.1 = real,
                            None => entries.push((partition, real)),
                        }
                        removed_early = look(&mut clock, &mut entries, real, up, off, boot).or(removed_early);
                    }
                }
                Step::Restart => clock = restarted(&clock),
                Step::Reboot(seconds) => {
                    clock = restarted(&clock);
                    boot += 1;
                    (real, up) = (real + f64::from(seconds), 20.0);
                    removed_early = look(&mut clock, &mut entries, real, up, off, boot).or(removed_early);
                }
                Step::Wrong(by) => {
                    off = f64::from(by);
                    wrong_since = Some(wrong_since.unwrap_or(real));
                    removed_early = look(&mut clock, &mut entries, real, up, off, boot).or(removed_early);
                }
                Step::Right => {
                    (off, wrong_since) = (0.0, None);
                    removed_early = look(&mut clock, &mut entries, real, up, off, boot).or(removed_early);
                }
            }
            prop_assert!(removed_early.is_none(), "{step:?}: {removed_early:?}");
        }
        prop_assert!(clock.is_trusted());
        let oldest = entries.iter().map(|(_, written)| *written).fold(f64::INFINITY, f64::min);
        prop_assert!(real - oldest <= expiry + 2.0 * DAY + 2.0 * SLACK, "kept since {} days", (real - oldest) / DAY);
    }
}

#[test]
fn a_jump_during_the_doubt_after_an_outage_is_remembered() {
    let mut clock = restarted(&settled());
    assert!(is_jump(clock.look(&reading(NOON + 2.0 * DAY, 30.0, "b"), &NONE, TRUST)), "off for two days");
    clock.look(&reading(NOON + 2.0 * DAY + YEAR + 60.0, 90.0, "b"), &NONE, TRUST);
    for hour in 1..=25 {
        let passed = 90.0 + f64::from(hour) * 3600.0;
        clock.look(&reading(NOON + 2.0 * DAY + YEAR + passed - 30.0, passed, "b"), &NONE, TRUST);
    }
    assert!(clock.is_trusted());
    // The year has not passed: what was written before the outage is younger by that.
    let shift = clock.timeline(NOON + YEAR + 3.0 * DAY).shift(&named("@events.2026-11-24"));
    assert!((shift - YEAR).abs() < 60.0, "{shift}");
}

#[test]
fn what_is_written_while_the_clock_is_in_doubt_was_written_last() {
    let mut clock = restarted(&settled());
    clock.look(&reading(NOON + 2.0 * DAY, 30.0, "b"), &NONE, TRUST);
    assert!(!clock.is_trusted());
    let timeline = clock.timeline(NOON + 3.0 * DAY);
    let mut partitions = ["@events.2026-11-26", "@events.2026-11-24.2", "@events.2026-11-24", "@events.2026-11-23"].map(named);
    partitions.sort_by(|a, b| timeline.order(b).partial_cmp(&timeline.order(a)).unwrap());
    assert_eq!(
        partitions.map(|partition| partition.to_string()),
        ["@events.2026-11-26", "@events.2026-11-24.2", "@events.2026-11-24", "@events.2026-11-23"]
    );
}

#[test]
fn a_jump_is_about_all_the_time_before_it_even_if_the_clock_was_wrong_for_a_while() {
    let (mut clock, mut passed) = (settled(), 2.0 * DAY);
    for (ahead, hours) in [(3.0 * DAY, 1), (0.0, 25), (40.0 * DAY, 25)] {
        for _ in 0..=hours {
            passed += 3600.0;
            clock.look(&reading(NOON - 2.0 * DAY + passed + ahead, passed, "a"), &NONE, TRUST);
        }
    }
    assert!(clock.is_trusted());
    let shift = clock.timeline(NOON + 43.0 * DAY).shift(&named("@events.2026-11-23"));
    assert!((shift - 40.0 * DAY).abs() < 60.0, "{shift}");
}

/// The second jump was added to what was written between the two once more.
#[test]
fn what_was_written_between_two_jumps_back_is_as_old_as_it_is() {
    let mut clock = settled();
    let passed = |seconds: f64| 2.0 * DAY + seconds;
    clock.look(&reading(NOON + 60.0 - 3.0 * DAY, passed(60.0), "a"), &NONE, TRUST);
    clock.look(&reading(NOON + 120.0 - 43.0 * DAY, passed(120.0), "a"), &NONE, TRUST);
    for hour in 1..=25 {
        let seconds = 120.0 + f64::from(hour) * 3600.0;
        clock.look(&reading(NOON + seconds - 43.0 * DAY, passed(seconds), "a"), &NONE, TRUST);
    }
    assert!(clock.is_trusted());
    let timeline = clock.timeline(NOON - 40.0 * DAY);
    for (name, shift) in [("@events.2026-11-24", -43.0), ("@events.2026-11-21", -40.0)] {
        let found = timeline.shift(&named(name)) / DAY;
        assert!((found - shift).abs() < 0.01, "{name}: {found} days");
    }
}

/// They were taken for older than the day of the first jump, to which the clock had never come back.
#[test]
fn what_was_written_between_two_jumps_ahead_is_newer_than_the_day_before_them() {
    let mut clock = settled();
    let passed = |seconds: f64| 2.0 * DAY + seconds;
    clock.look(&reading(NOON + 60.0 + YEAR, passed(60.0), "a"), &NONE, TRUST);
    clock.note(&[named("@events.2026-11-24.2")]);
    clock.look(&reading(NOON + 120.0 + 2.0 * YEAR, passed(120.0), "a"), &NONE, TRUST);
    clock.look(&reading(NOON + 180.0 + 3.0 * YEAR, passed(180.0), "a"), &NONE, TRUST);
    let newest_first = |clock: &Clock, now: f64| {
        let timeline = clock.timeline(now);
        let names = ["@events.2026-11-24", "@events.2026-11-24.2", "@events.2026-11-24.3", "@events.2027-11-24", "@events.2028-11-23"];
        let mut partitions = names.map(named);
        partitions.sort_by(|a, b| timeline.order(b).partial_cmp(&timeline.order(a)).unwrap());
        partitions.map(|partition| partition.to_string())
    };
    assert_eq!(
        newest_first(&clock, NOON + 180.0 + 3.0 * YEAR),
        ["@events.2028-11-23", "@events.2027-11-24", "@events.2026-11-24.3", "@events.2026-11-24.2", "@events.2026-11-24"]
    );
    // It comes back, and the day goes on in its second and third partition.
    clock.look(&reading(NOON + 240.0, passed(240.0), "a"), &NONE, TRUST);
    let found = newest_first(&clock, NOON + 240.0);
    assert_eq!((&*found[0], &*found[4]), ("@events.2026-11-24.3", "@events.2026-11-24"), "{found:?}");
}

/// Only whole days that had expired were shown, not the first hours of a day, and nothing of archive user nil, which has no days.
#[test]
fn what_is_younger_than_its_time_says_is_shown_also_if_only_a_part_of_a_day_has_expired() {
    let (mut clock, mut passed) = (settled(), 2.0 * DAY);
    for _ in 0..=25 {
        passed += 3600.0;
        clock.look(&reading(NOON - 2.0 * DAY + passed + 3.0 * DAY, passed, "a"), &NONE, TRUST);
    }
    assert!(clock.is_trusted());
    let now = NOON - 2.0 * DAY + passed + 3.0 * DAY;
    let retention = |days: f64| {
        let rules = Rules { expires_after: Period::Seconds(days * DAY), ..Rules::default() };
        Retention::new(rules, Vec::new())
    };
    for partitions in [vec![], vec![named("@events.2026-11-24")]] {
        // What was written before the jump is three days younger than it seems.
        assert!(clock.keeps_more(&partitions, &retention(4.5), now), "{partitions:?}");
        assert!(!clock.keeps_more(&partitions, &retention(400.0), now), "{partitions:?}");
    }
    assert!(!clock.keeps_more(&[], &retention(4.5), now + 10.0 * DAY));
}
