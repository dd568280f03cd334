//! The report: the log as one HTML page, with numbers, drawings, and the newest entries behind each number.
//!
//! The page is a single file. It has no script, and its policy (CSP) lets none run, so nothing from the log can be run. Memory is
//! bounded: numbers as in [`tally`](crate::render::totals::tally), and a few entries behind each.

mod collect;
mod health;
mod markup;

use std::fmt::Write as _;

use chrono::DateTime;

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::stats::period;
use crate::render::totals::tally::grouped;
use crate::render::totals::{Totals, clock, network};
use crate::time::zone::Zone;
use collect::{BEHIND, EntryLine, Groups, RecentEvents, Silences, Times, Travels};
use markup::{Ranked, counted, foreign, percent, push_behind, push_chart, push_lines, text};

const HEAD: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// The SHA-256 of the style, which the policy allows.
const STYLE_HASH: &str = "sha256-EdahlgrazAvFXTuUkkhsWiERicIyZts9sRvU8dVKa8k=";

/// The largest number of bars in the chart of events over time.
const BARS: usize = 62;

/// How many names a table of failures shows.
const NAMES: usize = 10;

/// How many logins from new countries, and new clients, are listed.
const ARRIVALS: usize = 10;

/// The type of entries about what was removed.
const PRUNED: &str = "audit-pruned";

