//! What a journal writes down for the chains of its host. It does not know what a chain is: that is decided in `chain`.

use std::fmt::Debug;

/// The chains of a host. The journal keeps where they have got to.
///
/// Each segment begins with a record of that, and one is written with every acknowledgement. So it is known after a crash, together
/// with the entries behind it.
pub trait Links: Debug {
    /// A record from the files of the journal: where the chains had got to. The last one counts.
    fn read_heads(&mut self, record: &[u8]);
    /// An entry from the files of the journal. It may be older than the record before it, if the store has taken it since.
    fn read_entry(&mut self, payload: &[u8]);
    /// The journal has been read: what the chains of this process are follows what was read.
    fn resume(&mut self);
    /// Adds the record to write. Adds nothing if there are no chains yet.
    fn write_heads(&self, record: &mut Vec<u8>);
    /// Nothing waits in memory only: it was written, or the store has taken it.
    fn all_written(&mut self);
    /// Whether the next record must be on the disk: it says something that nothing else would say after a loss of power.
    fn must_be_synced(&self) -> bool;
    /// It is on the disk.
    fn synced(&mut self);
}
