//! The layout of the repository: what may import what, and where things are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    missing_docs,
    unreachable_pub
)]

#[path = "architecture/code.rs"]
mod code;
#[path = "architecture/exceptions.rs"]
mod exceptions;
#[path = "architecture/rules.rs"]
mod rules;

use std::fs;
use std::path::Path;

use code::{Language, without_comments, without_comments_and_strings};
use exceptions::EXCEPTIONS;
use rules::{Exceptions, Tree, faults, spec_of};

/// The folders that the rules are about.
const FOLDERS: [&str; 7] = ["src", "lua", "spec", "examples", "benches", "fuzz/laws", "fuzz/fuzz_targets"];

fn read(folder: &Path, root: &Path, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            read(&path, root, tree);
        } else if let Ok(text) = fs::read_to_string(&path) {
            tree.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
}

fn this_tree() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tree = Tree::new();
    FOLDERS.iter().for_each(|folder| read(&root.join(folder), root, &mut tree));
    tree
}

fn of_files(files: &[(&str, &str)]) -> Vec<String> {
    let tree = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    faults(&tree, &Exceptions::default())
}

#[test]
fn the_repository_keeps_the_rules() {
    let faults = faults(&this_tree(), &EXCEPTIONS);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn imports_go_downwards_only() {
    let allowed = [
        ("src/query/mod.rs", "use crate::filter::Filter;\nuse crate::entry::{Row, StoredEvent};"),
        ("src/query/mod.rs", "use super::x;\n// use crate::lua::x;\nlet a = \"crate::lua::x\";"),
        ("src/query/follow.rs", "use super::command;\nuse crate::query::Request;"),
        ("src/lib.rs", "pub use crate::lua;"),
        ("src/query/mod.rs", "use crate::{NAMESPACE, filter::{lua, command}, time};"),
        ("src/query/mod.rs", "fn f<'a>(x: &'a str) { other_crate::lua::x(); }"),
    ];
    for file in allowed {
        assert_eq!(of_files(&[file]), Vec::<String>::new(), "{file:?}");
    }
    let forbidden = [
        ("src/entry/mod.rs", "use crate::recorder::Recorder;", "src/entry/mod.rs imports recorder, which is not below entry"),
        ("src/filter/mod.rs", "use crate::flood::Event;", "src/filter/mod.rs imports flood, which is not below filter"),
        ("src/catalogue.rs", "fn f() { crate::time::day(1.0); }", "src/catalogue.rs imports time, which is not below catalogue"),
        ("src/time/mod.rs", "use crate::{NAMESPACE, entry::{self, text}};", "src/time/mod.rs imports entry, which is not below time"),
        ("src/time/mod.rs", "use super::lua::x;", "src/time/mod.rs imports lua, which is not below time"),
        ("src/time/zone.rs", "use super::super::lua::x;", "src/time/zone.rs imports lua, which is not below time"),
        ("src/pace.rs", "let c = '\"'; use crate::lua::x; let d = '\"';", "src/pace.rs imports lua, which is not below pace"),
        ("src/new/mod.rs", "", "src/new/mod.rs: the folder \"new\" has no place in the order"),
    ];
    for (path, text, fault) in forbidden {
        assert_eq!(of_files(&[(path, text)]), [fault], "{text}");
    }
}

#[test]
fn only_the_binding_names_mlua_and_only_lua_calls_stores() {
    assert_eq!(of_files(&[("src/lua/mod.rs", "use mlua::prelude::*;"), ("src/time/mod.rs", "// mlua is above")]), Vec::<String>::new());
    assert_eq!(of_files(&[("src/time/mod.rs", "use mlua::Lua;")]), ["src/time/mod.rs names mlua, which only src/lua/ may"]);
    assert_eq!(
        of_files(&[("src/lua/read/mod.rs", "store.call_method::<()>(\"append\", entry)?;")]),
        ["src/lua/read/mod.rs has call_method: stores are called in Lua only"]
    );
}

#[test]
fn an_entry_is_made_in_one_place() {
    let made = "const ROOT: &str = \"audit-event\";";
    let tested = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    const XML: &str = \"<audit-event/>\";\n}\n";
    assert_eq!(of_files(&[("src/entry/mod.rs", made), ("src/query/mod.rs", tested)]), Vec::<String>::new());
    assert_eq!(of_files(&[("src/query/mod.rs", made)]), ["src/query/mod.rs makes <audit-event>"]);
    let lua = of_files(&[("lua/mod_audit.lua", "local e = { name = \"audit-event\" };"), ("spec/mod_audit_spec.lua", "")]);
    assert_eq!(lua, ["lua/mod_audit.lua makes <audit-event>"]);
}

#[test]
fn embedded_lua_defines_no_numbers() {
    let spec = ("spec/core/read_spec.lua", "");
    let allowed = "local n, NAME = 0, \"200\"; -- local MOST = 3\nlocal first = 1;\nlocal PARTS = parts;\n";
    assert_eq!(of_files(&[spec, ("src/lua/read/read.lua", allowed)]), Vec::<String>::new());
    let forbidden = of_files(&[spec, ("src/lua/read/read.lua", "\tlocal PAGE, REST = 0.004, 5;\n")]);
    assert_eq!(forbidden.len(), 2);
    assert_eq!(forbidden[0], "src/lua/read/read.lua: PAGE defines a number, which belongs into the core");
}

#[test]
fn files_are_short() {
    let lines = |count: usize| "x\n".repeat(count);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(400), lines(900));
    assert_eq!(of_files(&[("src/time/mod.rs", &tested), ("src/time/tests.rs", &lines(900))]), Vec::<String>::new());
    assert_eq!(of_files(&[("src/time/mod.rs", &lines(401))]), ["src/time/mod.rs has more than 400 lines without tests"]);
}

