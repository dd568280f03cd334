//! The rules as a whole, on events as they come in.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::alert::is_urgent;
use crate::alert::sentence::{Alert, Origin, What};
use crate::entry::event::{Root, begin, end, leaf, open};
use crate::entry::payload;
use crate::entry::text::TextKind;
use crate::file::Memory;
use crate::filter::pattern::Pattern;
use crate::flood::Account;
use crate::random::OsRandom;

const HOST: &str = "example.com";
const NOON: f64 = 1_795_521_600.0;
const JULIET: &str = "juliet@example.com";

fn moment(now: f64) -> Moment {
    Moment { now, unix: NOON + now }
}

fn engine(settings: Settings) -> Alerts {
    let mut alerts = Alerts::new(Rc::new(Memory::default()), &OsRandom);
    alerts.configure(HOST, settings, None, f64::INFINITY).unwrap();
    alerts.learned(HOST);
    alerts
}

/// An attempt: the name of the account, and the address.
fn attempt(alerts: &mut Alerts, kind: &str, name: &str, ip: &str, now: f64) {
    let event = FloodEvent { account: Account::Name(name.as_bytes()), address: Some(ip.as_bytes()), ..FloodEvent::default() };
    if let Some(watch) = alerts.watch(HOST, kind) {
        alerts.attempt(watch, &event, moment(now));
    }
}

fn fail(alerts: &mut Alerts, name: &str, ip: &str, now: f64) {
    attempt(alerts, "authentication-failure", name, ip, now);
}

/// An entry: the type, the account, and leaves of its session and below the root, as `name=value` or `name:attribute=value`.
fn entry(kind: &str, user: Option<&str>, session: &[(&str, &str)], details: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut payload = Vec::new();
    let root = Root { id: b"1", source: b"mod_x", kind: kind.as_bytes(), user: user.map(str::as_bytes), occurred: None };
    begin(&mut payload, NOON, &root);
    open(&mut payload, b"session");
    for (name, value) in session {
        if *name == "country" {
            open(&mut payload, b"location");
            payload::attribute(&mut payload, b"country", value.as_bytes());
            payload::close(&mut payload);
        } else {
            leaf(&mut payload, name.as_bytes(), value.as_bytes(), TextKind::Attribute);
        }
    }
    payload::close(&mut payload);
    for (name, attribute, value) in details {
        open(&mut payload, name.as_bytes());
        payload::attribute(&mut payload, attribute.as_bytes(), value.as_bytes());
        payload::close(&mut payload);
    }
    end(&mut payload);
    payload
}

