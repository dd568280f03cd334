//! Totals for a terminal: by type, account, network and country, and over time.
//!
//! Memory is bounded: see [`tally`](crate::render::totals::tally). If a number is not exact, a line says by how much it may be too
//! low.

use std::fmt::Write as _;

use chrono::DateTime;
use unicode_width::UnicodeWidthStr;

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::formats::table::shortened;
use crate::render::printable::printable;
use crate::render::totals::Totals;
use crate::render::totals::tally::{Bucket, Counts, grouped};
use crate::time::zone::Zone;

/// How many names each table of totals shows.
const NAMES: usize = 10;

/// How many rows the histogram has at most.
const ROWS: usize = 31;

/// The width of the longest bar, in cells: as much as fits, within this range.
const BAR: std::ops::RangeInclusive<usize> = 4..=40;

/// The width of a table if the output is not a terminal.
const WIDTH: usize = 100;

/// Red for failures, dim for lines that guide the eye, and the end of both.
const COLOURS: [&str; 3] = ["\u{1b}[31m", "\u{1b}[2m", "\u{1b}[0m"];

/// Counts entries, and writes the totals at the end.
#[derive(Debug)]
pub struct Stats {
    host: String,
    width: usize,
    zone: Zone,
    coloured: bool,
    totals: Totals,
}

impl Stats {
    /// Statistics for a terminal of `width` cells. `None` if the output is not a terminal.
    #[must_use]
    pub fn new(host: &str, width: Option<usize>, zone: Zone, coloured: bool) -> Self {
        Self { host: host.to_owned(), width: width.unwrap_or(WIDTH), zone, coloured, totals: Totals::new(zone) }
    }

    /// Counts more entries.
    pub fn add(&mut self, events: &[StoredEvent]) {
        for event in events {
            self.totals.add(event);
        }
    }

