//! Links lead somewhere, and paths exist.

use std::path::{Component, Path};

use crate::markdown::Document;
use crate::{DOCUMENTS, check_each, entries, files, root};

/// The path in the repository that a link of a document means; `None` if it leads out of the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for component in Path::new(target).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

fn broken_links(path: &str, document: &Document) -> Vec<String> {
    let targets = document.links().into_iter().filter(|target| !target.contains("://"));
    let is_broken = |target: &String| {
        let (file, anchor) = target.split_once('#').map_or((target.as_str(), None), |(file, anchor)| (file, Some(anchor)));
        let file = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
        let Some(file) = file.filter(|file| root().join(file).exists()) else { return true };
        anchor.is_some_and(|anchor| DOCUMENTS.get(&file).is_none_or(|document| !document.anchors().contains(anchor)))
    };
    targets.filter(is_broken).map(|target| format!("the link to {target} leads nowhere")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    check_each(broken_links);
}

/// Whether there is such a path. One `*` of a path stands for any characters.
fn exists(path: &str) -> bool {
    let Some((before, after)) = path.split_once('*') else { return root().join(path).exists() };
    let (folder, start) = before.rsplit_once('/').unwrap_or(("", before));
    root().join(folder).is_dir()
        && entries(&root().join(folder)).iter().any(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.len() >= start.len() + after.len() && name.starts_with(start) && name.ends_with(after)
        })
}

/// What lies at the top of the repository.
fn top() -> Vec<String> {
    let names = entries(root()).into_iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "target" && name != ".git").collect()
}

fn missing_paths(_: &str, document: &Document) -> Vec<String> {
    let (top, code) = (top(), [files("src", "rs"), files("src", "lua"), files("lua", "lua"), files("spec", "lua")].concat());
    let mut missing = Vec::new();
    for span in document.spans() {
        for word in span.split_whitespace() {
            let first = word.split('/').next().unwrap_or_default();
            let is_path = word.contains('/') && top.iter().any(|name| name == first);
            // The name of a file of code, without its folder.
            let is_name = !word.contains(['/', '*']) && [".rs", ".lib.lua", "_spec.lua"].iter().any(|end| word.ends_with(end));
            let is_there = if is_name { code.iter().any(|path| path.ends_with(&format!("/{word}"))) } else { exists(word) };
            if (is_path || is_name) && !is_there {
                missing.push(format!("there is no {word}"));
            }
        }
    }
    missing
}

#[test]
fn every_path_exists() {
    check_each(missing_paths);
}

/// The tree of folders in CONTRIBUTING.md: each row begins with a path.
#[test]
fn the_tree_of_folders_is_complete() {
    let tree = DOCUMENTS["CONTRIBUTING.md"].plain_blocks().find(|block| block.text.starts_with("src/")).expect("a tree of folders");
    let named: Vec<&str> =
        tree.text.lines().filter(|line| !line.starts_with(' ')).map(|line| line.split_whitespace().next().unwrap()).collect();
    for path in &named {
        assert!(exists(path.trim_end_matches('/')), "CONTRIBUTING.md, line {}: there is no {path}", tree.line);
    }
    let folders_in = |folder: &str| -> Vec<String> {
        let folders = entries(&root().join(folder)).into_iter().filter(|path| path.is_dir());
        folders.map(|path| format!("{}/", path.strip_prefix(root()).unwrap().to_str().unwrap())).collect()
    };
    let folders = [".", "src", "src/lua", "lua", "lua/audit", "spec"].into_iter().filter(|folder| exists(folder)).flat_map(folders_in);
    let is_hidden = |path: &String| path.starts_with('.') || path == "target/";
    for folder in folders.filter(|path| !is_hidden(path)) {
        assert!(named.contains(&folder.as_str()), "CONTRIBUTING.md does not name the folder {folder}");
    }
}
