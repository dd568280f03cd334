//! Verifying the chains of a host, in one pass over its log and in bounded memory. Nothing that writes links is used here but the hashes.

mod ending;

use std::collections::HashMap;

use super::anchors::Anchors;
use super::chains::Progress;
use super::erased::Erased;
use super::erasures::Erasures;
use super::hash::{BEGINNING, Hash, Nonce};
use super::link::{Link, LinkError};
use super::opened::Starts;
use super::ranges;
use super::reliance::Reliance;
use super::sealed::Proved;
use super::seen::Seen;
use super::verdict::{Fault, Finding, Verdict};
use crate::archive::partition::Partition;
use crate::archive::retention::Retention;
use crate::entry::ascii::decoded;
use crate::entry::canon::{Canon, Draft};
use crate::entry::limits::HOST_WIDE;
use crate::entry::{Row, StoredEvent, payload};
use crate::time::{date_time, day};

/// How many entries may wait for the one before them. Clocks that jump store a chain out of order, but not by more than this.
const OPEN: usize = 100_000;
/// What `prosodyctl` records without a link if the server does not run, or can't be asked. It proves nothing.
const OUTSIDE: [&str; 5] = ["audit-queried", "audit-exported", "audit-pruned", "audit-clock-jumped", "audit-clock-trusted"];
/// How many findings are kept. All are counted.
const FINDINGS: usize = 1000;

/// Verifies the log of one host: first its partitions one after another, each from its first entry on, then what waits in the journal.
#[derive(Debug)]
pub struct Verifier {
    host: String,
    chains: HashMap<Nonce, Seen>,
    partition: Option<Partition>,
    /// The time of the entry before in the same partition, or the one before of the same class and day.
    when: Option<f64>,
    /// The number of the last entry of each chain there.
    last: HashMap<Nonce, u64>,
    /// The classes as they are configured now, if that is known.
    retention: Option<Retention>,
    verdict: Verdict,
    open: usize,
    anchors: Anchors,
    seals: Option<Reliance>,
    starts: Starts,
    erasures: Erasures,
    /// What was erased, read after the last entry. `None` if that is not known.
    erased: Option<Erased>,
    /// When it is verified, in milliseconds since 1970.
    now: Option<u64>,
    /// Entries whose anchors are of other entries, with the runs of these.
    forked: Vec<(Nonce, Finding)>,
}

impl Verifier {
    /// For a host, whose journal says that its chains have got so far.
    #[must_use]
    pub fn new(host: &str, chains: impl IntoIterator<Item = Progress>) -> Self {
        let chains = chains.into_iter().map(|progress| (progress.id, Seen::new(progress))).collect();
        Self {
            host: host.to_owned(),
            chains,
            partition: None,
            when: None,
            last: HashMap::new(),
            retention: None,
            verdict: Verdict::default(),
            open: 0,
            anchors: Anchors::default(),
            seals: None,
            starts: Starts::default(),
            erasures: Erasures::default(),
            erased: None,
            now: None,
            forked: Vec::new(),
        }
    }

    /// The classes of the host. An entry that waited while its event type got another class lies in that one.
    #[must_use]
    pub fn with_classes(self, retention: Retention) -> Self {
        Self { retention: Some(retention), ..self }
    }

    /// When it is verified, in milliseconds since 1970: whether rules allow what was removed by then.
    pub const fn judge(&mut self, now: u64) {
        self.now = Some(now);
    }

    /// The log must agree with these anchors. To be called before the first entry.
    pub fn compare(&mut self, anchors: Anchors) {
        self.anchors = anchors;
    }

    /// The log must agree with its seals, which the server makes at this interval, in seconds. To be called before the first entry.
    pub fn rely_on(&mut self, proved: Proved, interval: u64) {
        self.seals = Some(Reliance::new(proved, interval));
    }

    /// What was erased from the entries of the log. To be called before the first entry. Without it, nobody knows which names may be gone.
    pub fn know_erased(&mut self, erased: Erased) {
        self.erasures.know(erased);
    }

    /// The same after the last entry: some may have been erased meanwhile.
    pub fn know_erased_now(&mut self, erased: Erased) {
        self.erased = Some(erased);
    }

    /// The rows that follow are those of this partition, or of archive user `nil`.
    pub fn begin(&mut self, partition: Option<Partition>) {
        let goes_on = match (&self.partition, &partition) {
            // What was moved from archive user `nil` is apart.
            (Some(before), Some(next)) => {
                before.home() == next.home() && before.day == next.day && before.generation() == next.generation()
            }
            _ => false,
        };
        if !goes_on {
            self.when = None;
            self.last.clear();
        }
        self.partition = partition;
    }

    /// The journal says what has been removed since the beginning.
    pub fn update(&mut self, chains: impl IntoIterator<Item = Progress>) {
        for progress in chains {
            if let Some(seen) = self.chains.get_mut(&progress.id) {
                seen.progress.removed = progress.removed;
            }
        }
    }

