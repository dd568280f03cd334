//! The pages. Markup is made by a macro that escapes every text where it is put in.
//!
//! No page has a script or a style of its own: [`STYLE`] and [`SCRIPT`] are files, and the policy of every answer allows nothing
//! else. Everything but the live view, and ranges on the timeline, works without the script.

mod entry;
mod log;
mod numbers;
mod own;
mod search;
mod sign_in;

use maud::{DOCTYPE, Markup, html};

pub use entry::entry_row;
pub use log::{LogPage, Subject, log_page};
pub use own::{OwnPage, own_page};
pub use sign_in::{notice, sign_in};

use crate::render::printable::printable;

/// The style of all pages.
pub const STYLE: &str = include_str!("page.css");

/// The script of all pages.
pub const SCRIPT: &str = include_str!("page.js");

/// Who looks at a page.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The account.
    pub account: &'a str,
    /// The secret of the forms of the session.
    pub csrf: &'a str,
}

/// A whole page.
fn page(title: &str, reader: Option<&Reader<'_>>, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (printable(title)) }
                link rel="stylesheet" href="style.css";
                link rel="icon" href="icon.svg" type="image/svg+xml";
                script src="script.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    p { a href="./" { "Audit log" } }
                    @if let Some(reader) = reader {
                        form method="post" action="sign-out" {
                            span { (foreign(reader.account)) }
                            input type="hidden" name="csrf" value=(reader.csrf);
                            button type="submit" { "Sign out" }
                        }
                    }
                }
                main id="main" tabindex="-1" { (main) }
                footer { p { "prosody-audit " (env!("CARGO_PKG_VERSION")) } }
            }
        }
    };
    page.into_string()
}

/// A text from outside: in one line, without characters that can't be seen, and isolated, so that its writing direction does not
/// affect the text around it.
fn foreign(text: &str) -> Markup {
    html! { bdi { (printable(text)) } }
}

#[cfg(test)]
mod tests;
