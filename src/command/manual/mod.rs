//! The manual page and the completions of shells. They are made from the registries of flags, formats, columns and event types
//! when the library is built (`packaging/manual.rs`), so that they never differ from what the command takes.

mod completions;
mod page;

pub use completions::{bash, fish, zsh};
pub use page::page;

use super::{FLAGS, Flag};
use crate::catalogue::{ACTOR_KINDS, EVENT_TYPES};
use crate::render::columns::COLUMNS;
use crate::render::formats::FORMATS;

/// What a shell offers as the value of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    /// The flag takes no value.
    None,
    /// It takes a value that cannot be guessed.
    Free,
    /// The name of a file.
    File,
    /// One of these words.
    One(Vec<&'static str>),
    /// One or several of these words, with commas between them.
    Several(Vec<&'static str>),
}

impl Values {
    fn of(flag: &Flag) -> Self {
        match (flag.name, flag.value) {
            (_, None) => Self::None,
            (_, Some("FILE")) => Self::File,
            ("format", _) => Self::One(FORMATS.iter().map(|info| info.name).collect()),
            ("zone", _) => Self::One(vec!["local", "UTC"]),
            ("columns", _) => Self::Several(COLUMNS.iter().map(|info| info.name).collect()),
            ("type", _) => Self::Several(EVENT_TYPES.iter().map(|event| event.name).collect()),
            ("source", _) => {
                let mut modules: Vec<_> = EVENT_TYPES.iter().map(|event| event.module).collect();
                modules.sort_unstable();
                modules.dedup();
                Self::Several(modules)
            }
            ("actor", _) => Self::Several(ACTOR_KINDS.to_vec()),
            ("class", _) => Self::Several(vec!["events", "failures"]),
            _ => Self::Free,
        }
    }

    #[cfg(test)]
    fn words(&self) -> &[&'static str] {
        match self {
            Self::One(words) | Self::Several(words) => words,
            Self::None | Self::Free | Self::File => &[],
        }
    }
}

/// Every way to write a flag, without the dashes.
fn spellings() -> impl Iterator<Item = (String, &'static Flag)> {
    FLAGS.iter().flat_map(|flag| {
        let negated = flag.negatable.then(|| (format!("no-{}", flag.name), flag));
        std::iter::once((flag.name.to_owned(), flag)).chain(negated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_the_page_and_in_each_completion() {
        let page = page("1.2.3");
        for flag in FLAGS {
            let name = if flag.negatable { format!("[no-]{}", flag.name) } else { flag.name.to_owned() };
            assert!(page.contains(&format!("\\-\\-{}", name.replace('-', "\\-"))), "the manual page lacks --{name}");
        }
        for (name, _) in spellings() {
            assert!(bash().contains(&format!("--{name}")), "bash lacks --{name}");
            assert!(zsh().contains(&format!("--{name}")), "zsh lacks --{name}");
            assert!(fish().contains(&format!("-l {name} ")), "fish lacks --{name}");
        }
    }

    #[test]
    fn every_usage_line_is_in_the_page() {
        let page = page("1.2.3");
        for line in crate::command::USAGE.lines() {
            let (_, meaning) = line.rsplit_once("  ").unwrap();
            assert!(page.contains(&meaning.trim().replace('-', "\\-")), "the manual page lacks {meaning:?}");
        }
    }

    #[test]
    fn the_page_names_the_environment_that_is_read() {
        let page = page("1.2.3");
        for name in crate::command::reader::VARIABLES.iter().chain(&["PWD", "NO_COLOR", "TZ"]) {
            assert!(page.contains(&format!("\\fB{name}\\fR")), "the manual page lacks {name}");
        }
    }

    #[test]
    fn no_line_of_the_page_is_taken_for_a_request_by_accident() {
        for line in page("1.2.3").lines() {
            let request = line.strip_prefix('.').and_then(|rest| rest.split(' ').next());
            assert!(request.is_none_or(|name| ["TH", "SH", "TP", "PP", "RS", "RE", "EX", "EE", "BR"].contains(&name)), "{line}");
            assert!(!line.starts_with('\''), "{line}");
        }
    }

    #[test]
    fn what_comes_from_the_registries_cannot_break_a_shell() {
        for (_, flag) in spellings() {
            for word in Values::of(flag).words() {
                assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{word}");
            }
            assert!(!flag.meaning.contains('\n'), "{}", flag.name);
        }
    }
}
