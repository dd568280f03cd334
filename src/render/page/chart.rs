//! The chart of events over time, with crashes, starts of the server and gaps.

use chrono::DateTime;
use maud::{Markup, html};

use super::collect::{Marks, Silence};
use super::markup::scaled;
use crate::render::totals::clock;
use crate::render::totals::tally::{Bucket, counted, grouped};
use crate::time::zone::Zone;

/// The fewest bars that have the whole width: a few bars would be too wide.
const WIDTH: usize = 12;

/// The narrowest gap that can be seen, in hundredths of the width.
const NARROWEST: f64 = 0.4;

/// How far texts below the chart are from each other at least, in hundredths of the width.
const LABEL: f64 = 20.0;

/// The signs of a crash and of a start of the server, around their middle.
const CRASH: &str = "M-4-4L4 4M4-4L-4 4";
const START: &str = "M-4 4L0-3L4 4Z";

/// What the chart shows.
pub(super) struct Chart<'a> {
    /// When each bar begins, in local time of the zone, and what happened in it.
    pub(super) buckets: &'a [(i64, Bucket)],
    /// The length of a bar, in seconds.
    pub(super) length: i64,
    pub(super) zone: Zone,
    pub(super) crashes: &'a Marks,
    pub(super) starts: &'a Marks,
    pub(super) gaps: &'a [Silence],
}

