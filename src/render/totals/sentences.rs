//! The findings as sentences.

use chrono::{DateTime, NaiveDateTime};

use super::bouts::Bout;
use super::clock;
use super::findings::{Findings, Grant, Occasions, Suspect};
use super::tally::{counted, grouped};
use crate::time::zone::Zone;

/// How many sentences there are at most about one kind of finding.
const OF_A_KIND: usize = 3;

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Words of ours.
    Words(String),
    /// A name from the log, which may contain anything.
    Name(String),
    /// A number with what it counts.
    Number(String),
}

/// A sentence about something that stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its parts.
    pub parts: Vec<Part>,
    /// What it is about.
    pub subject: Subject,
}

/// What a finding is about, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A login after many failures.
    Success,
    /// The log is not whole.
    Loss,
    /// An account has more rights.
    Rights,
    /// Failures of a network, or of an account from several networks.
    Failures,
    /// A login after failures of an account that had logged in from there before.
    KnownSuccess,
    /// The server crashed.
    Crash,
    /// The log was changed, or its clock is not right.
    Log,
    /// Logins from other countries.
    Country,
    /// Reports of abuse.
    Reports,
    /// Nothing stands out.
    Nothing,
}

impl Sentence {
    fn about(subject: Subject) -> Self {
        Self { parts: Vec::new(), subject }
    }

    fn words(mut self, words: &str) -> Self {
        match self.parts.last_mut() {
            Some(Part::Words(before)) => before.push_str(words),
            _ => self.parts.push(Part::Words(words.to_owned())),
        }
        self
    }

    fn name(mut self, name: &str) -> Self {
        self.parts.push(Part::Name(name.to_owned()));
        self
    }

    fn number(mut self, number: u64, one: &str, many: &str) -> Self {
        self.parts.push(Part::Number(counted(number, one, many)));
        self
    }

    /// The sentence as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Words(text) | Part::Name(text) | Part::Number(text) => text.as_str(),
            })
            .collect()
    }
}

/// Writes days and times as words. The year is left out if it is that of the newest entry.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    zone: Zone,
    newest: f64,
}

impl Dates {
    /// Dates in a zone, for entries up to `newest`, in UNIX seconds.
    #[must_use]
    pub const fn new(zone: Zone, newest: f64) -> Self {
        Self { zone, newest }
    }

    fn local(self, time: f64) -> Option<NaiveDateTime> {
        DateTime::from_timestamp(clock(time, self.zone), 0).map(|time| time.naive_utc())
    }

    fn shown(self, time: f64, format: &str) -> String {
        self.local(time).map_or_else(String::new, |time| time.format(format).to_string())
    }

    /// The day of a time: "19 Nov", or "31 Dec 2025".
    #[must_use]
    pub fn day(self, time: f64) -> String {
        let is_same = self.shown(time, "%Y") == self.shown(self.newest, "%Y");
        self.shown(time, if is_same { "%-d %b" } else { "%-d %b %Y" })
    }

    /// A time: "19 Nov at 07:41".
    #[must_use]
    pub fn moment(self, time: f64) -> String {
        format!("{} at {}", self.day(time), self.shown(time, "%H:%M"))
    }

    /// "on 19 Nov", or "from 19 Nov to 21 Nov".
    #[must_use]
    pub fn span(self, begin: f64, end: f64) -> String {
        let (first, last) = (self.day(begin), self.day(end));
        if first == last { format!("on {first}") } else { format!("from {first} to {last}") }
    }
}

