//! What was found when the chains of a host were verified, and how it is said.

use std::fmt;

use super::hash::Nonce;
use super::link::LinkError;
use super::sealed::SealError;
use crate::render::printable::printable;
use crate::time::date_time;

/// How many findings are named.
const NAMED: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The entry is not what was recorded, or not at this place in the chain.
    Altered,
    /// The values of the entry do not fit its link.
    Values(LinkError),
    /// The entry can't be read.
    Unreadable,
    /// An entry of the chain has this number already.
    Twice,
    /// The entry has no link, and lies where all entries have one.
    Inserted,
    /// The entry is linked to a chain that this host does not know.
    Foreign,
    /// The entry lies under another time, account or day than it was recorded with.
    Misplaced,
    /// Entries up to this number are not there, and no rule has removed them.
    Missing {
        /// The last of them.
        upto: u64,
    },
    /// Names were removed from the entry, and no erasure did that.
    Emptied,
    /// Too many entries wait for the one before them.
    TooManyOpen,
    /// An anchor that was kept is of another entry.
    Forked,
    /// An anchor was kept of an entry that comes after the end of the log.
    RolledBack,
    /// An anchor was kept of an entry of a chain that this server does not know.
    Lost,
    /// The entry is not the one that was sealed.
    Resealed,
    /// The rules of the chain are not those that were sealed.
    Rules,
    /// The entry was sealed, and the log ends before it.
    CutOff,
    /// Newer entries are there that were not sealed in time.
    Unsealed,
    /// The seals are not as they were made.
    Seal(SealError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered => f.write_str("altered: it is not what was recorded"),
            Self::Values(error) => write!(f, "altered: {error}"),
            Self::Unreadable => f.write_str("altered: it can't be read"),
            Self::Emptied => f.write_str("altered: a name was removed from it, and no erasure did that"),
            Self::Twice => f.write_str("inserted: another entry has the same number"),
            Self::Inserted => f.write_str("inserted: it has no link"),
            Self::Foreign => f.write_str("inserted: this server does not know its chain"),
            Self::Misplaced => f.write_str("moved: it lies under another time, account, day or class than it was recorded with"),
            Self::Missing { .. } => f.write_str("removed: no rule has removed it"),
            Self::Forked => f.write_str("forked: an anchor that was kept is of another entry"),
            Self::RolledBack => f.write_str("rolled back: an anchor was kept of it, and the log ends before it"),
            Self::Lost => f.write_str("rolled back: an anchor was kept of it, and this server does not know its chain"),
            Self::Resealed => f.write_str("resealed: another entry was sealed at this place"),
            Self::Rules => f.write_str("resealed: the rules by which its entries are removed are not those that were sealed"),
            Self::CutOff => f.write_str("rolled back: it was sealed, and the log ends before it"),
            Self::Unsealed => f.write_str("resealed: newer entries should have been sealed long ago"),
            Self::Seal(error) => write!(f, "resealed: {error}"),
            Self::TooManyOpen => f.write_str("reordered: too many entries lie before the one that they follow"),
        }
    }
}

/// A fault, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The retention class.
    pub class: Option<String>,
    /// The chain.
    pub id: Option<Nonce>,
    /// The number of the entry in its chain.
    pub n: Option<u64>,
    /// The archive's key of the entry, or its own identifier if it waits in the journal.
    pub key: Option<String>,
}

