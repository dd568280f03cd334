//! Saving the counts and budgets of a host for the next process, and restoring them.

use std::io;
use std::path::Path;

use super::checkpoint::{Checkpoint, CheckpointError, SavedBudget};
use super::control::Control;
use super::count::Count;
use super::merge::{Describe, summary_of};
use super::outcome::counts_of;
use super::summary::FloodSummary;
use super::table::KEYS;
use crate::file::whole;

impl Control {
    /// Writes the open counts of a host to the checkpoint at `path`, if they have changed. Removes the file if there are none.
    ///
    /// If the host is `closing`, the checkpoint also saves the budgets for the next process.
    ///
    /// # Errors
    ///
    /// Returns [`io::Error`] if the file can't be written or removed, or was not read since [`restore`](Self::restore) failed to. The
    /// next call tries again.
    pub fn checkpoint(&mut self, host: &str, path: &Path, now: f64, closing: bool, describe: &Describe<'_>) -> io::Result<()> {
        let Some(index) = self.host_index.get(host).copied() else { return Ok(()) };
        let Self { files, hosts, outcomes, tables, offset, .. } = self;
        let Some(host) = hosts.get_mut(index) else { return Ok(()) };
        if host.unread {
            return Err(io::Error::other("it has the counts of the previous process and could not be read yet"));
        }
        if !host.changed && !closing {
            return Ok(());
        }
        let open: Vec<FloodSummary> =
            counts_of(index, host, outcomes, tables).map(|count| summary_of(count, outcomes, *offset, describe)).collect();
        // Every budget fills up within 120 seconds.
        host.left.retain(|(_, at)| now - at < 120.0);
        let is_needed = !open.is_empty()
            || closing && !host.left.is_empty()
            || closing && host.budgets.iter_mut().any(|named| !named.budget.is_full(now));
        if !is_needed {
            if host.written {
                whole::remove(&**files, path)?;
            }
            (host.written, host.changed) = (false, false);
            return Ok(());
        }
        host.written = true;
        let mut saved: Vec<SavedBudget> = host.budgets.iter_mut().map(|budget| budget.save(now)).collect();
        let failures = saved.remove(0);
        saved.extend(host.left.iter().map(|(left, _)| left.clone()));
        Checkpoint::new(now + *offset, failures.tokens, saved, open).write(&**files, path)?;
        host.changed = false;
        Ok(())
    }

    /// Restores the counts and budgets that the previous process saved for a host. Returns the number of counts. Their summaries
    /// are due now, and say "at least".
    ///
    /// # Errors
    ///
    /// Returns [`CheckpointError::Unread`] if the file exists and can't be read now. Call this again later. Until then no other
    /// checkpoint is written. Returns [`CheckpointError::Damaged`] if its content is wrong. Then it was renamed.
    pub fn restore(&mut self, host: &str, path: &Path, now: f64) -> Result<usize, CheckpointError> {
        let index = self.host(host, now);
        let found = Checkpoint::read(&*self.files, path);
        if let Some(host) = self.hosts.get_mut(index) {
            host.found(&found);
        }
        let Some(checkpoint) = found? else { return Ok(0) };
        let mut restored: usize = 0;
        for summary in checkpoint.open.into_iter().take(KEYS.saturating_mul(2)) {
            let outcome = self.outcome_index(host, &summary.kind, &summary.source, now);
            let count = outcome.and_then(|outcome| Count::restored(summary, outcome, &self.hasher, self.offset, &mut self.pool));
            if let Some((count, host)) = count.zip(self.hosts.get_mut(index)) {
                host.closed.push(count);
                restored = restored.saturating_add(1);
            }
        }
        if let Some(host) = self.hosts.get_mut(index) {
            let ago = now + self.offset - checkpoint.at;
            let failures = SavedBudget { name: String::new(), tokens: checkpoint.tokens };
            for saved in std::iter::once(failures).chain(checkpoint.budgets) {
                host.resume(saved, ago, now);
            }
        }
        Ok(restored)
    }
}
