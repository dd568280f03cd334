use std::cell::Cell;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::address::location::Location;
use crate::address::{self, Policy};
use crate::archive::retention::TypePattern;
use crate::file::{Memory, Operation};
use crate::flood::checkpoint::{Checkpoint, CheckpointError};
use crate::flood::outcome::{CLOSED, SUCCESS};
use crate::flood::{Account, AddressPart, Described, ENTRIES_A_MINUTE, Often, Sample, frequent, weight};
use crate::random::{HashSeed, OsRandom};

const HOST: &str = "example.com";
const FAILURE: &str = "authentication-failure";
const UNIX: f64 = 1_795_521_600.0;

fn describe(_: &str, address: IpAddr, part: AddressPart) -> Described {
    let policy = Policy::default();
    (if part == AddressPart::Address { policy.apply(address) } else { policy.apply_to_network(address) }, None)
}

thread_local! {
    static LAST: Cell<u128> = const { Cell::new(0) };
}

fn new_id() -> Uuid {
    LAST.set(LAST.get() + 1);
    Uuid::from_u128(LAST.get())
}

struct Log {
    control: Control,
    now: f64,
    /// The stored single events and summaries: the time, and the type or the summary.
    singles: Vec<(f64, String)>,
    summaries: Vec<(f64, FloodSummary)>,
    /// The accounts of the single events.
    users: Vec<String>,
    /// How often the caller was asked to check an account.
    questions: usize,
}

fn event_user<'a>(event: &FloodEvent<'a>) -> &'a str {
    if let Account::Jid(jid) = event.account { std::str::from_utf8(jid).unwrap_or_default() } else { "" }
}

impl Log {
    fn new(burst: Option<Burst>, repeats: Repeats) -> Self {
        let mut control = Control::default();
        control.set_clock(0.0, UNIX);
        control.configure(HOST, burst, repeats, &Retention::default());
        Self { control, now: 0.0, singles: Vec::new(), summaries: Vec::new(), users: Vec::new(), questions: 0 }
    }

    fn with(burst: u32, window: f64) -> Self {
        Self::new(Some(Burst { burst, window }), Repeats::default())
    }

    fn send(&mut self, kind: &str, user: &str, ip: &str) -> bool {
        let event = FloodEvent {
            account: Account::Jid(user.as_bytes()),
            address: Some(ip.as_bytes()),
            condition: Some(b"not-authorized"),
            ..FloodEvent::default()
        };
        self.tell(kind, &event)
    }

    fn tell(&mut self, kind: &str, event: &FloodEvent<'_>) -> bool {
        let verdict = match self.control.outcome(HOST, kind, "mod_test", self.now) {
            Some(outcome) => self.control.ask(outcome, event, self.now),
            None => Verdict::Store,
        };
        if verdict == Verdict::CountedAsks {
            self.questions += 1;
            if event_user(event).starts_with("real") {
                self.control.exists();
            }
        }
        if verdict == Verdict::Store {
            self.singles.push((self.now, kind.to_owned()));
            self.users.push(event_user(event).to_owned());
        }
        verdict == Verdict::Store
    }

    fn fail(&mut self, user: &str, ip: &str) -> bool {
        self.send(FAILURE, user, ip)
    }

    fn fail_often(&mut self, times: usize, user: &str, ip: &str) {
        for _ in 0..times {
            self.fail(user, ip);
        }
    }

    /// Leaves nothing for single failures. Then all are counted by network.
    fn use_up_budget(&mut self) {
        self.control.hosts[0].budgets[0].budget.take(350);
    }

    fn tick(&mut self, closing: bool) -> usize {
        let summaries = self.control.due(HOST, self.now, closing, &describe, new_id);
        let count = summaries.len();
        self.summaries.extend(summaries.into_iter().map(|summary| (self.now, summary)));
        self.control.settle(HOST, count);
        count
    }

    /// Lets time pass, a second at a time.
    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += 1.0;
            self.tick(false);
        }
    }

    fn counted(&self) -> u64 {
        self.summaries.iter().map(|(_, summary)| summary.count).sum()
    }

    fn last(&self) -> &FloodSummary {
        &self.summaries.last().unwrap().1
    }
}

fn scratch() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("flood-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/scratch");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name).with_extension("flood")
}

#[test]
fn the_type_says_whether_unauthenticated_peers_can_cause_it() {
    for kind in ["authentication-failure", "s2s-refused", "registration-refused", "-refused"] {
        assert!(is_unauthenticated(kind), "{kind}");
    }
    for kind in ["authentication-success", "authentication-failures", "refused", "user-registered", "", "refused-s2s"] {
        assert!(!is_unauthenticated(kind), "{kind}");
    }
}

#[test]
fn the_first_events_of_a_window_are_stored_and_the_rest_is_one_summary() {
    let mut log = Log::with(5, 60.0);
    for second in 0..40 {
        log.now = f64::from(second);
        assert_eq!(log.fail("romeo@example.com/phone", "203.0.113.80"), second < 5, "{second}");
    }
    log.pass(20);
    assert_eq!((log.summaries.len(), log.control.counted(HOST)), (0, 35), "the window lasts a minute");
    log.pass(1);
    assert_eq!(log.control.counted(HOST), 0);
    let summary = log.last().clone();
    assert_eq!((log.now, log.summaries.len(), log.counted()), (60.0, 1, 35));
    assert_eq!((summary.first - UNIX, summary.last - UNIX), (5.0, 39.0));
    assert_eq!((summary.kind.as_str(), summary.source.as_str()), (FAILURE, "mod_test"));
    assert_eq!((summary.user.as_deref(), summary.remote_ip.as_deref()), (Some("romeo@example.com"), Some("203.0.113.80")));
    assert_eq!((summary.accounts, summary.networks, summary.at_least, summary.distinct_at_least), (1, 1, false, false));
    let sample = Sample {
        user: Some("romeo@example.com".to_owned()),
        network: Some("203.0.113.0/24".to_owned()),
        condition: Some("not-authorized".to_owned()),
    };
    assert_eq!(summary.samples, [sample]);
    // The next event begins a new window.
    assert!(log.fail("romeo@example.com", "203.0.113.80"));
    log.pass(70);
    assert_eq!((log.summaries.len(), log.control.counting()), (1, vec![]));
}

#[test]
fn each_outcome_account_and_network_has_its_own_window() {
    let mut log = Log::with(1, 60.0);
    for (kind, user, ip) in [
        (FAILURE, "romeo@example.com", "203.0.113.80"),
        (FAILURE, "juliet@example.com", "203.0.113.80"),
        (FAILURE, "", "203.0.113.80"),
        (FAILURE, "romeo@example.com", "203.0.114.80"),
        (FAILURE, "romeo@example.com", "2001:db8:1::1"),
        (FAILURE, "romeo@example.com", "2001:db8:2::1"),
        (FAILURE, "romeo@example.com", "/run/prosody.sock"),
        ("registration-refused", "romeo@example.com", "203.0.113.80"),
    ] {
        assert!(log.send(kind, user, ip), "{kind} {user} {ip}");
    }
    for (user, ip) in [
        ("romeo@example.com/x", "203.0.113.81"),
        ("romeo@example.com", "::ffff:203.0.113.82"),
        ("@", "203.0.113.3"),
        ("romeo@example.com", "2001:db8:1:2::1"),
        ("romeo@example.com", ""),
    ] {
        assert!(!log.fail(user, ip), "{user} {ip}");
    }
    for _ in 0..4 {
        assert!(log.send("user-deleted", "romeo@example.com", "203.0.113.80"));
        assert!(log.send(SUCCESS, "romeo@example.com", "203.0.113.80"));
    }
    log.pass(60);
    let mut said: Vec<_> = log.summaries.iter().map(|(_, s)| (s.user.clone().unwrap_or_default(), s.remote_ip.clone(), s.count)).collect();
    said.sort();
    let row = |user: &str, ip: Option<&str>, count| (user.to_owned(), ip.map(ToOwned::to_owned), count);
    assert_eq!(
        said,
        [
            row("", Some("203.0.113.3"), 1),
            row("romeo@example.com", None, 1),
            row("romeo@example.com", Some("2001:db8:1:2::1"), 1),
            row("romeo@example.com", Some("203.0.113.0/24"), 2),
        ]
    );
}

