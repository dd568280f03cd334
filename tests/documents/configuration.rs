//! Configuration in the documents is accepted: a real Lua reads it, and the code takes its options.

use audit_core::options::{CLASS_FIELDS, Settings, Value};
use mlua::prelude::*;

use crate::check_each;
use crate::markdown::Document;
use crate::root;

/// What Prosody's configuration can call, and that of prosody-migrator.
const FUNCTIONS: &str =
    "function VirtualHost() end function Component() return function () end end function input() end function output() end";

/// Blocks in which modules are written, not configured.
fn is_module_code(code: &str) -> bool {
    code.contains("module:")
}

/// Configuration that stands in backticks, such as `audit_log_flood = false`. A field of a class is put into one.
fn configuration_of_span(span: &str) -> Option<String> {
    let (name, value) = span.split_once(" = ")?;
    if CLASS_FIELDS.iter().any(|field| field.name == name) {
        let types = if name == "types" { "" } else { "types = { \"test\" }; " };
        Some(format!("audit_log_classes = {{ test = {{ {types}{name} = {value} }} }}"))
    } else {
        (name.starts_with("audit_") || name == "storage").then(|| span.to_owned())
    }
}

fn value(of: LuaValue) -> Value {
    match of {
        LuaValue::Nil => Value::Nil,
        LuaValue::Boolean(boolean) => Value::Boolean(boolean),
        #[allow(clippy::cast_precision_loss)]
        LuaValue::Integer(number) => Value::Number(number as f64),
        LuaValue::Number(number) => Value::Number(number),
        LuaValue::String(text) => Value::String(text.to_string_lossy()),
        LuaValue::Table(table) => Value::table(table.pairs().map(|pair| pair.map(|(k, v)| (value(k), value(v))).unwrap()).collect()),
        other => Value::Other(other.type_name()),
    }
}

fn wrong_configuration(code: &str) -> Vec<String> {
    let lua = Lua::new();
    if is_module_code(code) {
        return lua.load(code).into_function().err().map(|error| error.to_string()).into_iter().collect();
    }
    lua.load(FUNCTIONS).exec().unwrap();
    if let Err(error) = lua.load(code).exec() {
        return vec![error.to_string()];
    }
    let option = |name: &str| lua.globals().get::<LuaValue>(name).unwrap();
    let (_, mut wrong) = Settings::read(|name| value(option(name)));
    if let LuaValue::Table(modules) = option("modules_enabled") {
        for module in modules.sequence_values::<String>().map(Result::unwrap).filter(|name| name.starts_with("audit")) {
            if !root().join(format!("lua/mod_{module}.lua")).exists() {
                wrong.push(format!("there is no mod_{module}"));
            }
        }
    }
    wrong
}

fn wrong_in(_: &str, document: &Document) -> Vec<String> {
    let blocks =
        document.blocks.iter().filter(|block| block.language == "lua").map(|block| (block.text.clone(), format!("line {}", block.line)));
    let spans = document.spans().into_iter().filter_map(|span| Some((configuration_of_span(&span)?, format!("`{span}`"))));
    blocks
        .chain(spans)
        .flat_map(|(code, place)| wrong_configuration(&code).into_iter().map(move |problem| format!("{place}: {problem}")))
        .collect()
}

#[test]
fn every_configuration_is_accepted() {
    check_each(wrong_in);
}
