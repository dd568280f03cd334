//! The section of the report about the log itself: losses, crashes, summaries, changed options, removals, gaps.

use std::fmt::Write as _;

use super::Report;
use super::collect::RecentEvents;
use super::markup::{counted, push_behind};

impl Report {
    pub(super) fn push_health(&self, page: &mut String) {
        page.push_str("<section id=\"health\"><h2>The log’s own health</h2><p class=\"hint\">How far this log can be relied on, as the entries of this report tell.</p>\n<dl class=\"state\">\n");
        let none = |recent: &RecentEvents| recent.entries == 0;
        let state = |page: &mut String, class: &str, title: String, words: &str, recent: &RecentEvents| {
            let mark = match class {
                "good" => "✓",
                "note" => "·",
                _ => "!",
            };
            let _ = write!(page, "<div class=\"{class}\"><dt>{title}</dt><dd>{words}");
            push_behind(page, recent.lines().iter(), self.zone);
            let _ = writeln!(page, "</dd><dd class=\"mark\" aria-hidden=\"true\">{mark}</dd></div>");
        };
        let events = |number| counted(number, "event", "events");
        if none(&self.lost) {
            state(page, "good", "Nothing was lost".to_owned(), "Every event of this time could be stored.", &self.lost);
        } else {
            let words = "They could be stored nowhere for a while; how many is known, what they were is not.";
            state(page, "bad", format!("{} lost", events(self.lost_events)), words, &self.lost);
        }
        if none(&self.crashes) {
            state(page, "good", "No crash".to_owned(), "The server was always stopped as it should be.", &self.crashes);
        } else {
            state(page, "bad", counted(self.crashes.entries, "crash", "crashes"), "The server ended without being stopped.", &self.crashes);
        }
        if none(&self.summaries) {
            state(page, "good", "Nothing was suppressed".to_owned(), "Each event is an entry of its own.", &self.summaries);
        } else {
            let least = if self.at_least { "at least " } else { "" };
            let title = format!("{least}{} in {}", events(self.summaries.events), counted(self.summaries.entries, "summary", "summaries"));
            state(
                page,
                "warn",
                title,
                "The same happened too often to be stored each time. Their number is in every figure here.",
                &self.summaries,
            );
        }
        if none(&self.options) {
            state(page, "good", "The log’s options were not changed".to_owned(), "", &self.options);
        } else {
            let title = format!("{} of the log’s options", counted(self.options.entries, "change", "changes"));
            state(page, "warn", title, "", &self.options);
        }
        if none(&self.prunings) {
            state(page, "note", "Nothing was removed".to_owned(), "No entry had expired in this time.", &self.prunings);
        } else {
            let title = counted(self.prunings.entries, "removal of expired entries", "removals of expired entries");
            state(page, "note", title, "Entries are removed when they expire.", &self.prunings);
        }
        self.push_silences(page);
        page.push_str("</dl></section>\n");
    }

    fn push_silences(&self, page: &mut String) {
        let longest = self.silences.longest();
        let unexplained = longest.iter().any(|silence| !silence.explained);
        let (class, title) = match (longest.is_empty(), unexplained) {
            (true, _) => ("good", "No gap of an hour or more"),
            (false, false) => ("note", "Gaps while the server did not run"),
            (false, true) => ("note", "The longest gaps between entries"),
        };
        let mark = if class == "good" { "✓" } else { "·" };
        let _ = write!(page, "<div class=\"{class}\"><dt>{title}</dt><dd>");
        if unexplained {
            page.push_str("On a quiet server that is as it should be; on a busy one it is not.");
        }
        if !longest.is_empty() {
            page.push_str("<ol class=\"lines\">\n");
        }
        for silence in longest {
            #[allow(clippy::cast_possible_truncation)] // `as` saturates.
            let (length, hours) =
                ((silence.to - silence.from) as i64, if silence.explained { " <span>the server did not run</span>" } else { "" });
            let _ = writeln!(
                page,
                "<li><time>{}</time> <span>to</span> <time>{}</time> <b>{}</b>{hours}</li>",
                self.zone.show(silence.from).0,
                self.zone.show(silence.to).0,
                long_period(length)
            );
        }
        if !longest.is_empty() {
            page.push_str("</ol>");
        }
        let _ = writeln!(page, "</dd><dd class=\"mark\" aria-hidden=\"true\">{mark}</dd></div>");
    }
}

/// A length of time in words, rounded down to hours.
fn long_period(seconds: i64) -> String {
    let hours = seconds / 3600;
    let (days, hours) = (hours / 24, hours % 24);
    let words = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match (days, hours) {
        (0, hours) => words(hours, "hour"),
        (days, 0) => words(days, "day"),
        (days, hours) => format!("{} {}", words(days, "day"), words(hours, "hour")),
    }
}