/// `events 48213 (key 019…): altered: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(class) = &self.class {
            write!(f, "{} ", printable(class))?;
        }
        match (self.n, self.fault) {
            (Some(n), Fault::Missing { upto }) if upto > n => write!(f, "{n} to {upto}")?,
            (Some(n), _) => write!(f, "{n}")?,
            (None, Fault::Seal(_) | Fault::Unsealed) => f.write_str("seals")?,
            (None, _) => f.write_str("-")?,
        }
        if let Some(key) = &self.key {
            write!(f, " (key {})", printable(key))?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What the seals prove, if a seal key was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// How many seals fit.
    pub count: usize,
    /// When the last epoch ended that has a seal, in UNIX seconds. `None` if there is none.
    pub time: Option<u64>,
    /// How many seals are of keys that were not given.
    pub others: usize,
    /// How many entries were recorded after the last seal.
    pub unsealed: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries were verified.
    pub verified: u64,
    /// How many entries have no link, and need none.
    pub unprotected: u64,
    /// How many entries `prosodyctl` has recorded without a link.
    pub outside: u64,
    /// How many entries were compared with anchors that were kept.
    pub compared: u64,
    /// How many anchors are of entries that may have been lost when the machine stopped.
    pub unattested: u64,
    /// How many entries are not there because a rule has removed them.
    pub removed: u64,
    /// Those of them that only a later rule allows: the class, the first and the last number.
    pub early: Vec<(String, u64, u64)>,
    /// Entries that the journal does not know: the class, the first and the last number.
    pub behind: Vec<(String, u64, u64)>,
    /// The erasures that the log tells of, one a line.
    pub erased: Vec<String>,
    /// Entries with values that were erased before: the class, the first and the last number.
    pub again: Vec<(String, u64, u64)>,
    /// How many rows of the store could not be read.
    pub unreadable: u64,
    /// What the seals prove. `None` if no seal key was given.
    pub sealing: Option<Sealing>,
    /// Each chain, its class, and the number of its last entry.
    pub heads: Vec<(Nonce, String, u64)>,
    /// How many faults there are.
    pub faults: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether nobody has changed the log.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        // A row that can't be read may be what a kill left of an append. If it was an entry that is linked, its number is missing.
        self.faults == 0
    }

    /// The exit status of the command: 0 if the log is intact, 3 if somebody has changed it, 4 if a person must judge.
    #[must_use]
    pub fn status(&self) -> u8 {
        match (self.is_intact(), self.early.is_empty() && self.behind.is_empty() && self.again.is_empty()) {
            (false, _) => 3,
            (true, false) => 4,
            (true, true) => 0,
        }
    }

    /// The verdict in lines of text.
    #[must_use]
    pub fn lines(&self, host: &str) -> Vec<String> {
        let entries = |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        let mut lines = Vec::new();
        let word = if self.is_intact() { "intact" } else { "TAMPERED" };
        lines.push(format!("{host}: {word}: {} verified in {}", entries(self.verified), chains(self.heads.len())));
        if self.compared > 0 {
            lines.push(format!("anchors: {} compared", entries(self.compared)));
        }
        if self.unattested > 0 {
            lines.push(format!("unattested: {} with anchors, which may have been lost when the machine stopped", entries(self.unattested)));
        }
        if let Some(Sealing { count, time, others, unsealed }) = self.sealing {
            #[allow(clippy::cast_precision_loss)] // A time in seconds is below 2^53.
            let last = time.and_then(|time| date_time(time as f64)).map(|time| format!(", the last one of {time}")).unwrap_or_default();
            lines.push(format!("sealed: {count} {} verified{last}", if count == 1 { "seal" } else { "seals" }));
            if unsealed > 0 {
                lines.push(format!("not sealed yet: {}", entries(unsealed)));
            }
            if others > 0 {
                lines.push(format!("not verified: {others} seals of a key that was not given"));
            }
        }
        if self.removed > 0 {
            // A seal says that what is behind it is not older.
            let judged = if self.sealing.is_none() { ", judged by the times that the log has of them" } else { "" };
            lines.push(format!("removed by rule: {}{judged}", entries(self.removed)));
        }
        for (class, from, upto) in self.early.iter().take(NAMED) {
            lines.push(format!(
                "removed under a later rule: {} {from} to {upto}, which the rules of their time would still keep",
                printable(class)
            ));
        }
        lines.extend(self.erased.iter().take(NAMED).map(|erasure| format!("erased: {}", printable(erasure))));
        let more = self.erased.len().saturating_sub(NAMED);
        if more > 0 {
            lines.push(format!("and {more} more erasures"));
        }
        for (class, from, upto) in self.again.iter().take(NAMED) {
            let why = "the store was restored; the server erases it again when it verifies its log";
            lines.push(format!("erased, and there again: {} {}: {why}", printable(class), numbers(*from, *upto)));
        }
        for (class, from, upto) in self.behind.iter().take(NAMED) {
            let entries = numbers(*from, *upto);
            let why = "added, or recorded while the journal could not be written";
            lines.push(format!("behind the journal: {} {entries}: {why}", printable(class)));
        }
        if self.unprotected > 0 {
            lines.push(format!("not protected: {} that were recorded without a link", entries(self.unprotected)));
        }
        if self.outside > 0 {
            lines.push(format!("not linked: {} that prosodyctl recorded while it could not ask the server", entries(self.outside)));
        }
        if self.unreadable > 0 {
            lines.push(format!("unreadable: {} of the store", entries(self.unreadable)));
        }
        lines.extend(self.findings.iter().take(NAMED).map(ToString::to_string));
        let more = self.faults.saturating_sub(u64::try_from(NAMED).unwrap_or(u64::MAX));
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

fn numbers(from: u64, upto: u64) -> String {
    if from == upto { format!("{from}") } else { format!("{from} to {upto}") }
}

fn chains(count: usize) -> String {
    if count == 1 { "1 chain".to_owned() } else { format!("{count} chains") }
}
