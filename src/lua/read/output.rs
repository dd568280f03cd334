//! `--output`: a file that is created atomically.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mlua::prelude::*;

use crate::file::new_file::NewFile;
use crate::lua::signals;

/// `new_file(path) -> file | nil, message`
pub(crate) fn new_file(lua: &Lua, path: LuaString) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    match NewFile::create(Path::new(OsStr::from_bytes(&path.as_bytes()))) {
        Ok(file) => Ok((Some(lua.create_userdata(Output(Some(file)))?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// A file that is being written.
pub(crate) struct Output(Option<NewFile>);

impl LuaUserData for Output {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // write(text) -> true | nil, message
        methods.add_method_mut("write", |_, this, text: LuaString| {
            Ok(match this.0.as_mut().map(|file| file.write(&text.as_bytes())) {
                Some(Ok(())) => (Some(true), None),
                Some(Err(error)) => (None, Some(error.to_string())),
                None => (None, Some("the file is finished".to_owned())),
            })
        });
        // finish() -> true | nil, message: gives the file its name; discard(): removes it
        methods.add_method_mut("finish", |_, this, ()| {
            let finish = |file: NewFile| signals::held_back(|is_told| file.finish(is_told));
            Ok(match this.0.take().map(finish) {
                Some(Ok(())) => (Some(true), None),
                Some(Err(error)) => (None, Some(error.to_string())),
                None => (None, Some("the file is finished".to_owned())),
            })
        });
        methods.add_method_mut("discard", |_, this, ()| {
            this.0 = None;
            Ok(())
        });
    }
}