    /// The journal, read after the store, knows all entries.
    pub fn bound(&mut self, chains: impl IntoIterator<Item = Progress>) {
        for progress in chains {
            if let Some(seen) = self.chains.get_mut(&progress.id) {
                seen.latest = Some(progress.n);
            }
        }
    }

    /// Takes the next entry of the partition.
    pub fn feed(&mut self, row: &Row) {
        let draft = Draft::of_row(row);
        let before = self.when.replace(row.when);
        let kind = || StoredEvent::read(row).ok().map(|event| event.kind);
        let Some((link, canon)) = self.read(draft, &row.key, row.when, kind) else { return };
        self.starts.feed(row);
        self.erasures.feed(row);
        self.check_place(row, before, &link, canon.user.as_deref());
        self.check(link, &canon, &row.key);
    }

    /// How many rows of the partition can't be read.
    pub fn damaged(&mut self, count: u64) {
        self.verdict.unreadable = self.verdict.unreadable.saturating_add(count);
    }

    /// Takes the next entry that waits in the journal.
    pub fn feed_waiting(&mut self, payload: &[u8]) {
        let id = payload::attribute_of(payload, "id").unwrap_or_default().to_owned();
        let at = payload::time_of(payload).unwrap_or_default();
        let kind = || payload::attribute_of(payload, "type").map(ToOwned::to_owned);
        let Some((link, canon)) = self.read(Draft::of_payload(payload), &id, at, kind) else { return };
        // The store may have taken it meanwhile.
        let is_known = self.chains.get(&link.id).is_some_and(|seen| ranges::has(&seen.ranges, link.n));
        if !is_known {
            let element = payload.get(payload::begin_of(payload)..).unwrap_or_default().to_vec();
            let with = Some(canon.user.as_deref().unwrap_or(HOST_WIDE).to_owned());
            self.erasures.feed(&Row { when: at, with, element, ..Row::default() });
            self.check(link, &canon, &id);
        }
    }

    /// Reads an entry and its link. What can't be verified is reported.
    fn read(&mut self, draft: Option<Draft>, key: &str, when: f64, kind: impl FnOnce() -> Option<String>) -> Option<(Link, Canon)> {
        let Some(draft) = draft else {
            self.report(Fault::Unreadable, None, Some(key));
            return None;
        };
        match Link::read(draft) {
            Ok((link, _)) if !self.chains.contains_key(&link.id) => {
                self.report(Fault::Foreign, Some(&link), Some(key));
                None
            }
            Ok(read) => Some(read),
            Err(LinkError::Missing) => {
                self.take_unlinked(key, when, kind().as_deref());
                None
            }
            Err(error) => {
                self.report(Fault::Values(error), None, Some(key));
                None
            }
        }
    }

    /// An entry without a link is from before the first chain, or from a time in which entries were not linked. Else it was inserted.
    fn take_unlinked(&mut self, key: &str, when: f64, kind: Option<&str>) {
        if kind.is_some_and(|kind| OUTSIDE.contains(&kind)) {
            self.verdict.outside = self.verdict.outside.saturating_add(1);
            return;
        }
        let class = self.partition.as_ref().map(Partition::home);
        #[allow(clippy::cast_precision_loss)] // A time in milliseconds is below 2^53.
        let is_covered = |of: &Progress| {
            // The entry is stored with whole seconds.
            let (since, until) = ((of.since / 1000) as f64 + 1.0, of.until.map_or(f64::INFINITY, |until| (until / 1000) as f64));
            class.is_none_or(|class| class == of.class) && when >= since && when < until
        };
        // Behind a linked one all are linked, also within the second in which the chain began.
        let is_behind = |id: &Nonce| {
            let of = self.chains.get(id).map(|seen| &seen.progress);
            of.is_some_and(|of| class == Some(of.class.as_str()) && of.until.is_none())
        };
        let is_behind = self.last.keys().any(is_behind);
        // Those of archive user nil may be of any class.
        let mut of_class = self.chains.values().filter(|seen| is_covered(&seen.progress)).peekable();
        if class.is_some() && (is_behind || of_class.peek().is_some()) {
            self.report(Fault::Inserted, None, Some(key));
        } else {
            self.verdict.unprotected = self.verdict.unprotected.saturating_add(1);
        }
    }

    /// Checks whether the entry lies where it was put when it was recorded.
    fn check_place(&mut self, row: &Row, before: Option<f64>, link: &Link, user: Option<&str>) {
        #[allow(clippy::cast_precision_loss)] // A time in milliseconds is below 2^53.
        let recorded = (link.at / 1000) as f64;
        let with = row.with.as_deref().filter(|with| !with.is_empty()).unwrap_or(HOST_WIDE);
        let with = if link.is_ascii { decoded(with) } else { with.into() };
        let is_with = with == user.unwrap_or(HOST_WIDE);
        let is_day = self.partition.as_ref().is_none_or(|partition| partition.day == day(recorded));
        let when = row.when.floor();
        let last = self.last.insert(link.id, link.n);
        let is_in_order = before.is_none_or(|before| when >= before.floor()) && last.is_none_or(|last| last <= link.n);
        if !is_with || !is_day || !is_in_order || when < recorded || !self.is_in_its_class(row, link) {
            return self.report(Fault::Misplaced, Some(link), Some(&row.key));
        }
        let explained = before.map_or(recorded, |before| recorded.max(before.floor()));
        if when > explained {
            if let Some(seen) = self.chains.get_mut(&link.id) {
                seen.late.push((link.clone(), row.key.clone()));
            }
        }
    }

