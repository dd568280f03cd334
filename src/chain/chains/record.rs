//! What the journal keeps of the chains of a host: a record of text, with a line for each chain.

use super::{Chains, Kept, Progress, Removed, link_of};
use crate::chain::hash::Bytes;
use crate::chain::head::Head;
use crate::chain::link::Chain;
use crate::chain::rules;
use crate::journal::Links;

/// How many chains are remembered that have ended. There is one for each time that the journal could not be used or was removed.
const FORMER: usize = 200;
/// What the first line of a record begins with. The name of the start of the machine follows.
const VERSION: &str = "2";
/// What the first line ends with if there are entries behind these that are only in memory.
const BEHIND: &str = " behind";
/// In a record: nothing.
const NONE: &str = "-";

impl Chains {
    /// `ID NUMBER HASH SINCE UNTIL REMOVED RULES CLASS`. UNTIL may be `-`, and so may the lists REMOVED and RULES, which have commas.
    fn read_line(&self, line: &str) -> Option<Kept> {
        let mut fields = line.splitn(8, ' ');
        let (id, n, hash) = (Bytes::read(fields.next()?)?, fields.next()?.parse().ok()?, Bytes::read(fields.next()?)?);
        let since = fields.next()?.parse().ok()?;
        let until = Some(fields.next()?).filter(|until| *until != NONE).map(str::parse).transpose().ok()?;
        let (removed, rules) = (list(fields.next()?, Removed::read)?, list(fields.next()?, rules::read)?);
        let chain = Chain { host: self.host.clone(), class: fields.next()?.to_owned(), id };
        Some(Kept { head: Head::after(chain, self.run, n, hash), written: None, since, until, removed, rules })
    }
}

/// Reads a list.
fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    Some(text).filter(|text| *text != NONE).map_or(Some(Vec::new()), |text| text.split(',').map(read).collect())
}

/// Writes a list.
fn listed<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    if items.is_empty() { NONE.to_owned() } else { items.iter().map(text).collect::<Vec<_>>().join(",") }
}

impl Links for Chains {
    fn read_heads(&mut self, record: &[u8]) {
        let Some((first, rest)) = std::str::from_utf8(record).ok().and_then(|text| text.split_once('\n')) else { return };
        let Some(boot) = first.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(' ')) else { return };
        self.was_behind = boot.ends_with(BEHIND);
        boot.strip_suffix(BEHIND).unwrap_or(boot).clone_into(&mut self.boots.0);
        let mut kept: Vec<Kept> = rest.lines().filter_map(|line| self.read_line(line)).collect();
        // After a loss of power an earlier record may know more than a later one.
        let (current, former) = self.found.take().unwrap_or_default();
        let mut earlier = Vec::new();
        for of in former.into_iter().chain(current) {
            match kept.iter_mut().find(|known| known.head.chain().id == of.head.chain().id) {
                Some(known) => known.merge(of),
                None => earlier.push(of),
            }
        }
        earlier.append(&mut kept);
        self.found = Some(earlier.into_iter().partition(|kept| kept.until.is_none()));
    }

    fn read_entry(&mut self, payload: &[u8]) {
        let Some((current, former)) = &mut self.found else { return };
        let Some((id, n, hash)) = link_of(payload) else { return };
        if let Some(Kept { head, .. }) = current.iter_mut().chain(former).find(|kept| kept.head.chain().id == id && kept.head.n() < n) {
            *head = Head::after(head.chain().clone(), self.run, n, hash);
        }
    }

    fn resume(&mut self) {
        let Some((current, former)) = self.found.take() else { return };
        // What was recorded before the journal could be used has chains of its own, which end here.
        let own = std::mem::replace(&mut self.current, current);
        self.former.splice(0..0, former);
        self.former.extend(own.into_iter().filter(|kept| kept.head.n() > 0).map(|kept| Kept { until: Some(kept.since), ..kept }));
        let excess = self.former.len().saturating_sub(FORMER);
        self.former.drain(..excess);
    }

    fn write_heads(&self, record: &mut Vec<u8>) {
        if self.current.is_empty() && self.former.is_empty() {
            return;
        }
        let is_behind = self.former.iter().chain(&self.current).any(|kept| kept.written.is_some());
        let behind = if is_behind { BEHIND } else { "" };
        record.extend_from_slice(format!("{VERSION} {}{behind}", self.boots.1).as_bytes());
        let written = self.former.iter().chain(&self.current).map(|kept| kept.written);
        for (Progress { id, class, n, hash, since, until, removed, rules }, written) in self.progress().zip(written) {
            let (n, hash) = written.unwrap_or((n, hash));
            let until = until.map_or_else(|| NONE.to_owned(), |until| until.to_string());
            let (removed, rules) = (listed(&removed, Removed::text), listed(&rules, rules::text));
            record.extend_from_slice(format!("\n{id} {n} {hash} {since} {until} {removed} {rules} {class}").as_bytes());
        }
    }

    fn all_written(&mut self) {
        self.current.iter_mut().chain(&mut self.former).for_each(|kept| kept.written = None);
    }

    fn must_be_synced(&self) -> bool {
        self.is_unsynced
    }

    fn synced(&mut self) {
        self.is_unsynced = false;
    }
}