impl Findings {
    /// The sentences, the most important first. There is always at least one.
    #[must_use]
    pub fn sentences(&self, dates: Dates) -> Vec<Sentence> {
        let mut sentences = Vec::new();
        let suspects = self.suspects();
        let (known, unknown): (Vec<&Suspect>, Vec<&Suspect>) = suspects.iter().partition(|suspect| suspect.known == Some(true));
        sentences.extend(unknown.iter().take(OF_A_KIND).map(|suspect| of_suspect(suspect, dates)));
        if let Some(rest) = more(unknown.len()) {
            sentences.push(Sentence::about(Subject::Success).number(rest, "more login", "more logins").words(" came after many failures."));
        }
        if !known.is_empty() {
            let sentence = Sentence::about(Subject::KnownSuccess).number(known.len() as u64, "account", "accounts");
            sentences.push(sentence.words(" logged in after many failures of their own, from a network that they had used before."));
        }
        self.of_the_log(&mut sentences, dates);
        self.of_rights(&mut sentences, dates);
        self.of_failures(&mut sentences, dates, &suspects);
        let arrivals = self.countries.arrivals();
        if let Some(newest) = arrivals.first() {
            let mut accounts: Vec<&str> = arrivals.iter().map(|arrival| arrival.account).collect();
            accounts.sort_unstable();
            accounts.dedup();
            let sentence = Sentence::about(Subject::Country).number(accounts.len() as u64, "account", "accounts");
            let words = if accounts.len() == 1 {
                " logged in from another country than before: "
            } else {
                " logged in from another country than before, the last one "
            };
            let [from, to] = [newest.from, newest.to].map(|code| self.country_names.of(code));
            let sentence = sentence.words(words).name(newest.account).words(" from ").name(from).words(" to ").name(to);
            sentences.push(sentence.words(&format!(" on {}.", dates.moment(newest.time))));
        }
        if let Some((account, most)) = self.reports.ranking(1).top.first() {
            let sentence = Sentence::about(Subject::Reports).number(self.reports.total(), "report", "reports").words(" of spam or abuse, ");
            sentences.push(sentence.words(&format!("{} of them about ", grouped(*most))).name(account).words("."));
        }
        if sentences.is_empty() {
            let words = "Nothing stands out: no run of failed logins, no login from another country, no crash, and no event was lost.";
            sentences.push(Sentence::about(Subject::Nothing).words(words));
        }
        sentences.sort_by_key(|sentence| sentence.subject);
        sentences
    }

    fn of_the_log(&self, sentences: &mut Vec<Sentence>, dates: Dates) {
        let last = |occasions: Occasions| {
            format!("{}{}.", if occasions.count == 1 { "on " } else { "the last time on " }, dates.moment(occasions.last))
        };
        if self.lost.count > 0 {
            let sentence = Sentence::about(Subject::Loss).number(self.lost.count, "event was lost", "events were lost");
            sentences.push(sentence.words(&format!(", {}", last(Occasions { count: 2, ..self.lost }))));
        }
        for (occasions, subject, what) in [
            (self.recovered, Subject::Loss, "The file of the log’s store was damaged, deleted or replaced"),
            (self.crashes, Subject::Crash, "The server crashed"),
            (self.keys, Subject::Log, "The key that addresses are hashed with was replaced"),
            (self.options, Subject::Log, "Options of the log were changed"),
            (self.clock, Subject::Log, "The clock jumped"),
        ] {
            if occasions.count > 0 {
                let sentence = Sentence::about(subject).words(what).words(" ");
                let sentence = if occasions.count == 1 { sentence } else { sentence.number(occasions.count, "time", "times").words(", ") };
                sentences.push(sentence.words(&last(occasions)));
            }
        }
    }

    fn of_rights(&self, sentences: &mut Vec<Sentence>, dates: Dates) {
        if self.roles.count <= OF_A_KIND as u64 {
            sentences.extend(self.grants.iter().map(|grant| of_grant(grant, dates, Sentence::about(Subject::Rights))));
        } else if let Some(newest) = self.grants.first() {
            let sentence = Sentence::about(Subject::Rights)
                .number(self.roles.count, "time", "times")
                .words(" somebody was given an administrator’s role. The last time, ");
            sentences.push(of_grant(newest, dates, sentence));
        }
    }

