//! Pieces of the page: lists of entries, and numbers by name.

use maud::{Markup, html};

use super::collect::{EntryLine, Groups};
use super::outside::Outside;
use crate::address::location::country::Names;
use crate::render::totals::tally::{counted, grouped};
use crate::time::zone::Zone;

/// Shows times. A time has its offset only if that is not the offset of the report.
#[derive(Clone, Debug)]
pub(super) struct Times {
    zone: Zone,
    offset: String,
}

impl Times {
    /// Times in `zone`. `newest` is the time whose offset the report names.
    pub(super) fn new(zone: Zone, newest: f64) -> Self {
        Self { zone, offset: zone.show(newest).1 }
    }

    /// The offset of the report.
    pub(super) fn offset(&self) -> &str {
        &self.offset
    }

    /// A time as text.
    pub(super) fn text(&self, time: f64) -> String {
        let (shown, offset) = self.zone.show(time);
        if offset == self.offset { shown } else { format!("{shown} {offset}") }
    }

    /// A time as an element.
    pub(super) fn element(&self, time: f64) -> Markup {
        html! { time { (self.text(time)) } }
    }
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    let half = u128::from(whole) / 2;
    let share = u128::from(part).saturating_mul(1000).saturating_add(half).checked_div(u128::from(whole)).unwrap_or_default();
    match share {
        0 if part > 0 => "<0.1%".to_owned(),
        0..100 => format!("{}.{}%", share / 10, share % 10),
        _ => format!("{}%", share.saturating_add(5) / 10),
    }
}

/// The class of what failed.
pub(super) const fn bad(failed: bool) -> Option<&'static str> {
    if failed { Some("bad") } else { None }
}

/// Entries as a list.
pub(super) fn lines<'a>(lines: impl IntoIterator<Item = &'a EntryLine>, times: &Times) -> Markup {
    html! {
        ol.lines {
            @for line in lines {
                li class=[bad(line.failed)] {
                    (times.element(line.time)) " " b { (line.kind) }
                    @if line.count > 1 { " " span { "× " (grouped(line.count)) } }
                    @if let Some(user) = &line.user { " " (user) }
                    (place(line.address.as_ref(), line.country.as_ref()))
                    @if !line.note.is_empty() { " " p { (line.note) } }
                }
            }
        }
    }
}

/// An address and its country.
pub(super) fn place(address: Option<&Outside>, country: Option<&Outside>) -> Markup {
    html! {
        @if let Some(address) = address { " " (address) }
        @if let Some(country) = country { " " (country) }
    }
}

/// A row that opens the entries behind it. If there are none, it is only a row.
pub(super) fn row(summary: &Markup, behind: &[&EntryLine], times: &Times) -> Markup {
    html! {
        @if behind.is_empty() {
            div.row { (summary) }
        } @else {
            details { summary.row { (summary) } (lines(behind.iter().copied(), times)) }
        }
    }
}

/// Numbers by name, each with its entries.
pub(super) struct Ranked<'a> {
    pub(super) caption: &'a str,
    /// The title of the column of names.
    pub(super) name: &'a str,
    pub(super) groups: &'a Groups,
    pub(super) limit: usize,
    /// Whether what a name stands for is a failure.
    pub(super) failed: fn(&str) -> bool,
    /// What people read of the names, if these are codes of countries.
    pub(super) countries: Option<&'a Names>,
    /// The text if there are no names.
    pub(super) nothing: &'a str,
}

impl Ranked<'_> {
    pub(super) fn markup(&self, times: &Times) -> Markup {
        let counts = &self.groups.counts;
        let ranking = counts.ranking(self.limit);
        let most = ranking.top.first().map_or(1, |(_, count)| *count);
        let sign = if counts.uncertainty() > 0 { "≥ " } else { "" };
        let numbers = |count: u64, sign: &str| {
            html! {
                " " span.number { (sign) (grouped(count)) span.unseen { (if count == 1 { " event, " } else { " events, " }) } }
                " " span.share { (percent(count, counts.total())) }
            }
        };
        html! {
            div {
                h3 { (self.caption) }
                @if counts.total() == 0 {
                    p.hint { (self.nothing) }
                } @else {
                    ul.ranked {
                        li.head aria-hidden="true" { span.name { (self.name) } span.number { "Events" } span.share { "Share" } }
                        @for (name, count) in &ranking.top {
                            @let failed = (self.failed)(name);
                            @let shown = self.countries.map_or(*name, |countries| countries.of(name));
                            li class=[bad(failed)] {
                                (row(
                                    &html! {
                                        span.name { (Outside::new(shown)) }
                                        (bar(*count, most, if failed { "fail" } else { "calm" }))
                                        (numbers(*count, sign))
                                    },
                                    &self.groups.behind(name).iter().collect::<Vec<_>>(),
                                    times,
                                ))
                            }
                        }
                        @if ranking.rest > 0 {
                            li.rest {
                                div.row {
                                    span.name {
                                        @if let Some(others) = ranking.others { (counted(others as u64, "other", "others")) } @else { "All others" }
                                    }
                                    (numbers(ranking.rest, ""))
                                }
                            }
                        }
                    }
                    @if counts.uncertainty() > 0 {
                        p.hint { "≥ may be up to " (grouped(counts.uncertainty())) " more: there were too many names to keep all." }
                    }
                }
            }
        }
    }
}

/// `part` of `whole` as a share of `scale`. A part above zero is at least the smallest share.
pub(super) fn scaled(part: u64, whole: u64, scale: f64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // It becomes a length in a drawing.
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * scale };
    if part > 0 { share.max(0.8) } else { 0.0 }
}

fn bar(count: u64, most: u64, class: &str) -> Markup {
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect class=(class) width=(format!("{:.1}", scaled(count, most, 100.0))) height="6" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_short() {
        for (part, whole, shown) in [(1, 3, "33%"), (1, 30, "3.3%"), (1, 100_000, "<0.1%"), (0, 3, "0.0%"), (3, 3, "100%"), (0, 0, "0.0%")]
        {
            assert_eq!(percent(part, whole), shown);
        }
    }

    #[test]
    fn a_time_with_another_offset_says_so() {
        // The offset of a fixed zone never changes, so the report's own is set by hand.
        let times = Times { zone: Zone::Utc, offset: "UTC+01:00".to_owned() };
        assert_eq!(times.text(0.0), "1970-01-01 00:00:00 UTC");
        assert_eq!(Times::new(Zone::Utc, 5.0).text(0.0), "1970-01-01 00:00:00");
    }
}