#[test]
fn an_account_is_the_same_by_its_name_and_by_its_jid() {
    let mut log = Log::with(1, 60.0);
    log.fail("romeo@example.com", "203.0.113.80");
    let outcome = log.control.outcome(HOST, FAILURE, "mod_test", 0.0).unwrap();
    for (account, stored) in [
        (Account::Name(b"romeo"), false),
        (Account::Name(b"juliet"), true),
        (Account::Name(b""), true),
        (Account::Unknown, false),
        (Account::Jid(b""), false),
        (Account::Jid(b"juliet@example.com/balcony"), false),
        (Account::Jid(b"juliet"), true),
    ] {
        let event = FloodEvent { account, address: Some(b"203.0.113.80"), ..FloodEvent::default() };
        assert_eq!(log.control.ask(outcome, &event, 0.0) == Verdict::Store, stored, "{account:?}");
    }
}

#[test]
fn without_flood_control_everything_is_stored() {
    let mut log = Log::new(None, Repeats::default());
    assert!((0..5000).all(|_| log.fail("romeo@example.com", "203.0.113.80")));
}

#[test]
fn a_reload_of_the_options_keeps_the_counts() {
    let mut log = Log::with(1, 60.0);
    for _ in 0..3 {
        log.fail("romeo@example.com", "203.0.113.80");
    }
    log.control.configure(HOST, None, Repeats::default(), &Retention::default());
    assert!(log.fail("romeo@example.com", "203.0.113.80"));
    log.pass(60);
    assert_eq!(log.counted(), 2);
}

#[test]
fn a_repeat_has_the_same_account_and_address_within_the_time() {
    let repeats = Repeats { failure: Some(600.0), success: Some(30.0), keys: 128 };
    let mut log = Log::new(None, repeats);
    assert!(log.send(SUCCESS, "romeo@example.com", "203.0.113.80"));
    assert!(!log.send(SUCCESS, "romeo@example.com/x", "203.0.113.80"));
    assert!(log.send(SUCCESS, "romeo@example.com", "203.0.113.81"), "another address of the network");
    assert!(log.send(SUCCESS, "juliet@example.com", "203.0.113.80"));
    assert!(log.send(SUCCESS, "romeo@example.com", "one"));
    assert!(log.send(SUCCESS, "romeo@example.com", "another"));
    assert!(log.fail("romeo@example.com", "203.0.113.80"), "another outcome");
    log.pass(29);
    assert!(!log.send(SUCCESS, "romeo@example.com", "203.0.113.80"));
    log.pass(1);
    assert_eq!((log.counted(), log.last().remote_ip.as_deref()), (2, Some("203.0.113.80")));
    assert!(log.send(SUCCESS, "romeo@example.com", "203.0.113.80"));
    assert!(!log.fail("romeo@example.com", "203.0.113.80"));
    log.pass(600);
    assert_eq!(log.counted(), 3);
}

#[test]
fn a_time_of_zero_turns_the_search_for_repeats_off() {
    let mut log = Log::new(None, Repeats { failure: Some(0.0), success: Some(0.0), keys: 128 });
    assert!((0..3).all(|_| log.send(SUCCESS, "romeo@example.com", "203.0.113.80") && log.fail("romeo@example.com", "203.0.113.80")));
    assert_eq!(log.control.keys(), 0);
}

#[test]
fn a_forgotten_repeat_is_recorded_again() {
    let mut log = Log::new(None, Repeats { success: Some(600.0), keys: 2, ..Repeats::default() });
    let stored: String = ["a", "b", "a", "b", "c", "a"].into_iter().filter(|user| log.send(SUCCESS, user, "203.0.113.80")).collect();
    assert_eq!(stored, "abca");
    log.tick(false);
    assert_eq!((log.summaries.len(), log.counted()), (2, 2), "forgotten keys had counts");
    for n in 0..20_000 {
        log.send(SUCCESS, &format!("user{n}"), "203.0.113.80");
    }
    assert!(log.control.keys() <= 3, "{}", log.control.keys());
}

#[test]
fn if_there_is_no_room_for_a_repeat_the_oldest_are_forgotten() {
    let mut log = Log::new(None, Repeats { success: Some(600.0), keys: 2 * KEYS, ..Repeats::default() });
    assert!((0..KEYS).all(|n| log.send(SUCCESS, &format!("user{n}"), "203.0.113.80")));
    assert!(!log.send(SUCCESS, &format!("user{}", KEYS - 1), "203.0.113.80"));
    assert!(log.send(SUCCESS, "user0", "203.0.113.80"));
    assert!(log.control.keys() <= KEYS);
}

#[test]
fn the_counts_of_forgotten_repeats_are_bounded() {
    let mut log = Log::new(None, Repeats { success: Some(600.0), keys: 1, ..Repeats::default() });
    for n in 0..CLOSED + 10 {
        assert!(log.send(SUCCESS, &format!("user{n}"), "203.0.113.80"));
        assert!(!log.send(SUCCESS, &format!("user{n}"), "203.0.113.80"));
    }
    assert_eq!(log.control.hosts[0].closed.len(), CLOSED);
    log.tick(true);
    assert_eq!(log.counted(), CLOSED as u64 + 10);
}

#[test]
fn repeats_and_floods_are_both_counted() {
    let mut log = Log::new(Some(Burst::default()), Repeats { failure: Some(600.0), ..Repeats::default() });
    // Each address comes once: no repeats, but one network.
    let stored = (0..100).filter(|n| log.fail("romeo@example.com", &format!("203.0.113.{n}"))).count();
    assert_eq!(stored, 5);
    assert!(!log.fail("romeo@example.com", "203.0.113.1"));
    log.tick(true);
    assert_eq!(log.counted(), 96);
}

#[test]
fn if_the_budget_is_used_up_events_are_counted_by_network() {
    let mut log = Log::with(5, 60.0);
    for n in 0..10_000 {
        log.fail(&format!("user{n}@example.com"), &format!("203.0.113.{}", n % 250));
    }
    log.pass(60);
    assert_eq!((log.singles.len(), log.summaries.len()), (300, 1));
    let summary = log.last();
    assert_eq!((summary.count, summary.accounts, summary.networks, summary.distinct_at_least), (9700, 9700, 1, false));
    assert_eq!((summary.user.as_deref(), summary.remote_ip.as_deref()), (None, Some("203.0.113.0/24")));
    assert_eq!(summary.samples.iter().map(|sample| sample.user.clone().unwrap()).collect::<HashSet<_>>().len(), SAMPLES_SHOWN);
}

const SAMPLES_SHOWN: usize = 5;

#[test]
fn a_flood_from_many_networks_makes_few_entries() {
    let mut log = Log::with(5, 60.0);
    for n in 0..50_000u32 {
        log.now = f64::from(n) / 1000.0;
        log.fail(&format!("user{n}@example.com"), &std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).to_string());
        if n % 1000 == 0 {
            log.tick(false);
        }
    }
    log.pass(130);
    assert_eq!(log.singles.len() as u64 + log.counted(), 50_000);
    assert!(log.singles.len() <= 300 + 500 && log.summaries.len() <= 200, "{} {}", log.singles.len(), log.summaries.len());
    assert_eq!(log.control.counting(), Vec::<&str>::new());
    assert!(log.control.keys() <= KEYS);
    assert_eq!(log.control.pool, Pool::FULL, "hashes and names are given back with the summary");
}

