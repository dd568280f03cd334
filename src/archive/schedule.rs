//! When hosts are pruned. Of each host, one prune runs at a time.
//!
//! A host is pruned whenever something has expired, when a partition of a class with a limit is full, and again after a
//! failure. A storage driver may wait for an answer that never comes: a prune that makes no progress for too long is given up,
//! so that the next one can begin.

use std::collections::HashMap;

/// A prune that is due later than this is left to the daily task, in seconds.
const LONGEST_DELAY: f64 = 86_400.0;
/// The pause after the first failure, and after each further one, in seconds.
const RETRIES: (f64, f64) = (60.0, 900.0);
/// How often to look whether a prune has ended that another one waits for, in seconds.
const WAIT: f64 = 0.2;
/// A prune that makes no progress for this long is given up, in seconds.
const SILENT: f64 = 60.0;
/// The time from a full partition to the prune that enforces the limit, in seconds. Several partitions may be full together.
const LIMIT_DELAY: f64 = 1.0;
/// A prune begins this much after the moment at which something expires, in seconds.
const MARGIN: f64 = 1.0;
/// The shortest pause between two looks at a prune that may be silent, in seconds.
const WATCH: f64 = 1.0;

/// How much a prune does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneExtent {
    /// Everything.
    Full,
    /// Whole partitions only: those that have expired, and those above the limit of their class.
    Limits,
}

/// Whether a prune of a host may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// It may begin.
    Free,
    /// Another one runs. Ask again after this many seconds.
    Wait(f64),
    /// Another one runs, and the caller does not want to wait.
    Busy,
    /// Another one runs and makes no progress. Give it up, then begin.
    Silent,
}

/// What is found when a prune is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watch {
    /// It has ended.
    Over,
    /// It makes no progress: give it up.
    Silent,
    /// Look again after this many seconds.
    Later(f64),
}

/// What follows a prune that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    /// The pause before the next attempt, in seconds.
    pub retry: f64,
    /// Whether to report it: once, and only what lasts.
    pub is_news: bool,
}

/// The prunes of all hosts.
///
/// Times are in seconds. Those of [`ask`](Self::ask) and [`rings`](Self::rings) are of a clock that does not jump.
#[derive(Debug, Default)]
pub struct Schedule {
    hosts: HashMap<String, HostSchedule>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct HostSchedule {
    full: Option<f64>,
    limits: Option<f64>,
    failures: u32,
    is_told: bool,
    running: Option<Running>,
    /// Whether it was reported that a prune was given up, since one has come to its end.
    gave_up: bool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    ticket: u64,
    /// When it made progress last.
    at: f64,
}

impl HostSchedule {
    fn due(&mut self, extent: PruneExtent) -> &mut Option<f64> {
        match extent {
            PruneExtent::Full => &mut self.full,
            PruneExtent::Limits => &mut self.limits,
        }
    }
}

impl Schedule {
    /// Asks for a prune `delay` seconds after `now`. Returns when the caller has to call [`rings`](Self::rings); `None` if an
    /// earlier prune does the same, or the daily task will.
    pub fn ask(&mut self, host: &str, now: f64, delay: f64, extent: PruneExtent) -> Option<f64> {
        let at = now + delay;
        let host = self.host(host);
        let is_covered = |due: Option<f64>| due.is_some_and(|due| due <= at);
        if delay > LONGEST_DELAY || is_covered(host.full) || extent == PruneExtent::Limits && is_covered(host.limits) {
            return None;
        }
        *host.due(extent) = Some(at);
        Some(at)
    }

    /// Asks for a prune that enforces a limit. Returns the delay as well.
    pub fn ask_for_limits(&mut self, host: &str, now: f64) -> Option<(f64, f64)> {
        self.ask(host, now, LIMIT_DELAY, PruneExtent::Limits).map(|at| (at, LIMIT_DELAY))
    }

    /// Returns whether the prune begins now that was asked for at this time: an earlier one may have been asked for since.
    pub fn rings(&mut self, host: &str, at: f64, extent: PruneExtent) -> bool {
        let host = self.host(host);
        let due = host.due(extent);
        #[allow(clippy::float_cmp)] // It is the same number.
        let is_current = due.is_some_and(|due| due == at);
        if is_current {
            *due = None;
            if extent == PruneExtent::Full {
                // It does what the other one would.
                host.limits = None;
            }
        }
        is_current
    }

