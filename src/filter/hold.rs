//! Entries that are kept for a legal procedure: nothing removes or changes them.

use crate::filter::person::Person;

/// Whose entries are kept, and which classes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Accounts.
    pub people: Vec<Person>,
    /// Retention classes.
    pub classes: Vec<String>,
}

impl Hold {
    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && self.classes.is_empty()
    }

    /// Whether all entries of a class are kept.
    #[must_use]
    pub fn holds_class(&self, class: &str) -> bool {
        self.classes.iter().any(|held| held == class)
    }

    /// Whether an entry is kept. `log` is the host whose log has it.
    #[must_use]
    pub fn holds(&self, log: &str, class: &str, with: &str, payload: &[u8]) -> bool {
        self.holds_class(class) || self.people.iter().any(|person| person.occurrence(log, with, payload).is_any())
    }

    /// Whether an account is kept.
    #[must_use]
    pub fn holds_person(&self, person: &Person) -> bool {
        self.people.iter().any(|held| held.jid() == person.jid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::element::of_xml;

    #[test]
    fn an_entry_is_held_by_its_class_or_by_a_person_in_it() {
        let hold = Hold { people: vec![Person::new("romeo@example.com").unwrap()], classes: vec!["logins".to_owned()] };
        let payload = |xml: &str| [b"0\0".as_slice(), &of_xml(xml).unwrap()].concat();
        let holds = |class: &str, with: &str, xml: &str| hold.holds("example.com", class, with, &payload(xml));
        assert!(holds("logins", "@", "<audit-event/>") && holds("events", "romeo@example.com", "<audit-event/>"));
        assert!(holds("events", "@", "<audit-event><actor jid='romeo@example.com/x'/></audit-event>"));
        assert!(!holds("events", "juliet@example.com", "<audit-event/>"));
        assert!(Hold::default().is_empty() && !hold.is_empty() && hold.holds_class("logins") && !hold.holds_class("events"));
    }
}
