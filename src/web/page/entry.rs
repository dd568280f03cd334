//! An entry in a list: one line, which opens to everything that was recorded.

use maud::{Markup, html};

use super::foreign;
use crate::address::location::country;
use crate::entry::StoredEvent;
use crate::render::fields::{FIELDS, FieldValue, details};
use crate::render::note::note;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::network;
use crate::render::totals::tally::grouped;
use crate::time::rfc3339;
use crate::time::zone::Zone;
use crate::web::address::Address;

/// Fields that are the same in every entry of a page.
const LEFT_OUT: &[&str] = &["schema", "host"];

/// An entry as an item of a list, opened or not.
#[must_use]
pub fn entry_row(event: &StoredEvent, is_open: bool) -> Markup {
    let is_bad = meaning(&event.kind).outcome == Outcome::Failure;
    let note = note(event);
    html! {
        li class=(if is_bad { "bad" } else { "calm" }) {
            details open[is_open] {
                summary {
                    (time(event.time))
                    " " b { (foreign(&event.kind)) }
                    @if is_bad { span.unseen { " (failure)" } }
                    @if event.count() > 1 { " " span { "× " (grouped(event.count())) } }
                    @for part in [event.user.as_deref(), event.ip.as_deref(), country::of(event)].into_iter().flatten() { " " span { (foreign(part)) } }
                    @if !note.is_empty() { " " span.note { (foreign(&note)) } }
                }
                dl {
                    @for (name, value) in values(event) { div { dt { (foreign(&name)) } dd { (foreign(&value)) } } }
                }
                (ways(event))
            }
        }
    }
}

/// A time, which the script shows in the zone of the reader.
pub(super) fn time(time: f64) -> Markup {
    let (shown, _) = Zone::Utc.show(time);
    html! { time datetime=(rfc3339(time)) title={ (shown) " UTC" } { (shown) } }
}

/// Everything that an entry has.
fn values(event: &StoredEvent) -> Vec<(String, String)> {
    let fields = FIELDS.iter().filter(|field| !LEFT_OUT.contains(&field.name)).filter_map(|field| {
        let value = match (field.of)(event, "")? {
            FieldValue::Text(text) => text.into_owned(),
            FieldValue::Count(count) => count.to_string(),
            FieldValue::Flag(flag) => flag.to_string(),
        };
        // The code is what a search takes.
        let name = country::of(event).filter(|name| field.name == "country" && *name != value);
        Some((field.name.to_owned(), name.map_or_else(|| value.clone(), |name| format!("{name} ({value})"))))
    });
    fields.chain(details(event).into_iter().map(|(name, value)| (name, value.to_owned()))).collect()
}

/// Links to the pages of what an entry names.
fn ways(event: &StoredEvent) -> Markup {
    let account = event.user.as_deref().filter(|user| is_plain(user));
    let network = network(event).filter(|network| is_plain(network));
    html! {
        p.ways {
            @if let Some(account) = account { a href=(account_page(account)) { "Account " (foreign(account)) } " " }
            @if let Some(network) = network { a href=(network_page(&network)) { "Network " (foreign(&network)) } " " }
            @if is_plain(&event.kind) { a href={ "./" (Address::default().with(&[("type", &event.kind)]).query()) } { "All " (foreign(&event.kind)) } }
        }
    }
}

/// The page of an account.
pub(super) fn account_page(account: &str) -> String {
    format!("account{}", Address::default().with(&[("user", account)]).query())
}

/// The page of a network.
pub(super) fn network_page(network: &str) -> String {
    format!("network{}", Address::default().with(&[("ip", network)]).query())
}

/// Whether a name can be the value of a filter: a filter is a list of patterns.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('!') && !name.contains([',', '*', ' ', '\n', '\t'])
}
