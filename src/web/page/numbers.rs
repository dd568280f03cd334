//! Numbers of many entries: over time, and by name. Each of them is a link that narrows the search.

use maud::{Markup, html};

use super::entry::{is_plain, time};
use super::foreign;
use crate::address::location::country::Names;
use crate::render::totals::Totals;
use crate::render::totals::stats::period;
use crate::render::totals::tally::{Bucket, Counts, grouped};
use crate::time::rfc3339;
use crate::web::address::Address;
use crate::web::view::Seen;

/// How many bars the timeline has at most.
const BARS: usize = 60;

/// How many names a list has.
const NAMES: usize = 8;

/// The width of a bar in the drawing, and its height at most.
const WIDTH: u64 = 10;
const HEIGHT: u64 = 100;

/// Events over time. A bar leads to the entries of its time. With the script a range of bars can be chosen, too: the drawing says what
/// the address of a range begins with, and which time a bar stands for.
pub(super) fn timeline(seen: &Seen, address: &Address, path: &str) -> Markup {
    let (buckets, length) = seen.totals.timeline.buckets(BARS);
    let most = buckets.iter().map(|(_, bucket)| bucket.events).max().unwrap_or_default();
    let width = (buckets.len().max(12) as u64).saturating_mul(WIDTH);
    #[allow(clippy::cast_precision_loss)] // A time is far below 2^53.
    let mark = |at: i64| time(at as f64);
    html! {
        @if let (Some((first, _)), Some((last, _))) = (buckets.first(), buckets.last()) {
            section.timeline aria-labelledby="timeline" {
                h2 id="timeline" { "Events over time" }
                p.hint { "Each bar is " (period(length)) "; the highest has " (grouped(most)) " events. A bar leads to its entries." }
                // The script shows it: without it no range can be chosen.
                p.hint hidden {
                    "Drag over bars to see only their time. With the keyboard: Shift and an arrow key on a bar, then Enter."
                }
                svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="group" aria-label="Events over time"
                    data-range={ (path) (address.with(&[("since", ""), ("until", "")]).query()) }
                    data-begin=(first) data-length=(length) data-bars=(buckets.len()) {
                    @for (index, (begin, bucket)) in buckets.iter().enumerate().filter(|(_, (_, bucket))| bucket.events > 0) {
                        (bar(index as u64, *begin, *bucket, Scale { most, length }, address, path))
                    }
                }
                p.axis aria-hidden="true" { (mark(*first)) " " (mark(last.saturating_add(length))) }
                p.chosen role="status" {}
                p.key { span.calm { "events" } " " span.fail { "of them failures" } }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Scale {
    most: u64,
    length: i64,
}

fn bar(index: u64, begin: i64, bucket: Bucket, scale: Scale, address: &Address, path: &str) -> Markup {
    let height = |part: u64| part.saturating_mul(HEIGHT).checked_div(scale.most).unwrap_or_default().max(u64::from(part > 0));
    #[allow(clippy::cast_precision_loss)] // A time is far below 2^53.
    let at = |time: i64| rfc3339(time as f64);
    let (since, until) = (at(begin), at(begin.saturating_add(scale.length)));
    let (all, failed, x) = (height(bucket.events), height(bucket.failures), index.saturating_mul(WIDTH));
    html! {
        a href={ (path) (address.with(&[("since", &since), ("until", &until)]).query()) }
            aria-label={ (since) ": " (bucket.events) " events, " (bucket.failures) " failures" }
            data-bar=(index) data-events=(bucket.events) data-failures=(bucket.failures) {
            title { (since) ": " (grouped(bucket.events)) " events, " (grouped(bucket.failures)) " failures" }
            rect.hit x=(x) width=(WIDTH) height=(HEIGHT) {}
            rect.calm x=(x) y=(HEIGHT.saturating_sub(all)) width="8" height=(all) {}
            @if failed > 0 { rect.fail x=(x) y=(HEIGHT.saturating_sub(failed)) width="8" height=(failed) {} }
        }
    }
}

/// A list of names with their numbers. A name leads to where `way` says, if it can be the value of a filter.
pub(super) fn facet(title: &str, counts: &Counts, way: &dyn Fn(&str) -> String) -> Markup {
    list(title, counts, None, way)
}

/// The list of countries: their names, of which `way` gets the codes.
pub(super) fn countries(totals: &Totals, way: &dyn Fn(&str) -> String) -> Markup {
    list("Countries", &totals.countries, Some(&totals.country_names), way)
}

fn list(title: &str, counts: &Counts, countries: Option<&Names>, way: &dyn Fn(&str) -> String) -> Markup {
    let ranking = counts.ranking(NAMES);
    let sign = if counts.uncertainty() > 0 { "≥ " } else { "" };
    html! {
        @if counts.total() > 0 {
            section.facet {
                h2 { (title) }
                ul {
                    @for (name, count) in &ranking.top {
                        @let shown = countries.map_or(*name, |countries| countries.of(name));
                        li {
                            @if is_plain(name) { a href=(way(name)) { (foreign(shown)) } } @else { span { (foreign(shown)) } }
                            " " span.number { (sign) (grouped(*count)) }
                        }
                    }
                    @if ranking.rest > 0 { li.rest { span { "all others" } " " span.number { (grouped(ranking.rest)) } } }
                }
            }
        }
    }
}

/// All lists of names. One click narrows.
pub(super) fn facets(seen: &Seen, address: &Address, path: &str) -> Markup {
    let narrow = |field: &'static str| move |name: &str| format!("{path}{}", address.with(&[(field, name)]).query());
    let totals = &seen.totals;
    html! {
        (facet("Types", &totals.types, &narrow("type")))
        (facet("Accounts", &totals.users, &narrow("user")))
        (facet("Networks", &totals.networks, &narrow("ip")))
        (countries(totals, &narrow("country")))
        (facet("Clients", &seen.clients, &narrow("client")))
    }
}