    /// Returns the delay of the prune for what expires at `next`.
    #[must_use]
    pub fn delay_until(next: f64, now: f64) -> f64 {
        (next - now + MARGIN).max(0.0)
    }

    /// Notes that a scheduled prune failed. `is_in_trouble` says that it was reported already that the store takes nothing.
    pub fn failed(&mut self, host: &str, is_in_trouble: bool) -> Failure {
        let host = self.host(host);
        host.failures = host.failures.saturating_add(1);
        let is_first = host.failures == 1;
        // The first failure may be another process that prunes.
        let is_news = !host.is_told && !is_first && !is_in_trouble;
        host.is_told |= is_news;
        Failure { retry: if is_first { RETRIES.0 } else { RETRIES.1 }, is_news }
    }

    /// Notes that a scheduled prune succeeded.
    pub fn succeeded(&mut self, host: &str) {
        let host = self.host(host);
        host.failures = 0;
        host.is_told = false;
    }

    /// Returns whether a prune of a host may begin. `may_wait` says that the caller wants to wait for one that runs.
    pub fn turn(&mut self, host: &str, now: f64, may_wait: bool) -> Turn {
        match self.host(host).running {
            None => Turn::Free,
            Some(running) if now - running.at >= SILENT => Turn::Silent,
            Some(_) if may_wait => Turn::Wait(WAIT),
            Some(_) => Turn::Busy,
        }
    }

    /// Begins a prune. Returns its ticket; `None` if another one runs.
    pub fn begin(&mut self, host: &str, now: f64) -> Option<u64> {
        let ticket = self.tickets.wrapping_add(1);
        let host = self.host(host);
        if host.running.is_some() {
            return None;
        }
        host.running = Some(Running { ticket, at: now });
        self.tickets = ticket;
        Some(ticket)
    }

    /// Notes that a prune makes progress. Returns whether it still runs: it may have been given up.
    pub fn goes_on(&mut self, host: &str, ticket: u64, now: f64) -> bool {
        let running = self.host(host).running.as_mut().filter(|running| running.ticket == ticket);
        running.map(|running| running.at = now).is_some()
    }

    /// Looks at a prune that was begun.
    pub fn watch(&mut self, host: &str, ticket: u64, now: f64) -> Watch {
        match self.host(host).running.filter(|running| running.ticket == ticket) {
            None => Watch::Over,
            Some(running) if now - running.at >= SILENT => Watch::Silent,
            Some(running) => Watch::Later((running.at + SILENT - now).clamp(WATCH, SILENT)),
        }
    }

    /// Gives the prune of a host up. Returns for how many seconds it was silent, if that is to be reported, and the pause
    /// before the next attempt.
    pub fn give_up(&mut self, host: &str) -> (Option<f64>, f64) {
        let host = self.host(host);
        host.running = None;
        let is_news = !std::mem::replace(&mut host.gave_up, true);
        (is_news.then_some(SILENT), RETRIES.1)
    }

    /// Notes that a prune has ended. Returns `false` if it was given up before.
    pub fn ended(&mut self, host: &str, ticket: u64) -> bool {
        let host = self.host(host);
        let is_current = host.running.is_some_and(|running| running.ticket == ticket);
        if is_current {
            host.running = None;
            host.gave_up = false;
        }
        is_current
    }

    fn host(&mut self, name: &str) -> &mut HostSchedule {
        // `entry` would need an owned name each time.
        if !self.hosts.contains_key(name) {
            self.hosts.insert(name.to_owned(), HostSchedule::default());
        }
        self.hosts.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOST: &str = "example.com";

    #[test]
    fn an_earlier_prune_does_what_a_later_one_would() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.ask(HOST, 100.0, 3600.0, PruneExtent::Full), Some(3700.0));
        assert_eq!(schedule.ask(HOST, 100.0, 3601.0, PruneExtent::Full), None);
        assert_eq!(schedule.ask(HOST, 100.0, 3601.0, PruneExtent::Limits), None);
        assert_eq!(schedule.ask(HOST, 100.0, 60.0, PruneExtent::Full), Some(160.0));
        assert!(!schedule.rings(HOST, 3700.0, PruneExtent::Full));
        assert!(schedule.rings(HOST, 160.0, PruneExtent::Full));
        assert!(!schedule.rings(HOST, 160.0, PruneExtent::Full));
        assert_eq!(schedule.ask(HOST, 100.0, 86_401.0, PruneExtent::Full), None, "the daily task is earlier");
        assert_eq!(schedule.ask("other.example", 100.0, 86_400.0, PruneExtent::Full), Some(86_500.0));
    }

