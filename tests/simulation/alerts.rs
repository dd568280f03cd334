//! Alerts: what is sent in a run, and the bounds of it. The loop of the embedded Lua is `src/lua/log/alerts.lua`.

use std::path::Path;

use audit_core::alert::{ALERT, Key, Moment, RULES, Rule, Settings, Texts, Trigger, is_urgent};
use audit_core::filter::pattern::Pattern;

use crate::disk::FOLDER;
use crate::events::HOST;
use crate::world::{Crashed, Timer, World};

const AN_HOUR: f64 = 3600.0;
/// How many messages an hour may have, of urgent rules and of all others.
const MESSAGES: usize = 20;
const URGENT: usize = 60;
/// When it is looked for alerts: a second after something came up, and again as long as some are held back.
const SOON: f64 = 1.0;
const AGAIN: f64 = 30.0;
/// A rule of the operator's own that watches all events. A quarter of its window is the grain of what it counts.
const OWN: &str = "everything";
const OWN_THRESHOLD: u32 = 20;
/// Longer than the time between two starts.
const OWN_WINDOW: f64 = 6.0 * 3600.0;
/// A rule that watches alerts, and must never raise one.
const NEVER: &str = "alerts";

/// An alert that was sent.
#[derive(Debug)]
struct Raised {
    at: f64,
    rule: String,
    key: &'static str,
    names: (Option<String>, Option<String>),
}

/// What is known of alerts.
#[derive(Debug, Default)]
pub struct Raisings {
    raised: Vec<Raised>,
    /// When events were recorded or counted that may raise alerts.
    pub events: Vec<f64>,
    /// Whether what was sent may be forgotten: the file could not be written, or a power cut has taken it.
    pub is_forgotten: bool,
}

fn moment(world: &World) -> Moment {
    Moment { now: world.clock.uptime(), unix: world.clock.wall() }
}

impl World {
    /// Begins with alerts when a process starts.
    pub fn start_alerts(&mut self) {
        if !self.setup.has_readers {
            return;
        }
        let mut settings = Settings::default();
        settings.rules.extend([(OWN, "*", OWN_THRESHOLD), (NEVER, ALERT, 1)].map(|(name, types, threshold)| Rule {
            name: name.to_owned(),
            types: vec![Pattern::new(types)],
            users: Vec::new(),
            key: Key::Host,
            trigger: Trigger::Events,
            threshold,
            window: OWN_WINDOW,
            everyone: false,
        }));
        let path = Some(Path::new(FOLDER).join("audit.alerts"));
        if let Err(error) = self.process().recorder.start_alerts(HOST, settings, Texts::default(), path) {
            self.raisings.is_forgotten = true;
            self.line(error);
        }
        if let Some(alerts) = self.process().recorder.alerts() {
            alerts.learned(HOST);
        }
        self.alert_soon(SOON);
    }

    /// Something happened that may have raised alerts.
    pub fn alert_soon(&mut self, delay: f64) {
        if let Some(process) = self.process.as_mut().filter(|_| self.setup.has_readers)
            && !std::mem::replace(&mut process.is_alerting, true)
        {
            self.after(delay, Timer::Alerts);
        }
    }

    pub fn alert(&mut self) -> Result<(), Crashed> {
        self.process().is_alerting = false;
        let time = moment(self);
        let news = self.process().recorder.alert_news(HOST, time);
        self.dirty();
        if let Some(problem) = news.problem {
            self.line(problem);
            self.raisings.is_forgotten = true;
        }
        for alert in news.alerts {
            self.step()?;
            let at = self.clock.passed;
            let names = (alert.account.clone(), alert.network.clone());
            self.check_alert(&Raised { at, rule: alert.rule.clone(), key: alert.key, names: names.clone() }, alert.count);
            self.raisings.raised.push(Raised { at, rule: alert.rule.clone(), key: alert.key, names });
            self.say(ALERT, 0, |details| {
                details.open(b"alert");
                details.attribute(b"rule", alert.rule.as_bytes());
                details.attribute(b"count", alert.count.to_string().as_bytes());
                details.close();
            })?;
        }
        let has_more = self.process().recorder.alerts().is_some_and(|alerts| alerts.with_news().next().is_some());
        if has_more {
            self.alert_soon(AGAIN);
        }
        Ok(())
    }

    /// The process ends in an orderly way.
    pub fn stop_alerts(&mut self) {
        if self.setup.has_readers {
            let time = moment(self);
            if self.process().recorder.stop_alerts(HOST, time).is_some() {
                self.raisings.is_forgotten = true;
            }
        }
    }

    /// Checks an alert against those that were sent before.
    fn check_alert(&mut self, new: &Raised, count: u64) {
        let raised = &self.raisings.raised;
        let mut problem = None;
        if new.rule == NEVER {
            problem = Some("an alert has raised an alert".to_owned());
        }
        if new.rule == OWN {
            // The grain of what is counted is a part of the window.
            let from = new.at - OWN_WINDOW * 1.25 - 2.0;
            let events = self.raisings.events.iter().filter(|at| **at >= from).count() as u64;
            if count > events {
                problem = Some(format!("a rule has counted {count} events, and there were {events} besides alerts"));
            }
        }
        // The limits are kept in UNIX time, so after a step of the clock there may be more.
        if self.jumps == 0 && !self.raisings.is_forgotten {
            let window = RULES.iter().find(|rule| rule.name == new.rule).map_or(OWN_WINDOW, |rule| f64::from(rule.window));
            let is_named = matches!(new.rule.as_str(), "guessed" | "guessing" | OWN);
            let is_same = |of: &&Raised| (&of.rule, of.key, &of.names) == (&new.rule, new.key, &new.names);
            let before = raised.iter().rev().find(is_same).filter(|of| is_named && new.at - of.at < window - 2.0);
            if let Some(before) = before {
                problem = Some(format!("there were two alerts for {new:?} within {} seconds", new.at - before.at));
            }
            let lately = raised.iter().filter(|of| new.at - of.at < AN_HOUR - 2.0 && is_urgent(&of.rule) == is_urgent(&new.rule)).count();
            let most = if is_urgent(&new.rule) { URGENT } else { MESSAGES };
            if lately >= most {
                problem = Some(format!("there were {} alerts within an hour, the last is {new:?}", lately + 1));
            }
        }
        if let Some(problem) = problem {
            self.wrong(problem);
        }
    }
}
