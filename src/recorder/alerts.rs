//! Alerts about what is recorded: what they are told of an event, and what may be shown of addresses in them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::Recorder;
use super::addresses::described;
use crate::address;
use crate::alert::{ALERT, Alert, Alerts, Coordinates, HistoryError, Moment, Notice, Origin, SUCCESS, Settings, Texts, What};
use crate::flood::{AddressPart, FloodEvent, Verdict};
use crate::time::period::Period;
use crate::time::rfc3339;

/// The alerts of a server. They are made when the first host has alerts.
#[derive(Debug)]
pub(super) struct OfServer {
    pub(super) alerts: Alerts,
    /// For each outcome of flood control the number by which alerts count it.
    watches: Vec<Option<usize>>,
    /// What users are told, by host.
    texts: HashMap<String, Texts>,
}

/// An alert, as it is sent and recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownAlert {
    /// The name of the rule.
    pub rule: String,
    /// What was counted together.
    pub key: &'static str,
    /// The account that it is about.
    pub account: Option<String>,
    /// Where it came from, as far as that may be stored.
    pub network: Option<String>,
    /// The number of events or accounts.
    pub count: u64,
    /// Since when (XEP-0082).
    pub since: String,
    /// The alert in words.
    pub text: String,
    /// If it is about the whole server, so that it comes up on each host: what it is about.
    pub once: Option<String>,
    /// The sink that it is about, which does not get it.
    pub sink: Option<String>,
}

/// What has come up on a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// The alerts to send and to record.
    pub alerts: Vec<ShownAlert>,
    /// What users are told.
    pub notices: Vec<Notice>,
    /// Why what is known of accounts could not be written down.
    pub problem: Option<String>,
}

impl Recorder {
    /// Begins with alerts on a host, or changes their settings. What accounts are known for is in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] if the file can't be used. Everything else works.
    pub fn start_alerts(&mut self, host: &str, settings: Settings, texts: Texts, path: Option<PathBuf>) -> Result<(), HistoryError> {
        let retention = &self.settings(host).retention;
        let keeps = match retention.rules(retention.class_of(SUCCESS)).expires_after {
            Period::Never => f64::INFINITY,
            Period::Seconds(seconds) => seconds,
        };
        let Self { alerts, files, random, .. } = self;
        let new = || OfServer { alerts: Alerts::new(Rc::clone(files), &**random), watches: Vec::new(), texts: HashMap::new() };
        let of_server = alerts.get_or_insert_with(new);
        of_server.texts.insert(host.to_owned(), texts);
        let result = of_server.alerts.configure(host, settings, path, keeps);
        self.host(host).cache.forget_kinds();
        result
    }

    /// Ends the alerts of a host. Returns why what is known of accounts could not be written down.
    pub fn stop_alerts(&mut self, host: &str, time: Moment) -> Option<String> {
        let problem = self.alerts.as_mut().and_then(|of_server| of_server.alerts.close(host, time).err());
        if let Some(known) = self.hosts.get_mut(host) {
            known.cache.forget_kinds();
        }
        problem.map(|problem| problem.to_string())
    }

    /// The alerts of all hosts, if one of them has alerts.
    pub fn alerts(&mut self) -> Option<&mut Alerts> {
        self.alerts.as_mut().map(|of_server| &mut of_server.alerts)
    }

    /// How flood control knows an event type, see [`Control::outcome`](crate::flood::Control::outcome). If alerts count its attempts,
    /// flood control is asked in any case.
    pub fn outcome(&mut self, host: &str, kind: &str, source: &str, now: f64) -> Option<usize> {
        let Self { alerts, flood, .. } = self;
        let Some(OfServer { alerts, watches, .. }) = alerts else { return flood.outcome(host, kind, source, now) };
        let watch = alerts.watch(host, kind);
        let outcome = if watch.is_some() { flood.watched_outcome(host, kind, source, now) } else { flood.outcome(host, kind, source, now) };
        if let Some(outcome) = outcome {
            if watches.len() <= outcome {
                watches.resize(outcome.saturating_add(1), None);
            }
            if let Some(place) = watches.get_mut(outcome) {
                *place = watch;
            }
        }
        outcome
    }

    /// Asks flood control whether an event is stored, after alerts have counted it.
    pub fn ask(&mut self, outcome: usize, event: &FloodEvent<'_>, now: f64) -> Verdict {
        if let Some(OfServer { alerts, watches, .. }) = &mut self.alerts {
            if let Some(watch) = watches.get(outcome).copied().flatten() {
                alerts.attempt(watch, event, Moment { now, unix: self.flood.unix(now) });
            }
        }
        self.flood.ask(outcome, event, now)
    }

    /// Tells alerts of an entry that was made.
    pub(super) fn tell_alerts(&mut self, host: &str, is_login: bool, ip: Option<&[u8]>, payload: &[u8], time: Moment) {
        let coordinates = if is_login { self.coordinates(host, ip) } else { None };
        if let Some(alerts) = self.alerts() {
            alerts.recorded(host, payload, coordinates, time);
        }
    }

    /// What has come up on a host since this was last called.
    pub fn alert_news(&mut self, host: &str, time: Moment) -> News {
        let Some(alerts) = self.alerts() else { return News::default() };
        let ticked = alerts.tick(host, time);
        let alerts = ticked.alerts.into_iter().map(|alert| self.shown_alert(host, alert)).collect();
        News { alerts, notices: ticked.notices, problem: ticked.problem }
    }

    /// A notice in words.
    #[must_use]
    pub fn notice_text(&self, host: &str, language: Option<&str>, notice: &Notice) -> String {
        let texts = self.alerts.as_ref().and_then(|of_server| of_server.texts.get(host));
        texts.map_or_else(|| Texts::default().fill(language, notice), |texts| texts.fill(language, notice))
    }

    fn shown_alert(&self, host: &str, alert: Alert) -> ShownAlert {
        let network = match &alert.origin {
            Some(Origin::Peer(address)) => described(self.hosts.get(host), &self.warnings, ALERT, *address, AddressPart::NetworkAlone).0,
            Some(Origin::Stored(text)) => Some(text.clone()),
            None => None,
        };
        let text = alert.sentence(host, network.as_deref());
        let since = rfc3339(alert.since);
        let (once, sink) = match alert.what {
            What::Crash => (Some("crash".to_owned()), None),
            What::Clock => (Some("clock".to_owned()), None),
            What::Lasting { sink: Some(sink), .. } => (Some(format!("sink {sink}")), Some(sink)),
            _ => (None, None),
        };
        ShownAlert { rule: alert.rule, key: alert.key.name(), account: alert.account, network, count: alert.count, since, text, once, sink }
    }

    /// Where an address is, if the database has that.
    fn coordinates(&self, host: &str, ip: Option<&[u8]>) -> Option<Coordinates> {
        let address = address::parse(std::str::from_utf8(ip?).ok()?)?;
        let (latitude, longitude) = self.hosts.get(host)?.database.as_ref()?.get(&self.warnings)?.coordinates(address)?;
        Some(Coordinates { latitude, longitude })
    }
}