impl Chart<'_> {
    /// The time of a bar, for its row in the table.
    pub(super) fn label(&self, begin: i64) -> String {
        shown(begin, if self.length < 86_400 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" })
    }

    /// The same, shorter.
    fn mark(&self, begin: i64) -> String {
        shown(begin, if self.length < 86_400 { "%-d %b %H:%M" } else { "%-d %b %Y" })
    }

    /// The chart. A bar with events links to the row `t<number>`.
    pub(super) fn markup(&self) -> Markup {
        let most = self.buckets.iter().map(|(_, bucket)| bucket.events).max().unwrap_or_default();
        let width = 100.0 / as_f64(self.buckets.len().max(WIDTH));
        let x = |index: usize| as_f64(index) * width;
        let peak = self.buckets.iter().position(|(_, bucket)| bucket.events == most);
        html! {
            figure.chart {
                figcaption.unseen { "A chart of events over time. The table below it has the same numbers." }
                svg aria-hidden="true" {
                    svg.plot y="24" width="100%" height="150" {
                        @for y in ["0", "50%", "100%"] { line x2="100%" y1=(y) y2=(y) {} }
                        @for gap in self.gaps { (self.gap(gap)) }
                        @for (index, (begin, bucket)) in self.buckets.iter().enumerate().filter(|(_, (_, bucket))| bucket.events > 0) {
                            @let (all, failed) = (scaled(bucket.events, most, 100.0), scaled(bucket.failures, most, 100.0));
                            a href=(format!("#t{index}")) tabindex="-1" {
                                title { (self.label(*begin)) ": " (counted(bucket.events, "event", "events")) ", " (counted(bucket.failures, "failure", "failures")) }
                                rect.hit x=(percent(x(index))) width=(percent(width)) height="100%" {}
                                (bar("calm", x(index), width, all))
                                @if failed > 0.0 { (bar("fail", x(index), width, failed)) }
                            }
                        }
                    }
                    @if let Some(index) = peak { (self.text("peak", 16, index, width, &format!("{} on ", grouped(most)))) }
                    @for time in self.starts.times() { (self.sign(*time, "start", START, "server started")) }
                    @for time in self.crashes.times() { (self.sign(*time, "crash", CRASH, "server crashed")) }
                    @for (number, index) in self.axis(width).into_iter().enumerate() {
                        (self.text(if number % 2 == 1 { "between" } else { "axis" }, 207, index, width, ""))
                    }
                }
            }
            (self.key())
        }
    }

    /// A text with the time of a bar, at its place.
    fn text(&self, class: &str, y: u32, index: usize, width: f64, words: &str) -> Markup {
        let begin = self.buckets.get(index).map_or(0, |(begin, _)| *begin);
        let left = as_f64(index) * width;
        let middle = left + width / 2.0;
        // A text does not go beyond the edges.
        let (anchor, x) = if middle < 12.0 {
            ("start", left)
        } else if middle > 88.0 {
            ("end", left + width)
        } else {
            ("middle", middle)
        };
        html! { text class=(class) x=(percent(x)) y=(y) text-anchor=(anchor) { (words) (self.mark(begin)) } }
    }

    /// A period without entries.
    fn gap(&self, gap: &Silence) -> Markup {
        let (Some(from), Some(to)) = (self.place(gap.from), self.place(gap.to)) else { return html! {} };
        html! { rect.gap x=(percent(from)) width=(percent((to - from).max(NARROWEST))) height="100%" { title { "no entries" } } }
    }

    /// A sign below the bars.
    fn sign(&self, time: f64, class: &str, path: &str, what: &str) -> Markup {
        let Some(x) = self.place(time) else { return html! {} };
        html! {
            svg class=(class) x=(percent(x)) y="182" width="1" height="1" {
                title { (self.zone.show(time).0) ": " (what) }
                path d=(path) {}
            }
        }
    }

    /// Where a time is, in hundredths of the width.
    fn place(&self, time: f64) -> Option<f64> {
        let (first, _) = self.buckets.first()?;
        let seconds = clock(time, self.zone).saturating_sub(*first);
        let whole = as_f64(self.buckets.len().max(WIDTH)) * seconds_of(self.length);
        Some((seconds_of(seconds) / whole * 100.0).clamp(0.0, 100.0))
    }

    /// The bars that are named below the chart: not too near to each other.
    fn axis(&self, width: f64) -> Vec<usize> {
        let last = self.buckets.len().saturating_sub(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is between 1 and 4.
        let steps = (as_f64(last) * width / LABEL).clamp(1.0, 4.0) as usize;
        let mut named: Vec<usize> = (0..=steps).map(|number| number.saturating_mul(last).checked_div(steps).unwrap_or_default()).collect();
        named.dedup();
        if as_f64(last) * width < LABEL {
            named.truncate(1);
        }
        named
    }

    fn key(&self) -> Markup {
        let square = |class: &str| html! { svg viewBox="0 0 10 10" aria-hidden="true" { rect class=(class) width="10" height="10" {} } };
        let sign = |class: &str, path: &str| html! { svg class=(class) viewBox="-5 -5 10 10" aria-hidden="true" { path d=(path) {} } };
        let marked = |marks: &Marks, one: &str, many: &str| {
            let shown = marks.times().len() as u64;
            html! { (counted(marks.count, one, many)) @if marks.count > shown { ", the newest " (shown) " are marked" } }
        };
        html! {
            ul.key {
                li { (square("calm")) "events" }
                li { (square("fail")) "of them failures" }
                @if self.crashes.count > 0 { li { (sign("crash", CRASH)) (marked(self.crashes, "crash", "crashes")) } }
                @if self.starts.count > 0 { li { (sign("start", START)) (marked(self.starts, "start of the server", "starts of the server")) } }
                @if !self.gaps.is_empty() { li { (square("gap")) "no entries for an hour or more" } }
            }
        }
    }
}

fn shown(begin: i64, format: &str) -> String {
    DateTime::from_timestamp(begin, 0).map_or_else(String::new, |time| time.format(format).to_string())
}

fn bar(class: &str, x: f64, width: f64, height: f64) -> Markup {
    html! { rect class=(class) x=(percent(x + width * 0.08)) y=(percent(100.0 - height)) width=(percent(width * 0.84)) height=(percent(height)) {} }
}

fn percent(number: f64) -> String {
    format!("{number:.2}%")
}

#[allow(clippy::cast_precision_loss)] // It becomes a place in a drawing.
const fn as_f64(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss)]
const fn seconds_of(number: i64) -> f64 {
    number as f64
}