    #[test]
    fn a_prune_for_limits_is_not_taken_for_a_full_one() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.ask_for_limits(HOST, 10.0), Some((11.0, 1.0)));
        assert_eq!(schedule.ask_for_limits(HOST, 10.5), None);
        assert_eq!(schedule.ask(HOST, 10.0, 60.0, PruneExtent::Full), Some(70.0));
        assert!(schedule.rings(HOST, 11.0, PruneExtent::Limits) && schedule.rings(HOST, 70.0, PruneExtent::Full));
    }

    #[test]
    fn a_full_prune_does_what_one_for_limits_would() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.ask_for_limits(HOST, 10.0), Some((11.0, 1.0)));
        assert_eq!(schedule.ask(HOST, 10.0, 0.0, PruneExtent::Full), Some(10.0));
        assert!(schedule.rings(HOST, 10.0, PruneExtent::Full) && !schedule.rings(HOST, 11.0, PruneExtent::Limits));
        assert_eq!(schedule.ask_for_limits(HOST, 10.5), Some((11.5, 1.0)), "a partition that is full since then");
    }

    #[test]
    fn a_failure_is_tried_again_and_reported_once_it_lasts() {
        let mut schedule = Schedule::default();
        let failures = |schedule: &mut Schedule, troubles: &[bool]| {
            troubles
                .iter()
                .map(|trouble| schedule.failed(HOST, *trouble))
                .map(|failure| (failure.retry, failure.is_news))
                .collect::<Vec<_>>()
        };
        assert_eq!(failures(&mut schedule, &[false, false, false]), [(60.0, false), (900.0, true), (900.0, false)]);
        schedule.succeeded(HOST);
        assert_eq!(failures(&mut schedule, &[false, true, false, false]), [(60.0, false), (900.0, false), (900.0, true), (900.0, false)]);
    }

    #[test]
    fn a_prune_that_makes_no_progress_is_given_up() {
        let mut schedule = Schedule::default();
        let first = schedule.begin(HOST, 0.0).unwrap();
        assert_eq!([schedule.turn(HOST, 10.0, true), schedule.turn(HOST, 10.0, false)], [Turn::Wait(WAIT), Turn::Busy]);
        assert_eq!(schedule.watch(HOST, first, 0.0), Watch::Later(60.0));
        assert!(schedule.goes_on(HOST, first, 30.0));
        assert_eq!(schedule.watch(HOST, first, 60.0), Watch::Later(30.0));
        assert_eq!(schedule.watch(HOST, first, 89.9), Watch::Later(1.0));
        assert_eq!((schedule.watch(HOST, first, 90.0), schedule.turn(HOST, 90.0, true)), (Watch::Silent, Turn::Silent));
        assert_eq!(schedule.begin(HOST, 90.0), None, "not before it is given up");
        assert_eq!(schedule.give_up(HOST), (Some(60.0), 900.0));
        let second = schedule.begin(HOST, 90.0).unwrap();
        assert!(!schedule.goes_on(HOST, first, 91.0) && !schedule.ended(HOST, first), "the driver answers after all");
        assert_eq!((schedule.watch(HOST, first, 91.0), schedule.watch(HOST, second, 91.0)), (Watch::Over, Watch::Later(59.0)));
        assert_eq!(schedule.give_up(HOST), (None, 900.0), "it was reported");
        let third = schedule.begin(HOST, 200.0).unwrap();
        assert!(schedule.ended(HOST, third));
        assert_eq!((schedule.turn(HOST, 200.0, false), schedule.give_up(HOST)), (Turn::Free, (Some(60.0), 900.0)));
    }

    #[test]
    fn what_has_expired_meanwhile_is_removed_at_once() {
        assert_eq!([Schedule::delay_until(110.0, 100.0), Schedule::delay_until(50.0, 100.0)], [11.0, 0.0]);
    }

    /// A prune of a simulation: when it ends, whether it succeeds, and its ticket.
    type Job = (f64, bool, u64);

    proptest! {
        #[test]
        fn what_is_due_is_done_in_time_and_no_two_prunes_of_a_host_run_at_once(
            asked in prop::collection::vec((0usize..3, 0f64..100_000.0, 0f64..2000.0, any::<bool>()), 1..40),
            jobs in prop::collection::vec((0f64..200.0, prop::bool::weighted(0.7), any::<bool>()), 1..30),
        ) {
            let mut schedule = Schedule::default();
            let mut jobs = jobs.into_iter().cycle();
            let mut now = 0.0;
            let mut timers: Vec<(f64, usize, PruneExtent)> = vec![];
            let mut waiting: Vec<(f64, usize, PruneExtent)> = vec![];
            let mut running: [Option<Job>; 3] = [None; 3];
            // By host and extent, the time at which a prune must have begun.
            let mut wanted: [[f64; 2]; 3] = [[f64::INFINITY; 2]; 3];
            let names = ["a.example", "b.example", "c.example"];
            let mut asked = asked.into_iter();
            for _ in 0..20_000 {
                if let Some((host, delay, pass, limits)) = asked.next() {
                    let extent = if limits { PruneExtent::Limits } else { PruneExtent::Full };
                    if let Some(at) = schedule.ask(names[host], now, delay, extent) {
                        timers.push((at, host, extent));
                    }
                    if delay <= LONGEST_DELAY {
                        let latest = &mut wanted[host][usize::from(limits)];
                        *latest = latest.min(now + delay);
                    }
                    now += pass;
                } else if timers.is_empty() && waiting.is_empty() && running.iter().all(Option::is_none) {
                    break;
                } else {
                    let ends = running.iter().flatten().map(|job| job.0);
                    let next = timers.iter().map(|timer| timer.0).chain(ends).fold(f64::INFINITY, f64::min);
                    now = if waiting.is_empty() { now.max(next) } else { now + WAIT };
                }
                for (host, slot) in running.iter_mut().enumerate() {
                    if let Some((end, succeeds, ticket)) = *slot {
                        if schedule.watch(names[host], ticket, now) == Watch::Silent {
                            let (_, retry) = schedule.give_up(names[host]);
                            timers.extend(schedule.ask(names[host], now, retry, PruneExtent::Full).map(|at| (at, host, PruneExtent::Full)));
                            *slot = None;
                        } else if end <= now {
                            prop_assert!(schedule.ended(names[host], ticket));
                            if succeeds {
                                schedule.succeeded(names[host]);
                            } else {
                                let retry = schedule.failed(names[host], false).retry;
                                timers.extend(schedule.ask(names[host], now, retry, PruneExtent::Full).map(|at| (at, host, PruneExtent::Full)));
                            }
                            *slot = None;
                        }
                    }
                }
                let due: Vec<_> = timers.iter().copied().filter(|timer| timer.0 <= now).collect();
                timers.retain(|timer| timer.0 > now);
                waiting.extend(due.into_iter().filter(|(at, host, extent)| schedule.rings(names[*host], *at, *extent)));
                for (at, host, extent) in std::mem::take(&mut waiting) {
                    match schedule.turn(names[host], now, true) {
                        Turn::Free => {
                            prop_assert!(running[host].is_none());
                            let ticket = schedule.begin(names[host], now).unwrap();
                            prop_assert_eq!(schedule.begin(names[host], now), None);
                            let (takes, succeeds, _) = jobs.next().unwrap();
                            running[host] = Some((now + takes, succeeds, ticket));
                            if extent == PruneExtent::Full {
                                wanted[host][0] = f64::INFINITY;
                            }
                            wanted[host][1] = f64::INFINITY;
                        }
                        Turn::Silent => {
                            schedule.give_up(names[host]);
                            running[host] = None;
                            waiting.push((at, host, extent));
                        }
                        turn => {
                            prop_assert_eq!(turn, Turn::Wait(WAIT));
                            waiting.push((at, host, extent));
                        }
                    }
                }
            }
            prop_assert!(wanted.iter().flatten().all(|at| at.is_infinite()), "{wanted:?} was not done");
        }
    }
}
