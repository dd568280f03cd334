//! The section of the report about the log itself: losses, crashes, summaries, changed options, removals, gaps.

use maud::{Markup, html};

use super::Report;
use super::collect::RecentEvents;
use super::markup::{Times, lines};
use super::outside::Outside;
use crate::render::totals::tally::counted;

/// How good a state is, and the sign for it.
#[derive(Clone, Copy)]
enum State {
    Good,
    Note,
    Warn,
    Bad,
}

impl State {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Note => "·",
            Self::Warn | Self::Bad => "!",
        }
    }
}

impl Report {
    pub(super) fn health(&self, times: &Times) -> Markup {
        let findings = self.findings();
        html! {
            section #health aria-labelledby="h-health" {
                h2 #h-health { "The log’s own health" }
                p.hint { "How far this log can be relied on, as the entries of this report tell." }
                ul.state {
                    @if self.lost.entries == 0 {
                        (state(State::Good, "Nothing was lost", "Every event of this time could be stored.", &self.lost, times))
                    } @else {
                        (state(
                            State::Bad,
                            &format!("{} lost", counted(findings.lost.count, "event", "events")),
                            "They could be stored nowhere for a while. How many they were is known, what they were is not.",
                            &self.lost,
                            times,
                        ))
                    }
                    @if self.crashes.entries == 0 {
                        (state(State::Good, "No crash", "The server was always stopped as it should be.", &self.crashes, times))
                    } @else {
                        (state(
                            State::Bad,
                            &counted(self.crashes.entries, "crash", "crashes"),
                            "The server ended without being stopped.",
                            &self.crashes,
                            times,
                        ))
                    }
                    @if self.starts.entries > 0 {
                        (state(State::Note, &counted(self.starts.entries, "start of the server", "starts of the server"), "", &self.starts, times))
                    }
                    (self.suppressed(times))
                    @if self.options.entries == 0 {
                        (state(State::Good, "The log’s options were not changed", "", &self.options, times))
                    } @else {
                        (state(
                            State::Warn,
                            &format!("{} of the log’s options", counted(self.options.entries, "change", "changes")),
                            "",
                            &self.options,
                            times,
                        ))
                    }
                    @if self.prunings.entries == 0 {
                        (state(State::Note, "Nothing was removed", "No entry had expired in this time.", &self.prunings, times))
                    } @else {
                        (state(
                            State::Note,
                            &counted(self.prunings.entries, "removal of expired entries", "removals of expired entries"),
                            "Entries are removed when they expire.",
                            &self.prunings,
                            times,
                        ))
                    }
                    (self.gaps(times))
                }
                (self.known_list())
            }
        }
    }

    /// What the server knows, in a report without entries.
    pub(super) fn known_health(&self) -> Markup {
        html! { @if !self.known.is_empty() { section #health aria-labelledby="h-health" { h2 #h-health { "The log’s own health" } (self.known_list()) } } }
    }

    fn known_list(&self) -> Markup {
        html! {
            @if !self.known.is_empty() {
                p.hint { "How far it can be relied on, as the server knew when this was made." }
                ul.state {
                    @for known in &self.known {
                        li class=(known.standing.class()) {
                            span.mark aria-hidden="true" { (known.standing.mark()) } " "
                            div { h3 { (Outside::new(&known.text)) } }
                        }
                    }
                }
            }
        }
    }

    fn suppressed(&self, times: &Times) -> Markup {
        if self.summaries.entries == 0 {
            return state(State::Good, "Nothing was suppressed", "Each event is an entry of its own.", &self.summaries, times);
        }
        let least = if self.at_least { "at least " } else { "" };
        let events = counted(self.summaries.events, "event", "events");
        let title = format!("{least}{events} in {}", counted(self.summaries.entries, "summary", "summaries"));
        let words = "The same happened too often to be stored each time. Their number is in every figure here.";
        state(State::Note, &title, words, &self.summaries, times)
    }

    fn gaps(&self, times: &Times) -> Markup {
        let longest = self.silences.longest();
        let unexplained = longest.iter().any(|silence| !silence.explained);
        let (state, title) = match (longest.is_empty(), unexplained) {
            (true, _) => (State::Good, "No gap of an hour or more"),
            (false, false) => (State::Note, "Gaps while the server did not run"),
            (false, true) => (State::Note, "The longest gaps between entries"),
        };
        html! {
            li class=(state.class()) {
                span.mark aria-hidden="true" { (state.mark()) } " "
                div {
                    h3 { (title) }
                    @if unexplained { p { "On a quiet server that is as it should be. On a busy one it is not." } }
                    @if !longest.is_empty() {
                        ol.lines {
                            @for silence in longest {
                                li {
                                    span { (times.element(silence.from)) " to " (times.element(silence.to)) } " "
                                    b { (long_period(silence.to - silence.from)) }
                                    @if silence.explained { " " span { "the server did not run" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A state, with the entries that show it.
fn state(state: State, title: &str, words: &str, recent: &RecentEvents, times: &Times) -> Markup {
    html! {
        li class=(state.class()) {
            span.mark aria-hidden="true" { (state.mark()) } " "
            div {
                @if recent.lines().is_empty() {
                    h3 { (title) }
                    @if !words.is_empty() { p { (words) } }
                } @else {
                    details {
                        summary { h3 { (title) } @if !words.is_empty() { " " p { (words) } } }
                        (lines(recent.lines(), times))
                    }
                }
            }
        }
    }
}

/// A length of time in words, rounded down to hours.
fn long_period(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // `as` saturates.
    let hours = seconds as i64 / 3600;
    let (days, hours) = (hours / 24, hours % 24);
    let words = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    match (days, hours) {
        (0, hours) => words(hours, "hour"),
        (days, 0) => words(days, "day"),
        (days, hours) => format!("{} {}", words(days, "day"), words(hours, "hour")),
    }
}
