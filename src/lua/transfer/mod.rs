//! Moving the entries of a host from one driver to another, as objects of the embedded Lua.

use mlua::prelude::*;

use crate::archive::partition::Partition;
use crate::archive::transfer::{self, Joint, Mark, NIL, Original, Side, Stores, Transfer, TransferStep};
use crate::lua::value::{Text, names, partition, partitions};

/// Adds `joint(from, to) -> joint`, `transfer(from, to) -> transfer`, `transfer_pace() -> pace`,
/// `is_partition(name) -> boolean` and `transfers = { start =, rest =, busy =, ask = }`, in seconds.
pub(crate) fn add(lua: &Lua, native: &LuaTable) -> LuaResult<()> {
    native.set("joint", lua.create_function(|lua, (from, to): (String, String)| lua.create_userdata(Joint::new(&from, &to)))?)?;
    native.set("transfer", lua.create_function(|lua, (from, to): (String, String)| lua.create_userdata(Transfer::new(&from, &to)))?)?;
    native.set("is_partition", lua.create_function(|_, name: Text| Ok(partition(&name).is_some()))?)?;
    native.set("transfer_pace", lua.create_function(|lua, ()| lua.create_userdata(transfer::rows()))?)?;
    let times =
        lua.create_table_from([("start", transfer::START), ("rest", transfer::REST), ("busy", transfer::BUSY), ("ask", transfer::ASK)])?;
    native.set("transfers", times)
}

/// What two stores have: the archive users of the source, whether its archive user nil is empty, those of the target, and marks.
type Listing = (LuaTable, bool, LuaTable, LuaTable);

/// What a listing says.
struct Listed {
    source: Vec<Partition>,
    nil_is_empty: bool,
    target: Vec<Partition>,
    marks: Vec<Mark>,
}

impl Listed {
    fn new((source, nil_is_empty, target, marks): &Listing) -> LuaResult<Self> {
        let marks = marks.sequence_values::<LuaTable>().filter_map(|mark| mark.and_then(|mark| mark_of(&mark)).transpose());
        Ok(Self {
            source: partitions(source),
            nil_is_empty: *nil_is_empty,
            target: partitions(target),
            marks: marks.collect::<LuaResult<_>>()?,
        })
    }

    fn stores(&self) -> Stores<'_> {
        Stores { source: &self.source, nil_is_empty: self.nil_is_empty, target: &self.target, marks: &self.marks }
    }
}

/// A mark from its table. One that is damaged is no mark.
fn mark_of(table: &LuaTable) -> LuaResult<Option<Mark>> {
    let text = |name: &str| table.get::<Option<String>>(name);
    let (Some(original), Some(from), Some(to), Some(copy)) = (text("original")?, text("from")?, text("to")?, text("copy")?) else {
        return Ok(None);
    };
    let (Some(original), Ok(copy)) = (original_of(&original), copy.parse()) else { return Ok(None) };
    Ok(Some(Mark { original, from, to, copy, is_complete: table.get("complete")? }))
}

fn table_of(lua: &Lua, mark: &Mark) -> LuaResult<LuaTable> {
    let table = lua.create_table()?;
    table.set("original", name_of(&mark.original))?;
    table.set("from", mark.from.as_str())?;
    table.set("to", mark.to.as_str())?;
    table.set("copy", mark.copy.to_string())?;
    table.set("complete", mark.is_complete)?;
    Ok(table)
}

/// The archive user of that name. `None` if it is none of the log.
fn original_of(name: &str) -> Option<Original> {
    if name == NIL { Some(None) } else { name.parse().ok().map(Some) }
}

fn name_of(original: &Original) -> String {
    original.as_ref().map_or_else(|| NIL.to_owned(), ToString::to_string)
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

impl LuaUserData for Joint {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // join(listing) -> { partitions = names, originals = the name in the source by name, closed = names, source_nil =, target_nil = }
        methods.add_method_mut("join", |lua, this, listing: Listing| {
            let listed = Listed::new(&listing)?;
            let joined = this.join(&listed.stores());
            let originals = joined.in_source.iter().map(|(name, original)| (name.to_string(), original.to_string()));
            let table = lua.create_table()?;
            table.set("partitions", names(&joined.partitions))?;
            table.set("originals", lua.create_table_from(originals)?)?;
            table.set("closed", names(&joined.closed))?;
            table.set("source_nil", joined.source_nil)?;
            table.set("target_nil", joined.target_nil)?;
            Ok(table)
        });
    }
}

/// A step as a table: { step =, mark =, side =, users = } with what it has.
fn step_of(lua: &Lua, step: &TransferStep) -> LuaResult<LuaTable> {
    let table = lua.create_table()?;
    let (name, mark) = match step {
        TransferStep::Mark(mark) => ("mark", Some(mark)),
        TransferStep::Copy(mark) => ("copy", Some(mark)),
        TransferStep::Complete(mark) => ("mark", Some(mark)),
        TransferStep::Settle(which) => {
            table.set("side", side(*which))?;
            ("settle", None)
        }
        TransferStep::Remove { side: which, users, mark } => {
            table.set("side", side(*which))?;
            table.set("users", users.iter().map(name_of).collect::<Vec<_>>())?;
            ("remove", mark.as_ref())
        }
    };
    table.set("step", name)?;
    table.set("mark", mark.map(|mark| table_of(lua, mark)).transpose()?)?;
    Ok(table)
}

impl LuaUserData for Transfer {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // round(joint, listing) -> list of steps, how many archive users are left
        methods.add_method("round", |lua, this, (mut joint, source, nil_is_empty, target, marks): RoundArguments| {
            let listed = Listed::new(&(source, nil_is_empty, target, marks))?;
            let round = this.round(&listed.stores(), &mut joint);
            let steps = round.steps.iter().map(|step| step_of(lua, step)).collect::<LuaResult<Vec<_>>>()?;
            Ok((steps, round.left))
        });
        // failed(archive user | nil: it was about none) -> pause before the next attempt, whether to report it
        methods.add_method_mut("failed", |_, this, original: Option<String>| {
            let failure = this.failed(original.and_then(|name| original_of(&name)));
            Ok((failure.pause, failure.is_news))
        });
        // copied(archive user); skip(archive user): it can't be copied as a whole
        methods.add_method_mut("copied", |_, this, original: String| {
            if let Some(original) = original_of(&original) {
                this.copied(&original);
            }
            Ok(())
        });
        methods.add_method_mut("skip", |_, this, original: String| {
            if let Some(original) = original_of(&original) {
                this.skip(original);
            }
            Ok(())
        });
        // succeeded() -> whether this ends a trouble that was reported
        methods.add_method_mut("succeeded", |_, this, ()| Ok(this.succeeded()));
        // is_in_trouble() -> whether something that failed was not copied since
        methods.add_method("is_in_trouble", |_, this, ()| Ok(this.is_in_trouble()));
        // skipped() -> how many archive users stay
        methods.add_method("skipped", |_, this, ()| Ok(this.skipped()));
    }
}

type RoundArguments = (LuaUserDataRefMut<Joint>, LuaTable, bool, LuaTable, LuaTable);