fn login(alerts: &mut Alerts, user: &str, country: &str, client: &str, now: f64) {
    let session: Vec<(&str, &str)> =
        [("country", country), ("client", client)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
    alerts.recorded(HOST, &entry(SUCCESS, Some(user), &session, &[]), None, moment(now));
}

fn rules_fired(alerts: &mut Alerts, now: f64) -> Vec<String> {
    alerts.tick(HOST, moment(now)).alerts.into_iter().map(|alert| alert.rule).collect()
}

fn everyone() -> Settings {
    let mut settings = Settings::default();
    settings.rules.iter_mut().for_each(|rule| rule.everyone = true);
    settings
}

#[test]
fn a_login_after_ten_failures_from_the_same_network_may_be_a_guess() {
    for (failures, ip, fires) in [(10, "203.0.113.99", true), (9, "203.0.113.99", false), (10, "198.51.100.1", false)] {
        let mut alerts = engine(Settings::default());
        (0..failures).for_each(|second| fail(&mut alerts, "juliet", "203.0.113.7", f64::from(second)));
        assert_eq!(rules_fired(&mut alerts, 20.0), Vec::<String>::new());
        attempt(&mut alerts, SUCCESS, "juliet", ip, 30.0);
        attempt(&mut alerts, SUCCESS, "juliet", ip, 31.0);
        let found = alerts.tick(HOST, moment(32.0)).alerts;
        assert_eq!(found.len(), usize::from(fires), "{failures} {ip} {found:?}");
        if let Some(alert) = found.first() {
            assert_eq!((alert.rule.as_str(), alert.count, alert.account.as_deref()), ("guessed", 10, Some(JULIET)));
            assert_eq!((alert.since, &alert.origin), (NOON, &Some(Origin::Peer("203.0.113.99".parse().unwrap()))));
        }
        // The same account by its JID, in another window.
        let event = FloodEvent { account: Account::Jid(b"juliet@example.com/x"), address: Some(ip.as_bytes()), ..FloodEvent::default() };
        let watch = alerts.watch(HOST, SUCCESS).unwrap();
        alerts.attempt(watch, &event, moment(3700.0));
        assert_eq!(rules_fired(&mut alerts, 3700.0), Vec::<String>::new(), "an hour later nothing is left of it");
    }
}

#[test]
fn a_login_without_a_guess_is_no_alert() {
    let mut alerts = engine(Settings::default());
    for number in 0..1000 {
        attempt(&mut alerts, SUCCESS, "juliet", "203.0.113.7", f64::from(number));
    }
    (0..5).for_each(|second| fail(&mut alerts, "romeo", "203.0.113.7", f64::from(second)));
    attempt(&mut alerts, SUCCESS, "romeo", "203.0.113.7", 10.0);
    assert_eq!(rules_fired(&mut alerts, 1001.0), Vec::<String>::new());
}

#[test]
fn guessing_is_many_failures_of_an_account_or_of_many_accounts_from_a_network() {
    let mut alerts = engine(Settings::default());
    for number in 0..500 {
        fail(&mut alerts, "juliet", &format!("203.0.{}.7", number % 40), f64::from(number) / 10.0);
    }
    let found = alerts.tick(HOST, moment(60.0)).alerts;
    assert!(matches!(found.as_slice(), [Alert { what: What::Guessing { networks }, count: 50, .. }] if *networks > 10), "{found:?}");

    for number in 0..500 {
        fail(&mut alerts, &format!("user{}", number % 100), "2001:db8::7", 100.0 + f64::from(number) / 10.0);
    }
    let found = alerts.tick(HOST, moment(160.0)).alerts;
    assert!(matches!(found.as_slice(), [Alert { what: What::Spraying, count: 20, account: None, .. }]), "{found:?}");
    for number in 0..100 {
        fail(&mut alerts, &format!("user{}", number % 19), "198.51.100.7", 200.0);
    }
    assert_eq!(rules_fired(&mut alerts, 201.0), Vec::<String>::new(), "19 accounts");
    // If it goes on, it is said again after the window.
    for number in 0..60 {
        fail(&mut alerts, "juliet", "203.0.113.7", 700.0 + f64::from(number));
    }
    assert_eq!(rules_fired(&mut alerts, 800.0), ["guessing"]);
}

#[test]
fn what_is_new_for_an_administrator_is_an_alert() {
    let mut alerts = engine(Settings::default());
    assert_eq!(alerts.set_admins(HOST, [JULIET.to_owned()]), [JULIET.to_owned()]);
    let romeo = "romeo@example.com";
    for (user, country, client, fired) in [
        (JULIET, "DE", "phone", &[][..]),
        (JULIET, "DE", "phone", &[]),
        (JULIET, "DE", "", &[]),
        (JULIET, "FR", "phone", &["new-country"]),
        (JULIET, "FR", "laptop", &["new-client"]),
        (JULIET, "DE", "laptop", &[]),
        (romeo, "DE", "phone", &[]),
        (romeo, "FR", "laptop", &[]),
    ] {
        login(&mut alerts, user, country, client, 1.0);
        assert_eq!(rules_fired(&mut alerts, 1.0), fired, "{user} {country} {client}");
    }
    assert_eq!(alerts.set_admins(HOST, [JULIET.to_owned(), romeo.to_owned()]), [romeo.to_owned()], "the log is read for a new one");
}

#[test]
fn nothing_is_new_before_the_log_was_read_and_at_the_first_login() {
    let mut alerts = Alerts::new(Rc::new(Memory::default()), &OsRandom);
    alerts.configure(HOST, Settings { notices: true, ..everyone() }, None, f64::INFINITY).unwrap();
    assert_eq!(alerts.history(HOST), Some(0.0));
    login(&mut alerts, JULIET, "DE", "phone", 1.0);
    login(&mut alerts, JULIET, "FR", "laptop", 2.0);
    alerts.learn(HOST, JULIET, &Login { country: Some("NZ"), client: Some("tablet"), at: NOON - 9.0, coordinates: None });
    alerts.learned(HOST);
    login(&mut alerts, JULIET, "NZ", "tablet", 3.0);
    assert_eq!(alerts.tick(HOST, moment(4.0)), Ticked::default());
    login(&mut alerts, JULIET, "US", "tablet", 5.0);
    let ticked = alerts.tick(HOST, moment(6.0));
    assert_eq!((ticked.alerts.len(), ticked.notices.len()), (1, 1));
}

#[test]
fn a_country_of_which_only_the_code_was_stored_is_named() {
    let mut alerts = engine(Settings { notices: true, ..everyone() });
    login(&mut alerts, JULIET, "DE", "phone", 1.0);
    for (country, shown) in [("US", "United States"), ("XK", "Kosovo"), ("T1", "T1")] {
        login(&mut alerts, JULIET, country, "phone", 2.0);
        let ticked = alerts.tick(HOST, moment(3.0));
        let sentence = ticked.alerts[0].sentence(HOST, None);
        assert!(sentence.contains(&format!("was used from \"{shown}\" for the first time")), "{sentence}");
        assert_eq!(ticked.notices[0].country.as_deref(), Some(shown));
    }
}

#[test]
fn travel_is_an_alert_if_nobody_is_that_fast() {
    let mut alerts = engine(everyone());
    let from = |country: &str| entry(SUCCESS, Some(JULIET), &[("country", country)], &[]);
    let (berlin, auckland) = (Coordinates { latitude: 52.5, longitude: 13.4 }, Coordinates { latitude: -36.8, longitude: 174.8 });
    alerts.recorded(HOST, &from("DE"), Some(berlin), moment(0.0));
    alerts.recorded(HOST, &from("NZ"), Some(auckland), moment(600.0));
    assert_eq!(rules_fired(&mut alerts, 601.0), ["new-country", "impossible-travel"]);
    let mut alerts = engine(everyone());
    alerts.recorded(HOST, &from("DE"), None, moment(0.0));
    alerts.recorded(HOST, &from("NZ"), None, moment(600.0));
    assert_eq!(rules_fired(&mut alerts, 601.0), ["new-country"]);
}

#[test]
fn rights_crashes_and_trouble_of_the_log_are_alerts() {
    let mut alerts = engine(Settings::default());
    alerts.set_admins(HOST, [JULIET.to_owned()]);
    for (kind, user, details, fired) in [
        ("user-role-changed", Some("romeo@example.com"), &[("role", "name", "prosody:admin")][..], Some("privilege")),
        ("user-role-changed", Some("nurse@example.com"), &[("role", "name", "prosody:registered")], None),
        ("user-password-changed", Some(JULIET), &[], Some("privilege")),
        ("user-password-changed", Some("romeo@example.com"), &[], None),
        ("server-crashed", None, &[], Some("server")),
        ("server-crashed", None, &[], None),
        ("server-started", None, &[], None),
        ("certificates-reloaded", None, &[], Some("server")),
        ("audit-entries-lost", None, &[("lost", "count", "12")], Some("log-trouble")),
        ("audit-clock-jumped", None, &[], Some("log-trouble")),
        (ALERT, Some(JULIET), &[], None),
    ] {
        alerts.recorded(HOST, &entry(kind, user, &[], details), None, moment(1.0));
        assert_eq!(rules_fired(&mut alerts, 1.0).first().map(String::as_str), fired, "{kind} {user:?}");
        assert!(kind != ALERT || !alerts.wants(HOST, kind));
    }
}

#[test]
fn trouble_that_lasts_is_an_alert_once() {
    let mut alerts = engine(Settings::default());
    for (now, problem, fires) in [
        (0.0, Some("disk full"), false),
        (200.0, None, false),
        (210.0, Some("disk full"), false),
        (500.0, Some("disk full"), false),
        (511.0, Some("disk full"), true),
        (600.0, Some("disk full"), false),
    ] {
        alerts.trouble(HOST, "The store fails", None, problem, 300.0, moment(now));
        let found = alerts.tick(HOST, moment(now)).alerts;
        assert_eq!(!found.is_empty(), fires, "{now}");
        if let Some(alert) = found.first() {
            assert!(alert.sentence(HOST, None).contains("The store fails since 2026-11-24 12:03:30 UTC: \"disk full\"."));
        }
    }
}

#[test]
fn trouble_of_a_sink_says_how_to_see_more() {
    let mut alerts = engine(Settings::default());
    for now in [0.0, 900.0] {
        alerts.trouble(HOST, "The sink siem is behind", Some("siem"), Some("closed"), 900.0, moment(now));
    }
    let found = alerts.tick(HOST, moment(900.0)).alerts;
    let sentence = found[0].sentence(HOST, None);
    assert!(sentence.starts_with("[log-trouble] The sink siem is behind since 2026-11-24 12:00:00 UTC: \"closed\"."), "{sentence}");
    assert!(sentence.ends_with("More: prosodyctl mod_audit --sinks example.com"), "{sentence}");
}

#[test]
fn a_rule_of_the_configuration_counts_by_its_key() {
    let rule = |key, trigger, threshold| Rule {
        name: "rooms".to_owned(),
        types: vec![Pattern::new("room-*")],
        users: vec![Pattern::new("*@example.com")],
        key,
        trigger,
        threshold,
        window: 60.0,
        everyone: false,
    };
    for (key, trigger, fired) in [
        (Key::Account, Trigger::Events, 2),
        (Key::Host, Trigger::Events, 1),
        (Key::Type, Trigger::Events, 1),
        (Key::Network, Trigger::Accounts, 0),
    ] {
        let mut alerts = engine(Settings { rules: vec![rule(key, trigger, 3)], ..Settings::default() });
        for number in 0..9 {
            let user = ["a@example.com", "b@example.com", "c@example.net"][number % 3];
            let session: &[(&str, &str)] = &[("remote-ip", "203.0.113.7")];
            alerts.recorded(HOST, &entry("room-destroyed", Some(user), session, &[]), None, moment(number as f64));
        }
        assert_eq!(rules_fired(&mut alerts, 10.0).len(), fired, "{key:?}");
    }
}

#[test]
fn owners_are_told_of_logins_but_not_of_the_first() {
    let mut alerts = engine(Settings { notices: true, ..Settings::default() });
    let mut told = Vec::new();
    for (number, country) in ["DE", "DE", "FR", "NZ", "US", "IT", "DE"].iter().enumerate() {
        login(&mut alerts, JULIET, country, "phone", number as f64);
        told.push(alerts.tick(HOST, moment(number as f64)).notices.len());
    }
    assert_eq!(told, [0, 0, 1, 1, 1, 0, 0], "three a day");
}

#[test]
fn what_is_known_survives_a_restart_and_is_erased() {
    let files: Rc<dyn Files> = Rc::new(Memory::default());
    let path = || Some(Path::new("/data/audit.alerts").to_owned());
    files.make_folder(Path::new("/data")).unwrap();
    let start = || {
        let mut alerts = Alerts::new(Rc::clone(&files), &OsRandom);
        alerts.configure(HOST, everyone(), path(), 1e6).unwrap();
        alerts
    };
    let mut alerts = start();
    alerts.learned(HOST);
    login(&mut alerts, JULIET, "DE", "phone", 1.0);
    login(&mut alerts, "romeo@example.com", "DE", "phone", 1.0);
    alerts.recorded(HOST, &entry("server-crashed", None, &[], &[]), None, moment(1.0));
    assert_eq!(rules_fired(&mut alerts, 2.0), ["server"]);
    alerts.close(HOST, moment(3.0)).unwrap();
    let text = String::from_utf8(crate::file::whole::read(&*files, Path::new("/data/audit.alerts"), 9999).unwrap().unwrap()).unwrap();
    assert!(text.contains(JULIET) && !text.contains("phone"), "{text}");

    let mut alerts = start();
    assert!(alerts.history(HOST).unwrap() > NOON, "only what was recorded since is read");
    alerts.learned(HOST);
    alerts.recorded(HOST, &entry("server-crashed", None, &[], &[]), None, moment(4.0));
    login(&mut alerts, JULIET, "FR", "phone", 5.0);
    assert_eq!(rules_fired(&mut alerts, 6.0), ["new-country"], "a server that crashes again and again is reported once in the window");
    // A name may have another owner later.
    alerts.recorded(HOST, &entry("user-deleted", Some(JULIET), &[], &[]), None, moment(7.0));
    login(&mut alerts, JULIET, "NZ", "other", 8.0);
    assert_eq!(rules_fired(&mut alerts, 9.0), Vec::<String>::new());
    alerts.forget(HOST, JULIET);
    alerts.close(HOST, moment(9.0)).unwrap();
    let text = crate::file::whole::read(&*files, Path::new("/data/audit.alerts"), 9999).unwrap().unwrap();
    assert!(!String::from_utf8(text).unwrap().contains(JULIET));
    // What was not used for longer than entries are kept is forgotten.
    let mut alerts = start();
    alerts.learned(HOST);
    alerts.tick(HOST, Moment { now: 4000.0, unix: NOON + 2e6 });
    login(&mut alerts, "romeo@example.com", "FR", "phone", 2e6);
    assert_eq!(rules_fired(&mut alerts, 2e6), Vec::<String>::new());
}

#[test]
fn a_damaged_file_is_kept_and_the_log_is_read_again() {
    let files: Rc<dyn Files> = Rc::new(Memory::default());
    files.make_folder(Path::new("/data")).unwrap();
    let path = Path::new("/data/audit.alerts");
    for damaged in [&b"{"[..], b"{\"version\":9,\"until\":1,\"limits\":{}}", b"\xff"] {
        let mut file = files.create_new(path, crate::file::Access::Append).unwrap();
        file.append(damaged).unwrap();
        let mut alerts = Alerts::new(Rc::clone(&files), &OsRandom);
        let error = alerts.configure(HOST, everyone(), Some(path.to_owned()), 1e6).unwrap_err();
        assert!(matches!(error, HistoryError::Damaged { .. }) && error.to_string().contains("/data/audit.alerts"), "{error}");
        assert_eq!(alerts.history(HOST), Some(0.0));
        assert!(files.is_missing(path) && !files.is_missing(Path::new("/data/audit.alerts.damaged")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// However many events there are, an hour has at most 20 messages, and 60 urgent ones.
    #[test]
    fn a_flood_of_events_is_no_flood_of_messages(events in prop::collection::vec((0u8..5, 0u16..300, 0u8..40, 0.0..20.0f64), 100..1500)) {
        let mut alerts = engine(Settings { notices: true, ..everyone() });
        let (mut now, mut others, mut urgent) = (0.0, Vec::new(), Vec::new());
        for (kind, account, network, step) in events {
            now += step;
            let user = format!("user{account}@example.com");
            match kind {
                0 | 1 => (0..15).for_each(|number| fail(&mut alerts, &format!("user{}", account + number), &format!("203.0.{network}.1"), now)),
                2 => attempt(&mut alerts, SUCCESS, &format!("user{account}"), &format!("203.0.{network}.1"), now),
                3 => login(&mut alerts, &user, ["DE", "FR", "NZ", "US"][usize::from(network % 4)], &network.to_string(), now),
                _ => alerts.recorded(HOST, &entry(ALERT, Some(&user), &[], &[]), None, moment(now)),
            }
            for alert in alerts.tick(HOST, moment(now)).alerts {
                prop_assert!(alert.sentence(HOST, Some("203.0.113.7")).lines().count() == 1);
                if is_urgent(&alert.rule) { urgent.push(now) } else { others.push(now) }
            }
            let lately = |times: &[f64]| times.iter().filter(|time| now - **time < 3600.0).count();
            prop_assert!(lately(&others) <= 20 && lately(&urgent) <= 60);
        }
    }

    /// An alert is an entry. However many there are, and whatever rule watches everything, it leads to no other.
    #[test]
    fn alerts_never_trigger_a_rule(users in prop::collection::vec("[a-z]{1,5}", 0..200)) {
        let all = Rule { name: "all".to_owned(), types: vec![Pattern::new("*")], threshold: 1, ..Settings::default().rules[1].clone() };
        let mut alerts = engine(Settings { rules: vec![all], notices: true, ..Settings::default() });
        for user in users {
            alerts.recorded(HOST, &entry(ALERT, Some(&format!("{user}@example.com")), &[("country", "DE")], &[]), None, moment(1.0));
            attempt(&mut alerts, ALERT, &user, "203.0.113.7", 1.0);
        }
        prop_assert_eq!(alerts.tick(HOST, moment(2.0)), Ticked::default());
    }
}

#[test]
fn what_is_known_of_all_accounts_together_is_bounded() {
    let mut alerts = engine(everyone());
    alerts.configure("example.net", everyone(), None, f64::INFINITY).unwrap();
    for number in 0..ACCOUNTS + 500 {
        let login = Login { country: Some("DE"), client: None, coordinates: None, at: number as f64 };
        alerts.learn(if number % 3 == 0 { HOST } else { "example.net" }, &format!("user{number}@example.com"), &login);
    }
    let known: usize = alerts.hosts.iter().map(|host| host.known.len()).sum();
    assert!(known <= ACCOUNTS && known > ACCOUNTS / 2, "{known}");
}
