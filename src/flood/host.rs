//! What flood control keeps for one host.

use std::collections::HashMap;

use super::budget::{Budget, Size};
use super::checkpoint::{Checkpoint, CheckpointError, SavedBudget};
use super::count::Count;
use super::lately::Lately;
use super::limits::{Burst, Repeats};
use crate::archive::retention::Retention;

/// The largest number of budgets of a host. Each class has four at most, and there are few classes.
const BUDGETS: usize = 300;

#[derive(Debug)]
pub(super) struct HostState {
    pub(super) name: String,
    pub(super) burst: Option<Burst>,
    pub(super) repeats: Repeats,
    pub(super) retention: Retention,
    pub(super) outcomes: HashMap<String, usize>,
    /// The budget for failures is the first. The others are for one cause and class each.
    pub(super) budgets: Vec<NamedBudget>,
    /// Budgets of the previous process that this one has not needed yet, and when they were saved.
    pub(super) left: Vec<(SavedBudget, f64)>,
    /// Limits how often Prosody is asked whether an account exists.
    pub(super) questions: Budget,
    /// Counts whose windows have ended.
    pub(super) closed: Vec<Count>,
    /// Counts whose summaries are being stored.
    pub(super) emitting: Vec<Count>,
    pub(super) lately: Lately,
    pub(super) changed: bool,
    /// Whether there may be a checkpoint on disk.
    pub(super) written: bool,
    /// Whether there is one of the previous process that could not be read yet.
    pub(super) unread: bool,
}

/// A budget of a host, with its name.
#[derive(Debug)]
pub(super) struct NamedBudget {
    /// Who the budget is for, and the class. Empty for failures.
    pub(super) name: String,
    pub(super) budget: Budget,
}

impl HostState {
    pub(super) fn new(name: &str, now: f64) -> Self {
        Self {
            name: name.to_owned(),
            burst: None,
            repeats: Repeats::default(),
            retention: Retention::default(),
            outcomes: HashMap::new(),
            budgets: vec![NamedBudget { name: String::new(), budget: Budget::new(Size::FAILURES, now) }],
            left: Vec::new(),
            questions: Budget::new(Size::QUESTIONS, now),
            closed: Vec::new(),
            emitting: Vec::new(),
            lately: Lately::default(),
            changed: false,
            written: false,
            unread: false,
        }
    }

    /// The numbers of its outcomes, in order. Those of all hosts are in one list, which is long if there are many hosts.
    pub(super) fn own_outcomes(&self) -> Vec<usize> {
        let mut own: Vec<usize> = self.outcomes.values().copied().collect();
        own.sort_unstable();
        own
    }

    /// Notes what came of reading the checkpoint of the previous process.
    pub(super) fn found(&mut self, found: &Result<Option<Checkpoint>, CheckpointError>) {
        self.unread = matches!(found, Err(CheckpointError::Unread { .. }));
        (self.written, self.changed) = (matches!(found, Ok(Some(_))), true);
    }

    /// Takes over a budget that the previous process saved `ago` seconds ago.
    pub(super) fn resume(&mut self, saved: SavedBudget, ago: f64, now: f64) {
        if let Some(named) = self.budgets.iter_mut().find(|named| named.name == saved.name) {
            // This process may have used some of it before the file could be read.
            let left = named.budget.tokens(now).min(Budget::resume(named.budget.size(), saved.tokens, ago, now).tokens(now));
            named.budget = Budget::resume(named.budget.size(), left, 0.0, now);
        } else if self.left.len() < BUDGETS {
            // Its size is not known before the first event that it pays for.
            self.left.push((saved, now - ago.max(0.0)));
        }
    }

    /// The index of the budget with this name. It is created if there is none.
    pub(super) fn budget(&mut self, name: &str, size: Size) -> Option<usize> {
        if let Some(index) = self.budgets.iter().position(|named| named.name == name) {
            if let Some(named) = self.budgets.get_mut(index) {
                named.budget.resize(size);
            }
            return Some(index);
        }
        if self.budgets.len() >= BUDGETS {
            return None;
        }
        let left = self.left.iter().position(|(left, _)| left.name == name).map(|at| self.left.swap_remove(at));
        let budget = left.map_or_else(|| Budget::new(size, 0.0), |(left, at)| Budget::resume(size, left.tokens, 0.0, at));
        self.budgets.push(NamedBudget { name: name.to_owned(), budget });
        Some(self.budgets.len().saturating_sub(1))
    }
}

impl NamedBudget {
    pub(super) fn save(&mut self, now: f64) -> SavedBudget {
        SavedBudget { name: self.name.clone(), tokens: self.budget.tokens(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_follows_the_limit_of_its_class() {
        let mut host = HostState::new("example.com", 0.0);
        let index = host.budget("users all", Size::of_class(4000.0, Some(1000))).unwrap();
        host.budgets[index].budget.take(150);
        assert_eq!(host.budget("users all", Size::of_class(4000.0, Some(2000))), Some(index));
        assert_eq!(host.budgets[index].budget.tokens(0.0), 250.0, "400, of which 150 are used");
    }

    #[test]
    fn the_number_of_budgets_is_bounded() {
        let mut host = HostState::new("example.com", 0.0);
        for number in 0..=BUDGETS {
            host.resume(SavedBudget { name: format!("left {number}"), tokens: 1.0 }, 0.0, 0.0);
            host.budget(&format!("new {number}"), Size::of_class(4000.0, None));
        }
        assert_eq!((host.left.len(), host.budgets.len()), (BUDGETS, BUDGETS));
    }
}
