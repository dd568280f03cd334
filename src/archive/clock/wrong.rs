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
        let pending = std::mem::take(&mut self.pending);
        // What was remembered leads to times by the clock of then. The shifts of the new spans lead to the present clock already.
        match self.base.take() {
            None => self.correct(&pending),
            Some(Base { span, exact, known }) => {
                // The clock may be later because the server was off. If it is earlier, it was wrong before.
                let shift = if exact || span.shift < 0.0 { span.shift } else { known.max(0.0) };
                if exact || shift != 0.0 {
                    let before = Span { shift, ..span };
                    self.correct(std::slice::from_ref(&before));
                    self.remember(before);
                }
            }
        }
        for span in pending {
            // Nothing is unknown between that time, by the present clock, and now. A later jump is about all of it.
            self.known = self.known.min(span.from + span.shift);
            self.remember(span);
        }
        self.doubt = None;
        self.settled = true;
    }

    /// The clock is the same again as in this period, so a later jump is about that time as well.
    const fn goes_on_from(&mut self, span: &Span) {
        self.known = self.known.min(span.from);
    }

    /// Adjusts what is remembered and leads to one of these periods, in which the clock was wrong.
    fn correct(&mut self, wrong: &[Span]) {
        for mut span in std::mem::take(&mut self.wrong) {
            if let Some(wrong) = wrong.iter().find(|wrong| span.leads_to(wrong)) {
                span.shift += wrong.shift;
            }
            self.remember(span);
        }
    }

    fn remember(&mut self, wrong: Span) {
        if wrong.shift.abs() <= SLACK {
            self.goes_on_from(&wrong);
            return;
        }
        self.wrong.push(wrong);
        if self.wrong.len() > SPANS {
            self.wrong.remove(0);
        }
    }
}
