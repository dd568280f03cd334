//! Logs with what is found in them, as `tests/vectors/evidence.json` has them for authors of other verifiers: this verifier and the one in
//! `tests/verifier/`, which was written from docs/evidence-bytes.md alone, find the same.
//!
//! `UPDATE_EXPECT=1` writes the file anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use audit_core::address::Policy;
use audit_core::archive::retention::{AddressExpiry, Retention, Rules};
use audit_core::chain::chains::Progress;
use audit_core::chain::hash::Bytes;
use audit_core::chain::link::{Link, LinkError};
use audit_core::chain::verify::Verifier;
use audit_core::entry::canon::Draft;
use audit_core::entry::details::Details;
use audit_core::entry::limits::HOST_WIDE;
use audit_core::entry::{Row, ascii, element, payload};
use audit_core::file::Memory;
use audit_core::options::Settings;
use audit_core::random::Random;
use audit_core::recorder::Recorder;
use audit_core::recorder::entries::{Event, EventActor, Session, Time};
use audit_core::time::period::Period;
use audit_core::time::{day, whole_seconds};
use serde_json::{Value, json};

const HOST: &str = "example.com";
const START: f64 = 1_795_521_600.25;

/// Bytes that are the same in each run.
#[derive(Debug, Default)]
struct Counted(Cell<u8>);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        for byte in bytes {
            self.0.set(self.0.get().wrapping_mul(5).wrapping_add(77));
            *byte = self.0.get();
        }
        Ok(())
    }
}

/// A log: its rows in the order in which they are stored, and where its chains have got to.
#[derive(Clone)]
struct Log {
    rows: Vec<(Option<String>, Row)>,
    chains: Vec<Progress>,
}

fn recorder() -> Recorder {
    let expiry = AddressExpiry { after: Period::Seconds(86_400.0), to: Policy::prefix(Some(20), Some(40)) };
    let rules = Rules { addresses_expire: Some(expiry), ..Rules::default() };
    let mut recorder = Recorder::new(Rc::new(Memory::default()), Rc::new(Counted::default()));
    recorder.configure(HOST, Settings { retention: Retention::new(rules, Vec::new()), ..Settings::default() }, None);
    recorder.chains(HOST);
    recorder
}

/// An element that is in another one: its name, its attributes, its text.
type Inner<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Elements that a module adds to an event, of all kinds that differ in the canonical form.
fn details(number: usize) -> Details {
    let mut details = Details::default();
    let mut add = |name: &str, attributes: &[(&str, &str)], texts: &[&str], inner: Option<Inner<'_>>| {
        details.open(name.as_bytes());
        attributes.iter().for_each(|(name, value)| details.attribute(name.as_bytes(), value.as_bytes()));
        texts.iter().for_each(|text| details.text(text.as_bytes()));
        if let Some((name, attributes, text)) = inner {
            details.open(name.as_bytes());
            attributes.iter().for_each(|(name, value)| details.attribute(name.as_bytes(), value.as_bytes()));
            details.text(text.as_bytes());
            details.close();
            details.text(b" after");
        }
        details.close();
    };
    const OWN: (&str, &str) = ("xmlns", "xmpp:prosody.im/audit");
    match number % 6 {
        0 => add("authentication", &[OWN, ("mechanism", "PLAIN"), ("condition", "not-authorized")], &["No <such> \"user\" & so on."], None),
        1 => add("query", &[OWN, ("filter", "--ip=203.0.113.7 --since=2d"), ("entries", "5")], &[], None),
        2 => add(
            "note",
            &[("xmlns", "urn:example:other"), ("ip", "198.51.100.9"), ("b", ""), ("a", "x")],
            &["e\u{301} \u{fc}\n\ttab"],
            Some(("inner", &[("z", "1")], "deep")),
        ),
        3 => add("tls", &[OWN, ("version", "TLSv1.3")], &[], Some(("cipher", &[("bits", "256")], "AES"))),
        4 => add(
            "repeated",
            &[OWN, ("count", "7"), ("first", "2026-11-24T11:00:00Z")],
            &[],
            Some(("sample", &[("user", "mallory@example.com"), ("network", "203.0.113.0/24"), ("condition", "not-authorized")], "")),
        ),
        _ => {}
    }
    details
}

