//! The rules, as functions over a tree of files given as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::{Language, shipped, without_comments, without_comments_and_strings};

/// Paths from the root of the repository, and what the files hold.
pub type Tree = BTreeMap<String, String>;

/// The folders of the crate (and files beside them), the uppermost first. Code of a row may import from the rows below only.
pub const ORDER: &[&[&str]] = &[
    &["lua"],
    &["web"],
    &["command", "recorder"],
    &["sink", "person", "query", "options"],
    &["alert"],
    &["filter", "chain", "flood"],
    &["render", "archive"],
    &["address", "journal", "storage"],
    &["entry"],
    &["redact"],
    &["pace", "catalogue", "time", "wildcard", "file", "random"],
];

/// The largest number of lines that a file may have without its tests.
const LINES: usize = 400;

/// Files that have more, and why. The list should become empty.
#[derive(Default)]
pub struct Exceptions {
    /// Files with more than 400 lines, and why.
    pub long: &'static [(&'static str, &'static str)],
    /// Numbers that embedded Lua may define: the file, the names, and why.
    pub numbers: &'static [(&'static str, &'static [&'static str], &'static str)],
    /// Where `<audit-event>` is made outside entry/.
    pub makers: &'static [&'static str],
    /// Files that have no spec of their name yet.
    pub without_spec: &'static [&'static str],
}

/// What is wrong in the tree, a line for each fault.
pub fn faults(tree: &Tree, exceptions: &Exceptions) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree {
        let Some(language) = Language::of(path) else { continue };
        if language == Language::Rust && path.starts_with("src/") {
            faults.extend(imports(path, text));
            faults.extend(bindings(path, text));
            faults.extend(store_calls(path, text));
        }
    }
    faults.extend(excused(makers(tree), exceptions.makers.iter().map(|path| (*path).to_owned()), "makes <audit-event>"));
    let numbers = exceptions.numbers.iter().flat_map(|(path, names, _)| names.iter().map(move |name| format!("{path}: {name}")));
    faults.extend(excused(numbers_of(tree), numbers, "defines a number, which belongs into the core"));
    let long = exceptions.long.iter().map(|(path, _)| (*path).to_owned());
    faults.extend(excused(long_files(tree), long, "has more than 400 lines without tests"));
    let without_spec = exceptions.without_spec.iter().map(|path| (*path).to_owned());
    faults.extend(excused(without_spec_of(tree), without_spec, "has no spec of its name"));
    faults
}

/// The faults that are not excused, and the excuses that are not needed any more.
fn excused(found: BTreeSet<String>, excuses: impl Iterator<Item = String>, fault: &str) -> Vec<String> {
    let excuses: BTreeSet<String> = excuses.collect();
    let new = found.difference(&excuses).map(|place| format!("{place} {fault}"));
    let old =
        excuses.difference(&found).map(|place| format!("{place} is an exception without need (\"{fault}\"): remove it from the list"));
    new.chain(old).collect()
}

/// The row of [`ORDER`] that a folder stands in.
fn row_of(folder: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&folder))
}

/// Imports that do not go downwards.
fn imports(path: &str, text: &str) -> Vec<String> {
    let Some(folder) = folder_of(path) else { return Vec::new() };
    let Some(own) = row_of(folder) else { return vec![format!("{path}: the folder \"{folder}\" has no place in the order")] };
    let code = without_comments_and_strings(Language::Rust, text);
    let used = paths_after(&code, "crate::").into_iter().chain(beyond_the_folder(path, &code));
    let forbidden: BTreeSet<String> = used.filter(|used| used != folder && row_of(used).is_some_and(|row| row <= own)).collect();
    forbidden.into_iter().map(|used| format!("{path} imports {used}, which is not below {folder}")).collect()
}

/// The folder of a file in `src`. Returns `None` for `lib.rs`.
fn folder_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/").filter(|inside| *inside != "lib.rs")?;
    Some(inside.split_once('/').map_or_else(|| inside.trim_end_matches(".rs"), |(folder, _)| folder))
}

