//! The documents say what the code does: tables, links, commands, configuration, paths.
//!
//! Tables between `<!-- table: … -->` and `<!-- end -->` are made from the registries. After a registry has changed,
//! `UPDATE_DOCUMENTS=1 cargo test --no-default-features --test documents` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod commands;
#[cfg(all(any(feature = "lua52", feature = "lua53", feature = "lua54", feature = "luajit"), not(feature = "module")))]
mod configuration;
mod links;
mod markdown;
mod names;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use markdown::Document;

/// Every document, by its path in the repository.
static DOCUMENTS: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        tables::update();
    }
    document_paths().into_iter().map(|path| (path.clone(), Document::new(&read(&path)))).collect()
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn document_paths() -> Vec<String> {
    let pages = files("docs", "md");
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(ToOwned::to_owned).into_iter().chain(pages).collect()
}

/// The files below a folder whose names end in `.extension`, as paths in the repository.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Fails with all that `find` finds wrong, so that one run shows everything.
fn check_each(find: impl Fn(&str, &Document) -> Vec<String>) {
    let wrong: Vec<String> = DOCUMENTS
        .iter()
        .flat_map(|(path, document)| find(path, document).into_iter().map(move |problem| format!("{path}: {problem}")))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let size = read("README.md").len();
    assert!(size <= 10 * 1024, "README.md has {size} bytes; details belong in docs/");
}

#[test]
fn the_readme_lists_every_document() {
    let linked = DOCUMENTS["README.md"].links();
    for path in DOCUMENTS.keys().filter(|path| *path != "README.md") {
        // The recipes for other programs have an index of their own.
        let own = path.strip_prefix("docs/integrations/").filter(|page| *page != "README.md");
        match own {
            Some(page) => assert!(DOCUMENTS["docs/integrations/README.md"].text.contains(&format!("({page})")), "no link to {path}"),
            None => assert!(linked.contains(path), "README.md has no link to {path}"),
        }
    }
}
