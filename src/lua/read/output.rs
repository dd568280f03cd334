//! `--output` and `--report`: a file that is created atomically.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use mlua::prelude::*;

use super::LuaRequest;
use crate::command::output::Output;
use crate::file::new_file::{NewFile, OutputError};
use crate::file::ownership::own_name;
use crate::lua::signals;
use crate::render::totals::tally::grouped;

/// A file to write, as it was named.
pub(crate) struct LuaOutput(pub(crate) Output);

impl LuaUserData for LuaOutput {}

/// `new_file(asked | output) -> file | nil, message`. Begins the file that is named, which may be relative to the folder of the caller.
pub(crate) fn new_file(lua: &Lua, asked: LuaAnyUserData) -> LuaResult<(Option<LuaAnyUserData>, Option<String>)> {
    let named = match asked.borrow::<LuaOutput>() {
        Ok(output) => Some(output.0.clone()),
        Err(_) => asked.borrow::<LuaRequest>()?.0.output.clone(),
    };
    let Some(output) = &named else { return Ok((None, Some("no file is to be written".to_owned()))) };
    let caller = std::env::var_os("PWD").map(PathBuf::from);
    let path = match output.path(caller.as_deref()) {
        Ok(path) => path,
        Err(error) => return Ok((None, Some(error.to_string()))),
    };
    match NewFile::create(&path) {
        Ok(file) => Ok((Some(lua.create_userdata(LuaFile { file: Some(file), path, output: output.clone(), size: 0 })?), None)),
        Err(error) => Ok((None, Some(not_made(output, &error)))),
    }
}

fn not_made(output: &Output, error: &OutputError) -> String {
    match error {
        OutputError::Io { .. } => output.not_made(&error.to_string(), &own_name().unwrap_or_else(|| "that owns this process".to_owned())),
        OutputError::Exists(_) | OutputError::Stopped(_) => output.problem(&error.to_string()),
    }
}

/// A file that is being written.
pub(crate) struct LuaFile {
    /// `None` if it is finished.
    file: Option<NewFile>,
    path: PathBuf,
    output: Output,
    /// How many bytes were written.
    size: u64,
}

impl LuaFile {
    /// What a call returns.
    fn result<T>(&self, done: Option<Result<T, OutputError>>) -> (Option<T>, Option<String>) {
        match done {
            Some(Ok(value)) => (Some(value), None),
            Some(Err(error)) => (None, Some(self.output.problem(&error.to_string()))),
            None => (None, Some(self.output.problem("the file is finished"))),
        }
    }
}

impl LuaUserData for LuaFile {
    fn add_fields<F: LuaUserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("path", |lua, this| lua.create_string(bytes_of(&this.path)));
    }

    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // write(text) -> true | nil, message
        methods.add_method_mut("write", |_, this, text: LuaString| {
            let text = text.as_bytes();
            this.size = this.size.saturating_add(text.len() as u64);
            let done = this.file.as_mut().map(|file| file.write(&text).map(|()| true));
            Ok(this.result(done))
        });
        // finish() -> "12,345 bytes" | nil, message: gives the file its name; discard(): removes it
        methods.add_method_mut("finish", |_, this, ()| {
            let size = format!("{} {}", grouped(this.size), if this.size == 1 { "byte" } else { "bytes" });
            let done = this.file.take().map(|file| signals::held_back(|is_told| file.finish(is_told)).map(|()| size));
            Ok(this.result(done))
        });
        methods.add_method_mut("discard", |_, this, ()| {
            this.file = None;
            Ok(())
        });
    }
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