/// Collects entries, and writes the page at the end.
#[derive(Debug)]
pub struct Report {
    host: String,
    zone: Zone,
    made: f64,
    totals: Totals,
    times: Times,
    types: Groups,
    countries: Groups,
    failing_networks: Groups,
    failing_accounts: Groups,
    travels: Travels,
    clients: RecentEvents,
    privileged: Groups,
    crashes: RecentEvents,
    lost: RecentEvents,
    lost_events: u64,
    summaries: RecentEvents,
    at_least: bool,
    prunings: RecentEvents,
    /// How many entries about the upkeep of the log were hidden.
    hidden: u64,
    options: RecentEvents,
    silences: Silences,
    newest: RecentEvents,
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
            times: Times::default(),
            types: Groups::default(),
            countries: Groups::default(),
            failing_networks: Groups::default(),
            failing_accounts: Groups::default(),
            travels: Travels::default(),
            clients: RecentEvents::default(),
            privileged: Groups::default(),
            crashes: RecentEvents::default(),
            lost: RecentEvents::default(),
            lost_events: 0,
            summaries: RecentEvents::default(),
            at_least: false,
            prunings: RecentEvents::default(),
            hidden: 0,
            options: RecentEvents::default(),
            silences: Silences::default(),
            newest: RecentEvents::default(),
        }
    }

    /// Adds an entry.
    pub fn add(&mut self, event: &StoredEvent) {
        let meaning = meaning(&event.kind);
        self.totals.add(event);
        self.times.add(&self.totals.timeline, clock(event.time, self.zone), event);
        self.types.add(&event.kind, event);
        self.silences.add(event);
        self.newest.add(event);
        if let Some(country) = &event.country {
            self.countries.add(country, event);
        }
        if meaning.outcome == Outcome::Failure
            && !matches!(event.kind.as_str(), "server-crashed" | "audit-entries-lost" | "audit-store-recovered")
        {
            self.failing_accounts.add(event.user.as_deref().unwrap_or("no account"), event);
            self.failing_networks.add(network(event).as_deref().unwrap_or("not stored"), event);
        }
        if meaning.privileged {
            self.privileged.add(&event.kind, event);
        }
        if event.repeated.as_ref().is_some_and(|repeated| {
            self.at_least |= repeated.at_least;
            repeated.count > 1
        }) {
            self.summaries.add(event);
        }
        match event.kind.as_str() {
            "authentication-success" => self.travels.add(event),
            "new-client" => self.clients.add(event),
            "server-crashed" => self.crashes.add(event),
            PRUNED => self.prunings.add(event),
            "audit-options-changed" | "audit-key-replaced" => self.options.add(event),
            "audit-entries-lost" => {
                let lost = event.details.iter().find(|detail| detail.name == "lost").and_then(|lost| lost.attribute("count"));
                self.lost_events = self.lost_events.saturating_add(lost.and_then(|count| count.parse().ok()).unwrap_or(1));
                self.lost.add(event);
            }
            _ => {}
        }
    }

    /// The page, of the entries so far.
    #[must_use]
    pub fn text(&self) -> String {
        // The name of the host is put in last, so that a name such as "{style}" is not replaced.
        let mut page = HEAD.replace("{hash}", STYLE_HASH).replace("{style}", STYLE).replace("{title}", &text(&self.host));
        self.push_header(&mut page);
        page.push_str("<main>\n");
        if self.totals.range.is_some() {
            self.push_times(&mut page);
            self.push_failures(&mut page);
            self.push_new(&mut page);
            self.push_privileged(&mut page);
            self.push_health(&mut page);
            self.push_totals(&mut page);
            self.push_newest(&mut page);
        } else {
            page.push_str("<section><h2>No entries</h2><p class=\"hint\">Nothing in the log fits what was asked for.</p></section>\n");
        }
        page.push_str("</main>\n");
        self.push_footer(&mut page);
        page
    }

    fn push_header(&self, page: &mut String) {
        // Writing to a string can't fail, here and below.
        let _ = writeln!(page, "<header>\n<h1>Audit log of {}</h1>", foreign(&self.host));
        let Some((first, last)) = self.totals.range else {
            page.push_str("</header>\n");
            return;
        };
        let (begin, offset) = self.zone.show(first);
        let _ = writeln!(page, "<p class=\"lead\">{begin} to {}, {offset}</p>", self.zone.show(last).0);
        let totals = &self.totals;
        let many = |counts: &crate::render::totals::tally::Counts| {
            counts.distinct().map_or_else(|| "many".to_owned(), |distinct| grouped(distinct as u64))
        };
        let trouble = self.lost.entries.saturating_add(self.crashes.entries);
        let tiles = [
            ("times", "", grouped(totals.events), "events".to_owned()),
            (
                "failures",
                if totals.failures > 0 { "bad" } else { "" },
                grouped(totals.failures),
                format!("failures, {}", percent(totals.failures, totals.events)),
            ),
            ("totals", "", many(&totals.users), "accounts".to_owned()),
            ("totals", "", many(&totals.networks), "networks".to_owned()),
            ("privileged", "", grouped(self.privileged.counts.total()), "privileged actions".to_owned()),
            (
                "health",
                if trouble > 0 { "bad" } else { "good" },
                if trouble > 0 { "Check" } else { "Good" }.to_owned(),
                "the log’s own health".to_owned(),
            ),
        ];
        page.push_str("<ul class=\"tiles\">\n");
        for (section, class, number, what) in tiles {
            let _ = writeln!(page, "<li class=\"{class}\"><a href=\"#{section}\"><b>{number}</b><span>{what}</span></a></li>");
        }
        page.push_str("</ul>\n</header>\n");
    }

    fn push_times(&self, page: &mut String) {
        let (buckets, length) = self.totals.timeline.buckets(BARS);
        let of_day = length < 86_400;
        let shown =
            |begin: i64, format: &str| DateTime::from_timestamp(begin, 0).map_or_else(String::new, |time| time.format(format).to_string());
        let label = |begin| shown(begin, if of_day { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" });
        let mark = |begin| shown(begin, if of_day { "%-d %b %H:%M" } else { "%-d %b %Y" });
        let _ = writeln!(page, "<section id=\"times\"><h2>Events over time</h2><p class=\"hint\">Each bar is {}.</p>", period(length));
        push_chart(page, &buckets, "Events over time; the table below has the same numbers", label, mark);
        page.push_str(
            "<p class=\"key\"><span><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"calm\" width=\"1\" height=\"1\"/></svg>events</span>\
             <span><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"fail\" width=\"1\" height=\"1\"/></svg>of them failures</span></p>\n\
             <details class=\"block\"><summary>The numbers, with entries</summary>\n<table class=\"times\"><thead><tr><th scope=\"col\">From</th>\
             <th scope=\"col\" class=\"number\">Events</th><th scope=\"col\" class=\"number\">Failures</th></tr></thead>\n",
        );
        for (index, (begin, bucket)) in buckets.iter().enumerate().filter(|(_, (_, bucket))| bucket.events > 0) {
            let _ = writeln!(
                page,
                "<tbody id=\"t{index}\"><tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td></tr><tr class=\"behind\"><td colspan=\"3\">",
                text(&label(*begin)),
                grouped(bucket.events),
                grouped(bucket.failures)
            );
            push_behind(page, self.times.behind(*begin, length).into_iter(), self.zone);
            page.push_str("</td></tr></tbody>\n");
        }
        page.push_str("</table></details></section>\n");
    }

    fn push_failures(&self, page: &mut String) {
        page.push_str(
            "<section id=\"failures\"><h2>Failures</h2><p class=\"hint\">Logins and requests that were refused. A network is the \
             first 24 bits of an IPv4 address, or 48 of IPv6.</p>\n<div class=\"pair\">\n",
        );
        let table = |caption, name, groups| Ranked { caption, name, groups, limit: NAMES, bars: "fail", nothing: "None in this time." };
        table("By network", "Network", &self.failing_networks).push(page, self.zone);
        table("By account", "Account", &self.failing_accounts).push(page, self.zone);
        page.push_str("</div></section>\n");
    }

    fn push_new(&self, page: &mut String) {
        page.push_str("<section id=\"new\"><h2>New countries and clients</h2><p class=\"hint\">What an account was not seen with before, within this report.</p>\n<div class=\"pair\">\n<div><h3>Logins from another country</h3>");
        let arrivals = self.travels.arrivals();
        if arrivals.is_empty() {
            page.push_str("<p class=\"hint\">None in this time.</p>");
        } else {
            self.push_some(page, &arrivals, arrivals.len() as u64);
        }
        if self.travels.incomplete {
            page.push_str("<p class=\"hint\">There were too many accounts to follow all.</p>");
        }
        page.push_str("</div>\n<div><h3>Clients used for the first time</h3>");
        if self.clients.entries == 0 {
            page.push_str("<p class=\"hint\">None in this time.</p>");
        } else {
            self.push_some(page, &self.clients.lines().iter().collect::<Vec<_>>(), self.clients.entries);
        }
        page.push_str("</div>\n</div></section>\n");
    }

    /// The newest of some entries, and how many there are in all.
    fn push_some(&self, page: &mut String, lines: &[&EntryLine], all: u64) {
        let shown = lines.len().min(ARRIVALS);
        if all > shown as u64 {
            let _ = writeln!(page, "<p class=\"hint\">The newest {shown} of {}.</p>", grouped(all));
        }
        push_lines(page, lines.iter().take(shown).copied(), self.zone);
    }

    fn push_privileged(&self, page: &mut String) {
        page.push_str(
            "<section id=\"privileged\"><h2>Privileged actions</h2><p class=\"hint\">What only administrators can do, or what changes what \
             somebody may do.</p>\n",
        );
        let table =
            Ranked { caption: "By kind", name: "Action", groups: &self.privileged, limit: 30, bars: "calm", nothing: "None in this time." };
        table.push(page, self.zone);
        page.push_str("</section>\n");
    }

    fn push_totals(&self, page: &mut String) {
        page.push_str(
            "<section id=\"totals\"><h2>All events</h2><p class=\"hint\">What happened, and from where.</p>\n<div class=\"pair\">\n",
        );
        let table = |caption, name, groups| Ranked { caption, name, groups, limit: 20, bars: "calm", nothing: "None is stored." };
        table("By type", "Event type", &self.types).push(page, self.zone);
        table("By country", "Country", &self.countries).push(page, self.zone);
        page.push_str("</div></section>\n");
    }

    fn push_newest(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "<section id=\"newest\"><h2>Newest entries</h2><p class=\"hint\">The last of {}.</p>",
            counted(self.totals.entries, "entry", "entries")
        );
        push_lines(page, self.newest.lines(), self.zone);
        page.push_str("</section>\n");
    }

    fn push_footer(&self, page: &mut String) {
        let (made, offset) = self.zone.show(self.made);
        let hidden = match self.hidden {
            0 => String::new(),
            hidden => format!(
                "<p>{} about who read the log and what was removed from it {} not counted; with <code>--all</code> they are.</p>",
                counted(hidden, "entry", "entries"),
                if hidden == 1 { "is" } else { "are" }
            ),
        };
        let _ = writeln!(
            page,
            "<footer><p>Made {made} ({offset}) by prosody-audit {}.</p>{hidden}<p>Numbers count every event, also those that an entry sums up. \
             Behind a number are its newest entries, {BEHIND} at most; <code>prosodyctl mod_audit</code> shows all of them.</p></footer>\n</body>\n</html>",
            env!("CARGO_PKG_VERSION")
        );
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

    fn end(&mut self) -> String {
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn page(events: &[StoredEvent]) -> String {
        let mut page = Report::new("example.com", Zone::Utc, sample::NOON);
        let before = [page.begin(), page.entries(events)].concat();
        assert_eq!(before, "");
        page.end()
    }

    /// The page as a reader meets it: its texts, a line for each line of markup that has any.
    fn words(page: &str) -> String {
        let body = page.split_once("<body>").unwrap().1;
        let mut words = String::new();
        for line in body.lines() {
            let mut text = String::new();
            let mut rest = line;
            while let Some((before, tag)) = rest.split_once('<') {
                text.push_str(before);
                text.push(' ');
                rest = tag.split_once('>').unwrap().1;
            }
            text.push_str(rest);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.is_empty() {
                words.push_str(&text);
                words.push('\n');
            }
        }
        words
    }

    /// Every tag of the page: its name, and the names of its attributes with their values.
    fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
        let mut tags = Vec::new();
        for tag in page.split('<').skip(1) {
            let (name, mut rest) = tag.split_at(tag.find([' ', '>']).unwrap());
            let mut attributes = Vec::new();
            while let Some(attribute) = rest.strip_prefix(' ') {
                let (name, value) = attribute.split_once("=\"").unwrap();
                let (value, after) = value.split_once('"').unwrap();
                attributes.push((name.to_owned(), value.to_owned()));
                rest = after;
            }
            assert!(rest.starts_with('>') || rest.starts_with("/>"), "{tag}");
            tags.push((name.to_owned(), attributes));
        }
        tags
    }

    #[test]
    fn the_policy_knows_the_style() {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut digest = Sha256::digest(STYLE).to_vec();
        digest.push(0);
        let digits = digest.chunks(3).flat_map(|three| {
            let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]))
        });
        let hash = format!("sha256-{}=", digits.take(43).collect::<String>());
        assert_eq!(STYLE_HASH, hash, "the style has changed: put its hash into STYLE_HASH");
        assert!(page(&[]).contains(&format!("style-src '{hash}'")) && !HEAD.contains("script"));
    }

    #[test]
    fn a_report_has_the_content_of_the_log() {
        expect![[r#"
            Audit log of example.com
            2026-11-24 11:00:00 to 2026-11-24 12:00:00, UTC
            21 events
            17 failures, 81%
            2 accounts
            2 networks
            0 privileged actions
            Good the log’s own health
            Events over time Each bar is a minute.
            17
            2026-11-24 11:00: 1 event, 0 failures
            2026-11-24 11:58: 2 events, 0 failures
            2026-11-24 11:59: 17 events, 17 failures
            2026-11-24 12:00: 1 event, 0 failures
            24 Nov 11:00 24 Nov 11:15 24 Nov 11:30 24 Nov 11:45 24 Nov 12:00
            events of them failures
            The numbers, with entries
            From Events Failures
            2026-11-24 11:00 1 0
            Newest entry
            2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1 by admin@example.com/desk (adhoc) at 2001:db8::1
            2026-11-24 11:58 2 0
            Newest 2 entries
            2026-11-24 11:58:40 server-stopped Received SIGTERM bye
            2026-11-24 11:58:30 thing-happened thing: colour=red
            2026-11-24 11:59 17 17
            Newest entry
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            2026-11-24 12:00 1 0
            Newest entry
            2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 DE SCRAM-SHA-1-PLUS; TLSv1.3
            Failures Logins and requests that were refused. A network is the first 24 bits of an IPv4 address, or 48 of IPv6.
            By network
            Network Events Share
            198.51.100.0/24 17 100%
            Newest entry
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            By account
            Account Events Share
            mallory@example.com 17 100%
            Newest entry
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            New countries and clients What an account was not seen with before, within this report.
            Logins from another country None in this time.
            Clients used for the first time None in this time.
            Privileged actions What only administrators can do, or what changes what somebody may do.
            By kind None in this time.
            The log’s own health How far this log can be relied on, as the entries of this report tell.
            Nothing was lost Every event of this time could be stored. ✓
            No crash The server was always stopped as it should be. ✓
            at least 17 events in 1 summary The same happened too often to be stored each time. Their number is in every figure here. Newest entry
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            !
            The log’s options were not changed ✓
            Nothing was removed No entry had expired in this time. ·
            No gap of an hour or more ✓
            All events What happened, and from where.
            By type
            Event type Events Share
            authentication-failure 17 81%
            Newest entry
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            authentication-success 1 4.8%
            Newest entry
            2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 DE SCRAM-SHA-1-PLUS; TLSv1.3
            server-stopped 1 4.8%
            Newest entry
            2026-11-24 11:58:40 server-stopped Received SIGTERM bye
            thing-happened 1 4.8%
            Newest entry
            2026-11-24 11:58:30 thing-happened thing: colour=red
            user-password-changed 1 4.8%
            Newest entry
            2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1 by admin@example.com/desk (adhoc) at 2001:db8::1
            By country
            Country Events Share
            DE 18 100%
            Newest 2 entries
            2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 DE SCRAM-SHA-1-PLUS; TLSv1.3
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            Newest entries The last of 5 entries.
            2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 DE SCRAM-SHA-1-PLUS; TLSv1.3
            2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 DE at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
            2026-11-24 11:58:40 server-stopped Received SIGTERM bye
            2026-11-24 11:58:30 thing-happened thing: colour=red
            2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1 by admin@example.com/desk (adhoc) at 2001:db8::1
            Made 2026-11-24 12:00:00 (UTC) by prosody-audit 0.1.0. Numbers count every event, also those that an entry sums up. Behind a number are its newest entries, 10 at most; prosodyctl mod_audit shows all of them.
        "#]].assert_eq(&words(&page(&sample::events())));
    }

    #[test]
    fn a_report_shows_losses_crashes_and_gaps() {
        let kind = |ago: f64, kind: &str, inside: &str| {
            sample::event(ago, "events", None, &format!("<audit-event type='{kind}'>{inside}</audit-event>"))
        };
        let events = [
            kind(0.0, "server-crashed", ""),
            kind(9000.0, "audit-entries-lost", "<lost count='1234'/>"),
            kind(20_000.0, "audit-pruned", "<pruned class='failures'/>"),
            kind(20_001.0, "audit-options-changed", ""),
        ];
        let text = words(&page(&events));
        let health = text.split_once("The log’s own health How").unwrap().1.split_once("All events").unwrap().0;
        expect![[r#"
             far this log can be relied on, as the entries of this report tell.
            1,234 events lost They could be stored nowhere for a while; how many is known, what they were is not. Newest entry
            2026-11-24 09:30:00 audit-entries-lost lost: count=1234
            !
            1 crash The server ended without being stopped. Newest entry
            2026-11-24 12:00:00 server-crashed
            !
            Nothing was suppressed Each event is an entry of its own. ✓
            1 change of the log’s options Newest entry
            2026-11-24 06:26:39 audit-options-changed
            !
            1 removal of expired entries Entries are removed when they expire. Newest entry
            2026-11-24 06:26:40 audit-pruned pruned: class=failures
            ·
            The longest gaps between entries On a quiet server that is as it should be; on a busy one it is not.
            2026-11-24 06:26:40 to 2026-11-24 09:30:00 3 hours
            2026-11-24 09:30:00 to 2026-11-24 12:00:00 2 hours the server did not run
            ·
        "#]]
        .assert_eq(health);
    }

    #[test]
    fn hidden_entries_are_not_counted_but_what_was_removed_is_told() {
        let of = |kind: &str| {
            sample::event(60.0, "events", None, &format!("<audit-event type='{kind}'><pruned class='failures'/></audit-event>"))
        };
        let mut page = Report::new("example.com", Zone::Utc, sample::NOON);
        page.entries(&[of("new-client")]);
        page.note_hidden(&[of("audit-queried"), of("audit-pruned")]);
        let text = words(&page.end());
        for line in [
            "1 events\n",
            "0 privileged actions\n",
            "1 removal of expired entries",
            "2 entries about who read the log and what was removed from it are not counted; with --all they are.",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_report_without_entries_says_so() {
        assert!(words(&page(&[])).contains("No entries"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn text_from_the_log_is_never_markup(mut events in prop::collection::vec(sample::any_event(), 1..12), kinds in prop::collection::vec(0usize..7, 12)) {
            let own = ["authentication-success", "new-client", "server-crashed", "audit-entries-lost", "audit-pruned", "shell-command", "x-refused"];
            for (event, kind) in events.iter_mut().zip(kinds) {
                event.kind = own[kind].to_owned();
            }
            let page = page(&events);
            prop_assert!(!page.chars().any(|c| steers(c) && !matches!(c, '\n' | '\t')));
            let (head, body) = page.split_once("</head>").unwrap();
            prop_assert!(!head.split_once("</style>").unwrap().1.contains("script"));
            for (name, attributes) in tags(body) {
                let known = "body header main footer section div p ul ol li h1 h2 h3 a b span bdi svg line rect title table caption thead tbody tr th td dl dt dd \
                    details summary time code html";
                let name = name.trim_start_matches('/');
                prop_assert!(known.split_whitespace().any(|tag| tag == name), "{}", name);
                for (attribute, value) in attributes {
                    let known = ["class", "id", "href", "scope", "colspan", "datetime", "aria-hidden", "aria-label", "role", "tabindex", "viewBox",
                        "preserveAspectRatio", "x", "y", "x1", "x2", "y1", "y2", "width", "height"];
                    prop_assert!(known.contains(&attribute.as_str()), "{}={}", attribute, value);
                    prop_assert!(attribute != "href" || value.starts_with('#'), "{}", value);
                }
            }
        }
    }
}
