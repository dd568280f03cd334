//! What an operator should be told, each thing once.

use std::cell::RefCell;
use std::collections::HashMap;

/// Lines for the log of Prosody. A subject is reported again only if its cause is another one.
#[derive(Debug, Default)]
pub(super) struct Warnings(RefCell<Lines>);

#[derive(Debug, Default)]
struct Lines {
    untold: Vec<String>,
    /// The last cause by subject. Subjects are hosts and files of the configuration, so there are few.
    causes: HashMap<String, String>,
}

impl Warnings {
    /// Adds a line. For what happens once, such as a step of the configuration.
    pub(super) fn add(&self, line: String) {
        self.0.borrow_mut().untold.push(line);
    }

    /// Adds a line about `subject`, unless it was reported with the same cause.
    pub(super) fn once(&self, subject: &str, cause: &str, line: impl FnOnce() -> String) {
        let mut lines = self.0.borrow_mut();
        if lines.causes.get(subject).is_none_or(|told| told != cause) {
            lines.causes.insert(subject.to_owned(), cause.to_owned());
            lines.untold.push(line());
        }
    }

    /// Forgets that a subject was reported.
    pub(super) fn forget(&self, subject: &str) {
        self.0.borrow_mut().causes.remove(subject);
    }

    /// Whether there are lines that were not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().untold.is_empty()
    }

    /// Takes the lines.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_reported_once_for_each_cause() {
        let warnings = Warnings::default();
        for (subject, cause) in [("a", "missing"), ("a", "missing"), ("b", "missing"), ("a", "damaged"), ("a", "damaged")] {
            warnings.once(subject, cause, || format!("{subject} is {cause}"));
        }
        assert_eq!(warnings.take(), ["a is missing", "b is missing", "a is damaged"]);
        assert!(warnings.is_empty());
        warnings.forget("b");
        warnings.once("b", "missing", || "b again".to_owned());
        assert_eq!(warnings.take(), ["b again"]);
    }
}
