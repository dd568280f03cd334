//! A query on our own driver, which leaves out what a filter does not want, beside the same query on all rows.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::archive::retention::Rules;
use crate::entry::element;
use crate::entry::event::ROOT;
use crate::filter::network;
use crate::filter::pattern::Pattern;
use crate::filter::shape::{Items, kind, wanted};
use crate::storage::{self, Change, Database, NewItem, Opening, StorageError, Value};
use crate::time::period::Period;

const NOON: f64 = 1_795_521_600.0;
const HOST: &str = "h.example";
const STORE: &str = "audit";
const PARTITIONS: [&str; 4] = ["@default.2026-11-24", "@default.2026-11-24.2", "@failures.2026-11-23", ""];

const USERS: [&str; 7] = ["", "", "juliet@h.example", "Romeo@h.example", "juliet", "h.example", "x@other.example"];
const TYPES: [&str; 8] =
    ["authentication-success", "authentication-failure", "user-registered", "user-deleted", "audit-queried", "odd", "", "New-Client"];
const ADDRESSES: [&str; 9] = [
    "203.0.113.7",
    "203.0.113.0/24",
    "203.0.112.0/20",
    "203.0.0.0/16",
    "198.0.0.0/8",
    "2001:db8:1:2::7",
    "2001:db8:1::/48",
    "fe80::1",
    "no",
];
const ACTORS: [&str; 4] = ["", "admin-shell", "adhoc", "Nurse@h.example/desk"];
const CLIENTS: [&str; 3] = ["", "phone", "Desk"];
const COUNTRIES: [&str; 3] = ["", "DE", "IT"];
const HASHES: [&str; 3] = ["", "h:01", "h:02"];

/// A file that is removed at the end.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("audit-query-{}-{:?}", std::process::id(), std::thread::current().id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn open(&self) -> Database {
        Database::new(&self.0.join("audit.sqlite3"), Opening::Other, Duration::from_secs(1)).with_shape(&Items)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn rarely(&mut self) -> bool {
        self.below(40) == 0
    }
}

fn archive(user: &str) -> storage::Archive<'_> {
    storage::Archive { host: HOST, store: STORE, user }
}

fn leaf(bytes: &mut Vec<u8>, name: &str, text: &str) {
    if !text.is_empty() {
        element::open(bytes, name.as_bytes());
        element::text(bytes, text.as_bytes());
        element::close(bytes);
    }
}

fn attribute(bytes: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        element::attribute(bytes, name.as_bytes(), value.as_bytes());
    }
}

/// An address that few entries have.
fn own_address(number: usize) -> String {
    format!("198.18.{}.{}", number / 4, number % 4)
}

/// An account that few entries have.
fn own_user(number: usize) -> String {
    format!("u{number}@{HOST}")
}

