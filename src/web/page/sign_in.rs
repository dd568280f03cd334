//! Signing in, and pages that only say something.

use maud::html;

use super::{foreign, page};

/// The page of a link: its button signs in. A program that only looks at the link does not press it.
#[must_use]
pub fn sign_in(link: &str, account: &str, host: &str, is_own: bool) -> String {
    let what = if is_own { "recent activity of this account" } else { "audit log of" };
    let body = html! {
        h1 { "Sign in" }
        p { "This link signs in as " strong { (foreign(account)) } " and shows the " (what) @if !is_own { " " (foreign(host)) } ". It works once." }
        form method="post" action="sign-in" {
            input type="hidden" name="link" value=(link);
            button.main type="submit" { "Sign in" }
        }
    };
    page("Sign in to the audit log", None, &body)
}

/// A page that says something.
#[must_use]
pub fn notice(title: &str, text: &str) -> String {
    let body = html! { h1 { (title) } p { (foreign(text)) } };
    page(title, None, &body)
}
