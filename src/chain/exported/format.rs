//! The lines of the file.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::chain::chains::Progress;
use crate::chain::erased::Erased;
use crate::chain::hash::{Bytes, Hash, Nonce};
use crate::chain::rules::{Removed, Rule, Since};
use crate::chain::seal::LastSeal;
use crate::chain::sealed::End as SealEnd;

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Header<'a> {
    pub(super) format: Cow<'a, str>,
    pub(super) version: u32,
    #[serde(default)]
    pub(super) host: Cow<'a, str>,
    /// When it was made.
    #[serde(default)]
    pub(super) made: String,
    /// Where the chains have got to.
    #[serde(default)]
    pub(super) chains: Vec<Head>,
    /// The retention classes, and the event types that each has.
    #[serde(default)]
    pub(super) classes: Vec<Class>,
    /// What the seal file has of the host.
    #[serde(default)]
    pub(super) seal: Option<Slot>,
    /// What was erased. `None` if that is not known.
    #[serde(default)]
    pub(super) erased: Option<Vec<Gone>>,
}

/// Entries of which the same was erased. The numbers of groups and of entries are lists with commas, of entries with ranges.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Gone {
    pub(super) chain: String,
    pub(super) groups: String,
    pub(super) entries: String,
    /// Whether that was only announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) announced: bool,
}

/// What the seal file has of a host, without its key.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Slot {
    pub(super) key: String,
    pub(super) epoch: u64,
    pub(super) authenticator: Option<String>,
    pub(super) proof: Option<String>,
}

/// A chain.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) n: u64,
    pub(super) hash: String,
    pub(super) since: u64,
    pub(super) until: Option<u64>,
    pub(super) removed: Vec<Range>,
    #[serde(default)]
    pub(super) rules: Vec<RuleSince>,
}

/// A rule of its class.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct RuleSince {
    pub(super) since: u64,
    pub(super) expires: Option<u64>,
    pub(super) limit: Option<u64>,
}

/// Entries that a rule has removed.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) upto: u64,
    pub(super) hash: String,
    pub(super) at: u64,
    pub(super) when: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) types: Vec<String>,
}

/// A line between the first and the last: an entry of the store, an entry that waits, or how many entries can't be read.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Line<'a> {
    /// The archive user. `None` for archive user `nil`.
    #[serde(default)]
    pub(super) partition: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) when: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) with: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) xml: Option<Cow<'a, str>>,
    /// Whether it waits in the journal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) waiting: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<u64>,
}

/// The last line.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct End {
    pub(super) end: bool,
    /// How many entries there are.
    pub(super) entries: u64,
    /// Where the chains have got to at the end: rules may have removed entries meanwhile.
    pub(super) chains: Vec<Head>,
    /// What was erased until then.
    #[serde(default)]
    pub(super) erased: Option<Vec<Gone>>,
    /// SHA-256 of all bytes before this line, in hexadecimal digits.
    pub(super) sha256: String,
}

impl Head {
    pub(super) fn of(progress: Progress) -> Self {
        let Progress { id, class, n, hash, since, until, removed, rules } = progress;
        let range = |of: Removed| Range { from: of.from, upto: of.upto, hash: of.hash.to_string(), at: of.at, when: of.when };
        let rule = |(since, Rule { expires, limit }): Since| RuleSince { since, expires, limit };
        let (removed, rules) = (removed.into_iter().map(range).collect(), rules.into_iter().map(rule).collect());
        Self { id: id.to_string(), class, n, hash: hash.to_string(), since, until, removed, rules }
    }

    pub(super) fn progress(self) -> Option<Progress> {
        let range = |of: Range| Some(Removed { from: of.from, upto: of.upto, hash: Hash::read(&of.hash)?, at: of.at, when: of.when });
        let removed = self.removed.into_iter().map(range).collect::<Option<_>>()?;
        let rules = self.rules.into_iter().map(|of| (of.since, Rule { expires: of.expires, limit: of.limit })).collect();
        let (id, hash) = (Nonce::read(&self.id)?, Hash::read(&self.hash)?);
        Some(Progress { id, class: self.class, n: self.n, hash, since: self.since, until: self.until, removed, rules })
    }
}

impl Slot {
    pub(super) fn of(end: &SealEnd) -> Self {
        let text = |of: fn(&LastSeal) -> Hash| end.last.as_ref().map(|last| of(last).to_string());
        let (authenticator, proof) = (text(|last| last.authenticator), text(|last| last.proof));
        Self { key: end.key.to_string(), epoch: end.epoch, authenticator, proof }
    }

    pub(super) fn end(&self) -> Option<SealEnd> {
        let last = match (&self.authenticator, &self.proof) {
            (Some(authenticator), Some(proof)) => Some(LastSeal { authenticator: Hash::read(authenticator)?, proof: Hash::read(proof)? }),
            _ => None,
        };
        Some(SealEnd { key: Bytes::read(&self.key)?, epoch: self.epoch, last })
    }
}

pub(super) fn heads(chains: impl IntoIterator<Item = Progress>) -> Vec<Head> {
    chains.into_iter().map(Head::of).collect()
}

pub(super) fn read_heads(heads: Vec<Head>) -> Option<Vec<Progress>> {
    heads.into_iter().map(Head::progress).collect()
}

pub(super) fn gone(erased: Option<&Erased>) -> Option<Vec<Gone>> {
    erased.map(|erased| erased.lists().map(|(chain, groups, entries, announced)| Gone { chain, groups, entries, announced }).collect())
}

pub(super) fn read_gone(gone: Vec<Gone>) -> Option<Erased> {
    Erased::of_lists(gone.into_iter().map(|gone| (gone.chain, gone.groups, gone.entries, gone.announced)))
}
