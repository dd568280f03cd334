//! The log: the search, entries, and numbers; and the same for one account or network.

use maud::{Markup, html};

use super::entry::{account_page, entry_row, is_plain, network_page};
use super::numbers::{countries, facet, facets, timeline};
use super::search::{chips, form};
use super::{Reader, foreign, page};
use crate::entry::StoredEvent;
use crate::render::formats::FORMATS;
use crate::render::standing::Health;
use crate::render::totals::tally::grouped;
use crate::web::COUNTED;
use crate::web::address::Address;
use crate::web::view::Seen;

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The log.
    Log,
    /// An account.
    Account,
    /// A network.
    Network,
}

/// What a page shows besides what was read.
#[derive(Debug)]
pub struct LogPage<'a> {
    /// What it is about.
    pub subject: Subject,
    /// The host.
    pub host: &'a str,
    /// What was asked for.
    pub address: &'a Address,
    /// Who looks at it.
    pub reader: Reader<'a>,
    /// The state of the log.
    pub health: &'a [Health],
    /// Where the next page begins. `None` on the last one.
    pub next: Option<&'a str>,
    /// What is missing or hidden, as sentences.
    pub remarks: &'a [String],
}

impl LogPage<'_> {
    /// The path of the page, in its folder.
    const fn path(&self) -> &'static str {
        match self.subject {
            Subject::Log => "./",
            Subject::Account => "account",
            Subject::Network => "network",
        }
    }

    fn title(&self) -> String {
        match self.subject {
            Subject::Log => format!("Audit log of {}", self.host),
            Subject::Account => format!("Account {}", self.address.value("user")),
            Subject::Network => format!("Network {}", self.address.value("ip")),
        }
    }
}

/// The page.
#[must_use]
pub fn log_page(shown: &LogPage<'_>, seen: &Seen) -> String {
    let title = shown.title();
    let body = html! {
        h1 { (foreign(&title)) }
        @for remark in shown.remarks { p.remark role="status" { (remark) } }
        @match shown.subject {
            Subject::Log => { (form(shown.address)) (chips(shown.address, shown.path(), "")) }
            Subject::Account => { (chips(shown.address, shown.path(), "user")) (about_account(seen)) }
            Subject::Network => { (chips(shown.address, shown.path(), "ip")) (about_network(seen)) }
        }
        div.columns {
            div.wide {
                (timeline(seen, shown.address, shown.path()))
                (entries(shown, seen))
                (downloads(shown.address))
            }
            @if shown.subject == Subject::Log {
                aside aria-label="Numbers" {
                    p.hint { (counted(seen)) }
                    (facets(seen, shown.address, shown.path()))
                    (health(shown.health))
                }
            }
        }
    };
    page(&title, Some(&shown.reader), &body)
}

/// What the numbers are of.
fn counted(seen: &Seen) -> String {
    let totals = &seen.totals;
    let of = if totals.entries >= COUNTED as u64 {
        format!("the newest {} entries", grouped(totals.entries))
    } else {
        "all entries that fit".to_owned()
    };
    format!("{} events, {} of them failures, in {of}.", grouped(totals.events), grouped(totals.failures))
}

fn entries(shown: &LogPage<'_>, seen: &Seen) -> Markup {
    let address = shown.address;
    let is_first = address.value("after").is_empty();
    let watches =
        is_first && shown.subject == Subject::Log && address.value("oldest-first").is_empty() && address.value("until").is_empty();
    let begin = seen.first.as_ref().map(ToString::to_string).unwrap_or_default();
    html! {
        section aria-labelledby="entries" {
            h2 id="entries" { "Entries" }
            @if watches {
                // The script shows it: without it there is no live view.
                p.live hidden data-live={ "live" (address.with(&[]).query()) } data-newest=(begin) {
                    button type="button" aria-pressed="false" { "Watch live" } " " span role="status" {}
                }
            }
            @if seen.rows.is_empty() { p.hint { "Nothing in the log fits what was asked for." } }
            ol.lines data-entries { @for row in &seen.rows { (row) } }
            nav.pages aria-label="Pages" {
                @if !is_first { a href={ (shown.path()) (address.with(&[]).query()) } { "First page" } " " }
                @if let Some(next) = shown.next { a rel="next" href={ (shown.path()) (address.with(&[("after", next)]).query()) } { "Next page" } }
            }
        }
    }
}

fn downloads(address: &Address) -> Markup {
    html! {
        nav.downloads aria-label="Download" {
            h2 { "Download what fits" }
            ul {
                @for format in FORMATS {
                    li { a href={ "download" (address.with(&[("format", format.name)]).query()) } title=(format.meaning) { (format.name) } }
                }
            }
        }
    }
}

fn health(health: &[Health]) -> Markup {
    html! {
        section.health aria-labelledby="health" {
            h2 id="health" { "The log’s own health" }
            p.hint { "How far this log can be relied on." }
            ul {
                @for state in health {
                    li class=(state.standing.class()) { span aria-hidden="true" { (state.standing.mark()) } " " (foreign(&state.text)) }
                }
            }
        }
    }
}

fn list(title: &str, nothing: &str, events: &[StoredEvent]) -> Markup {
    html! {
        section {
            h2 { (title) }
            @if events.is_empty() { p.hint { (nothing) } } @else { ol.lines { @for event in events { (entry_row(event, false)) } } }
        }
    }
}

fn about_account(seen: &Seen) -> Markup {
    let totals = &seen.totals;
    let search = |field: &'static str| move |name: &str| format!("./{}", Address::default().with(&[(field, name)]).query());
    html! {
        p.hint { (counted(seen)) }
        div.facets {
            (facet("Clients", &seen.clients, &search("client")))
            (countries(totals, &search("country")))
            (facet("Networks", &totals.networks, &network_page))
            (facet("Types", &totals.types, &search("type")))
        }
        (list("Newest failures", "None in this time.", &seen.failures))
        (list("Newest privileged actions", "None in this time.", &seen.privileged))
    }
}

fn about_network(seen: &Seen) -> Markup {
    let totals = &seen.totals;
    let search = |field: &'static str| move |name: &str| format!("./{}", Address::default().with(&[(field, name)]).query());
    let account = |name: &str| if is_plain(name) { account_page(name) } else { "./".to_owned() };
    html! {
        p.hint { (counted(seen)) }
        div.facets {
            (facet("Accounts", &totals.users, &account))
            (facet("Clients", &seen.clients, &search("client")))
            (countries(totals, &search("country")))
            (facet("Types", &totals.types, &search("type")))
        }
        (list("Newest failures", "None in this time.", &seen.failures))
    }
}
