//! Starts of the machine. What was recorded last before it stopped may not have reached the disk, so anchors of that may be of entries
//! that the log does not have.

use std::collections::HashMap;

use super::hash::{Bytes, Nonce};
use super::link::Link;
use crate::entry::limits::HOST_WIDE;
use crate::entry::{Row, StoredEvent};

/// The event type that says how far the chains had got when the machine was started.
const OPENED: &str = "audit-opened";

/// What the log says of starts of the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts {
    /// The last number that each run of the server has in each chain.
    last: HashMap<(Nonce, Nonce), u64>,
    /// How far each chain had got when the machine was started.
    found: Vec<(Nonce, u64)>,
}

impl Starts {
    /// Takes an entry that has this link.
    pub(super) fn take(&mut self, link: &Link) {
        let last = self.last.entry((link.id, link.run)).or_default();
        *last = link.n.max(*last);
    }

    /// Takes a row, if it is about a start: `<opened><head chain= n=/>…</opened>`.
    pub(super) fn feed(&mut self, row: &Row) {
        if row.with.as_deref() != Some(HOST_WIDE) || !row.contains(OPENED) {
            return;
        }
        let Ok(event) = StoredEvent::read(row) else { return };
        let Some(opened) = event.details.iter().find(|detail| detail.name == "opened").filter(|_| event.kind == OPENED) else { return };
        let read = |head: &crate::entry::xml::Element| Some((Bytes::read(head.attribute("chain")?)?, head.attribute("n")?.parse().ok()?));
        self.found.extend(opened.elements().filter_map(read));
    }

    /// Whether this entry of a run may have been lost when the machine stopped: the run has nothing behind what was found then.
    pub(super) fn excuse(&self, id: Nonce, run: Nonce, n: u64) -> bool {
        let last = self.last.get(&(id, run)).copied().unwrap_or_default();
        self.found.iter().any(|(chain, found)| *chain == id && last <= *found && *found < n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::chains::{Chains, link_in};
    use crate::chain::link::Cut;
    use crate::chain::rules::Rule;
    use crate::random::OsRandom;
    use std::rc::Rc;

    fn link(n: u64, run: u8) -> Link {
        let mut payload = b"1795643208.512\0\x01audit-event\x02type\x03test\x05".to_vec();
        Chains::new("example.com", Rc::new(OsRandom)).link("events", Cut::default(), Rule::default(), &mut payload).unwrap();
        Link { id: Bytes([1; 16]), run: Bytes([run; 16]), n, ..link_in(&payload).unwrap() }
    }

    fn opened(n: u64) -> Row {
        let head = format!("<head chain='{}' n='{n}'/>", Bytes([1_u8; 16]));
        let xml =
            format!("<audit-event type='{OPENED}' source='mod_audit'><opened xmlns='xmpp:prosody.im/audit'>{head}</opened></audit-event>");
        Row { key: "1".to_owned(), when: 0.0, with: Some(HOST_WIDE.to_owned()), xml, element: Vec::new() }
    }

    #[test]
    fn what_a_run_had_last_may_be_lost_with_the_power() {
        let mut starts = Starts::default();
        (1..=3).for_each(|n| starts.take(&link(n, 1)));
        let excused = |starts: &Starts, run: u8, n: u64| starts.excuse(Bytes([1; 16]), Bytes([run; 16]), n);
        assert!(!excused(&starts, 1, 5), "nothing says that the machine was started");
        starts.feed(&opened(3));
        (4..=9).for_each(|n| starts.take(&link(n, 2)));
        assert!(excused(&starts, 1, 4) && excused(&starts, 1, 12));
        // What was found then, what the present run has recorded, and another chain.
        assert!(!excused(&starts, 1, 3) && !excused(&starts, 2, 10));
        assert!(!starts.excuse(Bytes([9; 16]), Bytes([1; 16]), 5));
        // An event of an account is not believed.
        let mut of_account = Starts::default();
        of_account.feed(&Row { with: Some("romeo@example.com".to_owned()), ..opened(3) });
        assert!(!excused(&of_account, 1, 5));
    }
}