#[test]
fn if_the_table_is_full_keys_get_coarser() {
    // Slowly, so that the budget is enough for all.
    let mut log = Log::with(2, 86_400.0);
    for n in 0..6000u32 {
        log.now += 0.1;
        log.fail(&format!("user{n}@example.com"), &std::net::Ipv4Addr::from(0x0a00_0000 + n * 256).to_string());
        assert!(log.control.keys() <= KEYS);
    }
    // One for each account, then one for each network, then the burst of the outcome.
    assert_eq!((log.singles.len(), log.control.keys()), (KEYS + 2, KEYS));
    log.now += 86_400.0;
    log.pass(2);
    assert_eq!((log.summaries.len(), log.counted()), (1, 6000 - KEYS as u64 - 2));
    assert_eq!((log.last().networks, log.last().accounts), (log.counted(), log.counted()));
    log.fail("romeo@example.com", "203.0.113.80");
    assert_eq!(log.control.keys(), 1, "windows that have ended make room");
}

#[test]
fn summaries_are_merged_until_there_are_few_enough() {
    let mut log = Log::with(1, 60.0);
    // 240 accounts in 120 networks, each a few times over the limit, and one account much more often.
    for _ in 0..3 {
        for n in 0..240 {
            log.fail(&format!("user{n}@example.com"), &format!("203.0.{}.7", n / 2));
        }
    }
    for _ in 0..1000 {
        log.fail("admin@example.com", "198.51.100.7");
    }
    assert_eq!(log.singles.len(), 241);
    log.now = 60.0;
    // In this minute other events use the budget.
    assert_eq!(log.control.hosts[0].budgets[0].budget.summaries(log.now, false), 380);
    log.control.hosts[0].budgets[0].budget.take(300);
    assert_eq!(log.tick(false), 80);
    assert_eq!(log.counted(), 480 + 999);
    let of = |user: &str| log.summaries.iter().find(|(_, summary)| summary.user.as_deref() == Some(user)).map(|(_, summary)| summary.count);
    assert_eq!(of("admin@example.com"), Some(999), "the largest counts stay apart");
    assert_eq!(log.summaries.iter().filter(|(_, summary)| summary.networks == 1).count(), 79);
    assert_eq!(log.last().networks, 121 - 79);
}

#[test]
fn if_no_summary_may_be_stored_windows_go_on() {
    let mut log = Log::with(1, 60.0);
    for kind in [FAILURE, "s2s-refused", "registration-refused"] {
        for _ in 0..3 {
            log.send(kind, "romeo@example.com", "203.0.113.80");
        }
    }
    log.now = 60.0;
    assert_eq!(log.control.hosts[0].budgets[0].budget.summaries(log.now, true), 400);
    log.control.hosts[0].budgets[0].budget.take(400);
    assert_eq!(log.tick(false), 0);
    assert!(!log.fail("romeo@example.com", "203.0.113.80"));
    log.pass(1);
    assert_eq!(log.summaries.len(), 0, "some of the budget is kept for the end");
    log.pass(3);
    assert_eq!((log.summaries.len(), log.counted()), (3, 7));
}

#[test]
fn a_summary_that_could_not_be_stored_is_returned_again() {
    let mut log = Log::with(1, 60.0);
    for user in ["a", "b", "c"] {
        for _ in 0..2 {
            log.fail(user, "203.0.113.80");
        }
    }
    log.now = 60.0;
    let first = log.control.due(HOST, log.now, false, &describe, new_id);
    log.control.settle(HOST, 1);
    assert_eq!(log.control.counting(), [HOST]);
    let second = log.control.due(HOST, log.now, false, &describe, new_id);
    log.control.settle(HOST, 2);
    let ids: HashSet<String> = first.iter().take(1).chain(&second).map(|summary| summary.id.clone()).collect();
    assert_eq!((first.len(), second.len(), ids.len(), log.control.counting().len()), (3, 2, 3, 0));
    assert_eq!(log.control.hosts[0].budgets[0].budget.tokens(60.0), 397.0);
}

#[test]
fn closing_ends_open_windows() {
    let mut log = Log::with(1, 60.0);
    for _ in 0..4 {
        log.fail("romeo@example.com", "203.0.113.80");
    }
    assert_eq!((log.tick(false), log.tick(true)), (0, 1));
    assert_eq!((log.counted(), log.last().at_least), (3, false));
    assert!(log.fail("romeo@example.com", "203.0.113.80"));
}

#[test]
fn above_the_limit_the_number_of_accounts_is_at_least() {
    let mut log = Log::with(1, 60.0);
    for n in 0..30_000 {
        log.fail(&format!("user{n}@example.com"), "203.0.113.80");
    }
    log.tick(true);
    assert_eq!((log.counted(), log.last().accounts, log.last().distinct_at_least, log.last().at_least), (29_700, 16_384, true, false));
}

#[test]
fn hostile_bytes_are_counted_and_cleaned() {
    let mut log = Log::with(1, 60.0);
    let all: Vec<u8> = (0..=255).collect();
    let long = "é".repeat(5000);
    let outcome = log.control.outcome(HOST, FAILURE, "mod_test", 0.0).unwrap();
    for bytes in [all.as_slice(), long.as_bytes(), b"", b"/", b"@"] {
        for _ in 0..2 {
            let event = FloodEvent { account: Account::Jid(bytes), address: Some(bytes), condition: Some(bytes), ..FloodEvent::default() };
            let _ = log.control.ask(outcome, &event, 0.0);
        }
    }
    log.tick(true);
    for (_, summary) in &log.summaries {
        assert!(summary.user.iter().all(|user| user.len() <= 1023));
        for sample in &summary.samples {
            for text in [&sample.user, &sample.condition].into_iter().flatten() {
                assert!(text.len() <= 255 && text.chars().all(|c| c >= ' '), "{text:?}");
            }
        }
    }
    assert_eq!(log.counted(), 7, "all forms of an empty name are one key");
}

#[test]
fn the_number_of_types_is_bounded() {
    let mut log = Log::with(1, 60.0);
    for n in 0..1000 {
        log.send(&format!("thing{n}-refused"), "romeo@example.com", "203.0.113.80");
    }
    log.tick(true);
    assert_eq!(log.singles.len() as u64 + log.counted(), 1000);
    assert_eq!(log.control.outcomes.len(), OUTCOMES + 1);
    assert_eq!(log.last().kind, OTHER_FAILURES);
}

#[test]
fn counts_of_a_process_that_died_are_due_at_the_next_start() {
    let path = scratch();
    let mut log = Log::with(1, 60.0);
    for n in 0..7 {
        log.fail("romeo@example.com", &format!("203.0.113.{n}"));
    }
    log.control.checkpoint(HOST, &path, 0.5, false, &describe).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let counted: Vec<FloodSummary> = log.control.due(HOST, 1.0, true, &describe, new_id);

    let mut next = Log::with(1, 60.0);
    next.control.set_clock(0.0, UNIX + 100.0);
    assert_eq!(next.control.restore(HOST, &path, 0.0).unwrap(), 1);
    assert_eq!(next.control.counting(), [HOST]);
    // It dies again before it has stored it.
    next.control.checkpoint(HOST, &path, 1.0, false, &describe).unwrap();
    let mut next = Log::with(1, 60.0);
    next.control.set_clock(0.0, UNIX + 200.0);
    assert_eq!(next.control.restore(HOST, &path, 0.0).unwrap(), 1);
    assert_eq!(next.tick(false), 1);
    assert_eq!(*next.last(), FloodSummary { at_least: true, id: next.last().id.clone(), ..counted[0].clone() });
    assert_ne!(next.last().id, counted[0].id, "it was not stored");
    next.control.checkpoint(HOST, &path, 1.0, false, &describe).unwrap();
    assert!(!path.exists());
}

type Feed = fn(&mut Log);

