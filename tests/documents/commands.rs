//! Commands can be typed as they are written: the real parser takes them, and the Makefile has the targets.

use audit_core::command::{Command, FLAGS};

use crate::markdown::{Document, words};
use crate::{check_each, read, root};

/// A day in November 2026: some arguments are times before now.
const NOW: f64 = 1_795_521_600.0;

/// What can be typed: lines of plain blocks of code, and what stands in backticks.
fn command_lines(document: &Document) -> Vec<String> {
    let lines = document.plain_blocks().flat_map(|block| block.text.lines());
    let lines = lines.map(|line| line.trim().trim_start_matches("$ ").trim_start_matches("sudo ").to_owned());
    lines.chain(document.spans()).collect()
}

/// The arguments of a command that begins with these words.
fn arguments<'a>(words: &'a [String], start: &[&str]) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    words.get(..start.len()).is_some_and(|first| first == start).then(|| words[start.len()..].iter().map(String::as_str))
}

/// The commands of the shell, and the flag of `prosodyctl mod_audit` that does the same.
const SHELL: &[(&str, Option<&str>)] = &[("show", None), ("stats", Some("--stats")), ("prune", Some("--prune"))];

fn refused_commands(_: &str, document: &Document) -> Vec<String> {
    let mut refused = Vec::new();
    for line in command_lines(document).iter().filter(|line| line.starts_with("prosodyctl ")) {
        let Some(words) = words(line) else {
            refused.push(format!("{line}: a quote is left open"));
            continue;
        };
        let in_shell = SHELL.iter().find_map(|(command, flag)| {
            let arguments = arguments(&words, &["prosodyctl", "shell", "audit", command])?;
            Some(flag.iter().copied().chain(arguments).collect())
        });
        let arguments: Option<Vec<&str>> = arguments(&words, &["prosodyctl", "mod_audit"]).map(Iterator::collect).or(in_shell);
        // The command by its name only.
        let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) else { continue };
        if let Err(error) = Command::parse(arguments, NOW) {
            refused.push(format!("{line}: {error}"));
        }
    }
    refused
}

#[test]
fn every_command_is_accepted() {
    check_each(refused_commands);
}

/// Flags that are named alone, as `--utc`.
fn unknown_flags(_: &str, document: &Document) -> Vec<String> {
    let spans = document.spans().into_iter().filter(|span| span.starts_with("--"));
    let flags =
        spans.flat_map(|span| span.split_whitespace().filter(|word| word.starts_with("--")).map(ToOwned::to_owned).collect::<Vec<_>>());
    let is_known = |word: &String| {
        let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
        let positive = name.trim_start_matches("[no-]").trim_start_matches("no-");
        FLAGS.iter().any(|flag| flag.name == name || flag.negatable && flag.name == positive)
    };
    flags.filter(|word| !is_known(word)).map(|word| format!("there is no flag {word}")).collect()
}

#[test]
fn every_flag_exists() {
    check_each(|path, document| if path == "docs/performance.md" { unknown_bench_flags(document) } else { unknown_flags(path, document) });
}

/// Flags of a benchmark, which its head describes.
fn unknown_bench_flags(document: &Document) -> Vec<String> {
    let mut unknown = Vec::new();
    for span in document.spans() {
        let words: Vec<&str> = span.split_whitespace().collect();
        let Some(script) = words.iter().find(|word| word.starts_with("benches/") && word.ends_with(".lua")) else { continue };
        let head = read(script);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let name = flag.split('=').next().unwrap_or_default();
            if !head.contains(&format!("\n--   {name}")) {
                unknown.push(format!("{script} has no flag {name}"));
            }
        }
    }
    unknown
}

fn unknown_targets(_: &str, document: &Document) -> Vec<String> {
    let makefile = read("Makefile");
    let targets: Vec<&str> = makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let lines = command_lines(document);
    let words = lines.iter().filter_map(|line| line.strip_prefix("make ")).filter_map(words).flatten();
    let is_known = |word: &String| match word.split_once('=') {
        // As tools/mutants takes them.
        Some(("PARTS", part)) => root().join("src").join(part).exists() || root().join(format!("src/{part}.rs")).exists(),
        Some(_) => true,
        None => targets.contains(&word.as_str()),
    };
    words.filter(|word| !is_known(word)).map(|word| format!("make {word}: there is no such target or part")).collect()
}

#[test]
fn every_target_of_make_exists() {
    check_each(unknown_targets);
}