    fn of_failures(&self, sentences: &mut Vec<Sentence>, dates: Dates, suspects: &[Suspect]) {
        let attacks = self.attacks();
        sentences.extend(attacks.iter().take(OF_A_KIND).map(|bout| {
            let sentence = Sentence::about(Subject::Failures).name(&bout.key);
            let sentence = match (bout.others, bout.at_least) {
                (0, _) => sentence.words(" failed to log in "),
                (others, true) => sentence.words(" tried at least ").number(others, "account", "accounts").words(" "),
                (others, false) => sentence.words(" tried ").number(others, "account", "accounts").words(" "),
            };
            let sentence = sentence.words(&dates.span(bout.begin, bout.end)).words(": ").number(bout.failures, "failure", "failures");
            sentence.words(&outcome(bout, suspects, false))
        }));
        if let Some(rest) = more(attacks.len()) {
            let failures = attacks.iter().skip(OF_A_KIND).map(|bout| bout.failures).fold(0, u64::saturating_add);
            let sentence =
                Sentence::about(Subject::Failures).number(rest, "more run", "more runs").words(" of failed logins from one network: ");
            sentences.push(sentence.number(failures, "failure", "failures").words("."));
        }
        sentences.extend(self.attacks_on_accounts().iter().take(OF_A_KIND).map(|bout| {
            let sentence = Sentence::about(Subject::Failures).name(&bout.key).words(if bout.at_least {
                " was tried from at least "
            } else {
                " was tried from "
            });
            let sentence =
                sentence.number(bout.others, "network", "networks").words(" ").words(&dates.span(bout.begin, bout.end)).words(": ");
            sentence.number(bout.failures, "failure", "failures").words(&outcome(bout, suspects, true))
        }));
    }
}

/// How many there are besides the first ones. `None` if there are no others.
fn more(number: usize) -> Option<u64> {
    Some(number.saturating_sub(OF_A_KIND) as u64).filter(|rest| *rest > 0)
}

fn of_suspect(suspect: &Suspect, dates: Dates) -> Sentence {
    let sentence = Sentence::about(Subject::Success).name(&suspect.account).words(" logged in from ").name(&suspect.network);
    let sentence = sentence.words(&format!(" on {}, after ", dates.moment(suspect.time))).number(suspect.before, "failure", "failures");
    let sentence = if suspect.by_account {
        sentence.words(" for this account from ").number(suspect.others, "network", "networks").words(".")
    } else {
        sentence.words(" from there for ").number(suspect.others, "account", "accounts").words(".")
    };
    if suspect.known == Some(false) { sentence.words(" It had not logged in from there before.") } else { sentence }
}

fn of_grant(grant: &Grant, dates: Dates, sentence: Sentence) -> Sentence {
    let sentence = sentence.name(&grant.account).words(" was given the role ").name(&grant.role);
    let sentence = match &grant.by {
        Some(by) => sentence.words(" by ").name(by),
        None => sentence,
    };
    sentence.words(&format!(" on {}.", dates.moment(grant.time)))
}