/// What a restart must keep: accounts, networks and actors, one or several, known or not.
const FEEDS: [(&str, Feed); 9] = [
    ("an account and an address", |log| log.fail_often(3, "romeo@example.com", "203.0.113.80")),
    ("an account that exists", |log| log.fail_often(4, "real@example.com", "203.0.113.80")),
    ("no account", |log| log.fail_often(3, "", "203.0.113.80")),
    ("neither account nor address", |log| log.fail_often(3, "", "")),
    ("a network", |log| {
        for n in 0..5 {
            log.fail("romeo@example.com", &format!("203.0.113.{n}"));
        }
    }),
    ("accounts", |log| {
        log.use_up_budget();
        for n in 0..9 {
            log.fail(&format!("user{}@example.com", n % 3), "203.0.113.80");
        }
    }),
    ("accounts of which one exists", |log| {
        log.use_up_budget();
        for n in 0..9 {
            log.fail(["real@example.com", "romeo@example.com"][n % 2], "203.0.113.80");
        }
    }),
    ("networks", |log| {
        for n in 0..9 {
            log.tell("user-password-changed", &deed("romeo@example.com", "romeo@example.com", Some(&format!("203.0.{}.7", n % 3)), 1));
        }
    }),
    ("actors", |log| {
        for n in 0..60 {
            log.tell("s2s-established", &deed(&format!("host{}.example", n % 25), "", Some("203.0.113.7"), 1));
        }
    }),
];

fn described_with_location(_: &str, address: IpAddr, part: AddressPart) -> Described {
    let location = Location { country: Some("DE".to_owned()), ..Location::default() };
    (describe("", address, part).0, Some(location).filter(|_| part != AddressPart::NetworkAlone))
}