/// A log of events of two classes.
fn log(count: usize) -> Log {
    let mut recorder = recorder();
    let mut rows: Vec<(Option<String>, Row)> = Vec::new();
    for number in 0..count {
        #[allow(clippy::cast_precision_loss)]
        let at = START + number as f64 * 1.5;
        let kind: &[u8] = if number % 3 == 2 { b"authentication-failure" } else { b"user-registered" };
        let user = format!("user{number}@{HOST}");
        let ip: &[u8] = if number % 2 == 0 { b"203.0.113.80" } else { b"2001:db8:0:1:2:3:4:5" };
        let session = Session { id: Some(b"c2s1"), kind: Some(b"c2s"), ip: Some(ip), client: Some("Gajim \u{e9}".as_bytes()) };
        let actor = EventActor { kind: Some(b"adhoc"), jid: Some(b"admin@example.com/desk"), ip: Some(b"192.0.2.1"), caused_by: None };
        let event = Event {
            user: (number % 4 != 3).then_some(user.as_bytes()),
            source: Some(b"mod_test"),
            kind: Some(kind),
            session: (number % 5 != 4).then_some(session),
            actor: (number % 2 == 1).then_some(actor),
            timestamp: (number == 1).then_some(at - 3600.0),
        };
        let mut payload = Vec::new();
        recorder.entry(HOST, &event, &mut details(number), Time { at, now: 7.0 }, false, &mut payload).unwrap();
        let linked = recorder.link(HOST, kind, &mut payload).unwrap();
        recorder.advance(HOST, &linked);
        let class = recorder.class_of(HOST, std::str::from_utf8(kind).unwrap()).to_owned();
        #[allow(clippy::cast_precision_loss)]
        let when = whole_seconds(at) as f64;
        let with = payload::attribute_of(&payload, "user").unwrap_or(HOST_WIDE).to_owned();
        let xml = element::to_xml(&payload[payload::begin_of(&payload)..]).unwrap();
        let row = Row { key: format!("key-{number}"), when, with: Some(with), xml, element: Vec::new() };
        rows.push((Some(format!("@{class}.{}", day(at))), row));
    }
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let chains = recorder.chains(HOST).borrow().progress().collect();
    Log { rows, chains }
}

/// What is found in a log: the number and what it is, as one word.
fn found(log: &Log) -> (u64, Vec<(Option<u64>, String)>) {
    let mut verifier = Verifier::new(HOST, log.chains.clone());
    let mut before = None;
    for (partition, row) in &log.rows {
        if before.as_ref() != Some(partition) {
            verifier.begin(partition.as_deref().map(|name| name.parse().unwrap()));
            before = Some(partition.clone());
        }
        verifier.feed(row);
    }
    let verdict = verifier.finish();
    let word = |finding: &audit_core::chain::verdict::Finding| finding.fault.to_string().split(':').next().unwrap().to_owned();
    let mut findings: Vec<_> = verdict.findings.iter().map(|finding| (finding.n, word(finding))).collect();
    findings.sort();
    findings.dedup();
    // What is altered may lie elsewhere too: one of the two is enough.
    let altered: Vec<_> = findings.iter().filter(|(_, word)| word == "altered").map(|(n, _)| *n).collect();
    findings.retain(|(n, word)| word != "moved" || !altered.contains(n));
    (verdict.verified, findings)
}

fn as_json(name: &str, log: &Log) -> Value {
    let (verified, findings) = found(log);
    let chains = log.chains.iter().map(|of| {
        let removed: Vec<Value> =
            of.removed.iter().map(|of| json!({ "from": of.from, "upto": of.upto, "hash": of.hash.to_string() })).collect();
        json!({ "id": of.id.to_string(), "class": of.class, "n": of.n, "hash": of.hash.to_string(), "since": of.since, "until": of.until, "removed": removed })
    });
    let rows = log
        .rows
        .iter()
        .map(|(partition, row)| json!({ "partition": partition, "key": row.key, "when": row.when, "with": row.with, "xml": row.xml }));
    let chains: Vec<Value> = chains.collect();
    let rows: Vec<Value> = rows.collect();
    json!({ "name": name, "host": HOST, "chains": chains, "rows": rows, "verified": verified, "findings": findings })
}

fn link_of(row: &Row) -> Result<Link, LinkError> {
    Link::read(Draft::of_xml(&row.xml).unwrap()).map(|(link, _)| link)
}