    /// The totals.
    #[must_use]
    pub fn text(&self) -> String {
        let summary = &self.totals;
        let Some((first, last)) = summary.range else { return String::new() };
        let mut text = String::new();
        let (begin, begin_offset) = self.zone.show(first);
        let (end, end_offset) = self.zone.show(last);
        let zone = if begin_offset == end_offset { end_offset } else { format!("{begin_offset}, {end_offset}") };
        let entries = if summary.entries == summary.events { String::new() } else { format!(" in {} entries", grouped(summary.entries)) };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}: {} events{entries}", printable(&self.host), grouped(summary.events));
        let _ = writeln!(text, "{} of them failures", grouped(summary.failures));
        let _ = writeln!(text, "{begin} to {end} ({zone})");
        self.histogram(&mut text);
        let tables = [("TYPE", &summary.types), ("USER", &summary.users), ("NETWORK", &summary.networks), ("COUNTRY", &summary.countries)];
        for (title, counts) in tables {
            self.table(&mut text, title, counts);
        }
        text
    }

    fn histogram(&self, text: &mut String) {
        let (buckets, length) = self.totals.timeline.buckets(ROWS);
        let label = |begin: i64| {
            let format = if length < 86_400 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" };
            DateTime::from_timestamp(begin, 0).map_or_else(String::new, |time| time.format(format).to_string())
        };
        let most = buckets.iter().map(|(_, bucket)| bucket.events).max().unwrap_or_default();
        let widest = grouped(most).len().max(6);
        let labels: usize = if length < 86_400 { 16 } else { 10 };
        let room = self.width.saturating_sub(labels.saturating_add(widest.saturating_mul(2)).saturating_add(6));
        let _ = writeln!(text, "\n{:labels$}  {:>widest$}  {:>widest$}  each row is {}", "TIME", "EVENTS", "FAILED", period(length));
        for (begin, bucket) in &buckets {
            let failures = if bucket.failures > 0 { grouped(bucket.failures) } else { String::new() };
            let bar = self.bar(bucket, most, room);
            let line = format!("{}  {:>widest$}  {failures:>widest$}  {bar}", label(*begin), grouped(bucket.events));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }

    fn table(&self, text: &mut String, title: &str, counts: &Counts) {
        if counts.total() == 0 {
            return;
        }
        let ranking = counts.ranking(NAMES);
        let sign = if counts.uncertainty() > 0 { "≥" } else { "" };
        let number = |count: u64| format!("{sign}{}", grouped(count));
        let widest =
            ranking.top.iter().map(|(_, count)| number(*count).width()).max().unwrap_or_default().max(grouped(ranking.rest).len()).max(6);
        let names: Vec<(String, u64)> = ranking.top.iter().map(|(name, count)| (printable(name), *count)).collect();
        let longest = names.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
        let most = ranking.top.first().map_or(0, |(_, count)| *count);
        // Number, share, and the gaps.
        let others = widest.saturating_add(5).saturating_add(6);
        let bar_room = self.width.saturating_sub(others).saturating_sub(longest.max(title.len())).clamp(*BAR.start(), *BAR.end());
        let name_room = longest.max(title.len()).min(self.width.saturating_sub(others).saturating_sub(bar_room)).max(title.len());
        let _ = writeln!(text, "\n{}  {:>widest$}", pad(title, name_room), "EVENTS");
        for (name, count) in &names {
            let bucket = Bucket { events: *count, failures: 0 };
            let share = percent(*count, counts.total());
            let line = format!(
                "{}  {}  {share:>4}  {}",
                pad(&shortened(name, name_room), name_room),
                pad_left(&number(*count), widest),
                self.bar(&bucket, most, bar_room)
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if ranking.rest > 0 {
            let others = ranking.others.map_or_else(|| "others".to_owned(), |others| format!("{} others", grouped(others as u64)));
            let share = percent(ranking.rest, counts.total());
            let _ =
                writeln!(text, "{}  {:>widest$}  {share:>4}", pad(&shortened(&others, name_room.max(6)), name_room), grouped(ranking.rest));
        }
        if counts.uncertainty() > 0 {
            let _ =
                writeln!(text, "≥ may be up to {} more: there were too many different names to keep all", grouped(counts.uncertainty()));
        }
    }

    /// A bar in eighths of a cell. The share of failures comes first.
    fn bar(&self, bucket: &Bucket, most: u64, room: usize) -> String {
        let cells = room.clamp(*BAR.start(), *BAR.end());
        let eighths = |events: u64| {
            let scaled =
                u128::from(events).saturating_mul(cells.saturating_mul(8) as u128).checked_div(u128::from(most)).unwrap_or_default();
            // A number above zero always has a visible bar.
            usize::try_from(scaled).unwrap_or_default().max(usize::from(events > 0))
        };
        let (all, failed) = (eighths(bucket.events), eighths(bucket.failures) / 8);
        if !self.coloured || failed == 0 {
            return blocks(all);
        }
        let [red, _, end] = COLOURS;
        format!("{red}{}{end}{}", "█".repeat(failed), blocks(all.saturating_sub(failed.saturating_mul(8))))
    }
}

impl Renderer for Stats {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        self.add(events);
        String::new()
    }

    fn end(&mut self) -> String {
        self.text()
    }
}

fn blocks(eighths: usize) -> String {
    let part = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8).filter(|part| **part != ' ');
    "█".repeat(eighths / 8).chars().chain(part.copied()).collect()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn pad_left(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

fn percent(part: u64, whole: u64) -> String {
    let half = u128::from(whole) / 2;
    let share = u128::from(part).saturating_mul(100).saturating_add(half).checked_div(u128::from(whole)).unwrap_or_default();
    if share == 0 && part > 0 { "<1%".to_owned() } else { format!("{share}%") }
}

/// A length of time in words.
#[must_use]
pub fn period(seconds: i64) -> String {
    let (number, unit) = match seconds {
        604_800.. => (seconds / 604_800, "week"),
        86_400.. => (seconds / 86_400, "day"),
        3600.. => (seconds / 3600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    if number == 1 { format!("{} {unit}", if unit == "hour" { "an" } else { "a" }) } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    fn month() -> Vec<StoredEvent> {
        let row = |number: u32| {
            let hostile = number % 97 == 0;
            StoredEvent {
                time: sample::NOON - f64::from(number) * 3000.0,
                kind: if number % 3 == 0 { "authentication-failure" } else { "authentication-success" }.to_owned(),
                user: Some(if hostile { "\u{1b}[2Jmallory".to_owned() } else { format!("user{}@example.com", number % 17) }),
                ip: Some(format!("203.0.{}.7", number % 13)),
                country: Some(if number % 2 == 0 { "DE" } else { "FR" }.to_owned()),
                ..StoredEvent::default()
            }
        };
        (0..800).map(row).collect()
    }

    fn text(events: &[StoredEvent], width: usize, coloured: bool) -> String {
        let mut stats = Stats::new("example.com", Some(width), Zone::Utc, coloured);
        let before = [stats.begin(), stats.entries(events)].concat();
        assert_eq!(before, "");
        stats.end()
    }

    #[test]
    fn totals_fit_the_terminal() {
        expect![[r#"
            example.com: 800 events
            267 of them failures
            2026-10-27 18:10:00 to 2026-11-24 12:00:00 (UTC)

            TIME        EVENTS  FAILED  each row is a day
            2026-10-27       7       2  █████████▋
            2026-10-28      29      10  ████████████████████████████████████████
            2026-10-29      29      10  ████████████████████████████████████████
            2026-10-30      29       9  ████████████████████████████████████████
            2026-10-31      29      10  ████████████████████████████████████████
            2026-11-01      28       9  ██████████████████████████████████████▌
            2026-11-02      29      10  ████████████████████████████████████████
            2026-11-03      29      10  ████████████████████████████████████████
            2026-11-04      29       9  ████████████████████████████████████████
            2026-11-05      29      10  ████████████████████████████████████████
            2026-11-06      28       9  ██████████████████████████████████████▌
            2026-11-07      29      10  ████████████████████████████████████████
            2026-11-08      29      10  ████████████████████████████████████████
            2026-11-09      29       9  ████████████████████████████████████████
            2026-11-10      29      10  ████████████████████████████████████████
            2026-11-11      28       9  ██████████████████████████████████████▌
            2026-11-12      29      10  ████████████████████████████████████████
            2026-11-13      29      10  ████████████████████████████████████████
            2026-11-14      29       9  ████████████████████████████████████████
            2026-11-15      29      10  ████████████████████████████████████████
            2026-11-16      28       9  ██████████████████████████████████████▌
            2026-11-17      29      10  ████████████████████████████████████████
            2026-11-18      29      10  ████████████████████████████████████████
            2026-11-19      29       9  ████████████████████████████████████████
            2026-11-20      29      10  ████████████████████████████████████████
            2026-11-21      28       9  ██████████████████████████████████████▌
            2026-11-22      29      10  ████████████████████████████████████████
            2026-11-23      29      10  ████████████████████████████████████████
            2026-11-24      15       5  ████████████████████▋

            TYPE                    EVENTS
            authentication-success     533   67%  ████████████████████████████████████████
            authentication-failure     267   33%  ████████████████████

            USER                EVENTS
            user0@example.com       47    6%  ████████████████████████████████████████
            user10@example.com      47    6%  ████████████████████████████████████████
            user13@example.com      47    6%  ████████████████████████████████████████
            user15@example.com      47    6%  ████████████████████████████████████████
            user1@example.com       47    6%  ████████████████████████████████████████
            user3@example.com       47    6%  ████████████████████████████████████████
            user5@example.com       47    6%  ████████████████████████████████████████
            user6@example.com       47    6%  ████████████████████████████████████████
            user8@example.com       47    6%  ████████████████████████████████████████
            user11@example.com      46    6%  ███████████████████████████████████████▏
            8 others               331   41%

            NETWORK        EVENTS
            203.0.0.0/24       62    8%  ████████████████████████████████████████
            203.0.1.0/24       62    8%  ████████████████████████████████████████
            203.0.2.0/24       62    8%  ████████████████████████████████████████
            203.0.3.0/24       62    8%  ████████████████████████████████████████
            203.0.4.0/24       62    8%  ████████████████████████████████████████
            203.0.5.0/24       62    8%  ████████████████████████████████████████
            203.0.6.0/24       62    8%  ████████████████████████████████████████
            203.0.10.0/24      61    8%  ███████████████████████████████████████▎
            203.0.11.0/24      61    8%  ███████████████████████████████████████▎
            203.0.12.0/24      61    8%  ███████████████████████████████████████▎
            3 others          183   23%

            COUNTRY  EVENTS
            DE          400   50%  ████████████████████████████████████████
            FR          400   50%  ████████████████████████████████████████
        "#]]
        .assert_eq(&text(&month(), 80, false));
    }

    #[test]
    fn a_few_entries_are_a_few_lines() {
        expect![[r#"
            example.com: 21 events in 5 entries
            17 of them failures
            2026-11-24 11:00:00 to 2026-11-24 12:00:00 (UTC)

            TIME              EVENTS  FAILED  each row is 5 minutes
            2026-11-24 11:00       1          █▉
            2026-11-24 11:05       0
            2026-11-24 11:10       0
            2026-11-24 11:15       0
            2026-11-24 11:20       0
            2026-11-24 11:25       0
            2026-11-24 11:30       0
            2026-11-24 11:35       0
            2026-11-24 11:40       0
            2026-11-24 11:45       0
            2026-11-24 11:50       0
            2026-11-24 11:55      19      17  ████████████████████████████████████
            2026-11-24 12:00       1          █▉

            TYPE                    EVENTS
            authentication-failure      17   81%  ███████████████████████████████
            authentication-success       1    5%  █▊
            server-stopped               1    5%  █▊
            thing-happened               1    5%  █▊
            user-password-changed        1    5%  █▊

            USER                 EVENTS
            mallory@example.com      17   89%  ██████████████████████████████████
            juliet@example.com        2   11%  ████

            NETWORK          EVENTS
            198.51.100.0/24      17   94%  ██████████████████████████████████████
            203.0.113.0/24        1    6%  ██▏

            COUNTRY  EVENTS
            DE           18  100%  ████████████████████████████████████████
        "#]]
        .assert_eq(&text(&sample::events(), 70, false));
        assert_eq!(text(&[], 70, false), "");
    }

    #[test]
    fn colour_only_where_it_is_asked_for() {
        let plain = text(&month(), 80, false);
        let coloured = text(&month(), 80, true);
        let [red, _, end] = COLOURS;
        assert!(coloured.contains(red) && !plain.contains(red));
        assert_eq!(coloured.replace(red, "").replace(end, "").lines().count(), plain.lines().count());
    }

    #[test]
    fn too_many_names_are_said_to_be() {
        let event = |number: u32| StoredEvent { user: Some(format!("user{number}")), time: sample::NOON, ..StoredEvent::default() };
        let events: Vec<StoredEvent> = (0..10_000).chain(std::iter::repeat_n(7, 5000)).map(event).collect();
        let text = text(&events, 80, false);
        assert!(text.contains("≥ may be up to 1 more: there were too many") && text.contains("\nuser7 "), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_line_outgrows_the_terminal(events in prop::collection::vec(sample::any_event(), 1..20), width in 70usize..160) {
            let text = text(&events, width, false);
            for line in text.lines() {
                prop_assert!(line.width() <= width, "{} > {}: {}", line.width(), width, line);
                prop_assert!(!line.chars().any(steers), "{:?}", line);
            }
        }
    }
}