#[test]
fn a_summary_after_a_restart_is_the_same_but_says_at_least() {
    for (name, feed) in FEEDS {
        let path = scratch();
        let mut log = Log::with(1, 60.0);
        feed(&mut log);
        log.control.checkpoint(HOST, &path, 0.0, false, &described_with_location).unwrap();
        let expected = log.control.due(HOST, 0.0, true, &described_with_location, new_id);
        let mut next = Log::with(1, 60.0);
        assert_eq!(next.control.restore(HOST, &path, 0.0).unwrap(), 1, "{name}");
        let found = next.control.due(HOST, 0.0, true, &described_with_location, new_id);
        let again = |summary: &FloodSummary| FloodSummary { at_least: true, id: String::new(), ..summary.clone() };
        assert_eq!(found.iter().map(again).collect::<Vec<_>>(), expected.iter().map(again).collect::<Vec<_>>(), "{name}");
        assert!(found[0].at_least && !expected[0].at_least);
        assert_eq!(
            (found[0].exists, found[0].remote_ip.is_some()),
            (name.ends_with("an account that exists"), found[0].location.is_some())
        );
        next.control.settle(HOST, 1);
        assert_eq!(next.control.pool, Pool::FULL, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

/// The one summary of what `first` left open before a restart, and of what `second` makes after it.
fn merged(first: Feed, second: Feed) -> FloodSummary {
    let path = scratch();
    let mut log = Log::with(1, 60.0);
    first(&mut log);
    log.control.checkpoint(HOST, &path, 0.0, false, &describe).unwrap();
    let mut next = Log::with(1, 60.0);
    next.control.restore(HOST, &path, 0.0).unwrap();
    std::fs::remove_file(path).unwrap();
    second(&mut next);
    next.now = 60.0;
    let budget = &mut next.control.hosts[0].budgets[0].budget;
    let room = budget.summaries(60.0, false);
    budget.take(room - 1);
    assert_eq!(next.tick(false), 1);
    next.last().clone()
}

#[test]
fn a_count_from_before_a_restart_is_merged_with_one_after_it() {
    let account = |name: &str, count| Often { user: Some(format!("{name}@example.com")), count, ..Often::default() };
    let network = |name: &str, count| Often { network: Some(name.to_owned()), count, ..Often::default() };
    // The policy says how much of an address a checkpoint has.
    let networks = [network("203.0.113.80", 2), network("198.51.100.0/24", 2)];
    let same =
        merged(|log| log.fail_often(3, "romeo@example.com", "203.0.113.80"), |log| log.fail_often(3, "romeo@example.com", "198.51.100.7"));
    assert_eq!(
        (same.user.as_deref(), same.accounts, same.count, same.at_least, same.others),
        (Some("romeo@example.com"), 1, 4, true, false)
    );
    assert_eq!(same.often.len(), 2);
    let others =
        merged(|log| log.fail_often(3, "romeo@example.com", "203.0.113.80"), |log| log.fail_often(3, "juliet@example.com", "198.51.100.7"));
    assert_eq!((others.user, others.count, others.at_least, others.others), (None, 4, true, false));
    for expected in [account("romeo", 2), account("juliet", 2)].into_iter().chain(networks) {
        assert!(others.often.contains(&expected), "{expected:?} of {:?}", others.often);
    }
    let none = merged(|log| log.fail_often(3, "", "203.0.113.80"), |log| log.fail_often(3, "", "198.51.100.7"));
    assert_eq!((none.user, none.accounts, none.others, none.names), (None, 0, false, None));
    let one = merged(|log| log.fail_often(3, "", "203.0.113.80"), |log| log.fail_often(3, "juliet@example.com", "198.51.100.7"));
    assert_eq!((one.user, one.accounts, one.others), (None, 1, false));
    assert!(one.often.contains(&account("juliet", 2)));
}

#[test]
fn if_a_checkpoint_does_not_name_all_accounts_there_are_others() {
    let path = scratch();
    let often = r#""often":[{"user":"a@example.com","count":3}]"#;
    for (named, others) in [
        (format!(r#"{often},"others":true"#), true),
        // As the first version wrote it.
        (r#""often":[]"#.to_owned(), true),
        (often.to_owned(), false),
    ] {
        let open = format!(r#"{{"type":"{FAILURE}","source":"mod_test","count":10,"accounts":5,"networks":1,{named}}}"#);
        std::fs::write(&path, format!(r#"{{"version":1,"at":0.0,"tokens":400.0,"open":[{open}]}}"#)).unwrap();
        let mut log = Log::with(1, 60.0);
        assert_eq!(log.control.restore(HOST, &path, 0.0).unwrap(), 1);
        log.tick(true);
        assert_eq!((log.last().others, &log.last().names, log.last().accounts), (others, &None, 5), "{named}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_server_without_an_address_has_one_key() {
    let mut log = Log::with(1, 60.0);
    log.tell("s2s-established", &deed("host.example", "", None, 1));
    assert_eq!(log.control.keys(), 1);
    log.tell("room-created", &deed("romeo@host.example", "", None, 1));
    assert_eq!(log.control.keys(), 3, "an account and its server");
}

#[test]
fn a_merge_of_saved_counts_takes_and_gives_back_no_more_than_it_has() {
    let hasher = HashSeed::new(&OsRandom);
    let romeo = "romeo@example.com".to_owned();
    let one = FloodSummary { user: Some(romeo.clone()), count: 2, accounts: 1, networks: 1, ..FloodSummary::default() };
    let listed = FloodSummary { often: vec![Often { user: Some(romeo), count: 2, ..Often::default() }], ..one.clone() };
    for (first, second, has_lists) in [(&one, &one, false), (&one, &listed, true), (&listed, &one, true)] {
        let mut pool = Pool::FULL;
        let [mut own, other] = [first, second].map(|saved| Count::restored(saved.clone(), 0, &hasher, 0.0, &mut pool).unwrap());
        own.absorb(other, &hasher, &mut pool);
        assert_eq!(own.pooled().names > 0, has_lists);
        assert_eq!(own.pooled().names + pool.names, Pool::FULL.names);
    }
}

/// Lists of names are the largest part of a count.
#[test]
fn a_count_of_one_account_and_network_keeps_no_lists() {
    let mut log = Log::with(1, 60.0);
    for n in 0..20 {
        log.fail("romeo@example.com", &format!("203.0.113.{}", n / 2));
    }
    assert_eq!((log.control.counted(HOST), log.control.pool), (19, Pool::FULL));
    log.fail("juliet@example.com", "203.0.113.80");
    log.fail("juliet@example.com", "198.51.100.7");
    assert_eq!(log.control.pool, Pool::FULL);
}

#[test]
fn the_networks_of_a_count_are_named_from_its_first_event_on() {
    let mut log = Log::with(1, 60.0);
    for ip in ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2", "198.51.100.7"] {
        log.tell("user-password-changed", &deed("romeo@example.com", "romeo@example.com", Some(ip), 1));
    }
    log.tick(true);
    let often: Vec<_> = log.last().often.iter().map(|often| (often.network.as_deref(), often.count)).collect();
    assert_eq!(often, [(Some("203.0.113.0/24"), 2), (Some("198.51.100.0/24"), 1)]);
}

#[test]
fn a_checkpoint_is_written_only_when_something_has_changed() {
    let path = scratch();
    let mut log = Log::with(1, 60.0);
    log.control.checkpoint(HOST, &path, 0.0, false, &describe).unwrap();
    assert!(!path.exists());
    log.fail("romeo@example.com", "203.0.113.80");
    log.fail("romeo@example.com", "203.0.113.80");
    log.control.checkpoint(HOST, &path, 0.0, false, &describe).unwrap();
    std::fs::remove_file(&path).unwrap();
    log.control.checkpoint(HOST, &path, 1.0, false, &describe).unwrap();
    assert!(!path.exists());
    log.tick(true);
    log.control.checkpoint(HOST, &path, 1.0, false, &describe).unwrap();
}

#[test]
fn the_budget_survives_a_restart() {
    let path = scratch();
    let mut log = Log::with(1, 60.0);
    for n in 0..400 {
        log.fail(&format!("user{n}@example.com"), "203.0.113.80");
    }
    log.tick(true);
    log.control.checkpoint(HOST, &path, 0.0, true, &describe).unwrap();
    let mut next = Log::with(1, 60.0);
    next.control.set_clock(0.0, UNIX + 5.0);
    assert_eq!(next.control.restore(HOST, &path, 0.0).unwrap(), 0);
    let stored = (0..400).filter(|n| next.fail(&format!("user{n}@example.com"), "203.0.113.80")).count();
    assert_eq!(stored, 49, "99 were left, five seconds gave 50, and 100 are kept for summaries");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_broken_checkpoint_is_an_error_and_flood_control_goes_on() {
    let path = scratch();
    for text in ["", "{", "[]", r#"{"version":2,"at":0,"tokens":0,"open":[]}"#, "\0\0\0"] {
        std::fs::write(&path, text).unwrap();
        let mut log = Log::with(1, 60.0);
        let Err(CheckpointError::Damaged { aside, .. }) = log.control.restore(HOST, &path, 0.0) else { panic!("{text}") };
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), text);
        std::fs::remove_file(aside).unwrap();
        assert!(log.fail("romeo@example.com", "203.0.113.80"));
        log.control.checkpoint(HOST, &path, 0.0, false, &describe).unwrap();
        assert!(!path.exists(), "it is not read again");
    }
    assert_eq!(Log::with(1, 60.0).control.restore(HOST, &path, 0.0).unwrap(), 0);
    let mut log = Log::with(1, 60.0);
    log.fail("a", "");
    log.fail("a", "");
    assert!(log.control.checkpoint(HOST, std::path::Path::new("/nowhere/x.flood"), 0.0, false, &describe).is_err());
}

/// Before, such a file was replaced, and what it had counted was lost.
#[test]
fn a_checkpoint_that_can_not_be_read_now_is_not_replaced() {
    let files = Memory::default();
    let path = std::path::Path::new("/host/audit.flood");
    let on_files = || {
        let mut log = Log::with(1, 60.0);
        log.control = Control::new(std::rc::Rc::new(files.clone()), &OsRandom);
        log.control.configure(HOST, Some(Burst { burst: 1, window: 60.0 }), Repeats::default(), &Retention::default());
        log.control.set_clock(0.0, UNIX);
        log
    };
    let mut log = on_files();
    for _ in 0..5 {
        log.fail("romeo@example.com", "203.0.113.80");
    }
    log.control.checkpoint(HOST, path, 0.0, true, &describe).unwrap();
    for operation in [Operation::Open, Operation::ReadAt] {
        let mut next = on_files();
        let before = files.stamp(path);
        files.fail(operation, ErrorKind::PermissionDenied, 2);
        for _ in 0..2 {
            let error = next.control.restore(HOST, path, 0.0).unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), matches!(error, CheckpointError::Unread { .. })),
                ("/host/audit.flood: permission denied", true)
            );
            next.fail("juliet@example.com", "203.0.113.81");
            assert!(next.control.checkpoint(HOST, path, 0.0, true, &describe).is_err());
            assert_eq!(files.stamp(path), before, "{operation:?}");
        }
        // What was counted meanwhile is added.
        assert_eq!((next.control.counted(HOST), next.control.restore(HOST, path, 0.0).unwrap(), next.control.counted(HOST)), (1, 1, 5));
        if operation == Operation::Open {
            continue;
        }
        assert_eq!(next.tick(true), 2);
        next.control.checkpoint(HOST, path, 1000.0, false, &describe).unwrap();
        assert!(files.is_missing(path));
    }
}

#[test]
fn hosts_do_not_share_a_budget() {
    let mut log = Log::with(1, 60.0);
    log.control.configure("example.net", Some(Burst::default()), Repeats::default(), &Retention::default());
    for n in 0..1000 {
        log.fail(&format!("user{n}@example.com"), "203.0.113.80");
    }
    let outcome = log.control.outcome("example.net", FAILURE, "mod_test", 0.0).unwrap();
    assert_eq!(log.control.ask(outcome, &FloodEvent::default(), 0.0), Verdict::Store);
    assert_eq!(log.control.counting(), [HOST]);
    assert_eq!(log.control.suppressed(HOST).collect::<Vec<_>>(), [(FAILURE, 700)]);
    assert_eq!(log.control.suppressed("example.net").count(), 0);
    assert_eq!((log.control.suppressed_lately(HOST, 59.0), log.control.suppressed_lately(HOST, 61.0)), (700, 0));
}

fn deed<'a>(actor: &'a str, user: &'a str, ip: Option<&'a str>, weight: u32) -> FloodEvent<'a> {
    let account = if user.is_empty() { Account::Unknown } else { Account::Jid(user.as_bytes()) };
    FloodEvent { account, address: ip.map(str::as_bytes), actor: Some(actor.as_bytes()), weight, ..FloodEvent::default() }
}

#[test]
fn a_user_is_limited_whatever_the_network() {
    let mut log = Log::with(1, 60.0);
    let stored = |log: &mut Log, actor: &str, from: u32, times: usize| {
        let ip = |n: usize| std::net::Ipv4Addr::from(0x0b00_0000 + (from + n as u32) * 256).to_string();
        (0..times).filter(|n| log.tell("user-password-changed", &deed(actor, "x@example.com", Some(&ip(*n)), 1))).count()
    };
    assert_eq!(stored(&mut log, "romeo@example.com/phone", 0, 100), 4, "from a hundred networks");
    assert_eq!(stored(&mut log, "romeo@example.com/desk", 0, 100), 0, "whatever the client");
    assert_eq!(stored(&mut log, "juliet@example.com/phone", 500, 4), 4);
    log.pass(60);
    assert_eq!((log.summaries.len(), log.counted()), (1, 196));
    let summary = log.last();
    assert_eq!((summary.actor.as_deref(), summary.user.as_deref(), summary.actors), (Some("romeo@example.com"), Some("x@example.com"), 1));
    assert_eq!((summary.networks, summary.remote), (100, false));
}

#[test]
fn the_actors_of_a_network_have_a_common_limit() {
    let mut log = Log::with(1, 60.0);
    let stored = |log: &mut Log, kind: &str, name: &str, ip: Option<&str>| {
        (0..500).filter(|n| log.tell(kind, &deed(&name.replace('#', &n.to_string()), "", ip, 1))).count()
    };
    assert_eq!(stored(&mut log, "s2s-established", "host#.example", Some("203.0.113.7")), 40, "domain names are cheap");
    assert_eq!(stored(&mut log, "s2s-established", "host#.example", Some("203.0.113.8")), 0, "the same network");
    assert_eq!(stored(&mut log, "s2s-established", "other#.example", Some("10.0.0.7")), 500, "the network of a local proxy does not count");
    assert_eq!(stored(&mut log, "room-created", "user#@remote.example/x", None), 200, "another server's accounts");
    assert_eq!(stored(&mut log, "room-created", "user#@example.com/x", None), 500, "our own");
    assert_eq!(stored(&mut log, "user-registered", "user#@example.com", Some("203.0.113.7")), 10, "before there is an account");
    log.pass(60);
    let said: HashSet<(String, u64, u64)> = log.summaries.iter().map(|(_, s)| (s.kind.clone(), s.count, s.actors)).collect();
    let row = |kind: &str, count, actors| (kind.to_owned(), count, actors);
    // The forty names that were stored come once more.
    assert_eq!(said, HashSet::from([row("s2s-established", 960, 500), row("room-created", 300, 300), row("user-registered", 490, 490)]));
    assert!(log.summaries.iter().all(|(_, summary)| summary.remote == (summary.kind == "s2s-established")));
}

#[test]
fn without_actor_and_address_types_of_other_modules_are_trusted() {
    let mut log = Log::with(1, 60.0);
    assert!((0..20_000).all(|_| log.tell("thing-happened", &FloodEvent { weight: 5, ..FloodEvent::default() })));
    assert_eq!((0..20_000).filter(|_| log.tell("room-destroyed", &FloodEvent::default())).count(), 7500, "our types have a budget");
    assert_eq!(log.tick(false), 0, "the window lasts a minute");
    log.pass(60);
    assert_eq!((log.summaries.len(), log.counted()), (1, 12_500));
}

#[test]
fn long_texts_count_several_times() {
    let mut log = Log::with(1, 60.0);
    let stored =
        |log: &mut Log, actor: &str, weight| (0..100).filter(|_| log.tell("abuse-reported", &deed(actor, "", None, weight))).count();
    assert_eq!(stored(&mut log, "a@example.com", 0), 4);
    assert_eq!(stored(&mut log, "b@example.com", 2), 2);
    assert_eq!(stored(&mut log, "c@example.com", 1000), 1, "the first is always stored");
    assert_eq!([0, 1023, 1024, 4096, u64::MAX].map(weight), [1, 1, 2, 5, u32::MAX]);
}

#[test]
fn an_actor_that_goes_on_has_lower_and_lower_limits() {
    let mut log = Log::with(2, 60.0);
    let mut stored = Vec::new();
    for _ in 0..7200 {
        if log.tell("user-password-changed", &deed("romeo@example.com", "romeo@example.com", None, 1)) {
            stored.push(log.now);
        }
        log.pass(1);
    }
    // Eight in the first minute, four in the next two, then two, one and one.
    let within = |from: f64, to: f64| stored.iter().filter(|at| (from..to).contains(*at)).count();
    assert_eq!((within(0.0, 60.0), within(60.0, 180.0), within(180.0, 420.0)), (8, 4, 2));
    assert!(stored.len() <= 8 + 4 + 2 + 15 && log.summaries.len() <= 20, "{} {}", stored.len(), log.summaries.len());
    // After a quiet window the limit is the normal one.
    log.pass(1000);
    let again = (0..100).filter(|_| log.tell("user-password-changed", &deed("romeo@example.com", "romeo@example.com", None, 1))).count();
    assert_eq!(again, 8);
}

fn limited(limit: u64) -> Retention {
    use crate::archive::retention::{RetentionClass, Rules};
    let rules = Rules { limit: Some(limit), ..Rules::default() };
    Retention::new(Rules::default(), vec![RetentionClass { name: "all".to_owned(), types: vec![TypePattern::new("*").unwrap()], rules }])
}

#[test]
fn in_a_class_with_a_limit_an_actor_has_a_part_of_it() {
    let mut log = Log::with(5, 60.0);
    log.control.configure(HOST, Some(Burst::default()), Repeats::default(), &limited(1000));
    let mut stored = |kind: &str, name: &str, ip: &str| {
        (0..5000)
            .filter(|n| log.tell(kind, &deed(&name.replace('#', &n.to_string()), "", Some(&ip.replace('#', &(n % 250).to_string())), 1)))
            .count()
    };
    assert_eq!(stored("room-role-changed", "one@example.com", "203.0.113.1"), 50);
    assert_eq!(stored("room-affiliation-changed", "many#@example.com", "203.0.113.1"), 100, "a network");
    // 200 at once for all users. A quarter of them is for summaries.
    assert_eq!(stored("authentication-success", "user#@example.com", "203.#.113.1"), 0);
    assert_eq!(stored("s2s-established", "server#.example", "198.#.100.1"), 150, "servers have a separate budget");
    assert_eq!(stored("user-registered", "new#@example.com", "198.#.100.1"), 150);
    log.pass(70);
    assert_eq!(log.singles.len() as u64 + log.counted(), 25_000);
    assert!(log.singles.len() + log.summaries.len() < 900, "{} {}", log.singles.len(), log.summaries.len());
}

#[test]
fn strangers_can_not_fill_the_table_of_users() {
    let mut log = Log::with(5, 60.0);
    for n in 0..20_000u32 {
        log.fail(&format!("user{n}@example.com"), &std::net::Ipv4Addr::from(0x0b00_0000 + n * 256).to_string());
    }
    for n in 0..1000 {
        assert!(
            log.tell(
                "authentication-success",
                &FloodEvent { account: Account::Name(format!("user{n}").as_bytes()), ..FloodEvent::default() }
            ),
            "{n}"
        );
    }
    let again = (0..100)
        .filter(|_| log.tell("authentication-success", &FloodEvent { account: Account::Name(b"user1"), ..FloodEvent::default() }))
        .count();
    assert_eq!(again, 19);
}

#[test]
fn budgets_of_classes_survive_a_restart() {
    let path = scratch();
    let stored = |log: &mut Log, name: &str| {
        (0..1000).filter(|n| log.tell("new-client", &deed(&format!("{name}{n}@example.com"), "", None, 1))).count()
    };
    let mut log = Log::with(5, 60.0);
    log.control.configure(HOST, Some(Burst::default()), Repeats::default(), &limited(1000));
    assert_eq!(stored(&mut log, "a"), 150);
    log.tick(true);
    log.control.checkpoint(HOST, &path, 0.0, true, &describe).unwrap();
    let mut next = Log::with(5, 60.0);
    next.control.set_clock(0.0, UNIX + 12.0);
    next.control.configure(HOST, Some(Burst::default()), Repeats::default(), &limited(1000));
    assert_eq!(next.control.restore(HOST, &path, 0.0).unwrap(), 0);
    // The budget is saved again before it is needed.
    next.control.checkpoint(HOST, &path, 0.0, true, &describe).unwrap();
    let mut next = Log::with(5, 60.0);
    next.control.set_clock(0.0, UNIX + 12.0);
    next.control.configure(HOST, Some(Burst::default()), Repeats::default(), &limited(1000));
    next.control.restore(HOST, &path, 0.0).unwrap();
    let again = stored(&mut next, "b");
    assert!(again <= 20, "{again}");
    next.now = 60.0;
    let later = stored(&mut next, "c");
    assert!(later >= 40, "{later}: a hundred more each minute, half of them for summaries");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_budget_that_was_not_needed_is_saved_until_it_would_be_full() {
    let path = scratch();
    let mut log = Log::with(5, 60.0);
    log.control.configure(HOST, Some(Burst::default()), Repeats::default(), &limited(1000));
    assert!(log.tell("new-client", &deed("romeo@example.com", "", None, 1)));
    log.control.checkpoint(HOST, &path, 0.0, true, &describe).unwrap();
    let saved = std::fs::read(&path).unwrap();
    // It is saved only if the server stops, and if it was saved less than 120 seconds ago.
    for (now, closing, expected) in [(107.0, true, true), (108.0, true, false), (0.0, false, false)] {
        std::fs::write(&path, &saved).unwrap();
        let mut next = Log::with(5, 60.0);
        next.control.set_clock(0.0, UNIX + 12.0);
        next.control.restore(HOST, &path, 0.0).unwrap();
        next.control.checkpoint(HOST, &path, now, closing, &describe).unwrap();
        assert_eq!(path.exists(), expected, "{now} {closing}");
    }
}

#[test]
fn a_summary_has_the_times_of_the_server_s_clock() {
    let mut log = Log::with(1, 60.0);
    log.control.set_clock(100.0, UNIX);
    for now in [101.0, 102.0, 105.0] {
        log.now = now;
        log.fail("romeo@example.com", "203.0.113.80");
    }
    log.tick(true);
    assert_eq!((log.last().first, log.last().last), (UNIX + 2.0, UNIX + 5.0));
}

#[test]
fn a_summary_that_may_be_stored_keeps_its_id_and_one_that_failed_gets_another() {
    let path = scratch();
    let mut log = Log::with(1, 60.0);
    for _ in 0..4 {
        log.fail("romeo@example.com", "203.0.113.80");
    }
    assert!(log.control.tables.failures.counts().all(|count| count.id.is_none()));
    // The checkpoint from before it has an id is replaced.
    log.control.checkpoint(HOST, &path, 59.0, false, &describe).unwrap();
    log.now = 60.0;
    let first = log.control.due(HOST, log.now, false, &describe, new_id);
    // The server dies while storing it.
    log.control.checkpoint(HOST, &path, log.now, false, &describe).unwrap();
    let mut next = Log::with(1, 60.0);
    next.control.restore(HOST, &path, 0.0).unwrap();
    // Many others are due and get merged. This one does not.
    for n in 0..5000 {
        next.fail(&format!("user{n}@example.com"), "203.0.113.80");
    }
    // The clock is set back meanwhile. Under another time the store would not be known to have the summary.
    next.control.set_clock(61.0, UNIX - 86_400.0);
    let again = next.control.due(HOST, 61.0, true, &describe, new_id);
    let offered: Vec<&FloodSummary> = again.iter().filter(|summary| summary.offered).collect();
    assert_eq!((offered.len(), &offered[0].id, offered[0].count), (1, &first[0].id, 3));
    assert_eq!((offered[0].first, offered[0].last), (first[0].first, first[0].last));
    next.control.settle(HOST, 0);
    let third = next.control.due(HOST, 61.0, true, &describe, new_id);
    let id_of = |list: &[FloodSummary], offered| list.iter().find(|summary| summary.offered == offered).unwrap().id.clone();
    assert_eq!(id_of(&again, true), id_of(&third, true));
    assert!(id_of(&again, false) < id_of(&third, false));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_account_that_exists_is_named_among_made_up_names() {
    let mut log = Log::with(5, 60.0);
    for n in 0..10_000 {
        log.fail(&format!("noise{n}@example.com"), "203.0.113.80");
        if n % 500 == 0 {
            log.fail("real@example.com", "203.0.113.80");
            log.fail("none@example.com", "203.0.113.80");
        }
    }
    assert!(log.questions <= 8, "{}: once for each name or window", log.questions);
    for n in 0..10_000 {
        log.fail(&format!("noise{n}@example.com"), "203.0.113.80");
    }
    assert!(log.questions <= 64, "{}: no more than a file system can take", log.questions);
    log.tick(true);
    let summary = log.last();
    let real = summary.often.iter().find(|often| often.user.as_deref() == Some("real@example.com")).unwrap();
    assert!(real.exists && real.count >= 17, "{real:?}");
    assert_eq!(summary.often[0], *real, "existing accounts come first");
    assert!(summary.others && summary.names.is_some());
}

/// Whether a summary may be about an account, as a query decides it.
fn may_be_about(summary: &FloodSummary, user: &str) -> bool {
    let named = summary.often.iter().filter_map(|often| often.user.as_deref()).chain(summary.user.as_deref());
    named.into_iter().any(|name| name == user)
        || summary.others && summary.names.as_deref().is_none_or(|names| crate::entry::names::Names::read(names).unwrap().may_contain(user))
}

#[derive(Clone, Debug)]
enum Step {
    Events {
        kind: usize,
        users: u32,
        networks: u32,
        count: u32,
    },
    Pass(f64),
    /// A tick in which this many summaries can't be stored.
    Tick(usize),
    Close,
    /// The process dies and starts again.
    Die,
    Configure(Option<(u32, f64)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..5, 1u32..3000, 1u32..3000, 1u32..1500)
            .prop_map(|(kind, users, networks, count)| Step::Events { kind, users, networks, count }),
        4 => (-2.0f64..30.0).prop_map(Step::Pass),
        1 => (0.0f64..700.0).prop_map(Step::Pass),
        4 => (0usize..3).prop_map(Step::Tick),
        1 => Just(Step::Close),
        1 => Just(Step::Die),
        1 => prop::option::of((1u32..10, 1.0f64..300.0)).prop_map(Step::Configure),
    ];
    prop::collection::vec(step, 1..60)
}

const KINDS: [&str; 5] = [FAILURE, SUCCESS, "s2s-refused", "registration-refused", "user-registered"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_counts_add_up_and_the_log_stays_small(steps in steps(), burst in 1u32..8, window in 1.0f64..120.0, repeats in any::<bool>()) {
        let repeats = if repeats { Repeats { failure: Some(90.0), success: Some(30.0), keys: 50 } } else { Repeats::default() };
        let mut options = (Some(Burst { burst, window }), repeats);
        let mut log = Log::new(options.0, options.1);
        let path = scratch();
        let mut sent = [0u64; KINDS.len()];
        let mut unlimited = false;
        let mut next = 0u32;
        for step in steps {
            match step {
                Step::Events { kind, users, networks, count } => {
                    for _ in 0..count {
                        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let user = format!("user{}@example.com", next % users);
                        let ip = std::net::Ipv4Addr::from(0x0b00_0000 + (next >> 8) % networks * 256 + (next >> 24)).to_string();
                        log.send(KINDS[kind], &user, &ip);
                        sent[kind] += 1;
                    }
                }
                Step::Pass(seconds) => log.now += seconds,
                Step::Tick(fail) => {
                    let summaries = log.control.due(HOST, log.now, false, &describe, new_id);
                    let stored = summaries.len().saturating_sub(fail);
                    log.summaries.extend(summaries.into_iter().take(stored).map(|summary| (log.now, summary)));
                    log.control.settle(HOST, stored);
                }
                Step::Close => {
                    log.tick(true);
                }
                Step::Die => {
                    log.control.checkpoint(HOST, &path, log.now, true, &describe).unwrap();
                    let mut control = Control::default();
                    control.set_clock(0.0, UNIX);
                    control.configure(HOST, options.0, options.1, &Retention::default());
                    control.restore(HOST, &path, log.now).unwrap();
                    log.control = control;
                }
                Step::Configure(flood) => {
                    options.0 = flood.map(|(burst, window)| Burst { burst, window });
                    unlimited |= options.0.is_none();
                    log.control.configure(HOST, options.0, options.1, &Retention::default());
                }
            }
            prop_assert!(log.control.tables.failures.len() <= KEYS && log.control.tables.actors.len() <= ACTOR_KEYS);
            let held: usize = log.control.hosts[0].closed.len() + log.control.hosts[0].emitting.len();
            prop_assert!(held <= CLOSED + 2 * BATCH + KEYS, "{held}");
            let coarsest = log.control.outcomes.iter().filter_map(|outcome| outcome.window.as_ref()?.count.as_deref());
            let all: Vec<Pool> = log.control.tables.counts().chain(&log.control.hosts[0].closed).chain(coarsest).map(Count::pooled).collect();
            prop_assert_eq!(all.iter().map(|pool| pool.hashes).sum::<usize>() + log.control.pool.hashes, Pool::FULL.hashes);
            prop_assert_eq!(all.iter().map(|pool| pool.names).sum::<usize>() + log.control.pool.names, Pool::FULL.names);
        }
        log.now = log.now.max(0.0) + 1000.0;
        for _ in 0..100 {
            log.now += 10.0;
            log.tick(false);
        }
        let _ = std::fs::remove_file(&path);
        prop_assert_eq!(log.control.counting(), Vec::<&str>::new());
        for (kind, sent) in KINDS.iter().zip(sent) {
            let singles = log.singles.iter().filter(|(_, single)| single == kind).count() as u64;
            let counted: u64 = log.summaries.iter().filter(|(_, summary)| summary.kind == *kind).map(|(_, summary)| summary.count).sum();
            prop_assert_eq!(singles + counted, sent, "{}", kind);
        }
        let ids: HashSet<&str> = log.summaries.iter().map(|(_, summary)| summary.id.as_str()).collect();
        prop_assert_eq!(ids.len(), log.summaries.len());
        // While flood control is on, the budget holds in any minute of a clock that does not go back.
        if !unlimited {
            let mut entries: Vec<f64> = log.singles.iter().filter(|(_, kind)| is_unauthenticated(kind)).map(|(at, _)| *at).collect();
            entries.extend(log.summaries.iter().filter(|(_, summary)| is_unauthenticated(&summary.kind)).map(|(at, _)| *at));
            entries.sort_by(f64::total_cmp);
            let most = ENTRIES_A_MINUTE as usize;
            for pair in entries.windows(most + 1) {
                prop_assert!(pair[most] - pair[0] > 60.0, "more than {most} entries between {} and {}", pair[0], pair[most]);
            }
        }
    }

    #[test]
    fn no_account_is_denied_and_those_that_come_often_are_named(
        parts in prop::collection::vec((1u32..2000, 1u32..40, 1u32..1500, 0u32..400, any::<bool>()), 1..8),
        one in any::<bool>(),
    ) {
        let mut log = Log::with(2, 60.0);
        let path = scratch();
        let mut sent: HashMap<String, u64> = HashMap::new();
        let mut next = 0u32;
        for (part, (users, networks, count, attacks, dies)) in parts.into_iter().enumerate() {
            for n in 0..count + attacks {
                next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let attacked = n >= count;
                let user = if attacked { format!("real{part}@example.com") } else { format!("user{}@example.com", (next >> 8) % users) };
                let network = if one { 0 } else { (next >> 4) % networks };
                log.fail(&user, &std::net::Ipv4Addr::from(0x0b00_0000 + network * 256).to_string());
                *sent.entry(user).or_default() += 1;
            }
            if dies {
                log.control.checkpoint(HOST, &path, log.now, true, &describe).unwrap();
                log.control = Control::default();
                log.control.set_clock(0.0, UNIX);
                log.control.configure(HOST, Some(Burst { burst: 2, window: 60.0 }), Repeats::default(), &Retention::default());
                log.control.restore(HOST, &path, log.now).unwrap();
            }
            log.pass(20);
        }
        log.pass(100);
        log.tick(true);
        let _ = std::fs::remove_file(&path);
        let total: u64 = sent.values().sum();
        prop_assert_eq!(log.singles.len() as u64 + log.counted(), total);
        prop_assert_eq!(log.control.pool, Pool::FULL);
        for (user, sent) in sent {
            let single = log.users.iter().filter(|name| **name == user).count() as u64;
            let counted = sent - single;
            prop_assert!(counted == 0 || log.summaries.iter().any(|(_, summary)| may_be_about(summary, &user)), "{user}");
            // In at least one of the counts its share is as large as in all together.
            let named = |summary: &FloodSummary| summary.user.as_deref() == Some(&user) || summary.often.iter().any(|often| often.user.as_deref() == Some(&user));
            let all: u64 = log.summaries.iter().map(|(_, summary)| summary.count).sum();
            prop_assert!(counted * frequent::SURE <= all || log.summaries.iter().any(|(_, summary)| named(summary)), "{user}: {counted} of {all}");
        }
        for (_, summary) in &log.summaries {
            let often: u64 = summary.often.iter().filter(|often| often.user.is_some()).map(|often| often.count).sum();
            prop_assert!(often <= summary.count);
        }
    }

    #[test]
    fn no_bytes_are_a_checkpoint_that_hurts(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Checkpoint::parse(&bytes);
    }
}

#[test]
fn the_checkpoint_is_beside_the_journal() {
    assert_eq!(crate::flood::beside(Path::new("/data/audit_journal")), Path::new("/data/audit_journal.flood"));
}

#[test]
fn an_address_that_can_not_be_parsed_has_no_network() {
    assert_eq!(address::parse("").and_then(address::network_of), None);
}

#[test]
fn what_administrators_do_is_always_stored() {
    let mut log = Log::with(1, 60.0);
    for n in 0..3000 {
        assert!(log.send("shell-command", "romeo@example.com", "203.0.113.80"), "{n}");
    }
    assert_eq!(log.control.outcomes.len(), 0, "it takes no room of others");
}

#[test]
fn many_types_of_others_are_bounded_together() {
    let mut log = Log::with(1, 60.0);
    for n in 0..OUTCOMES * 3 {
        for _ in 0..12 {
            log.send(&format!("thing-{n}"), "romeo@example.com", "203.0.113.80");
        }
    }
    log.tick(true);
    assert_eq!(log.singles.len() as u64 + log.counted(), OUTCOMES as u64 * 36);
    assert_eq!((log.control.outcomes.len(), log.last().kind.as_str()), (OUTCOMES + 1, OTHERS));
    // Neither our own types nor failures lose their names by that.
    for kind in ["s2s-refused", "authentication-failure", "thing-refused"] {
        log.send(kind, "romeo@example.com", "203.0.113.80");
        assert!(!log.send(kind, "romeo@example.com", "203.0.113.80"));
        log.tick(true);
        assert_eq!(log.last().kind, kind);
    }
}

/// The server's list has the outcomes of all hosts. With thousands of hosts it must not be searched for each of them.
#[test]
fn a_host_looks_at_its_own_outcomes_only() {
    let mut log = Log::with(1, 60.0);
    let control = &mut log.control;
    let own = control.outcome_index(HOST, "thing", "mod_test", 0.0).unwrap();
    let other = control.outcome_index("example.org", "thing", "mod_test", 0.0).unwrap();
    let (hasher, mut buffer, mut pool) = (HashSeed::new(&OsRandom), Vec::new(), Pool::FULL);
    let facts = Facts::of(&FloodEvent::default(), HOST, &mut buffer, &hasher);
    for index in [own, other] {
        control.outcomes[index].absorb(Count::new(index, &facts, 0.0), 0.0, &hasher, &mut pool);
        control.outcomes[index].suppressed = 1;
    }
    // Whoever searches the list takes it for one of the first host.
    control.outcomes[other].host = control.outcomes[own].host;
    assert_eq!(control.suppressed(HOST).count(), 1);
    let index = control.host_index[HOST];
    assert_eq!(counts_of(index, &control.hosts[index], &control.outcomes, &control.tables).count(), 1);
    assert_eq!(control.due(HOST, 1.0, true, &describe, new_id).len(), 1);
}
