//! The files of the embedded driver, as an object of the embedded Lua.

use std::cell::RefCell;

use mlua::prelude::*;

use crate::archive::embedded::{Index, Lists};
use crate::file::{others, ownership};
use crate::lua::value;

struct LuaLists(RefCell<Lists>);

/// `lists() -> lists`
pub(crate) fn lists(lua: &Lua, (): ()) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(LuaLists(RefCell::default()))
}

/// `is_root() -> whether this process runs as root`
pub(crate) fn is_root(_: &Lua, (): ()) -> LuaResult<bool> {
    Ok(ownership::is_root())
}

/// `others_can_read(path) -> boolean`, for a file, or the files in a folder
pub(crate) fn others_can_read(_: &Lua, path: LuaString) -> LuaResult<bool> {
    Ok(others::can_read(value::path(&path.as_bytes())))
}

/// `give_from_root(path)`: gives a file or folder that belongs to root to the owner of its folder.
pub(crate) fn give_from_root(_: &Lua, path: LuaString) -> LuaResult<()> {
    ownership::give_from_root(value::path(&path.as_bytes()));
    Ok(())
}

impl LuaUserData for LuaLists {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // before_append(path of the list, whether its folder is its store's own, whether the driver keeps indexes)
        //   -> whether an index was removed | nil, message: the driver must not append
        methods.add_method("before_append", |_, this, (path, own_folder, keeps_index): (LuaString, bool, bool)| {
            Ok(match this.0.borrow_mut().before_append(value::path(&path.as_bytes()), own_folder, keeps_index) {
                Ok(removed) => (Some(removed), None),
                Err(error) => (None, Some(error.to_string())),
            })
        });
        // before_read(path of the list, whether the driver keeps indexes)
        //   -> whether its index was removed, message where it hides entries | nil, message: it can't be read
        methods.add_method("before_read", |_, this, (path, keeps_index): (LuaString, bool)| {
            Ok(match this.0.borrow_mut().before_read(value::path(&path.as_bytes()), keeps_index) {
                Ok(Index::Fits) => (Some(false), None),
                Ok(Index::Removed) => (Some(true), None),
                Ok(Index::Hides(error)) => (Some(false), Some(error.to_string())),
                Err(error) => (None, Some(error.to_string())),
            })
        });
        // after_root(path of the list, whether its folder is its store's own): gives its files to the owner of their folder
        methods.add_method("after_root", |_, this, (path, own_folder): (LuaString, bool)| {
            this.0.borrow().after_root(value::path(&path.as_bytes()), own_folder);
            Ok(())
        });
    }
}
