//! What a receiver does not get of an entry can't be found by trying all that it may be: an address that a sink sends only a network of, and
//! a name that nobody gets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use audit_core::address::Policy;
use audit_core::chain::anchors::Anchors;
use audit_core::chain::hash::{Bytes, Hash, Nonce};
use audit_core::chain::link::{Cover, Link};
use audit_core::entry::canon::{Canon, Draft};
use audit_core::entry::details::Details;
use audit_core::entry::{Row, StoredEvent, element, payload};
use audit_core::filter::Filter;
use audit_core::journal::cursor::{Cursor, Read};
use audit_core::journal::tail::Tail;
use audit_core::options::Settings;
use audit_core::recorder::Recorder;
use audit_core::recorder::entries::{Event, Session, Time};
use audit_core::render::formats::{FORMATS, Format, FormatInfo};
use audit_core::render::{Options, renderer};
use audit_core::sink::messages::Messages;
use serde_json::Value;

const HOST: &str = "example.com";
const ADDRESS: &str = "203.0.113.80";
const NOON: f64 = 1_795_521_600.25;

/// Two entries that follow each other, in the form of the store. Their client calls itself like an anchor of another log.
fn entries() -> [String; 2] {
    let mut recorder = Recorder::default();
    recorder.configure(HOST, Settings::default(), None);
    recorder.chains(HOST);
    let client = format!("audit-anchor:{}:{}:1:{}", "A".repeat(22), "A".repeat(22), "A".repeat(43));
    [NOON, NOON + 1.0].map(|at| {
        let session = Session { id: Some(b"c2s1"), kind: Some(b"c2s"), ip: Some(ADDRESS.as_bytes()), client: Some(client.as_bytes()) };
        let event = Event {
            user: Some(b"romeo@example.com"),
            source: Some(b"mod_test"),
            kind: Some(b"thing-happened"),
            session: Some(session),
            ..Event::default()
        };
        let mut payload = Vec::new();
        recorder.entry(HOST, &event, &mut Details::default(), Time { at, now: 7.0 }, false, &mut payload).unwrap();
        let linked = recorder.link(HOST, b"thing-happened", &mut payload).unwrap();
        recorder.advance(HOST, &linked);
        element::to_xml(&payload[payload::begin_of(&payload)..]).unwrap()
    })
}

/// What an export in a format has of entries.
fn exported(entries: &[String], format: Format) -> String {
    let events: Vec<StoredEvent> = entries.iter().map(|xml| stored(xml)).collect();
    let mut renderer = renderer(format, &Options::new(HOST));
    [renderer.begin(), renderer.entries(&events), renderer.end()].concat()
}

fn stored(xml: &str) -> StoredEvent {
    StoredEvent::read(&Row { key: String::new(), when: NOON, with: None, xml: xml.to_owned(), element: Vec::new() }).unwrap()
}

/// What a sink sends of an entry, with `ips = "prefix"`, but with as little as the sixteen bits of a network that it may be asked to send.
fn sent(xml: &str, format: Format) -> String {
    let event = stored(xml);
    let mut messages = Messages::new(HOST, None, format, None, Filter::default(), Policy::prefix(Some(16), Some(48)));
    let place = Cursor::open(&mut Tail::new(0, 0.0), None, uuid::Uuid::nil()).place().clone();
    messages.message(Read::Event(Box::new(event)), place, NOON, &mut |_| None).text.unwrap()
}

/// Chain, run, number and hash of what was sent.
fn anchor_in(text: &str) -> (Nonce, Nonce, u64, Hash) {
    let json: Value = serde_json::from_str(text).unwrap();
    let parts: Vec<&str> = json["anchor"].as_str().unwrap().split(':').collect();
    (Bytes::read(parts[1]).unwrap(), Bytes::read(parts[2]).unwrap(), parts[3].parse().unwrap(), Bytes::read(parts[4]).unwrap())
}

/// Which addresses of the network fit to the hash that was sent, if the salt is one of these. Whoever tries knows all else of the entry.
fn fitting(xml: &str, previous: &Hash, hash: &Hash, salts: &[Nonce]) -> Vec<String> {
    let (link, _) = Link::read(Draft::of_xml(xml).unwrap()).unwrap();
    let guesses = (0..=u8::MAX).flat_map(|third| (0..=u8::MAX).map(move |last| format!("203.0.{third}.{last}")));
    let fits = |guess: &String| {
        let canon: Canon = Link::read(Draft::of_xml(&xml.replace(ADDRESS, guess)).unwrap()).unwrap().1;
        salts.iter().any(|salt| {
            let tried = Link { cover: Cover::Salt(*salt), ..link.clone() };
            tried.follows(previous, &tried.leaf(HOST, "events", &canon).unwrap()) == *hash
        })
    };
    guesses.filter(fits).collect()
}

#[test]
fn an_address_that_a_sink_does_not_send_can_not_be_guessed() {
    let [first, second] = entries();
    let (before, text) = (anchor_in(&sent(&first, Format::Json)), sent(&second, Format::Json));
    let (chain, run, number, hash) = anchor_in(&text);
    assert_eq!((before.0, before.1, before.2, number), (chain, run, 1, 2));
    assert!(text.contains("203.0.0.0/16") && !text.contains("203.0.113"), "{text}");

    let (link, _) = Link::read(Draft::of_xml(&second).unwrap()).unwrap();
    let Cover::Salt(salt) = link.cover else { panic!("nothing was removed") };
    // With the salt, the address is found.
    assert_eq!(fitting(&second, &before.3, &hash, &[salt]), [ADDRESS]);
    // With all that the receiver has, it is not.
    let halves = |hash: &Hash| [0, 16].map(|from| Bytes(hash.0[from..from + 16].try_into().unwrap()));
    let mut salts = vec![Bytes([0; 16]), chain, run];
    salts.extend(halves(&hash).into_iter().chain(halves(&before.3)));
    assert_eq!(fitting(&second, &before.3, &hash, &salts), Vec::<String>::new());
}

#[test]
fn no_format_has_what_opens_the_commitments() {
    let [entry, _] = entries();
    let salt = entry.split_once("salt='").unwrap().1.split_once('\'').unwrap().0;
    for FormatInfo { format, name, .. } in FORMATS {
        let text = sent(&entry, *format);
        assert!(!text.contains(salt), "{name}: {text}");
    }
}

/// The anchors of two entries can be taken from what is written of them, and no others, although both quote one of another log.
#[test]
fn every_format_but_the_table_has_the_anchors_of_its_entries_and_only_those() {
    let entries = entries();
    let of_sink = |format| entries.each_ref().map(|xml| sent(xml, format)).concat();
    let expected = of_sink(Format::Json);
    let has_them = |text: &str| {
        let mut anchors = Anchors::default();
        let count = anchors.read(&expected);
        text.lines().map(|line| anchors.read(line)).sum::<usize>() == count && (count, anchors.len(), anchors.contradict()) == (2, 2, false)
    };
    let formats = FORMATS.iter().filter(|info| !has_them(&exported(&entries, info.format)) || !has_them(&of_sink(info.format)));
    assert_eq!(formats.map(|info| info.name).collect::<Vec<_>>(), ["table"]);
}
