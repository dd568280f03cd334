//! The steps of a hand-over, as methods of a journal.

use mlua::prelude::*;

use super::{Kept, Owned};
use crate::archive::placement::written_on;
use crate::entry::payload::time_of;
use crate::journal::hand_over::SliceStep;
use crate::lua::value::{Text, names, partitions};

pub(super) fn add<M: LuaUserDataMethods<Owned>>(methods: &mut M) {
    // has_work() -> whether a slice may begin: none runs, and there are entries to hand over or losses to record
    methods.add_method("has_work", |_, this, ()| {
        let mut kept = this.kept();
        let is_running = kept.hand_over.is_running();
        let journal = kept.journal()?;
        Ok(!is_running && (!journal.is_empty() || journal.losses().is_open()))
    });
    // when() -> pause before the next slice | nil: one is planned or runs, the sequence from which on to ask again | nil: not
    // before the next slice
    methods.add_method("when", |_, this, ()| {
        let mut kept = this.kept();
        let (first, end) = kept.range()?;
        let when = kept.hand_over.when(first, end);
        Ok((when.delay, when.until))
    });
    // doubt(): the store may have entries that wait
    methods.add_method("doubt", |_, this, ()| {
        this.kept().hand_over.doubt();
        Ok(())
    });
    // wait_for(when a slice of another log began | nil, now) -> for how many seconds to wait for it
    methods.add_method("wait_for", |_, this, (other, now): (Option<f64>, f64)| Ok(this.kept().hand_over.wait_for(other, now)));
    // begin(now, whether the store takes bytes): a slice
    methods.add_method("begin", |_, this, (now, is_native): (f64, bool)| {
        let hand_over = &mut this.kept().hand_over;
        if is_native {
            hand_over.begin_native(now)
        } else {
            hand_over.begin(now)
        }
        Ok(())
    });
    // next_step(now) -> nil: the slice is over
    //   | "again": ask again
    //   | "failed", message: the journal can't be read now
    //   | "list": list the archive users of the store, and call listed(users)
    //   | "look", partition | nil, limit: read the newest entries there, and call looked(ids, number of entries, time of the oldest)
    //   | "batch", size, at_least, deadline, latest: append as many entries, and call handed_over(now, count, done). The batch
    //     ends at the deadline; a transaction with fewer than at_least entries ends at the latest
    methods.add_method("next_step", |lua, this, now: f64| {
        let mut kept = this.kept();
        let (first, end) = kept.range()?;
        match kept.hand_over.next_step(now, first, end) {
            None => ().into_lua_multi(lua),
            Some(SliceStep::Learn(range)) => {
                let to = range.end;
                match kept.times(range) {
                    Ok(times) => {
                        kept.hand_over.learned(to, times);
                        "again".into_lua_multi(lua)
                    }
                    Err(problem) => ("failed", problem).into_lua_multi(lua),
                }
            }
            Some(SliceStep::List) => "list".into_lua_multi(lua),
            Some(SliceStep::Look { partition, limit }) => ("look", partition, limit).into_lua_multi(lua),
            Some(SliceStep::Batch(batch)) => ("batch", batch.size, batch.at_least, batch.deadline, batch.latest).into_lua_multi(lua),
        }
    });
    methods.add_method("listed", |_, this, users: LuaTable| {
        let mut kept = this.kept();
        let sequences = written_on(partitions(&users), &kept.hand_over.days());
        kept.hand_over.listed(sequences.iter().map(|sequence| names(sequence)));
        Ok(())
    });
    methods.add_method("looked", |_, this, (ids, entries, oldest): (LuaTable, usize, Option<f64>)| {
        let ids = ids.sequence_values::<LuaString>().filter_map(|id| Some(id.ok()?.to_string_lossy()));
        this.kept().hand_over.looked(ids, entries, oldest);
        Ok(())
    });
    // recognises() -> whether the store has entries that wait; is_recognised(id) -> whether it has that one
    methods.add_method("recognises", |_, this, ()| Ok(this.kept().hand_over.recognises()));
    methods.add_method("is_recognised", |_, this, id: Text| {
        Ok(id.bytes().is_some_and(|id| std::str::from_utf8(&id).is_ok_and(|id| this.kept().hand_over.is_recognised(id))))
    });
    // handed_over(time of the last append, entries in the batch, how many of them the store took)
    methods.add_method("handed_over", |_, this, (now, count, done): (f64, usize, usize)| {
        this.kept().hand_over.handed_over(now, count, done);
        Ok(())
    });
    // ended(now, whether the store took what it was offered) -> whether more waits, pause before the next slice | nil
    methods.add_method("ended", |_, this, (now, succeeded): (f64, bool)| {
        // The journal may have been closed while a driver yielded.
        let mut kept = this.kept();
        let (first, end) = if kept.is_open() { kept.range()? } else { (0, 0) };
        let after = kept.hand_over.ended(now, succeeded, first, end);
        Ok((after.more, after.pause))
    });
    // unanswered(now) -> for how many seconds the driver has not answered | nil; once for each slice
    methods.add_method("unanswered", |_, this, now: f64| Ok(this.kept().hand_over.unanswered(now)));
    // longest() -> how long the longest slice took, in seconds
    methods.add_method("longest", |_, this, ()| Ok(this.kept().hand_over.longest()));
}

impl Kept {
    /// The sequence of the first entry that waits, and one above that of the last.
    fn range(&mut self) -> LuaResult<(u64, u64)> {
        let journal = self.journal()?;
        Ok((journal.first(), journal.end()))
    }

    /// When entries were recorded, without those that are gone.
    fn times(&mut self, range: std::ops::Range<u64>) -> Result<Vec<f64>, String> {
        let journal = self.journal.as_mut().ok_or("the journal is closed")?;
        let mut times = Vec::new();
        for sequence in range {
            let time = journal.read(sequence, time_of).map_err(|error| error.to_string())?;
            times.extend(time.flatten());
        }
        Ok(times)
    }
}