fn logs() -> Vec<(&'static str, Log)> {
    let whole = log(14);
    let edited = |edit: &dyn Fn(&mut Log)| {
        let mut log = whole.clone();
        edit(&mut log);
        log
    };
    // The events of the default class come first.
    let xml = |log: &mut Log, at: usize, from: &str, to: &str| {
        let changed = log.rows[at].1.xml.replacen(from, to, 1);
        assert_ne!(changed, log.rows[at].1.xml, "{from}");
        log.rows[at].1.xml = changed;
    };
    let rewrite = |log: &mut Log, change: &dyn Fn(&[u8]) -> Vec<u8>| {
        for (_, row) in &mut log.rows {
            row.xml = element::to_xml(&change(&element::of_xml(&row.xml).unwrap())).unwrap();
        }
    };
    vec![
        ("untouched", whole.clone()),
        (
            "addresses have expired",
            edited(&|log| {
                let recorder = recorder();
                rewrite(log, &|element| recorder.without_addresses(HOST, "events", element).unwrap());
            }),
        ),
        (
            "in ASCII",
            edited(&|log| {
                rewrite(log, &|element| {
                    let encoded = ascii::encode(&[b"0\0", element].concat()).unwrap();
                    encoded[2..].to_vec()
                })
            }),
        ),
        (
            "the first entries were removed by a rule",
            edited(&|log| {
                let removed = log.rows.drain(..3).next_back().unwrap();
                log.chains[0].removed =
                    vec![audit_core::chain::rules::Removed { from: 1, upto: 3, hash: link_of(&removed.1).unwrap().hash, at: 0, when: 0 }];
            }),
        ),
        (
            "a rule with another hash",
            edited(&|log| {
                log.rows.drain(..3);
                log.chains[0].removed = vec![audit_core::chain::rules::Removed { from: 1, upto: 3, hash: Bytes([1; 32]), at: 0, when: 0 }];
            }),
        ),
        ("the source was changed", edited(&|log| xml(log, 2, "mod_test", "mod_best"))),
        (
            "the account was changed",
            edited(&|log| {
                xml(log, 0, "user0@", "user9@");
                log.rows[0].1.with = Some("user9@example.com".to_owned());
            }),
        ),
        ("an address was changed", edited(&|log| xml(log, 0, "203.0.113.80", "203.0.113.81"))),
        ("an address was removed without a trace", edited(&|log| xml(log, 0, "<remote-ip>203.0.113.80</remote-ip>", ""))),
        ("the time of a row", edited(&|log| log.rows[2].1.when += 1.0)),
        ("the account of a row", edited(&|log| log.rows[0].1.with = Some("@".to_owned()))),
        ("the day of a row", edited(&|log| log.rows[0].0 = Some("@events.2026-11-23".to_owned()))),
        ("an entry was removed", edited(&|log| drop(log.rows.remove(2)))),
        ("the last entry was removed", edited(&|log| drop(log.rows.pop()))),
        (
            "an entry twice",
            edited(&|log| {
                let row = log.rows[8].clone();
                log.rows.insert(9, row);
            }),
        ),
        (
            "the link was removed",
            edited(&|log| {
                let begin = log.rows[2].1.xml.find("<chain").unwrap();
                let end = log.rows[2].1.xml.rfind("</audit-event>").unwrap();
                log.rows[2].1.xml.replace_range(begin..end, "");
            }),
        ),
        (
            "of an unknown chain",
            edited(&|log| {
                let id = log.chains[0].id.to_string();
                xml(log, 2, &id, &"A".repeat(22));
            }),
        ),
        ("of another class", edited(&|log| log.chains.iter_mut().for_each(|of| of.class.push('x')))),
        (
            "in one archive user",
            edited(&|log| {
                log.rows.iter_mut().for_each(|(partition, _)| *partition = None);
                log.rows.sort_by(|(_, a), (_, b)| a.when.total_cmp(&b.when));
            }),
        ),
        (
            "the class of a row",
            edited(&|log| {
                let (_, row) = log.rows.remove(9);
                log.rows.push((Some("@failures.2026-11-24.2".to_owned()), row));
            }),
        ),
        (
            "two rows swapped",
            edited(&|log| {
                log.rows[2].1.when = log.rows[3].1.when;
                log.rows.swap(2, 3);
            }),
        ),
        (
            "the hash of a link",
            edited(&|log| {
                let hash = link_of(&log.rows[2].1).unwrap().hash.to_string();
                xml(log, 2, &hash, &"A".repeat(43));
            }),
        ),
        ("another last hash", edited(&|log| log.chains[0].hash = Bytes([1; 32]))),
    ]
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence.json")
}

#[test]
fn the_published_logs_are_these() {
    let logs: Vec<Value> = logs().iter().map(|(name, log)| as_json(name, log)).collect();
    let text = format!("{}\n", serde_json::to_string_pretty(&json!({ "logs": logs })).unwrap());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path(), &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path()).unwrap() == text,
        "tests/vectors/evidence.json is of another version: UPDATE_EXPECT=1 writes it anew"
    );
}

#[test]
fn what_nobody_touched_is_intact_and_everything_else_is_found() {
    for (name, log) in logs() {
        let (_, findings) = found(&log);
        let is_untouched =
            ["untouched", "addresses have expired", "in ASCII", "the first entries were removed by a rule", "in one archive user"]
                .contains(&name);
        assert_eq!(findings.is_empty(), is_untouched, "{name}: {findings:?}");
    }
}

#[test]
fn another_verifier_finds_the_same() {
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier/verify.py");
    let output = Command::new("python3").arg(verifier).arg(path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.trim_end().ends_with(&format!("{} logs agree", logs().len())), "{text}");
}