    /// Whether the entry lies in a partition of its class.
    fn is_in_its_class(&self, row: &Row, link: &Link) -> bool {
        let Some((partition, seen)) = self.partition.as_ref().zip(self.chains.get(&link.id)) else { return true };
        let class_now = || Some(self.retention.as_ref()?.class_of(&StoredEvent::read(row).ok()?.kind).to_owned());
        partition.home() == seen.progress.class || class_now().is_some_and(|class| class == partition.home())
    }

    fn check(&mut self, link: Link, canon: &Canon, key: &str) {
        let Some(class) = self.chains.get(&link.id).map(|seen| seen.progress.class.clone()) else { return };
        let mut canon = std::borrow::Cow::Borrowed(canon);
        // The time that the writer has added, as the entry lies under a later one.
        #[allow(clippy::cast_precision_loss)] // A time in milliseconds is below 2^53.
        let recorded = || date_time((link.at / 1000) as f64);
        if canon.occurred.is_some() && canon.occurred == recorded() {
            canon.to_mut().occurred = None;
        }
        match link.leaf(&self.host, &class, &canon) {
            Ok(leaf) => {
                self.erasures.take(&link, &canon, key);
                self.take(link, leaf, key);
            }
            Err(error) => self.report(Fault::Values(error), Some(&link), Some(key)),
        }
    }

    fn take(&mut self, link: Link, leaf: Hash, key: &str) {
        let Some(seen) = self.chains.get_mut(&link.id) else { return };
        if !ranges::add(&mut seen.ranges, link.n) {
            return self.report(Fault::Twice, Some(&link), Some(key));
        }
        self.verdict.verified = self.verdict.verified.saturating_add(1);
        let kept = self.anchors.take(link.id, link.n);
        if kept.is_some() {
            self.verdict.compared = self.verdict.compared.saturating_add(1);
        }
        self.starts.take(&link);
        let is_resealed = self.seals.as_mut().is_some_and(|seals| !seals.take(&link));
        if let Some(kept) = kept.filter(|kept| kept.hash != link.hash) {
            let class = Some(seen.progress.class.clone());
            let finding = Finding { fault: Fault::Forked, class, id: Some(link.id), n: Some(link.n), key: Some(key.to_owned()) };
            self.forked.push((kept.run, finding));
        }
        if link.n == seen.progress.n {
            seen.at_head = Some(link.hash);
        }
        let before = if link.n == 1 { Some(BEGINNING) } else { seen.ends.remove(&link.n.saturating_sub(1)) };
        let next = seen.waiting.remove(&link.n.saturating_add(1));
        let mut altered = Vec::new();
        if before.is_some_and(|before| link.follows(&before, &leaf) != link.hash) {
            altered.push((link.n, key.to_owned()));
        }
        match next {
            Some((next, of_next, key)) if next.follows(&link.hash, &of_next) != next.hash => altered.push((next.n, key)),
            Some(_) => {}
            None => {
                seen.ends.insert(link.n, link.hash);
            }
        }
        let (id, number, class) = (link.id, link.n, seen.progress.class.clone());
        if before.is_none() {
            seen.waiting.insert(link.n, (link, leaf, key.to_owned()));
            self.open = self.open.saturating_add(1);
            if self.open == OPEN {
                self.report(Fault::TooManyOpen, None, None);
            }
        }
        if is_resealed {
            let class = Some(class.clone());
            self.find(Finding { fault: Fault::Resealed, class, id: Some(id), n: Some(number), key: Some(key.to_owned()) });
        }
        for (n, key) in altered {
            self.find(Finding { fault: Fault::Altered, class: Some(class.clone()), id: Some(id), n: Some(n), key: Some(key) });
        }
    }

    fn report(&mut self, fault: Fault, link: Option<&Link>, key: Option<&str>) {
        let class = link.and_then(|link| self.chains.get(&link.id)).map(|seen| seen.progress.class.clone());
        let class = class.or_else(|| self.partition.as_ref().map(|partition| partition.home().to_owned()));
        let (id, n) = (link.map(|link| link.id), link.map(|link| link.n));
        self.find(Finding { fault, class, id, n, key: key.map(ToOwned::to_owned) });
    }

    fn find(&mut self, finding: Finding) {
        self.verdict.faults = self.verdict.faults.saturating_add(1);
        if self.verdict.findings.len() < FINDINGS {
            self.verdict.findings.push(finding);
        }
    }
}
