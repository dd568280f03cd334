//! What to send next, and what follows from the answer.
//!
//! A delivery has the messages of one batch. A receiver that answers (HTTP) accepts them, refuses them, or wants them later. A stream
//! (syslog over TCP or TLS) has no answers: what was given to the kernel may be lost if the receiver dies. So entries of a stream count
//! as delivered only after a while, or after many more bytes. If the connection breaks before, they are sent again.

use std::collections::VecDeque;

use super::Message;
use crate::journal::cursor::Place;
use crate::pace::Backoff;
use crate::render::framing::Framing;

/// For how long an entry of a stream may be sent again, in seconds.
const UNCERTAIN: f64 = 300.0;
/// How many bytes of a stream may be sent again: more than the buffers of two kernels hold.
const UNCERTAIN_BYTES: u64 = 16 << 20;
/// The pause after the first failure, in seconds.
const FIRST_PAUSE: f64 = 1.0;
/// How long a connection must last before a failure counts as the first one again, in seconds.
const STABLE: f64 = 5.0;
/// The largest body, in bytes, unless a single message is larger. Prosody's client copies a body several times, and Lua's garbage
/// collector works in proportion to that.
const BODY: usize = 32 << 10;

/// A place in the entries of a host.
pub type HostPlace = (usize, Place);

/// How it is known that a receiver has an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It says so, or it can't be known.
    Answer,
    /// It is known after a while.
    Time,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing before an answer comes.
    Answer,
    /// Nothing for this many seconds.
    Wait(f64),
    /// Send this many messages: [`Delivery::body`] or [`Delivery::texts`].
    Send(usize),
    /// [`Delivery::offer`] more messages.
    More,
}

/// Where one sink is with its work.
#[derive(Debug)]
pub struct Delivery {
    certainty: Certainty,
    /// How many messages a batch has at most.
    batch: usize,
    /// The same, while an entry is looked for that the receiver refuses.
    limit: usize,
    messages: VecDeque<(usize, Message)>,
    /// How many of them are sent and not answered.
    sent: usize,
    uncertain: VecDeque<Uncertain>,
    sent_bytes: u64,
    backoff: Backoff,
    retry_at: f64,
    /// Since when the connection works.
    good_since: Option<f64>,
    trouble: Option<String>,
    /// Whether the trouble was reported.
    is_told: bool,
    /// How many entries were delivered.
    pub delivered: u64,
    /// How many failures there were.
    pub errors: u64,
    /// How many entries the receiver has refused.
    pub refused: u64,
}

/// Messages of a stream that may be sent again.
#[derive(Debug)]
struct Uncertain {
    end: u64,
    at: f64,
    place: HostPlace,
}

impl Delivery {
    /// A delivery in batches of at most `batch` messages.
    #[must_use]
    pub fn new(batch: usize, certainty: Certainty) -> Self {
        let batch = batch.max(1);
        Self {
            certainty,
            batch,
            limit: batch,
            messages: VecDeque::new(),
            sent: 0,
            uncertain: VecDeque::new(),
            sent_bytes: 0,
            backoff: Backoff::new(FIRST_PAUSE, Backoff::LONGEST),
            retry_at: f64::NEG_INFINITY,
            good_since: None,
            trouble: None,
            is_told: false,
            delivered: 0,
            errors: 0,
            refused: 0,
        }
    }

    /// Says what to do next. `now` is on a clock that does not jump.
    pub fn step(&self, now: f64) -> Step {
        if self.sent > 0 {
            Step::Answer
        } else if now < self.retry_at {
            Step::Wait(self.retry_at - now)
        } else if self.messages.is_empty() {
            Step::More
        } else {
            Step::Send(self.next_count())
        }
    }

    /// How many messages the next batch has.
    fn next_count(&self) -> usize {
        let mut bytes = 0_usize;
        let fits = |(index, (_, message)): (usize, &(usize, Message))| {
            bytes = bytes.saturating_add(message.text.as_ref().map_or(0, String::len));
            index == 0 || bytes <= BODY
        };
        self.messages.iter().take(self.limit).enumerate().map(fits).take_while(|fits| *fits).count()
    }