/// Whether a run of failures led to a login.
fn outcome(bout: &Bout, suspects: &[Suspect], by_account: bool) -> String {
    let of_bout = |suspect: &&Suspect| {
        let key = if by_account { &suspect.account } else { &suspect.network };
        *key == bout.key && bout.logins.iter().any(|login| login.time.total_cmp(&suspect.time).is_eq())
    };
    match (suspects.iter().filter(of_bout).count(), bout.logins.len()) {
        (0, 0) => ", no success.".to_owned(),
        (0, _) if by_account => ", no success from these networks.".to_owned(),
        (0, _) if !bout.at_least => ", no success of the accounts that failed.".to_owned(),
        (0, logins) => format!(", and {} at that time.", counted(logins as u64, "login", "logins")),
        (1, _) => ", then a login.".to_owned(),
        (number, _) => format!(", then {number} logins."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::StoredEvent;
    use crate::entry::xml::Element;
    use crate::entry::{Actor, Repeated};
    use crate::render::sample;

    /// Midnight of 19 November 2026.
    const DAY: f64 = sample::NOON - 5.5 * 86_400.0;

    fn event(hour: f64, kind: &str, user: &str, ip: &str) -> StoredEvent {
        let time = DAY + hour * 3600.0;
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        StoredEvent { time, stored: time, kind: kind.to_owned(), user: some(user), ip: some(ip), ..StoredEvent::default() }
    }

    fn failures(from: f64, number: u32, accounts: u32, network: &str) -> Vec<StoredEvent> {
        let failure = |n: u32| {
            let user = if accounts == 0 { String::new() } else { format!("user{}@example.com", n % accounts) };
            event(from + f64::from(n) / 600.0, "authentication-failure", &user, &format!("{network}.{}", n % 40))
        };
        (0..number).map(failure).collect()
    }

    fn login(hour: f64, user: &str, ip: &str) -> StoredEvent {
        event(hour, "authentication-success", user, ip)
    }

    /// The sentences, which must not depend on the order of entries.
    fn check(events: Vec<StoredEvent>, expected: &[&str]) {
        let mut events = events;
        for reverse in [false, true] {
            events.sort_by(|a, b| if reverse { b.time.total_cmp(&a.time) } else { a.time.total_cmp(&b.time) });
            let mut findings = Findings::default();
            events.iter().for_each(|event| findings.add(event));
            let text: Vec<String> = findings.sentences(Dates::new(Zone::Utc, sample::NOON)).iter().map(Sentence::text).collect();
            assert_eq!(text, expected, "newest first: {reverse}");
        }
    }

    #[test]
    fn a_network_that_tries_accounts_is_a_sentence_with_numbers() {
        check(failures(1.0, 2492, 177, "198.51.100"), &["198.51.100.0/24 tried 177 accounts on 19 Nov: 2,492 failures, no success."]);
        check(failures(1.0, 12, 0, "198.51.100"), &["198.51.100.0/24 failed to log in on 19 Nov: 12 failures, no success."]);
        check(failures(23.9, 100, 1, "198.51.100"), &["198.51.100.0/24 tried 1 account from 19 Nov to 20 Nov: 100 failures, no success."]);
    }

    #[test]
    fn few_failures_do_not_stand_out() {
        let nothing = "Nothing stands out: no run of failed logins, no login from another country, no crash, and no event was lost.";
        check(failures(1.0, 9, 3, "198.51.100"), &[nothing]);
        // Nine in the morning and nine in the evening are no run.
        check([failures(1.0, 9, 3, "198.51.100"), failures(20.0, 9, 3, "198.51.100")].concat(), &[nothing]);
        check(vec![login(1.0, "romeo@example.com", "203.0.113.7")], &[nothing]);
    }

    #[test]
    fn a_login_after_many_failures_comes_first() {
        let attack = || failures(1.0, 600, 50, "198.51.100");
        check(
            [attack(), vec![event(30.0, "server-crashed", "", ""), login(2.5, "user7@example.com", "198.51.100.9")]].concat(),
            &[
                "user7@example.com logged in from 198.51.100.0/24 on 19 Nov at 02:30, after 600 failures from there for 50 accounts. It had not logged in from there before.",
                "198.51.100.0/24 tried 50 accounts on 19 Nov: 600 failures, then a login.",
                "The server crashed on 20 Nov at 06:00.",
            ],
        );
        // In the middle of the attack.
        check(
            [attack(), vec![login(1.5004, "another@example.com", "198.51.100.9")]].concat(),
            &[
                "another@example.com logged in from 198.51.100.0/24 on 19 Nov at 01:30, after 301 failures from there for 50 accounts. It had not logged in from there before.",
                "198.51.100.0/24 tried 50 accounts on 19 Nov: 600 failures, then a login.",
            ],
        );
    }

    #[test]
    fn others_who_share_a_network_are_not_suspected() {
        let one = || failures(9.0, 15, 1, "203.0.113");
        // They failed themselves, and were there before.
        check(
            [one(), vec![login(8.0, "user0@example.com", "203.0.113.1"), login(9.2, "user0@example.com", "203.0.113.1")]].concat(),
            &[
                "203.0.113.0/24 tried 1 account on 19 Nov: 15 failures, then a login.",
                "1 account logged in after many failures of their own, from a network that they had used before.",
            ],
        );
        check(
            [one(), vec![login(9.2, "other@example.com", "203.0.113.1"), login(9.3, "third@example.com", "203.0.113.1")]].concat(),
            &["203.0.113.0/24 tried 1 account on 19 Nov: 15 failures, no success of the accounts that failed."],
        );
    }

    #[test]
    fn an_account_that_many_networks_try_is_a_sentence_too() {
        let from = |n: u32| event(3.0 + f64::from(n) / 100.0, "authentication-failure", "juliet@example.com", &format!("198.51.{n}.7"));
        let attack: Vec<StoredEvent> = (0..40).map(from).collect();
        check(attack.clone(), &["juliet@example.com was tried from 40 networks on 19 Nov: 40 failures, no success."]);
        check(
            [attack.clone(), vec![login(3.6, "juliet@example.com", "203.0.113.7")]].concat(),
            &["juliet@example.com was tried from 40 networks on 19 Nov: 40 failures, no success from these networks."],
        );
        check(
            [attack, vec![login(3.6, "juliet@example.com", "198.51.3.9")]].concat(),
            &[
                "juliet@example.com logged in from 198.51.3.0/24 on 19 Nov at 03:36, after 40 failures for this account from 40 networks. It had not logged in from there before.",
                "juliet@example.com was tried from 40 networks on 19 Nov: 40 failures, then a login.",
            ],
        );
    }

    #[test]
    fn a_summary_counts_as_its_count_and_names_the_least_number_of_accounts() {
        let often = Element::parse("<often user='juliet@example.com' count='500'/>").unwrap();
        let repeated = Repeated { count: 994, accounts: Some(177), networks: Some(1), samples: vec![often], ..Repeated::default() };
        let summary = StoredEvent { repeated: Some(repeated), ..event(1.0, "authentication-failure", "", "198.51.100.0/24") };
        check(vec![summary.clone()], &["198.51.100.0/24 tried at least 177 accounts on 19 Nov: 994 failures, no success."]);
        check(
            vec![summary, login(1.5, "juliet@example.com", "198.51.100.9")],
            &[
                "juliet@example.com logged in from 198.51.100.0/24 on 19 Nov at 01:30, after 994 failures from there for 177 accounts. It had not logged in from there before.",
                "198.51.100.0/24 tried at least 177 accounts on 19 Nov: 994 failures, then a login.",
            ],
        );
    }

    #[test]
    fn everything_else_that_stands_out_has_its_sentence() {
        let detail = |xml: &str| vec![Element::parse(xml).unwrap()];
        let admin = Some(Actor { kind: "adhoc".to_owned(), jid: Some("admin@example.com".to_owned()), ..Actor::default() });
        let from = |hour: f64, code: &str, name: &str| StoredEvent {
            country: Some(code.to_owned()),
            country_name: Some(name.to_owned()),
            ..login(hour, "juliet@example.com", "203.0.113.7")
        };
        check(
            vec![
                StoredEvent { details: detail("<lost count='1234'/>"), ..event(1.0, "audit-entries-lost", "", "") },
                StoredEvent {
                    details: detail("<role name='prosody:admin'/>"),
                    actor: admin,
                    ..event(2.0, "user-role-changed", "romeo@example.com", "")
                },
                StoredEvent {
                    details: detail("<role name='prosody:member'/>"),
                    ..event(2.1, "user-role-changed", "romeo@example.com", "")
                },
                event(3.0, "server-crashed", "", ""),
                event(4.0, "server-crashed", "", ""),
                event(5.0, "audit-options-changed", "", ""),
                event(5.5, "abuse-reported", "mallory@example.com", ""),
                from(6.0, "DE", "DE"),
                from(6.5, "DE", "Deutschland"),
                from(7.0, "BR", "BR"),
            ],
            &[
                "1,234 events were lost, the last time on 19 Nov at 01:00.",
                "romeo@example.com was given the role prosody:admin by admin@example.com on 19 Nov at 02:00.",
                "The server crashed 2 times, the last time on 19 Nov at 04:00.",
                "Options of the log were changed on 19 Nov at 05:00.",
                "1 account logged in from another country than before: juliet@example.com from Deutschland to Brazil on 19 Nov at 07:00.",
                "1 report of spam or abuse, 1 of them about mallory@example.com.",
            ],
        );
    }

    #[test]
    fn a_year_is_named_if_it_is_another_one() {
        let dates = Dates::new("+01:00".parse().unwrap(), sample::NOON);
        assert_eq!((dates.day(sample::NOON), dates.day(0.0)), ("24 Nov".to_owned(), "1 Jan 1970".to_owned()));
        assert_eq!(dates.moment(sample::NOON), "24 Nov at 13:00");
    }
}
