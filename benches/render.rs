//! Renders entries as a store would return them. They are made up, but realistic.
//!
//! ```text
//! render bench [COUNT]       how many entries a second each format takes, and the memory of it
//! render FORMAT [COUNT]      the entries in a format, or as `stats` or `page`, on standard output
//! ```

use std::fmt::Write as _;
use std::io::{self, Write};

use audit_core::entry::{Row, StoredEvent};
use audit_core::render::formats::FORMATS;
use audit_core::render::{Options, Renderer, renderer, report, statistics};

/// Noon of the last day.
const NOON: f64 = 1_795_521_600.0;

/// How many entries a page has.
const PAGE: usize = 3200;

/// Pseudo-random numbers, the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or_default()
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        let index = self.below(words.len() as u64);
        usize::try_from(index).ok().and_then(|index| words.get(index)).copied().unwrap_or_default()
    }
}

/// Rows over 28 days, the newest first.
struct Rows {
    random: Random,
    time: f64,
    step: f64,
    /// How many rows there were.
    made: u64,
    /// Whether the one before, which is later, was in the attack.
    attack: bool,
}

impl Rows {
    fn new(count: usize) -> Self {
        #[allow(clippy::cast_precision_loss)] // It is a length of time.
        let step = 28.0 * 86_400.0 / count as f64;
        Self { random: Random(7), time: NOON, step, made: 0, attack: false }
    }

    fn next(&mut self) -> Row {
        let random = &mut self.random;
        #[allow(clippy::cast_precision_loss)]
        let noise = random.below(2000) as f64 / 1000.0;
        // Nights are quieter than days, and one day saw an attack.
        let hour = (self.time / 3600.0).rem_euclid(24.0);
        let attack = (NOON - 5.4 * 86_400.0..NOON - 5.1 * 86_400.0).contains(&self.time);
        let was_attack = std::mem::replace(&mut self.attack, attack);
        self.time -= self.step
            * noise
            * if attack {
                0.15
            } else if (6.0..22.0).contains(&hour) {
                0.85
            } else {
                1.9
            };
        let account = random.below(2000) + 1;
        let number = account * account / 4000;
        let user = format!("user{number}@example.com");
        let kind = random.below(1000);
        let place = [
            ("DE", "EU", 80, "Germany"),
            ("FR", "EU", 81, "France"),
            ("IT", "EU", 82, "Italy"),
            ("US", "NA", 52, "United States"),
            ("BR", "SA", 177, "Brazil"),
        ];
        let home = usize::try_from(number % 5).unwrap_or_default();
        let (country, continent, net, name) = place.get(if kind == 999 { 4 } else { home }).copied().unwrap_or(("DE", "EU", 80, "Germany"));
        let ip = if attack && kind < 900 {
            format!("198.51.100.{}", random.below(40))
        } else {
            format!("{net}.{}.{}.{}", number % 200, number % 7, random.below(250))
        };
        let ns = "xmlns='xmpp:prosody.im/audit'";
        let session = format!(
            "<session {ns} id='c2s{:012x}' type='c2s'><remote-ip>{ip}</remote-ip><location country='{country}' continent='{continent}'>{name}\
             </location><client>{:08x}</client></session>",
            random.next() >> 16,
            number * 7 + kind % 3
        );
        let tls = format!("<tls {ns} version='TLSv1.3' cipher='TLS_AES_256_GCM_SHA384'/>");
        let admin = format!("<actor {ns} kind='adhoc' jid='admin@example.com/desk'><remote-ip>192.0.2.7</remote-ip></actor>");
        self.made += 1;
        let (source, kind, with, inside) = if attack && !was_attack {
            // One of the passwords was right.
            let session = session.replace(&format!("<remote-ip>{ip}<"), "<remote-ip>198.51.100.7<");
            ("mod_audit_auth", "authentication-success", Some(user), format!("{session}<authentication {ns} mechanism='PLAIN'/>{tls}"))
        } else if self.made % 9000 == 500 {
            ("mod_audit_status", "server-started", None, String::new())
        } else if self.made == 4000 {
            ("mod_audit_status", "server-crashed", None, String::new())
        } else if attack && kind < 900 {
            let repeated = if kind < 60 {
                format!("<repeated {ns} count='{}' accounts='1' networks='1'/>", random.below(20) + 2)
            } else {
                String::new()
            };
            (
                "mod_audit_auth",
                "authentication-failure",
                Some(user),
                format!(
                    "{session}<authentication {ns} mechanism='PLAIN' condition='not-authorized'>Unable to authorize you with the authentication credentials you've sent.</authentication>{repeated}"
                ),
            )
        } else {
            match kind {
                0..780 => (
                    "mod_audit_auth",
                    "authentication-success",
                    Some(user),
                    format!("{session}<authentication {ns} mechanism='SCRAM-SHA-1-PLUS'/>{tls}"),
                ),
                780..900 => (
                    "mod_audit_auth",
                    "authentication-failure",
                    Some(user),
                    format!(
                        "{session}<authentication {ns} mechanism='SCRAM-SHA-1' condition='not-authorized'>Unable to authorize you with the authentication credentials you've sent.</authentication>{tls}"
                    ),
                ),
                900..940 => (
                    "mod_audit_auth",
                    "new-client",
                    Some(user),
                    format!(
                        "{session}<client-info {ns}><user-agent device='{}' software='{}'/></client-info>",
                        random.one_of(&["Laptop", "Phone", "Tablet"]),
                        random.one_of(&["Gajim", "Conversations", "Dino", "Monal"])
                    ),
                ),
                940..960 => (
                    "mod_audit_user_accounts",
                    "user-password-changed",
                    Some(user),
                    format!("{session}<actor {ns} kind='user' jid='user{number}@example.com/x'/>"),
                ),
                960..968 => {
                    ("mod_audit_register", "user-registered", Some(user), format!("{session}<invite-used {ns} token='abc{number}'/>"))
                }
                968..974 => (
                    "mod_audit_admin",
                    "shell-command",
                    None,
                    format!("<actor {ns} kind='admin-shell'/><command {ns}>user:roles(\"user{number}@example.com\")</command>"),
                ),
                974..978 => ("mod_audit_user_accounts", "user-disabled", Some(user), format!("<disabled {ns} reason='spam'/>{admin}")),
                978..984 => (
                    "mod_audit_user_accounts",
                    "user-role-changed",
                    Some(user),
                    format!("<role {ns} name='{}'/>{admin}", random.one_of(&["prosody:member", "prosody:guest", "prosody:registered"])),
                ),
                984..986 => ("mod_audit_admin", "config-reloaded", None, format!("<actor {ns} kind='server'/>")),
                986..990 => ("mod_audit", "audit-pruned", None, format!("<pruned {ns} class='failures' count='20000'/>")),
                990..996 => {
                    ("mod_audit_tokens", "token-grant-created", Some(user), format!("{session}<grant {ns} id='{:x}'/>", random.next()))
                }
                _ => (
                    "mod_audit_auth",
                    "authentication-success",
                    Some(user),
                    format!("{session}<authentication {ns} mechanism='PLAIN'/>{tls}"),
                ),
            }
        };
        let with = with.unwrap_or_else(|| "@".to_owned());
        let user = if with == "@" { String::new() } else { format!(" user='{with}'") };
        let id = format!("01a20e7e-d2b8-75d1-8370-{:012x}", random.next() >> 16);
        let xml = format!(
            "<audit-event source='{source}' type='{kind}'{user} xmlns:a='xmpp:prosody.im/audit' a:id='{id}'>{inside}</audit-event>"
        );
        Row { key: id, when: self.time.floor(), with: Some(with), xml, ..Row::default() }
    }
}