    /// Whether the receiver says what it has.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        self.certainty == Certainty::Answer
    }

    /// The host of the next messages.
    #[must_use]
    pub fn host(&self) -> Option<usize> {
        self.messages.front().map(|(host, _)| *host)
    }

    /// How many messages a batch has at most.
    #[must_use]
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// Adds messages of a host. Returns a place if everything before it is done, as none of the messages has a text.
    pub fn offer(&mut self, host: usize, messages: Vec<Message>) -> Option<HostPlace> {
        for message in messages {
            match self.messages.back_mut() {
                // What is not wanted is done with the message before it.
                Some((_, last)) if message.text.is_none() => last.place = message.place,
                _ => self.messages.push_back((host, message)),
            }
        }
        if self.messages.iter().any(|(_, message)| message.text.is_some()) {
            return None;
        }
        let (host, message) = self.messages.pop_back()?;
        self.messages.clear();
        self.settled((host, message.place))
    }

    /// The bytes of the next `count` messages, which are sent now. `wrap` stands before and behind them.
    pub fn body(&mut self, count: usize, framing: Framing, wrap: Option<(String, &str)>) -> Vec<u8> {
        let mut body = Vec::new();
        let texts = self.messages.iter().take(count).filter_map(|(_, message)| message.text.as_deref());
        if let Some((begin, end)) = wrap {
            body.extend_from_slice(begin.as_bytes());
            body.extend_from_slice(texts.collect::<Vec<_>>().join(",").as_bytes());
            body.extend_from_slice(end.as_bytes());
        } else {
            let mut is_first = true;
            for text in texts {
                framing.push(&mut body, text, is_first);
                is_first = false;
            }
            framing.end(&mut body);
        }
        self.sent = count;
        self.sent_bytes = self.sent_bytes.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
        body
    }

    /// The next `count` messages, which are sent now one by one.
    pub fn texts(&mut self, count: usize) -> Vec<String> {
        self.sent = count;
        self.messages.iter().take(count).filter_map(|(_, message)| message.text.clone()).collect()
    }

    /// The receiver has what was sent, or the first `count` messages of it. Returns the places that are done.
    pub fn accepted(&mut self, count: Option<usize>, now: f64) -> Vec<HostPlace> {
        let sent = std::mem::take(&mut self.sent);
        let count = count.unwrap_or(sent).min(sent);
        let mut last = None;
        for (host, message) in self.messages.drain(..count.min(self.messages.len())) {
            self.delivered = self.delivered.saturating_add(u64::from(message.text.is_some()));
            last = Some((host, message.place));
        }
        self.good_since.get_or_insert(now);
        if count > 0 && self.certainty == Certainty::Answer {
            self.worked();
        }
        self.limit = self.limit.saturating_mul(2).min(self.batch);
        match (last, self.certainty) {
            (Some(place), Certainty::Time) => {
                self.uncertain.push_back(Uncertain { end: self.sent_bytes, at: now, place });
                self.certain(now)
            }
            (last, _) => last.into_iter().collect(),
        }
    }

    /// The receiver is busy: it has taken what [`accepted`](Self::accepted) said, and is tried again after `pause` seconds.
    pub fn pause(&mut self, now: f64, pause: f64) {
        self.retry_at = now + pause;
    }

    /// The receiver refuses what was sent, and would refuse it again. The batch is split until the one message is found. Returns that
    /// message, which is set aside, and its host.
    ///
    /// `is_one` says that it is known to be the next message.
    pub fn refused(&mut self, is_one: bool) -> Option<(usize, Message)> {
        let sent = std::mem::take(&mut self.sent);
        if sent > 1 && !is_one {
            self.limit = (sent / 2).max(1);
            return None;
        }
        self.refused = self.refused.saturating_add(1);
        self.messages.pop_front()
    }

    /// What was sent did not arrive. It is sent again after a pause, which the receiver may have asked for.
    pub fn failed(&mut self, problem: &str, pause: Option<f64>, now: f64) {
        self.sent = 0;
        self.errors = self.errors.saturating_add(1);
        self.trouble = Some(problem.to_owned());
        let is_stable = self.good_since.take().is_some_and(|since| now - since >= STABLE);
        if is_stable {
            self.backoff.succeeded();
        }
        let own = self.backoff.failed();
        self.retry_at = now + pause.map_or(own, |asked| asked.max(own));
    }

    /// The connection of a stream broke. All that is not certain is read again by the caller.
    pub fn broken(&mut self, problem: &str, now: f64) {
        self.messages.clear();
        self.uncertain.clear();
        self.failed(problem, None, now);
    }

    /// Time passes. Returns the places that are done now, in order.
    pub fn tick(&mut self, now: f64) -> Vec<HostPlace> {
        if self.good_since.is_some_and(|since| now - since >= STABLE) {
            self.worked();
        }
        self.certain(now)
    }

    /// The sink ends while all is well: what was given to the kernel will arrive.
    pub fn finish(&mut self) -> Vec<HostPlace> {
        if self.trouble.is_some() {
            return Vec::new();
        }
        self.uncertain.drain(..).map(|sent| sent.place).collect()
    }

    /// Why entries are not delivered. `None` if they are.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What changed since this was last asked: trouble began, with its reason, or has ended.
    pub fn news(&mut self) -> Option<Option<String>> {
        let has_trouble = self.trouble.is_some();
        if has_trouble == self.is_told {
            return None;
        }
        self.is_told = has_trouble;
        Some(self.trouble.clone())
    }

    /// Whether entries of a host are not done.
    #[must_use]
    pub fn is_waiting_for(&self, host: usize) -> bool {
        self.messages.iter().any(|(of, _)| *of == host) || self.uncertain.iter().any(|sent| sent.place.0 == host)
    }

    /// Forgets what it has of a host that left.
    pub fn forget(&mut self, host: usize) {
        if self.sent == 0 {
            self.messages.retain(|(of, _)| *of != host);
        }
        self.uncertain.retain(|sent| sent.place.0 != host);
    }

    fn worked(&mut self) {
        self.backoff.succeeded();
        self.trouble = None;
    }

    /// A place that is done as soon as all before it is.
    fn settled(&mut self, place: HostPlace) -> Option<HostPlace> {
        match self.uncertain.iter_mut().rev().find(|sent| sent.place.0 == place.0) {
            Some(last) => {
                last.place = place;
                None
            }
            None => Some(place),
        }
    }

    fn certain(&mut self, now: f64) -> Vec<HostPlace> {
        let mut places = Vec::new();
        while let Some(first) = self.uncertain.front() {
            let is_certain = now - first.at >= UNCERTAIN || self.sent_bytes.saturating_sub(first.end) >= UNCERTAIN_BYTES;
            if !is_certain {
                break;
            }
            places.extend(self.uncertain.pop_front().map(|sent| sent.place));
        }
        places
    }
}

#[cfg(test)]
mod tests;
