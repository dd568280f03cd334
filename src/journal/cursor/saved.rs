//! The position of a cursor on disk: one line of text.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// The first word of the line.
const FORM: &str = "1";
/// What the last word begins with if it is [`Saved::upto`].
const UPTO: &str = "upto:";

/// A position on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Entries with this id and lower ones were read.
    pub(super) above: u128,
    /// No other entry was recorded before this time, in UNIX seconds.
    pub(super) low: f64,
    /// How many entries were not read, as far as known.
    pub(super) behind: u64,
    /// Within a search: the second and the id of the last entry, and a time before which nothing was recorded since it began.
    pub(super) search: Option<(f64, u128, f64)>,
    /// No entry with a higher id is among those `behind`. Earlier releases did not save it.
    pub(super) upto: Option<u128>,
}

/// A text that is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not the position of a reader")]
pub struct SavedError;

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {} {} {}", Uuid::from_u128(self.above), self.low, self.behind)?;
        if let Some((when, id, low)) = self.search {
            write!(f, " {when} {} {low}", Uuid::from_u128(id))?;
        }
        match self.upto {
            Some(id) => write!(f, " {UPTO}{}", Uuid::from_u128(id)),
            None => Ok(()),
        }
    }
}

impl FromStr for Saved {
    type Err = SavedError;

    fn from_str(text: &str) -> Result<Self, SavedError> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let id = |word: &str| Uuid::try_parse(word).map(|id| id.as_u128()).map_err(|_| SavedError);
        let time = |word: &str| word.parse().ok().filter(|time: &f64| time.is_finite()).ok_or(SavedError);
        let upto = words.last().and_then(|word| word.strip_prefix(UPTO)).map(id).transpose()?;
        if upto.is_some() {
            words.pop();
        }
        let (form, above, low, behind, search) = match words.as_slice() {
            [form, above, low, behind] => (form, above, low, behind, None),
            [form, above, low, behind, when, last, next] => (form, above, low, behind, Some((time(when)?, id(last)?, time(next)?))),
            _ => return Err(SavedError),
        };
        if *form != FORM {
            return Err(SavedError);
        }
        Ok(Self { above: id(above)?, low: time(low)?, behind: behind.parse().map_err(|_| SavedError)?, search, upto })
    }
}
