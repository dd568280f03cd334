//! How far the log can be relied on, as the server that keeps it knows.

/// How good a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Not as it should be.
    Bad,
}

impl Standing {
    /// The standing of this name, which is that of its [class](Self::class). Any other is worth knowing.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "good" => Self::Good,
            "bad" => Self::Bad,
            _ => Self::Note,
        }
    }

    /// Its class in the style of a page.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }

    /// Its sign.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Note => "·",
            Self::Bad => "!",
        }
    }
}

/// What is known of the log itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How good it is.
    pub standing: Standing,
    /// What it is.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_named_as_its_class() {
        for standing in [Standing::Good, Standing::Note, Standing::Bad] {
            assert_eq!(Standing::named(standing.class()), standing);
        }
        assert_eq!(Standing::named("x"), Standing::Note);
    }
}