/// An entry, whole or damaged.
fn entry(random: &mut Random, number: usize, user: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    element::open(&mut bytes, if random.rarely() { b"message" } else { ROOT.as_bytes() });
    attribute(&mut bytes, "type", random.of(&TYPES));
    attribute(&mut bytes, "source", random.of(&["mod_a", "mod_b", ""]));
    let own = own_user(number);
    attribute(&mut bytes, "user", if random.below(4) == 0 { &own } else { user });
    attribute(&mut bytes, "xmpp:prosody.im/audit\u{1}id", &format!("01a20e7e-d2b8-75d1-8370-{number:012x}"));
    if random.below(3) > 0 {
        element::open(&mut bytes, b"session");
        attribute(&mut bytes, "xmlns", "xmpp:prosody.im/audit");
        let own = own_address(number);
        leaf(&mut bytes, "remote-ip", if random.below(2) == 0 { &own } else { random.of(&ADDRESSES) });
        leaf(&mut bytes, "ip-hash", random.of(&HASHES));
        element::open(&mut bytes, b"location");
        attribute(&mut bytes, "country", random.of(&COUNTRIES));
        element::close(&mut bytes);
        if random.rarely() {
            // A text with a child in its middle.
            element::open(&mut bytes, b"client");
            element::text(&mut bytes, b"pho");
            leaf(&mut bytes, "b", "x");
            element::text(&mut bytes, b"ne");
            element::close(&mut bytes);
        } else {
            leaf(&mut bytes, "client", random.of(&CLIENTS));
        }
        element::close(&mut bytes);
    }
    if random.below(4) == 0 {
        element::open(&mut bytes, b"actor");
        let actor = random.of(&ACTORS);
        attribute(&mut bytes, if actor.contains('@') { "jid" } else { "kind" }, actor);
        leaf(&mut bytes, "remote-ip", random.of(&ADDRESSES));
        element::close(&mut bytes);
    }
    if random.below(5) == 0 {
        element::open(&mut bytes, b"repeated");
        attribute(&mut bytes, "count", "3");
        element::open(&mut bytes, b"often");
        attribute(&mut bytes, "user", random.of(&USERS));
        attribute(&mut bytes, "network", random.of(&ADDRESSES));
        attribute(&mut bytes, "actor", random.of(&ACTORS));
        attribute(&mut bytes, "name-hash", random.of(&HASHES));
        element::close(&mut bytes);
        element::close(&mut bytes);
    }
    leaf(&mut bytes, "unknown-name", random.of(&HASHES));
    leaf(&mut bytes, "note", random.of(&["", "Straße", "a &amp; b", "PLAIN"]));
    element::close(&mut bytes);
    if random.rarely() {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}

/// Changes any entry, if there is one of that key.
fn change(database: &mut Database, random: &mut Random, user: &str, count: usize) {
    let (other, new) = (random.of(&USERS), count + random.below(9));
    let bytes = entry(random, new, other);
    let change = Change { value: Some(Value { kind: kind::ELEMENT, bytes: &bytes }), ..Change::default() };
    let done = database.set(&archive(user), &format!("k{}", random.below(count + 1)), &change);
    assert!(matches!(done, Ok(()) | Err(StorageError::NotFound)), "{done:?}");
}

/// Removes the newest entries behind any one.
fn remove_newest(database: &mut Database, random: &mut Random, user: &str, count: usize) {
    let after = format!("k{}", random.below(count + 1));
    let done = database.delete(&archive(user), &storage::Query { after: Some(after), ..storage::Query::default() }, None);
    assert!(matches!(done, Ok(_) | Err(StorageError::NotFound)), "{done:?}");
}

/// Fills a database: several times what a block has, and some of it changed and removed again.
fn fill(file: &File, random: &mut Random, count: usize) -> Database {
    let mut database = file.open();
    database.begin().unwrap();
    for number in 0..count {
        // The partitions are filled one after the other, as those of a log. The last one is none, and may be written to at any time.
        let last = PARTITIONS.len() - 1;
        let place = if random.rarely() { last } else { (number * PARTITIONS.len() / count).min(last) };
        let user = PARTITIONS[place];
        let with = random.of(&USERS);
        let named = if random.below(4) == 0 { random.of(&USERS) } else { with };
        let bytes = entry(random, number, named);
        let value = Value { kind: if random.rarely() { kind::JSON } else { kind::ELEMENT }, bytes: &bytes };
        let with = if with.is_empty() && random.below(4) > 0 { "@" } else { with };
        let key = format!("k{}", if random.rarely() { random.below(count) } else { number });
        let when = NOON - 86_400.0 * if place == 2 { 1.0 } else { 0.0 } - 3000.0 + (number / 3) as f64;
        database.append(&archive(user), &NewItem { key: &key, is_new: false, value, when, with }).unwrap();
        match random.below(150) {
            0 => change(&mut database, random, user, number),
            1 => {
                remove_newest(&mut database, random, user, number);
                // Another process goes on.
                database.commit().unwrap();
                database = file.open();
                database.begin().unwrap();
            }
            _ => {}
        }
    }
    // A new partition shows that the others are full.
    let value = Value { kind: kind::ELEMENT, bytes: &entry(random, count, "") };
    database
        .append(&archive("@default.2026-11-25"), &NewItem { key: "new", is_new: true, value, when: NOON + 86_400.0, with: "" })
        .unwrap();
    for user in PARTITIONS {
        match random.below(3) {
            0 => (0..20).for_each(|_| change(&mut database, random, user, count)),
            1 => (0..4).for_each(|_| remove_newest(&mut database, random, user, count)),
            _ => {}
        }
    }
    database.commit().unwrap();
    database
}

fn patterns(random: &mut Random, list: &[&str]) -> Vec<Pattern> {
    let one = |random: &mut Random| {
        let word = random.of(list);
        let at = random.below(word.len() + 1);
        match random.below(6) {
            0 => Pattern::new(&format!("{}*", word.get(..at).unwrap_or_default())),
            1 => Pattern::new(&format!("*{}", word.get(at..).unwrap_or_default())),
            _ => Pattern::new(word),
        }
    };
    if random.below(4) > 0 { Vec::new() } else { (0..=random.below(2)).map(|_| one(random)).collect() }
}

fn filter(random: &mut Random, count: usize) -> Filter {
    // Half of the filters ask for nothing but something that is in few entries.
    let host = || HOST.to_owned();
    let number = random.below(count + 9);
    match random.below(4) {
        0 => return Filter { users: vec![Pattern::new(&own_user(number))], host: host(), ..Filter::default() },
        1 => return Filter { networks: vec![network(&own_address(number)).unwrap()], host: host(), ..Filter::default() },
        _ => {}
    }
    let users: Vec<&str> = USERS.iter().filter(|user| !user.is_empty()).copied().collect();
    let networks = ["203.0.113.7", "203.0.113.0/24", "203.0.113.64/26", "203.0.0.0/12", "0.0.0.0/0", "2001:db8:1:2::/64", "2001:db8::/32"];
    Filter {
        types: patterns(random, &TYPES),
        excluded_types: if random.below(8) == 0 { patterns(random, &TYPES) } else { Vec::new() },
        hides_housekeeping: random.below(2) == 0,
        users: patterns(random, &users),
        host: host(),
        networks: if random.below(4) > 0 { Vec::new() } else { vec![network(random.of(&networks)).unwrap()] },
        addresses: if random.below(8) > 0 { Vec::new() } else { vec!["h:01".to_owned()] },
        names: if random.below(8) > 0 { Vec::new() } else { vec!["h:02".to_owned()] },
        sources: patterns(random, &["mod_a", "mod_b"]),
        clients: patterns(random, &CLIENTS[1..]),
        countries: patterns(random, &COUNTRIES[1..]),
        actors: patterns(random, &["admin-shell", "adhoc", "nurse@h.example", "unknown"]),
        classes: if random.below(8) > 0 { Vec::new() } else { vec![Pattern::new("failures")] },
        text: (random.below(5) == 0).then(|| random.of(&["straße", "plain", "phone", "h.example", "repeated", "zz"]).to_owned()),
        global: [None, None, None, Some(true), Some(false)][random.below(5)],
        ..Filter::default()
    }
}

/// What a query shows: the events, those that it hides, and how many are damaged.
type Shown = (Vec<(Option<String>, f64, String)>, usize, usize);

fn shown(request: &Request, users: Vec<String>, mut read: impl FnMut(&Page) -> Vec<Row>) -> Shown {
    let retention = Retention::new(Rules { expires_after: Period::Never, ..Rules::default() }, Vec::new());
    let conditions = Conditions { retention, now: NOON, slice: Some(0.01), seeks: Seeks::Rows };
    let mut query = Query::new(request.clone(), conditions, users, None);
    let (mut events, mut hidden) = (Vec::new(), 0);
    while let Some(page) = query.next_page() {
        query.feed(&page, read(&page), 0, 0.001);
        while !query.is_taken() {
            events.extend(query.take().into_iter().map(|event| (event.id.clone(), event.stored, event.xml().into_owned())));
        }
        hidden += query.take_hidden().len();
    }
    (events, hidden, query.damaged().count)
}

fn place_of(page: &Page) -> (String, storage::Query, bool) {
    let ReadFrom::Store(user) = &page.from else { unreachable!() };
    let mut query = storage::Query { with: page.with.clone(), ..storage::Query::default() };
    *(if page.oldest_first { &mut query.after } else { &mut query.before }) = page.behind.clone();
    (user.clone().unwrap_or_default(), query, !page.oldest_first)
}

/// As another driver: all rows, as XML.
fn generic(database: &mut Database, request: &Request) -> Shown {
    let users = database.users(HOST, STORE).unwrap();
    shown(request, users, |page| {
        let (user, query, reverse) = place_of(page);
        let mut cursor = database.find(&archive(&user), &query, Some(page.limit as u64), reverse).unwrap();
        let mut rows = Vec::new();
        while let Some(item) = database.next(&mut cursor).unwrap() {
            // What is damaged is no XML.
            let xml = element::to_xml(&item.value).unwrap_or_else(|| String::from_utf8(item.value.clone()).unwrap());
            let xml = if item.kind == kind::ELEMENT { xml } else { String::new() };
            rows.push(Row { key: item.key, when: item.when, with: Some(item.with), xml, ..Row::default() });
        }
        rows
    })
}

/// As the embedded Lua does with our own driver.
fn filtered(database: &mut Database, request: &Request) -> Shown {
    let wanted = wanted(&request.filter).unwrap_or_default();
    let (mut users, mut behind) = (Vec::new(), None);
    loop {
        let (found, next) = database.users_with(HOST, STORE, &wanted, behind.as_deref()).unwrap();
        users.extend(found);
        behind = next;
        if behind.is_none() {
            break;
        }
    }
    shown(request, users, |page| {
        let (user, query, reverse) = place_of(page);
        let mut search = database.search(&archive(&user), &query, wanted.clone(), page.limit, reverse).unwrap();
        while !database.search_on(&mut search).unwrap() {}
        let row = |item: storage::Item| {
            let element = if item.kind == kind::ELEMENT { item.value } else { Vec::new() };
            Row { key: item.key, when: item.when, with: Some(item.with), xml: String::new(), element }
        };
        search.into_found().into_iter().map(row).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_driver_leaves_out_nothing_that_is_wanted(seed in any::<u64>(), count in 1..600_usize) {
        let file = File::new();
        let mut random = Random(seed);
        let mut database = fill(&file, &mut random, count);
        for _ in 0..40 {
            let request = Request {
                filter: filter(&mut random, count),
                oldest_first: random.below(2) == 0,
                limit: [None, Some(1), Some(7)][random.below(3)],
                ..Request::default()
            };
            let (all, some) = (generic(&mut database, &request), filtered(&mut database, &request));
            // Only the first difference is of interest.
            let differs = all.0.iter().zip(&some.0).find(|(a, b)| a != b);
            prop_assert_eq!(differs, None, "{:?}", request);
            prop_assert_eq!((all.0.len(), all.1), (some.0.len(), some.1), "{:?}", request);
            // With a limit it depends on the order of what is damaged, which is not said.
            prop_assert!(all.2 == some.2 || request.limit.is_some(), "{} {} {:?}", all.2, some.2, request);
        }
    }
}
