//! Code without what is not code: comments, strings, and tests beside the code.

/// The kinds of text that a language has beside its code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust: `//`, nested `/* */`, `"…"`, `r#"…"#`, character literals.
    Rust,
    /// Lua: `--`, `--[[ ]]`, `"…"`, `'…'`, `[[…]]`.
    Lua,
}

impl Language {
    /// The language of a file. Returns `None` for files of other languages.
    pub fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "lua" => Some(Self::Lua),
            _ => None,
        }
    }
}

/// `text` with blanks in place of comments. Line breaks stay.
pub fn without_comments(language: Language, text: &str) -> String {
    blanked(language, text, |piece| piece == Piece::Comment)
}

/// `text` with blanks in place of comments and strings. Line breaks stay.
pub fn without_comments_and_strings(language: Language, text: &str) -> String {
    blanked(language, text, |piece| piece != Piece::Code)
}

/// The lines before the tests of a Rust file: the code that ships. Modules of tests come last in this repository.
pub fn shipped(text: &str) -> &str {
    text.find("\n#[cfg(test)]\n").map_or(text, |end| &text[..end + 1])
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Code,
    Comment,
    String,
}

fn blanked(language: Language, text: &str, is_blanked: impl Fn(Piece) -> bool) -> String {
    let mut blanked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, length) = first_piece(language, rest);
        let (head, tail) = rest.split_at(length);
        if is_blanked(piece) {
            blanked.extend(head.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            blanked.push_str(head);
        }
        rest = tail;
    }
    blanked
}

/// What `text` begins with, and its length in bytes.
fn first_piece(language: Language, text: &str) -> (Piece, usize) {
    let to_line_end = text.find('\n').unwrap_or(text.len());
    match language {
        Language::Rust if text.starts_with("//") => (Piece::Comment, to_line_end),
        Language::Rust if text.starts_with("/*") => (Piece::Comment, nested_comment(text)),
        Language::Rust if text.starts_with('"') => (Piece::String, quoted(text, '"')),
        Language::Rust if text.starts_with("r\"") || text.starts_with("r#") => {
            raw_string(text).map_or((Piece::Code, 1), |length| (Piece::String, length))
        }
        // A lifetime has no second apostrophe.
        Language::Rust if text.starts_with('\'') => character(text).map_or((Piece::Code, 1), |length| (Piece::String, length)),
        Language::Lua if text.starts_with("--[") => {
            long_bracket(&text[2..]).map_or((Piece::Comment, to_line_end), |length| (Piece::Comment, length + 2))
        }
        Language::Lua if text.starts_with("--") => (Piece::Comment, to_line_end),
        Language::Lua if text.starts_with('[') => long_bracket(text).map_or((Piece::Code, 1), |length| (Piece::String, length)),
        Language::Lua if text.starts_with('"') => (Piece::String, quoted(text, '"')),
        Language::Lua if text.starts_with('\'') => (Piece::String, quoted(text, '\'')),
        _ => (Piece::Code, word(text)),
    }
}

/// A whole word, so that the `r` at the end of a name does not begin a raw string; otherwise one character.
fn word(text: &str) -> usize {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    text.find(|c| !is_inside(c)).filter(|end| *end > 0).unwrap_or_else(|| text.chars().next().map_or(0, char::len_utf8))
}

fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    inside.find(&end).map(|at| 2 + hashes + at + end.len())
}

fn character(text: &str) -> Option<usize> {
    let inside = text[1..].chars().next()?;
    let close = if inside == '\\' { 3 + text[3..].find('\'')? } else { 1 + inside.len_utf8() };
    text[close..].starts_with('\'').then_some(close + 1)
}

fn nested_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn long_bracket(text: &str) -> Option<usize> {
    let level = text[1..].chars().take_while(|c| *c == '=').count();
    text[1 + level..].starts_with('[').then(|| {
        let end = format!("]{}]", "=".repeat(level));
        text.find(&end).map_or(text.len(), |at| at + end.len())
    })
}