fn options() -> Options {
    Options { width: Some(120), ..Options::new("example.com") }
}

fn named(name: &str) -> Option<Box<dyn Renderer>> {
    match name {
        "stats" => Some(statistics(&options())),
        "page" => Some(report(&options(), NOON)),
        name => Some(renderer(name.parse().ok()?, &options())),
    }
}

/// The largest amount of memory that the process has used, in MiB (Linux).
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// The CPU time of the process, in seconds (Linux).
fn cpu() -> f64 {
    let spent = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    spent.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn bench(count: usize) -> String {
    let mut report = format!("{count} entries, in pages of {PAGE}: reading them as events and writing them, CPU time\n\n");
    for name in FORMATS.iter().map(|format| format.name).chain(["stats", "page"]) {
        let Some(mut renderer) = named(name) else { continue };
        let mut rows = Rows::new(count);
        let (mut spent, mut bytes, mut left) = (0.0, renderer.begin().len(), count);
        while left > 0 {
            let page: Vec<Row> = (0..left.min(PAGE)).map(|_| rows.next()).collect();
            left -= page.len();
            let begin = cpu();
            let events: Vec<StoredEvent> = page.iter().filter_map(|row| StoredEvent::read(row).ok()).collect();
            bytes += renderer.entries(&events).len();
            spent += cpu() - begin;
        }
        let begin = cpu();
        bytes += renderer.end().len();
        spent += cpu() - begin;
        #[allow(clippy::cast_precision_loss)]
        let (rate, size) = (count as f64 / spent, bytes as f64 / 1_048_576.0);
        let _ = writeln!(report, "{name:<8} {rate:>9.0} entries/s  {size:>8.1} MiB written  {:>6.1} MiB memory at most", peak());
    }
    report
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (what, count) = (arguments.next().unwrap_or_default(), arguments.next().and_then(|count| count.parse().ok()));
    let mut out = io::stdout().lock();
    if what == "bench" {
        return out.write_all(bench(count.unwrap_or(1_000_000)).as_bytes());
    }
    let Some(mut renderer) = named(&what) else {
        return Err(io::Error::other("render bench [COUNT], or render FORMAT|stats|page [COUNT]"));
    };
    out.write_all(renderer.begin().as_bytes())?;
    let (mut rows, mut left) = (Rows::new(count.unwrap_or(100_000)), count.unwrap_or(100_000));
    while left > 0 {
        let events: Vec<StoredEvent> = (0..left.min(PAGE)).filter_map(|_| StoredEvent::read(&rows.next()).ok()).collect();
        left -= left.min(PAGE);
        out.write_all(renderer.entries(&events).as_bytes())?;
    }
    out.write_all(renderer.end().as_bytes())
}
