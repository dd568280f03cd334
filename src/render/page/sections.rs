//! The sections of the report.

use maud::{Markup, html};

use super::collect::{Action, BEHIND};
use super::markup::{Ranked, Times, bad, lines, percent, place, row};
use super::outside::Outside;
use super::{ACTIONS, ARRIVALS, NAMES, Report, SUSPECTS};
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::findings::Suspect;
use crate::render::totals::sentences::{Dates, Part, Sentence, Subject};
use crate::render::totals::stats::period;
use crate::render::totals::tally::{Counts, counted, grouped};

/// The largest number of bars in the chart of events over time.
const BARS: usize = 62;

fn failed(kind: &str) -> bool {
    meaning(kind).outcome == Outcome::Failure
}

impl Report {
    pub(super) fn header(&self, times: &Times) -> Markup {
        let totals = &self.totals;
        let many = |counts: &Counts| counts.distinct().map_or_else(|| "many".to_owned(), |distinct| grouped(distinct as u64));
        let trouble = self.lost.entries.saturating_add(self.crashes.entries);
        let tiles = [
            ("times", None, grouped(totals.events), if totals.events == 1 { "event" } else { "events" }.to_owned()),
            (
                "failures",
                bad(totals.failures > 0),
                grouped(totals.failures),
                format!("{}, {}", if totals.failures == 1 { "failure" } else { "failures" }, percent(totals.failures, totals.events)),
            ),
            ("totals", None, many(&totals.users), "accounts".to_owned()),
            ("totals", None, many(&totals.networks), "networks".to_owned()),
            ("privileged", None, grouped(self.privileged.counts.total()), "privileged actions".to_owned()),
            (
                "health",
                Some(if trouble > 0 { "bad" } else { "good" }),
                if trouble > 0 { "Check" } else { "Good" }.to_owned(),
                "the log’s own health".to_owned(),
            ),
        ];
        html! {
            header {
                h1 { "Audit log of " (Outside::new(&self.host)) }
                @if let Some((first, last)) = totals.range {
                    p.lead { (times.element(first)) " to " (times.element(last)) ", " (times.offset()) }
                    nav aria-label="Sections" {
                        ul.tiles {
                            @for (section, class, number, what) in tiles {
                                li class=[class] { a href=(format!("#{section}")) { b { (number) } " " span { (what) } } }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn stand_out(&self, dates: Dates) -> Markup {
        html! {
            section #findings aria-labelledby="h-findings" {
                h2 #h-findings { "What stands out" }
                p.hint { "The most important first." }
                ol.findings {
                    @for sentence in self.findings().sentences(dates) {
                        @let (class, section) = shown(sentence.subject);
                        li class=(class) {
                            p { (parts(&sentence)) }
                            @if let Some((id, title)) = section { " " a href=(format!("#{id}")) { (title) } }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn successes(&self, dates: Dates, times: &Times) -> Markup {
        let suspects = self.findings().suspects();
        html! {
            section #successes aria-labelledby="h-successes" {
                h2 #h-successes { "Logins after many failures" }
                p.hint {
                    "A password may have been guessed: there were at least ten failures in a row, with pauses of an hour at most, from the \
                     same network or for the same account, and a login in that time or within an hour after it."
                }
                @if suspects.is_empty() {
                    p { "There was none in this time." }
                } @else {
                    @if suspects.len() > SUSPECTS { p.hint { "The most important " (SUSPECTS) " of " (grouped(suspects.len() as u64)) "." } }
                    ol.suspects {
                        @for suspect in suspects.iter().take(SUSPECTS) {
                            @let groups = if suspect.by_account { &self.failing_accounts } else { &self.failing_networks };
                            @let key = if suspect.by_account { &suspect.account } else { &suspect.network };
                            li class=[bad(suspect.known != Some(true))] {
                                (row(&of_suspect(suspect, dates), &groups.behind(key).iter().collect::<Vec<_>>(), times))
                            }
                        }
                    }
                }
                @if self.findings().is_incomplete() { p.hint { "There were too many networks to follow all." } }
            }
        }
    }

    pub(super) fn over_time(&self, times: &Times) -> Markup {
        let (buckets, length) = self.totals.timeline.buckets(BARS);
        let chart = self.chart(&buckets, length);
        html! {
            section #times aria-labelledby="h-times" {
                h2 #h-times { "Events over time" }
                p.hint { "Each bar is " (period(length)) "." }
                (chart.markup())
                details.block {
                    summary { "The numbers, with entries" }
                    ul.ranked.times {
                        li.head aria-hidden="true" { span.name { "From" } span.number { "Events" } span.share { "Failures" } }
                        @for (index, (begin, bucket)) in buckets.iter().enumerate().filter(|(_, (_, bucket))| bucket.events > 0) {
                            li id=(format!("t{index}")) {
                                (row(
                                    &html! {
                                        span.name { (chart.label(*begin)) } " "
                                        span.number { (grouped(bucket.events)) span.unseen { (if bucket.events == 1 { " event, " } else { " events, " }) } } " "
                                        span.share.bad[bucket.failures > 0] { (grouped(bucket.failures)) span.unseen { (if bucket.failures == 1 { " failure" } else { " failures" }) } }
                                    },
                                    &self.times.behind(*begin, length),
                                    times,
                                ))
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn failures(&self, times: &Times) -> Markup {
        let table = |caption, name, groups| Ranked {
            caption,
            name,
            groups,
            limit: NAMES,
            failed: |_| true,
            countries: None,
            nothing: "None in this time.",
        };
        html! {
            section #failures aria-labelledby="h-failures" {
                h2 #h-failures { "Failures" }
                p.hint {
                    "Logins and requests that were refused. A network is the first 24 bits of an IPv4 address, or 48 of IPv6. \
                     A row opens its newest entries."
                }
                div.pair {
                    (table("By network", "Network", &self.failing_networks).markup(times))
                    (table("By account", "Account", &self.failing_accounts).markup(times))
                }
            }
        }
    }

    pub(super) fn new_places(&self, times: &Times) -> Markup {
        let findings = self.findings();
        let arrivals = findings.countries.arrivals();
        let some = |all: u64, shown: usize| {
            html! { @if all > shown as u64 { p.hint { "The newest " (shown) " of " (grouped(all)) "." } } }
        };
        let from_to = |from: &str, to: &str| html! { b { (Outside::new(from)) span.unseen { " to " } span aria-hidden="true" { " → " } (Outside::new(to)) } };
        html! {
            section #new aria-labelledby="h-new" {
                h2 #h-new { "New countries and clients" }
                p.hint { "What an account was not seen with before, within this report." }
                div.pair {
                    div {
                        h3 { "Logins from another country" }
                        @if arrivals.is_empty() { p.hint { "None in this time." } } @else {
                            (some(arrivals.len() as u64, arrivals.len().min(ARRIVALS)))
                            ol.lines {
                                @for arrival in arrivals.iter().take(ARRIVALS) {
                                    li {
                                        (times.element(arrival.time)) " " (from_to(findings.country_names.of(arrival.from), findings.country_names.of(arrival.to))) " "
                                        (Outside::new(arrival.account))
                                        (place(arrival.address.map(Outside::new).as_ref(), None))
                                    }
                                }
                            }
                        }
                        @if findings.countries.incomplete { p.hint { "There were too many accounts to follow all." } }
                    }
                    div {
                        h3 { "Clients used for the first time" }
                        @if self.clients.entries == 0 { p.hint { "None in this time." } } @else {
                            (some(self.clients.entries, self.clients.lines().len()))
                            ol.lines {
                                @for client in self.clients.lines() {
                                    @let (before, name) = match (&client.user, &client.id) {
                                        (Some(user), Some(id)) => findings.clients_of(user, id),
                                        _ => (None, "not stored".to_owned()),
                                    };
                                    li {
                                        (times.element(client.time)) " "
                                        @if let Some(before) = before { (from_to(&before, &name)) } @else { b { (Outside::new(&name)) } }
                                        @if let Some(user) = &client.user { " " (Outside::new(user)) }
                                        (place(client.address.as_ref(), client.country.as_ref()))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn privileged(&self, times: &Times) -> Markup {
        let table =
            |caption, name, groups| Ranked { caption, name, groups, limit: NAMES, failed, countries: None, nothing: "None in this time." };
        let all = self.privileged.counts.total();
        html! {
            section #privileged aria-labelledby="h-privileged" {
                h2 #h-privileged { "Privileged actions" }
                p.hint { "What only administrators can do, or what changes what somebody may do." }
                @if all == 0 { p { "There was none in this time." } } @else {
                    div.pair {
                        (table("By who did it", "Who", &self.actors).markup(times))
                        (table("By kind", "Action", &self.privileged).markup(times))
                    }
                    h3 { @if self.actions.entries > ACTIONS as u64 { "The newest " (ACTIONS) " of " (grouped(self.actions.entries)) } @else { "Newest first" } }
                    (actions(self.actions.lines(), times))
                }
            }
        }
    }

    pub(super) fn all_events(&self, times: &Times) -> Markup {
        let table = |caption, name, groups, failed, countries| Ranked {
            caption,
            name,
            groups,
            limit: 20,
            failed,
            countries,
            nothing: "None is stored.",
        };
        html! {
            section #totals aria-labelledby="h-totals" {
                h2 #h-totals { "All events" }
                p.hint { "What happened, and from where." }
                div.pair {
                    (table("By type", "Event type", &self.types, failed, None).markup(times))
                    (table("By country", "Country", &self.countries, |_| false, Some(&self.totals.country_names)).markup(times))
                }
            }
        }
    }

    pub(super) fn newest(&self, times: &Times) -> Markup {
        html! {
            section #newest aria-labelledby="h-newest" {
                h2 #h-newest { "Newest entries" }
                p.hint { "The last of " (counted(self.totals.entries, "entry", "entries")) "." }
                (lines(self.newest.lines(), times))
            }
        }
    }

    pub(super) fn footer(&self) -> Markup {
        let (made, offset) = self.zone.show(self.made);
        html! {
            footer {
                p { "Made " time { (made) } " (" (offset) ") by prosody-audit " (env!("CARGO_PKG_VERSION")) "." }
                @if self.hidden > 0 {
                    p {
                        (counted(self.hidden, "entry", "entries")) " about who read the log and what was removed from it "
                        (if self.hidden == 1 { "is" } else { "are" }) " not counted; with " code { "--all" } " they are."
                    }
                }
                p {
                    "Numbers count every event, also those that an entry sums up. Behind a number are its newest entries, " (BEHIND)
                    " at most; " code { "prosodyctl mod_audit" } " shows all of them."
                }
            }
        }
    }
}

/// The class of a finding, and the section that has its details: its id and its title.
const fn shown(subject: Subject) -> (&'static str, Option<(&'static str, &'static str)>) {
    let success = ("successes", "Logins after failures");
    let health = ("health", "The log’s own health");
    match subject {
        Subject::Success => ("bad", Some(success)),
        Subject::KnownSuccess => ("warn", Some(success)),
        Subject::Loss | Subject::Crash => ("bad", Some(health)),
        Subject::Rights => ("warn", Some(("privileged", "Privileged actions"))),
        Subject::Failures => ("warn", Some(("failures", "Failures"))),
        Subject::Log => ("warn", Some(health)),
        Subject::Country => ("note", Some(("new", "New countries"))),
        Subject::Reports => ("note", Some(("totals", "All events"))),
        Subject::Nothing => ("good", None),
    }
}

fn parts(sentence: &Sentence) -> Markup {
    html! {
        @for part in &sentence.parts {
            @match part {
                Part::Words(words) => { (words) }
                Part::Name(name) => { (Outside::new(name)) }
                Part::Number(number) => { b { (number) } }
            }
        }
    }
}

fn of_suspect(suspect: &Suspect, dates: Dates) -> Markup {
    html! {
        span.name {
            b { (Outside::new(&suspect.account)) } " from " b { (Outside::new(&suspect.network)) } " on " (dates.moment(suspect.time)) ", after "
            b.bad { (counted(suspect.before, "failure", "failures")) }
            @if suspect.by_account {
                " for this account from " (counted(suspect.others, "network", "networks"))
                @if suspect.own > 0 { ", " (grouped(suspect.own)) " of them from this one" }
            } @else {
                " from there for " (counted(suspect.others, "account", "accounts"))
                @if suspect.own > 0 { ", " (grouped(suspect.own)) " of them for this one" }
            }
            ". "
            @match suspect.known {
                Some(true) => "The account had logged in from there before.",
                Some(false) => "The account had not logged in from there before.",
                None => "There were too many logins to know whether the account had logged in from there before.",
            }
        }
    }
}

/// Privileged actions as a table.
fn actions(actions: &[Action], times: &Times) -> Markup {
    let unknown = || html! { span aria-hidden="true" { "–" } span.unseen { "not recorded" } };
    html! {
        table.actions {
            thead { tr { @for title in ["When", "Who", "What", "On what", "From where"] { th scope="col" { (title) } } } }
            tbody {
                @for action in actions {
                    tr {
                        td { (times.element(action.time)) }
                        td { @if let Some(who) = &action.who { (who) } @else { (unknown()) } }
                        td { b { (action.kind) } }
                        td {
                            @if let Some(user) = &action.user { (user) " " }
                            @if !action.what.is_empty() { span.note { (action.what) } }
                        }
                        td {
                            @if action.address.is_some() || action.country.is_some() {
                                (place(action.address.as_ref(), action.country.as_ref()))
                            } @else { (unknown()) }
                        }
                    }
                }
            }
        }
    }
}