/// The names that follow `prefix` in `code`: one, or each of a list in braces.
fn paths_after(code: &str, prefix: &str) -> Vec<String> {
    let starts =
        code.match_indices(prefix).map(|(at, _)| at).filter(|at| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts.flat_map(|at| names(&code[at + prefix.len()..])).collect()
}

fn names(path: &str) -> Vec<String> {
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut depth = 0_usize;
    let mut names = vec![name(list.trim_start())];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(list[at + 1..].trim_start())),
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What is named by `super::` and lies outside the folder.
fn beyond_the_folder(path: &str, code: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches("/mod.rs");
    let depth = inside.split('/').count();
    paths_after(code, &"super::".repeat(depth)).into_iter().filter(|name| name != "super").collect()
}

/// Names of mlua outside the binding.
fn bindings(path: &str, text: &str) -> Option<String> {
    let code = without_comments_and_strings(Language::Rust, text);
    let is_named = !path.starts_with("src/lua/") && has_word(&code, "mlua");
    is_named.then(|| format!("{path} names mlua, which only src/lua/ may"))
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

/// Calls of stores, or of anything in Lua by name: only Lua can wait for what a store does.
fn store_calls(path: &str, text: &str) -> Option<String> {
    let code = without_comments_and_strings(Language::Rust, shipped(text));
    let calls = ["call_method", "call_async_method", "open_store"].into_iter().find(|call| has_word(&code, call));
    calls.map(|call| format!("{path} has {call}: stores are called in Lua only"))
}

/// Where the root element of an entry is made.
fn makers(tree: &Tree) -> BTreeSet<String> {
    let is_maker = |path: &str, text: &str| {
        let Some(language) = Language::of(path) else { return false };
        let text = if language == Language::Rust { shipped(text) } else { text };
        let code = without_comments(language, text);
        ["\"audit-event\"", "'audit-event'", "<audit-event"].iter().any(|name| code.contains(name))
    };
    let is_ours = |path: &str| path.starts_with("src/") && !path.starts_with("src/entry/") || path.starts_with("lua/");
    let is_sample = |path: &str| path.ends_with("/tests.rs") || path.ends_with("/sample.rs");
    tree.iter().filter(|(path, text)| is_ours(path) && !is_sample(path) && is_maker(path, text)).map(|(path, _)| path.clone()).collect()
}

fn is_embedded(path: &str) -> bool {
    path.starts_with("src/lua/") && path.ends_with(".lua")
}

/// Numbers that embedded Lua defines, as `file: NAME`.
fn numbers_of(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in tree.iter().filter(|(path, _)| is_embedded(path)) {
        for line in without_comments_and_strings(Language::Lua, text).lines() {
            let Some((names, values)) = line.trim().strip_prefix("local ").and_then(|rest| rest.split_once('=')) else { continue };
            for (name, value) in names.split(',').zip(values.trim_end_matches([';', ' ']).split(',')) {
                let is_constant = name.trim().chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
                if is_constant && value.trim().starts_with(|c: char| c.is_ascii_digit()) {
                    found.insert(format!("{path}: {}", name.trim()));
                }
            }
        }
    }
    found
}

fn long_files(tree: &Tree) -> BTreeSet<String> {
    let code = ["src/", "lua/", "examples/", "benches/", "fuzz/", "tools/"];
    let is_long = |path: &str, text: &str| match Language::of(path) {
        Some(Language::Rust) => !path.ends_with("tests.rs") && shipped(text).lines().count() > LINES,
        Some(Language::Lua) => text.lines().count() > LINES,
        None => false,
    };
    let long = tree.iter().filter(|(path, text)| code.iter().any(|folder| path.starts_with(folder)) && is_long(path, text));
    long.map(|(path, _)| path.clone()).collect()
}

/// The spec that holds a file to what it promises.
pub fn spec_of(path: &str) -> Option<String> {
    let name = path.rsplit_once('/')?.1;
    if is_embedded(path) {
        return Some(format!("spec/core/{}_spec.lua", name.strip_suffix(".lua")?));
    }
    let inside = path.strip_prefix("lua/")?;
    let inside = inside.strip_suffix(".lib.lua").or_else(|| inside.strip_suffix(".lua"))?;
    Some(format!("spec/{inside}_spec.lua"))
}

fn without_spec_of(tree: &Tree) -> BTreeSet<String> {
    let lacks = |path: &str| spec_of(path).is_some_and(|spec| !tree.contains_key(&spec));
    tree.keys().filter(|path| lacks(path)).cloned().collect()
}