#[test]
fn each_file_in_lua_has_a_spec_of_its_name() {
    for (path, spec) in [
        ("lua/mod_audit_auth.lua", "spec/mod_audit_auth_spec.lua"),
        ("lua/audit/sent.lib.lua", "spec/audit/sent_spec.lua"),
        ("lua/audit/reading/shell.lib.lua", "spec/audit/reading/shell_spec.lua"),
        ("src/lua/hand_over/queue.lua", "spec/core/queue_spec.lua"),
    ] {
        assert_eq!(spec_of(path).as_deref(), Some(spec));
        assert_eq!(of_files(&[(path, "")]), [format!("{path} has no spec of its name")]);
        assert_eq!(of_files(&[(path, ""), (spec, "")]), Vec::<String>::new());
    }
    assert_eq!(spec_of("src/time/mod.rs"), None);
}

#[test]
fn an_exception_that_is_not_needed_is_a_fault() {
    let exceptions = Exceptions { long: &[("src/time/mod.rs", "history")], ..Exceptions::default() };
    let tree = Tree::from([("src/time/mod.rs".to_owned(), String::new())]);
    assert!(faults(&tree, &exceptions)[0].contains("src/time/mod.rs is an exception without need"));
}

#[test]
fn comments_and_strings_are_told_from_code() {
    for (language, text, code, with_strings) in [
        (Language::Rust, "a // b\nc", "a     \nc", "a     \nc"),
        (Language::Rust, "a /* b /* c */ d */ e", "a                   e", "a                   e"),
        (Language::Rust, r#"f("a\"//b", 'c')"#, r"f(        ,    )", r#"f("a\"//b", 'c')"#),
        (Language::Rust, "r#\"a\"b\"# bar \"c\"", "         bar    ", "r#\"a\"b\"# bar \"c\""),
        (Language::Rust, r"x<'a>('\'', '\\')", r"x<'a>(    ,     )", r"x<'a>('\'', '\\')"),
        (Language::Lua, "a --[[ b\nc ]] d -- e", "a       \n     d     ", "a       \n     d     "),
        (Language::Lua, "a[b[1]] = [=[ ]] ]=] 'c' \"--\"", "a[b[1]] =                    ", "a[b[1]] = [=[ ]] ]=] 'c' \"--\""),
    ] {
        assert_eq!(without_comments_and_strings(language, text), code, "{text}");
        assert_eq!(without_comments(language, text), with_strings, "{text}");
    }
}
