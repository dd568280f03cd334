//! The report: the log as one HTML page, with what stands out, numbers, drawings, and the newest entries behind each number.
//!
//! The page is a single file. It has no script, and its policy (CSP) lets none run, so nothing from the log can be run. The templates
//! escape every text, and text from the log can only be put into them as [`Outside`](outside::Outside). Memory is bounded: numbers as
//! in [`tally`](crate::render::totals::tally), and a few entries behind each.

mod chart;
mod collect;
mod health;
mod markup;
mod outside;
mod sections;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::note::who;
use crate::render::standing::Health;
use crate::render::taxonomy::meaning;
use crate::render::totals::findings::{Findings, is_refusal};
use crate::render::totals::sentences::Dates;
use crate::render::totals::tally::Bucket;
use crate::render::totals::{Totals, clock, network};
use crate::time::zone::Zone;
use chart::Chart;
use collect::{Action, Groups, Marks, NewClient, Recent, RecentEvents, Silences};
use outside::Outside;

const STYLE: &str = include_str!("page.css");

/// How many names a table of failures shows.
const NAMES: usize = 10;

/// How many logins from new countries, and new clients, are listed.
const ARRIVALS: usize = 10;

/// How many of the newest entries are listed.
const NEWEST: usize = 10;

/// How many logins after many failures are listed.
const SUSPECTS: usize = 20;

/// How many privileged actions are listed.
const ACTIONS: usize = 20;

/// The type of entries about what was removed.
const PRUNED: &str = "audit-pruned";

/// Collects entries, and writes the page at the end.
#[derive(Debug)]
pub struct Report {
    host: String,
    zone: Zone,
    made: f64,
    totals: Totals,
    findings: Findings,
    times: collect::Times,
    types: Groups,
    countries: Groups,
    failing_networks: Groups,
    failing_accounts: Groups,
    clients: Recent<NewClient>,
    privileged: Groups,
    actors: Groups,
    actions: Recent<Action>,
    crashes: RecentEvents,
    starts: RecentEvents,
    crash_marks: Marks,
    start_marks: Marks,
    lost: RecentEvents,
    summaries: RecentEvents,
    at_least: bool,
    prunings: RecentEvents,
    /// How many entries about the upkeep of the log were hidden.
    hidden: u64,
    options: RecentEvents,
    silences: Silences,
    newest: RecentEvents,
    /// What the server knows of the log itself.
    known: Vec<Health>,
}

impl Report {
    /// A report of `host`, with times in `zone`. `made` is when it is made, in UNIX seconds.
    #[must_use]
    pub fn new(host: &str, zone: Zone, made: f64) -> Self {
        Self {
            host: host.to_owned(),
            zone,
            made,
            totals: Totals::new(zone),
            findings: Findings::default(),
            times: collect::Times::default(),
            types: Groups::default(),
            countries: Groups::default(),
            failing_networks: Groups::default(),
            failing_accounts: Groups::default(),
            clients: Recent::default(),
            privileged: Groups::default(),
            actors: Groups::default(),
            actions: Recent::default(),
            crashes: RecentEvents::default(),
            starts: RecentEvents::default(),
            crash_marks: Marks::default(),
            start_marks: Marks::default(),
            lost: RecentEvents::default(),
            summaries: RecentEvents::default(),
            at_least: false,
            prunings: RecentEvents::default(),
            hidden: 0,
            options: RecentEvents::default(),
            silences: Silences::default(),
            newest: RecentEvents::default(),
            known: Vec::new(),
        }
    }

    /// Adds an entry.
    pub fn add(&mut self, event: &StoredEvent) {
        self.totals.add(event);
        self.findings.add(event);
        self.times.add(&self.totals.timeline, clock(event.time, self.zone), event);
        self.types.add(&event.kind, event);
        self.silences.add(event);
        self.newest.add_up_to(event, NEWEST);
        if let Some(code) = &event.country {
            self.countries.add(code, event);
        }
        if is_refusal(&event.kind) {
            self.failing_accounts.add(event.user.as_deref().unwrap_or("no account"), event);
            self.failing_networks.add(network(event).as_deref().unwrap_or("not stored"), event);
        }
        if meaning(&event.kind).privileged {
            self.privileged.add(&event.kind, event);
            // An administrator with several clients is one.
            let who = who(event);
            let who = who.as_deref().map_or("not recorded", |who| who.split_once('/').map_or(who, |(bare, _)| bare));
            self.actors.add(who, event);
            self.actions.add_up_to(event, ACTIONS);
        }
        if event.repeated.as_ref().is_some_and(|repeated| {
            self.at_least |= repeated.at_least;
            repeated.count > 1
        }) {
            self.summaries.add(event);
        }
        match event.kind.as_str() {
            "new-client" => self.clients.add_up_to(event, ARRIVALS),
            "server-crashed" => {
                self.crashes.add(event);
                self.crash_marks.add(event.time);
            }
            "server-started" => {
                self.starts.add(event);
                self.start_marks.add(event.time);
            }
            PRUNED => self.prunings.add(event),
            "audit-options-changed" | "audit-key-replaced" => self.options.add(event),
            "audit-entries-lost" => self.lost.add(event),
            _ => {}
        }
    }

    /// The page, of the entries so far.
    #[must_use]
    pub fn text(&self) -> String {
        let newest = self.totals.range.map_or(self.made, |(_, last)| last);
        let (times, dates) = (markup::Times::new(self.zone, newest), Dates::new(self.zone, newest));
        let page = html! {
            (DOCTYPE) "\n"
            html lang="en" {
                (self.head())
                body {
                    (self.header(&times))
                    main {
                        @if self.totals.range.is_some() {
                            (self.stand_out(dates))
                            (self.successes(dates, &times))
                            (self.over_time(&times))
                            (self.failures(&times))
                            (self.new_places(&times))
                            (self.privileged(&times))
                            (self.health(&times))
                            (self.all_events(&times))
                            (self.newest(&times))
                        } @else {
                            section { h2 { "No entries" } p.hint { "Nothing in the log fits what was asked for." } }
                            (self.known_health())
                        }
                    }
                    (self.footer())
                }
            }
            "\n"
        };
        page.into_string()
    }

    fn head(&self) -> Markup {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
        html! {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { "Audit log of " (Outside::new(&self.host).plain()) }
                // The style is ours, and its hash is that of these bytes.
                style { (PreEscaped(STYLE)) }
            }
        }
    }

    const fn findings(&self) -> &Findings {
        &self.findings
    }

    fn chart<'a>(&'a self, buckets: &'a [(i64, Bucket)], length: i64) -> Chart<'a> {
        Chart { buckets, length, zone: self.zone, crashes: &self.crash_marks, starts: &self.start_marks, gaps: self.silences.longest() }
    }
}

impl Renderer for Report {
    fn begin(&mut self) -> String {
        String::new()
    }

    fn entries(&mut self, events: &[StoredEvent]) -> String {
        for event in events {
            self.add(event);
        }
        String::new()
    }

    fn note_hidden(&mut self, events: &[StoredEvent]) {
        self.hidden = self.hidden.saturating_add(events.len() as u64);
        // What was removed tells how far the log can be relied on.
        events.iter().filter(|event| event.kind == PRUNED).for_each(|event| self.prunings.add(event));
    }

    fn know(&mut self, health: Vec<Health>) {
        self.known = health;
    }

    fn end(&mut self) -> String {
        self.text()
    }
}
