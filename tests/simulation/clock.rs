//! Simulated time: how much has really passed, and what the clocks of the machine show.

use audit_core::archive::clock::ClockReading;

#[derive(Debug)]
pub struct Clock {
    /// How much time has passed since the beginning of the run, in seconds.
    pub passed: f64,
    /// What the clock shows minus that, and what it was at first.
    offset: f64,
    /// By how much it runs ahead in each second, and since when.
    drift: f64,
    drifts_since: f64,
    began: f64,
    /// When the machine was started.
    started: f64,
    pub boots: u32,
}

impl Clock {
    pub const fn new(began: f64) -> Self {
        Self { passed: 0.0, offset: began, drift: 0.0, drifts_since: 0.0, began, started: -50.0, boots: 1 }
    }

    /// What the clock shows, in UNIX seconds.
    pub fn wall(&self) -> f64 {
        (self.passed + self.offset + self.drifted()).max(0.0)
    }

    fn drifted(&self) -> f64 {
        (self.passed - self.drifts_since) * self.drift
    }

    /// It runs ahead, or behind, from now on.
    pub fn drift(&mut self, drift: f64) {
        self.offset += self.drifted();
        (self.drift, self.drifts_since) = (drift, self.passed);
    }

    /// Whether it shows what it would show without any jump.
    pub fn is_right(&self) -> bool {
        (self.offset - self.began).abs() < 3600.0
    }

    /// The seconds since the machine was started.
    pub fn uptime(&self) -> f64 {
        self.passed - self.started
    }

    pub fn reading(&self) -> ClockReading {
        ClockReading { wall: self.wall(), uptime: self.uptime(), boot: Some(format!("boot {}", self.boots)) }
    }

    /// Sets the clock. Returns by how much it really changed: it shows nothing before 1970.
    pub fn jump(&mut self, by: f64) -> f64 {
        let before = self.wall();
        self.offset = (self.offset + by).max(-self.passed - self.drifted());
        self.wall() - before
    }

    /// The machine is off for these seconds.
    pub fn boot(&mut self, off: f64) {
        self.passed += off;
        self.started = self.passed - 20.0;
        self.boots += 1;
    }
}
