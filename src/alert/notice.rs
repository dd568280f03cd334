//! What the owner of an account is told of a login.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::alert::sentence::time;

/// The text without a configuration.
pub const DEFAULT_TEXT: &str = "Your account {account} was used in a way that is new for it, at {time}. Client: {client}. Country: \
    {country}. Address: {address}. If it was not you, change your password now, and tell the administrators of this server.";

/// What stands for values in a text.
pub const PLACES: &[&str] = &["account", "time", "client", "country", "address"];

/// The longest text, in bytes.
const LONGEST: usize = 2000;
/// The longest name of a client that is shown, in characters.
const CLIENT: usize = 40;
/// What programs take for a link.
const LINKS: &[&str] = &["://", "www.", "xmpp:", "mailto:", "tel:"];

/// A login that its account's owner is told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The account.
    pub account: String,
    /// The id of the session that has logged in.
    pub session: Option<String>,
    /// When it was, in UNIX seconds.
    pub at: f64,
    /// What the client calls itself.
    pub client: Option<String>,
    /// The country.
    pub country: Option<String>,
    /// The address as it is stored.
    pub address: Option<String>,
}

/// The texts of notices, by language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// By the first part of the language's tag, in lower case.
    by_language: BTreeMap<String, String>,
    /// For all other languages.
    other: Option<String>,
}

/// Why a text can't be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextError {
    /// It is too long.
    #[error("a text of at most {LONGEST} bytes")]
    Length,
    /// It has a link.
    #[error("a text without links, such as {0}")]
    Link(&'static str),
    /// It has an unknown name in braces.
    #[error("a text in which only {{account}}, {{time}}, {{client}}, {{country}} and {{address}} are in braces")]
    Place,
}

impl Texts {
    /// Sets the text of a language, or of all others. English without a text of its own is the default.
    ///
    /// # Errors
    ///
    /// [`TextError`] if the text can't be used.
    pub fn set(&mut self, language: Option<&str>, text: &str) -> Result<(), TextError> {
        check(text)?;
        match language {
            Some(language) => {
                self.by_language.insert(primary(language), text.to_owned());
            }
            None => self.other = Some(text.to_owned()),
        }
        Ok(())
    }

    /// The notice in words, in the language of this tag, such as `de-AT`.
    #[must_use]
    pub fn fill(&self, language: Option<&str>, notice: &Notice) -> String {
        let text = language.and_then(|language| self.by_language.get(&primary(language)));
        let text = text.or(self.other.as_ref()).or_else(|| self.by_language.get("en")).map_or(DEFAULT_TEXT, String::as_str);
        let value = |name: &str| match name {
            "account" => harmless(&notice.account, "@.", usize::MAX),
            "time" => time(notice.at),
            "client" => notice.client.as_deref().map_or_else(unknown, |client| harmless(client, "", CLIENT)),
            "country" => notice.country.as_deref().map_or_else(unknown, |country| harmless(country, "", CLIENT)),
            "address" => notice.address.as_deref().map_or_else(unknown, |address| harmless(address, ".:/", CLIENT)),
            _ => String::new(),
        };
        let mut filled = String::new();
        for (number, part) in text.split('{').enumerate() {
            match part.split_once('}').filter(|_| number > 0) {
                Some((name, rest)) => filled.extend([value(name).as_str(), rest]),
                None => filled.push_str(part),
            }
        }
        filled
    }
}

fn unknown() -> String {
    "?".to_owned()
}

/// A text from outside in which no program sees a link: only letters, digits, some signs and spaces.
fn harmless(text: &str, signs: &str, most: usize) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ') || signs.contains(*c);
    let kept: String = text.chars().filter(is_kept).take(most).collect();
    if kept.is_empty() { unknown() } else { kept }
}

fn check(text: &str) -> Result<(), TextError> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(TextError::Length);
    }
    let lower = text.to_lowercase();
    if let Some(link) = LINKS.iter().find(|link| lower.contains(**link)) {
        return Err(TextError::Link(link));
    }
    let mut parts = text.split('{');
    let is_right = !parts.next().unwrap_or_default().contains('}')
        && parts.all(|part| part.split_once('}').is_some_and(|(name, rest)| PLACES.contains(&name) && !rest.contains('}')));
    if is_right { Ok(()) } else { Err(TextError::Place) }
}

/// The language of a tag, without its region.
fn primary(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notice() -> Notice {
        Notice {
            account: "romeo@example.com".to_owned(),
            session: Some("c2s5".to_owned()),
            at: 1_795_521_600.0,
            client: Some("phone-1".to_owned()),
            country: Some("Germany".to_owned()),
            address: Some("203.0.113.0/24".to_owned()),
        }
    }

    #[test]
    fn the_text_has_what_is_known_of_the_login() {
        let text = Texts::default().fill(None, &notice());
        assert!(text.contains("romeo@example.com") && text.contains("at 2026-11-24 12:00:00 UTC. Client: phone-1. Country: Germany."));
        let bare = Notice { client: None, country: None, address: None, ..notice() };
        assert!(Texts::default().fill(None, &bare).contains("Client: ?. Country: ?. Address: ?."));
    }

    #[test]
    fn the_text_is_that_of_the_language() {
        let mut texts = Texts::default();
        texts.set(Some("de"), "Neuer Zugriff um {time}").unwrap();
        texts.set(Some("EN"), "New login at {time}").unwrap();
        for (language, begin) in [(Some("de-AT"), "Neuer"), (Some("DE"), "Neuer"), (Some("fr"), "New"), (None, "New"), (Some(""), "New")] {
            assert!(texts.fill(language, &notice()).starts_with(begin), "{language:?}");
        }
        texts.set(None, "Bonjour").unwrap();
        assert_eq!(texts.fill(Some("fr"), &notice()), "Bonjour");
    }

    #[test]
    fn a_text_with_links_or_unknown_names_is_refused() {
        for (text, error) in [
            ("", TextError::Length),
            ("see https://example.com", TextError::Link("://")),
            ("see WWW.example.com", TextError::Link("www.")),
            ("at {tiem}", TextError::Place),
            ("at {time", TextError::Place),
            ("at time}", TextError::Place),
            ("{time} }", TextError::Place),
        ] {
            assert_eq!(Texts::default().set(None, text), Err(error), "{text}");
        }
        assert_eq!(Texts::default().set(None, &"a".repeat(2001)), Err(TextError::Length));
    }

    proptest! {
        #[test]
        fn no_value_is_a_link(client in "\\PC{0,60}", country in "\\PC{0,60}") {
            let text = Texts::default().fill(None, &Notice { client: Some(client), country: Some(country), ..notice() });
            prop_assert!(LINKS.iter().all(|link| !text.contains(link)), "{}", text);
            // The dots are those of the text, the account and the address.
            prop_assert_eq!(text.matches('.').count(), Texts::default().fill(None, &notice()).matches('.').count());
        }
    }
}
