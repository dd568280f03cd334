//! When the current account of a name begins. Another account may have had the same name before.

use super::{Filter, Request};
use crate::archive::retention::Retention;
use crate::filter::beginning::{BEGIN, ENDS};
use crate::filter::pattern::Pattern;

impl Request {
    /// A request for the newest entry that begins or ends an account of the name that this request is about.
    #[must_use]
    pub fn beginning(&self, since: Option<f64>) -> Self {
        let types = ENDS.into_iter().chain([BEGIN]).map(Pattern::exactly).collect();
        let person = self.filter.person.iter().map(|person| Pattern::exactly(person.jid()));
        let filter = Filter {
            users: self.filter.users.iter().cloned().chain(person).collect(),
            host: self.filter.host.clone(),
            types,
            since,
            global: Some(false),
            ..Filter::default()
        };
        Self { filter, limit: Some(1), ..Self::default() }
    }
}

/// The time since which the log has the beginnings of all accounts. Older entries may be about another account of the same name, as
/// the entry that would show it has expired. Returns `None` if such entries never expire.
#[must_use]
pub fn horizon(retention: &Retention, now: f64) -> Option<f64> {
    ENDS.into_iter().chain([BEGIN]).filter_map(|event_type| retention.cutoff(retention.class_of(event_type), now)).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::retention::{RetentionClass, Rules, TypePattern};
    use crate::time::period::Period;

    const NOON: f64 = 1_795_521_600.0;

    #[test]
    fn the_horizon_is_where_beginnings_of_accounts_expire() {
        let rules = |days: f64| Rules { expires_after: Period::Seconds(days * 86_400.0), ..Rules::default() };
        let class = |types: &str, days| {
            let types = TypePattern::new(types).into_iter().collect();
            RetentionClass { name: "accounts".to_owned(), types, rules: rules(days) }
        };
        let never = Rules { expires_after: Period::Never, ..Rules::default() };
        assert_eq!(horizon(&Retention::new(rules(28.0), vec![class("user-*", 7.0)]), NOON), Some(NOON - 7.0 * 86_400.0));
        assert_eq!(horizon(&Retention::new(rules(28.0), vec![class("user-*", 70.0)]), NOON), Some(NOON - 70.0 * 86_400.0));
        assert_eq!(horizon(&Retention::new(never, vec![class("user-deleted", 7.0)]), NOON), Some(NOON - 7.0 * 86_400.0));
        assert_eq!(horizon(&Retention::new(never, Vec::new()), NOON), None);
    }
}
