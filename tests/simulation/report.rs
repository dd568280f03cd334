//! How much was simulated: seeds, days, events, faults by kind, and which of them met in one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::world::World;

#[derive(Debug)]
pub struct Report {
    began: Instant,
    /// When the last run ended. What it takes to make a script shorter is not counted.
    seconds: f64,
    used_before: f64,
    pub seeds: u64,
    pub days: f64,
    pub events: u64,
    pub steps: u64,
    kinds: BTreeMap<String, u64>,
    pairs: BTreeSet<(String, String)>,
}

impl Report {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            seconds: 0.0,
            used_before: cpu_seconds().unwrap_or(0.0),
            seeds: 0,
            days: 0.0,
            events: 0,
            steps: 0,
            kinds: BTreeMap::new(),
            pairs: BTreeSet::new(),
        }
    }

    pub fn add(&mut self, world: &World) {
        self.seconds = cpu_seconds().map_or_else(|| self.began.elapsed().as_secs_f64(), |seconds| seconds - self.used_before);
        self.seeds += 1;
        self.days += world.clock.passed / 86_400.0;
        self.events += world.model.reported;
        self.steps += world.steps;
        for (kind, times) in &world.kinds {
            *self.kinds.entry(kind.clone()).or_default() += times;
            for other in world.kinds.keys().filter(|other| *other > kind) {
                self.pairs.insert((kind.clone(), other.clone()));
            }
        }
    }
}

/// How many seconds of CPU this thread has used. Linux only.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.seconds;
        writeln!(
            f,
            "{} seeds, {:.0} simulated days, {} events ({:.0} a day), {} steps, in {seconds:.1} s of CPU",
            self.seeds,
            self.days,
            self.events,
            self.events as f64 / self.days,
            self.steps
        )?;
        writeln!(f, "faults injected:")?;
        for (kind, times) in &self.kinds {
            writeln!(f, "  {kind:<22} {times}")?;
        }
        let possible = self.kinds.len() * self.kinds.len().saturating_sub(1) / 2;
        write!(f, "pairs of faults that met in one run: {} of {possible}", self.pairs.len())
    }
}
