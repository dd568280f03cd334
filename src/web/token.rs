//! Tokens for programs that read a host's log. Only hashes of them are stored.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::secret;
use crate::filter::pattern::Pattern;
use crate::random::Random;

/// How a token begins, so that one that got somewhere by mistake can be recognised, and tokens of others are told apart.
pub const PREFIX: &str = "audit_";

/// How many tokens a host may have.
const MOST: usize = 100;

/// The longest name of a token.
const LONGEST_NAME: usize = 64;

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// The hash of its secret, as hexadecimal digits.
    hash: String,
    /// The event types that it shows. Empty if it shows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// When it was made, in UNIX seconds.
    pub created: f64,
    /// When it ends, in UNIX seconds. `None` if it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<f64>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The name is not allowed.
    #[error("{0:?} can't be the name of a token: it has 1 to {LONGEST_NAME} letters, digits, points, hyphens and underscores")]
    Name(String),
    /// The name is taken.
    #[error("there is a token {0} already; --revoke {0} ends it")]
    Exists(String),
    /// There is no such token.
    #[error("there is no token {0:?}")]
    Missing(String),
    /// There are too many.
    #[error("a host has at most {MOST} tokens; --revoke ends one")]
    Many,
    /// There are no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// What was stored can't be read.
    #[error("the stored list of tokens is damaged: {0}")]
    Damaged(String),
}

/// The tokens of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// Reads what [`text`](Self::text) has written.
    ///
    /// # Errors
    ///
    /// [`TokenError::Damaged`] if it is something else.
    pub fn read(text: &str) -> Result<Self, TokenError> {
        serde_json::from_str(text).map(Self).map_err(|error| TokenError::Damaged(error.to_string()))
    }

    /// The tokens as a text to be stored.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_else(|_| "[]".to_owned())
    }

    /// Makes a token that shows these types (all if there are none) until it expires, and returns its secret.
    ///
    /// # Errors
    ///
    /// [`TokenError`] if there can't be one of this name.
    pub fn add(
        &mut self,
        random: &dyn Random,
        name: &str,
        types: Vec<String>,
        expires: Option<f64>,
        now: f64,
    ) -> Result<String, TokenError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_allowed) {
            return Err(TokenError::Name(name.to_owned()));
        }
        // One that has expired makes room.
        self.0.retain(|token| token.is_open(now));
        if self.0.iter().any(|token| token.name == name) {
            return Err(TokenError::Exists(name.to_owned()));
        }
        if self.0.len() >= MOST {
            return Err(TokenError::Many);
        }
        let secret = format!("{PREFIX}{}", secret::new(random).ok_or(TokenError::Random)?);
        self.0.push(Token { name: name.to_owned(), hash: hash(&secret), types, created: now, expires });
        Ok(secret)
    }

    /// Ends a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Missing`] if there is none of this name.
    pub fn revoke(&mut self, name: &str) -> Result<(), TokenError> {
        let index = self.0.iter().position(|token| token.name == name).ok_or_else(|| TokenError::Missing(name.to_owned()))?;
        self.0.remove(index);
        Ok(())
    }

    /// The token that a program has shown, if it can be used.
    #[must_use]
    pub fn find(&self, secret: &str, now: f64) -> Option<&Token> {
        let hash = secret.starts_with(PREFIX).then(|| hash(secret))?;
        self.0.iter().find(|token| token.hash == hash && token.is_open(now))
    }

    /// All tokens, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }
}

impl Token {
    /// The event types that it shows.
    #[must_use]
    pub fn patterns(&self) -> Vec<Pattern> {
        self.types.iter().map(|kind| Pattern::new(kind)).collect()
    }

    /// Whether it has not expired.
    #[must_use]
    pub fn is_open(&self, now: f64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

fn hash(secret: &str) -> String {
    secret::hash(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    fn tokens() -> (Tokens, String) {
        let mut tokens = Tokens::default();
        let secret = tokens.add(&OsRandom, "portal", vec!["authentication-*".to_owned()], Some(100.0), 0.0).unwrap();
        (tokens, secret)
    }

    #[test]
    fn a_token_is_found_by_its_secret_until_it_expires_or_is_revoked() {
        let (mut tokens, secret) = tokens();
        assert_eq!(tokens.find(&secret, 99.0).map(|token| token.name.as_str()), Some("portal"));
        assert!(tokens.find(&secret, 100.0).is_none() && tokens.find("audit_x", 0.0).is_none() && tokens.find("", 0.0).is_none());
        tokens.revoke("portal").unwrap();
        assert!(tokens.find(&secret, 99.0).is_none());
        assert_eq!(tokens.revoke("portal"), Err(TokenError::Missing("portal".to_owned())));
    }

    #[test]
    fn what_is_stored_does_not_hold_the_secret_and_is_read_again() {
        let (tokens, secret) = tokens();
        let text = tokens.text();
        assert!(!text.contains(secret.strip_prefix(PREFIX).unwrap()) && !format!("{tokens:?}").contains(&secret));
        assert_eq!(Tokens::read(&text), Ok(tokens));
        assert!(matches!(Tokens::read("{"), Err(TokenError::Damaged(_))));
    }

    #[test]
    fn a_name_is_short_plain_and_used_once() {
        let (mut tokens, _) = tokens();
        for name in ["", "a b", "a\n", "ä", &"x".repeat(65)] {
            assert!(matches!(tokens.add(&OsRandom, name, vec![], None, 0.0), Err(TokenError::Name(_))), "{name:?}");
        }
        assert_eq!(tokens.add(&OsRandom, "portal", vec![], None, 0.0), Err(TokenError::Exists("portal".to_owned())));
        assert!(tokens.add(&OsRandom, "portal", vec![], None, 100.0).is_ok(), "the other has expired");
        for number in 1..MOST {
            tokens.add(&OsRandom, &format!("t{number}"), vec![], None, 100.0).unwrap();
        }
        assert_eq!(tokens.add(&OsRandom, "more", vec![], None, 100.0), Err(TokenError::Many));
    }
}
