//! What happened to the own account, for every user.

use maud::html;

use super::{Reader, foreign, page};
use crate::web::address::Address;

/// What the page shows.
#[derive(Debug)]
pub struct OwnPage<'a> {
    /// Who looks at it, which is whom it is about.
    pub reader: Reader<'a>,
    /// Titles of the columns.
    pub columns: &'a [String],
    /// The entries, each with a text for each column.
    pub rows: &'a [Vec<String>],
    /// Where the next page begins. `None` on the last one.
    pub next: Option<&'a str>,
    /// Whether this is the first page.
    pub is_first: bool,
    /// What is missing, as sentences.
    pub remarks: &'a [String],
}

/// The page.
#[must_use]
pub fn own_page(shown: &OwnPage<'_>) -> String {
    let body = html! {
        h1 { "My account activity" }
        p.hint { "What the server has recorded about " (foreign(shown.reader.account)) ", newest first. Times are in UTC." }
        @for remark in shown.remarks { p.remark role="status" { (remark) } }
        @if shown.rows.is_empty() {
            p.hint { "Nothing is recorded." }
        } @else {
            div.scrolls tabindex="0" role="region" aria-label="Activity" {
                table {
                    thead { tr { @for column in shown.columns { th scope="col" { (column) } } } }
                    tbody { @for row in shown.rows { tr { @for cell in row { td { @if !cell.is_empty() { (foreign(cell)) } } } } } }
                }
            }
        }
        nav.pages aria-label="Pages" {
            @if !shown.is_first { a href="./" { "First page" } " " }
            @if let Some(next) = shown.next { a rel="next" href={ "./" (Address::default().with(&[("after", next)]).query()) } { "Next page" } }
        }
    };
    page("My account activity", Some(&shown.reader), &body)
}
