//! What is kept of one host.

use std::collections::HashMap;

use super::budget::{Budget, Size};
use super::checkpoint::Purse;
use super::count::Count;
use super::lately::Lately;
use super::limits::{Burst, Repeats};
use crate::archive::retention::Retention;

/// How many budgets a host may have: three for each class, and there are few classes.
const PURSES: usize = 300;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) burst: Option<Burst>,
    pub(super) repeats: Repeats,
    pub(super) retention: Retention,
    pub(super) outcomes: HashMap<String, usize>,
    /// That of failures first; then those of causes and classes.
    pub(super) budgets: Vec<Spending>,
    /// What another process has left of budgets that were not needed yet, and when that was.
    pub(super) left: Vec<(Purse, f64)>,
    /// How often it may be asked whether there is an account.
    pub(super) questions: Budget,
    /// Counts whose windows are over.
    pub(super) closed: Vec<Count>,
    /// Counts whose summaries are being stored.
    pub(super) emitting: Vec<Count>,
    pub(super) lately: Lately,
    pub(super) changed: bool,
    /// Whether there may be a checkpoint on disk.
    pub(super) written: bool,
}

/// A budget of a host.
#[derive(Debug)]
pub(super) struct Spending {
    /// Who has it, and for which class; nothing for that of failures.
    pub(super) purse: String,
    pub(super) budget: Budget,
}

impl Host {
    pub(super) fn new(name: &str, now: f64) -> Self {
        Self {
            name: name.to_owned(),
            burst: None,
            repeats: Repeats::default(),
            retention: Retention::default(),
            outcomes: HashMap::new(),
            budgets: vec![Spending { purse: String::new(), budget: Budget::new(Size::FAILURES, now) }],
            left: Vec::new(),
            questions: Budget::new(Size::QUESTIONS, now),
            closed: Vec::new(),
            emitting: Vec::new(),
            lately: Lately::default(),
            changed: false,
            written: false,
        }
    }

    /// Takes over what another process had left of a budget, `ago` seconds before.
    pub(super) fn resume(&mut self, purse: String, tokens: f64, ago: f64, now: f64) {
        if let Some(spending) = self.budgets.iter_mut().find(|spending| spending.purse == purse) {
            spending.budget = Budget::resume(spending.budget.size(), tokens, ago, now);
        } else if self.left.len() < PURSES {
            // Its size is known when the first event comes that is paid for with it.
            self.left.push((Purse { purse, tokens }, now - ago.max(0.0)));
        }
    }

    /// The budget that a purse names, which is made where there is none.
    pub(super) fn budget(&mut self, purse: &str, size: Size) -> Option<usize> {
        if let Some(index) = self.budgets.iter().position(|spending| spending.purse == purse) {
            if let Some(spending) = self.budgets.get_mut(index).filter(|spending| spending.budget.size() != size) {
                spending.budget.resize(size);
            }
            return Some(index);
        }
        if self.budgets.len() >= PURSES {
            return None;
        }
        let left = self.left.iter().position(|(left, _)| left.purse == purse).map(|at| self.left.swap_remove(at));
        let budget = left.map_or_else(|| Budget::new(size, 0.0), |(left, at)| Budget::resume(size, left.tokens, 0.0, at));
        self.budgets.push(Spending { purse: purse.to_owned(), budget });
        Some(self.budgets.len().saturating_sub(1))
    }
}

impl Spending {
    pub(super) fn written(&mut self, now: f64) -> Purse {
        Purse { purse: self.purse.clone(), tokens: self.budget.tokens(now) }
    }
}
