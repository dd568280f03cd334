//! The periods in which the clock was wrong: which are remembered, and for how long.

use super::reading::SLACK;
use super::timeline::Span;
use super::{Base, Clock, SPANS};
use crate::archive::partition::Partition;

impl Clock {
    /// Notes that a partition was removed. Its name can be used again, for entries that are written later.
    pub fn removed(&mut self, partition: &Partition) {
        let name = partition.to_string();
        let spans = self.pending.iter_mut().chain(&mut self.wrong).map(|span| &mut span.after);
        for after in spans.chain([&mut self.after]) {
            after.retain(|known| *known != name);
        }
    }

    /// Trusts the present clock. So the times before a jump were wrong.
    pub(super) fn settle(&mut self) {
        for span in std::mem::take(&mut self.pending) {
            // Nothing is unknown between that time, by the present clock, and now. A later jump is about all of it.
            self.known = self.known.min(span.from + span.shift);
            self.remember(span);
        }
        if let Some(Base { span, exact, known }) = self.base.take() {
            // The clock may be later because the server was off. If it is earlier, it was wrong before.
            if exact && span.shift.abs() <= SLACK {
                self.goes_on_from(&span);
            } else if exact || span.shift < 0.0 {
                self.remember(span);
            } else if known > 0.0 {
                // It has jumped, too, and that part has nothing to do with the time that the server was off.
                self.remember(Span { shift: known, ..span });
            }
        }
        self.doubt = None;
        self.settled = true;
    }

    /// The clock is the same again as in this period, so a later jump is about that time as well.
    const fn goes_on_from(&mut self, span: &Span) {
        self.known = self.known.min(span.from);
    }

    fn remember(&mut self, wrong: Span) {
        if wrong.shift.abs() <= SLACK {
            self.goes_on_from(&wrong);
            return;
        }
        for mut span in std::mem::take(&mut self.wrong) {
            span.follow(&wrong);
            if span.shift.abs() <= SLACK {
                self.goes_on_from(&span);
            } else {
                self.wrong.push(span);
            }
        }
        self.wrong.push(wrong);
        if self.wrong.len() > SPANS {
            self.wrong.remove(0);
        }
    }
}
