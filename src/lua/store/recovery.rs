//! What became of the file of the native store, for Lua and as a line for the operator.

use std::path::Path;

use mlua::prelude::*;

use crate::storage::{Cause, Copied, Recovered};

/// See `recovered` in `database.lua`.
pub(super) fn table(lua: &Lua, database: &Path, recovered: &Recovered) -> LuaResult<LuaTable> {
    let (cause, reason) = match &recovered.cause {
        Cause::Damaged(reason) => ("damaged", Some(reason.as_str())),
        Cause::Deleted => ("deleted", None),
        Cause::Replaced => ("replaced", None),
        Cause::Interrupted => ("interrupted", None),
    };
    let hosts = lua.create_table()?;
    for host in &recovered.copied {
        let counts = lua.create_table_from([("copied", host.count)])?;
        counts.set("missing", host.missing)?;
        hosts.set(host.host.as_str(), counts)?;
    }
    let path = recovered.set_aside.as_ref().map(|path| path.display().to_string());
    let (copied, missing) = sums(&recovered.copied);
    let table = lua.create_table()?;
    table.set("cause", cause)?;
    table.set("reason", reason)?;
    table.set("path", path)?;
    table.set("copied", copied)?;
    table.set("missing", missing)?;
    table.set("hosts", hosts)?;
    table.set("text", line(database, recovered))?;
    Ok(table)
}

/// How many items were copied, and how many could not be read. That is not known if nothing was left to count them by.
fn sums(copied: &[Copied]) -> (u64, Option<u64>) {
    let count = copied.iter().map(|host| host.count).sum();
    let missing = copied.iter().map(|host| host.missing).sum::<Option<u64>>().filter(|_| !copied.is_empty());
    (count, missing)
}

fn line(database: &Path, recovered: &Recovered) -> String {
    let (copied, missing) = sums(&recovered.copied);
    let name = recovered.set_aside.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let database = database.display();
    let what = match &recovered.cause {
        Cause::Damaged(reason) => format!("{database} was damaged ({reason}). The damaged file is now called {name}"),
        Cause::Deleted => format!("{database} was deleted while it was in use"),
        Cause::Replaced => {
            format!("{database} was replaced by another file while it was in use. The other file is not used, and is now called {name}")
        }
        Cause::Interrupted => format!("The copying of a damaged {database} had been interrupted. The damaged file is called {name}"),
    };
    let missing = match missing {
        Some(0) => "nothing is missing".to_owned(),
        Some(missing) => format!("{missing} could not be read"),
        None => "how many could not be read is not known".to_owned(),
    };
    format!("{what}. {copied} entries were copied to a new file, {missing}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_line_says_what_happened_and_what_is_missing() {
        let counts = |host: &str, count, missing| Copied { host: host.to_owned(), count, missing };
        let name = PathBuf::from("/d/a.damaged-1");
        let line = |cause, set_aside, copied| line(Path::new("/d/a"), &Recovered { cause, set_aside, copied });
        assert_eq!(
            line(Cause::Damaged("bad page".into()), Some(name), vec![counts("a", 3, Some(1)), counts("b", 4, Some(2))]),
            "/d/a was damaged (bad page). The damaged file is now called /d/a.damaged-1. 7 entries were copied to a new file, 3 could not be read"
        );
        assert_eq!(
            line(Cause::Deleted, None, vec![counts("a", 3, Some(0))]),
            "/d/a was deleted while it was in use. 3 entries were copied to a new file, nothing is missing"
        );
        let unknown = "how many could not be read is not known";
        assert!(line(Cause::Deleted, None, vec![counts("a", 3, Some(0)), counts("b", 3, None)]).ends_with(unknown));
        assert!(line(Cause::Deleted, None, vec![]).ends_with(unknown));
    }
}
