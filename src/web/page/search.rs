//! The form of the search, made from the registry of flags, and what is searched for now.

use maud::{Markup, html};

use super::foreign;
use crate::command::flags::{Flag, Group};
use crate::web::address::{Address, fields_of};

/// The fields that are always seen. The others are behind "More".
const FIRST: &[&str] = &["since", "until", "type", "user", "ip", "text"];

/// The form.
pub(super) fn form(address: &Address) -> Markup {
    let is_first = |flag: &&Flag| FIRST.contains(&flag.name);
    let uses_more = address.filters().any(|(name, _)| !FIRST.contains(&name));
    html! {
        form.search method="get" action="./" role="search" aria-label="Search" {
            div.fields { @for flag in fields_of(Group::Filter).filter(is_first) { (field(flag, address)) } }
            details open[uses_more || !address.value("oldest-first").is_empty()] {
                summary { "More" }
                div.fields {
                    @for flag in fields_of(Group::Filter).filter(|flag| !is_first(flag)) { (field(flag, address)) }
                    @for flag in fields_of(Group::Page).filter(|flag| flag.value.is_none()) { (field(flag, address)) }
                }
            }
            p.actions { button type="submit" { "Search" } " " a href="./" { "Everything" } }
        }
    }
}

fn field(flag: &Flag, address: &Address) -> Markup {
    let (name, value) = (flag.name, address.value(flag.name));
    let hint = format!("hint-{name}");
    html! {
        div.field {
            @if flag.value.is_some() {
                label for={ "field-" (name) } { (name) }
                input id={ "field-" (name) } name=(name) value=(value) autocomplete="off" spellcheck="false" maxlength="1000" aria-describedby=(hint);
            } @else if flag.negatable {
                label for={ "field-" (name) } { "events of the whole host" }
                select id={ "field-" (name) } name=(name) {
                    option value="" selected[value.is_empty()] { "with all others" }
                    option value="only" selected[value == "only"] { "only these" }
                    option value="none" selected[value == "none"] { "none of these" }
                }
            } @else {
                label for={ "field-" (name) } { (name) }
                input.tick id={ "field-" (name) } type="checkbox" name=(name) value="yes" checked[!value.is_empty()] aria-describedby=(hint);
            }
            // The words are those of the command's help, where flags have hyphens.
            @if !flag.negatable { small id=(hint) { (flag.meaning.replace("--", "")) } }
        }
    }
}

/// What is searched for, each with a link that drops it. `about` is the field that the page is about, which can't be dropped.
pub(super) fn chips(address: &Address, path: &str, about: &str) -> Markup {
    let filters: Vec<(&str, &str)> = address.filters().filter(|(name, _)| *name != about).collect();
    html! {
        @if !filters.is_empty() {
            ul.chips aria-label="Filters" {
                @for (name, value) in filters {
                    li {
                        (name) ": " (foreign(value)) " "
                        a href={ (path) (address.with(&[(name, "")]).query()) } aria-label={ "Drop the filter " (name) } { "×" }
                    }
                }
            }
        }
    }
}
