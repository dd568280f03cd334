//! Splits Lua source into tokens, as far as needed to recognise a call with literal arguments.

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// White space.
    Space,
    /// A name or a keyword.
    Name,
    Number,
    /// A string, with its quotes or brackets.
    Text,
    Comment,
    /// One character of an operator or of punctuation.
    Symbol,
    /// The rest of the source if it is not valid Lua: a string without an end, or an unknown character.
    Broken,
}

/// A piece of the source. All tokens together are the whole source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
}

impl Token<'_> {
    /// Whether it is a name and not a keyword of Lua.
    pub(super) fn is_identifier(&self) -> bool {
        self.kind == TokenKind::Name && !KEYWORDS.contains(&self.text)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }
}

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or", "repeat",
    "return", "then", "true", "until", "while",
];

/// The tokens of `source`.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        // No token is empty, and none ends within a character.
        let length = if length == 0 { rest.len() } else { length };
        let (text, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        found.push(Token { kind, text });
        rest = after;
    }
    found
}

/// The value of a string in Lua source. Returns `None` if it has no quotes or is not valid text.
pub(super) fn unescaped(string: &str) -> Option<String> {
    let quote = string.chars().next()?;
    let inside = string.strip_prefix(quote)?.strip_suffix(quote)?;
    if quote == '[' {
        return None;
    }
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = while_bytes(after, |byte| byte.is_ascii_digit()).min(3);
        let (escape, left) = after.split_at_checked(digits.max(1))?;
        bytes.push(match escape {
            "\\" | "\"" | "'" | "\n" => *escape.as_bytes().first()?,
            "n" => b'\n',
            "r" => b'\r',
            "t" => b'\t',
            _ => escape.parse().ok()?,
        });
        rest = left;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// The kind and the length in bytes of the token at the beginning of `rest`.
fn next(rest: &str, first: char) -> (TokenKind, usize) {
    match first {
        '"' | '\'' => short_string(rest, first).map_or((TokenKind::Broken, rest.len()), |length| (TokenKind::Text, length)),
        '[' => match long_bracket(rest) {
            Some(Some(length)) => (TokenKind::Text, length),
            Some(None) => (TokenKind::Broken, rest.len()),
            None => (TokenKind::Symbol, 1),
        },
        '-' if rest.starts_with("--") => comment(rest),
        first if first.is_ascii_whitespace() || first == '\u{b}' => {
            (TokenKind::Space, while_bytes(rest, |byte| byte.is_ascii_whitespace() || byte == 0xb))
        }
        first if first.is_ascii_alphabetic() || first == '_' => {
            (TokenKind::Name, while_bytes(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        }
        first if first.is_ascii_digit() => (TokenKind::Number, number(rest)),
        '.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => (TokenKind::Number, number(rest)),
        first if "+-*/%^#&~|<>=(){}];:,.".contains(first) => (TokenKind::Symbol, 1),
        _ => (TokenKind::Broken, rest.len()),
    }
}

fn while_bytes(text: &str, holds: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|byte| !holds(byte)).unwrap_or(text.len())
}

fn number(text: &str) -> usize {
    let mut before = 0;
    text.bytes()
        .position(|byte| {
            let exponent = matches!(before, b'e' | b'E' | b'p' | b'P') && matches!(byte, b'+' | b'-');
            before = byte;
            !(exponent || byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
        })
        .unwrap_or(text.len())
}

/// The length of the string at the beginning, in bytes, with its quotes.
fn short_string(text: &str, quote: char) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next()?.1 {
                // \z skips all white space that follows, newlines included.
                'z' => while characters.next_if(|(_, next)| next.is_ascii_whitespace() || *next == '\u{b}').is_some() {},
                // An escaped newline may be two characters.
                '\r' => drop(characters.next_if(|(_, next)| *next == '\n')),
                '\n' => drop(characters.next_if(|(_, next)| *next == '\r')),
                _ => {}
            },
            '\n' | '\r' => return None,
            _ if character == quote => return Some(at.saturating_add(1)),
            _ => {}
        }
    }
    None
}

/// The length of a string or comment in long brackets, in bytes. Returns `None` if there is none, and `Some(None)` if it does not
/// end.
fn long_bracket(text: &str) -> Option<Option<usize>> {
    let after = text.strip_prefix('[')?;
    let level = while_bytes(after, |byte| byte == b'=');
    let inside = after.get(level..)?.strip_prefix('[')?;
    let end = format!("]{}]", "=".repeat(level));
    let begin = text.len().saturating_sub(inside.len());
    Some(inside.find(&end).map(|at| begin.saturating_add(at).saturating_add(end.len())))
}

fn comment(text: &str) -> (TokenKind, usize) {
    match text.get(2..).and_then(long_bracket) {
        Some(Some(length)) => (TokenKind::Comment, length.saturating_add(2)),
        Some(None) => (TokenKind::Broken, text.len()),
        None => (TokenKind::Comment, while_bytes(text, |byte| byte != b'\n' && byte != b'\r')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(source: &str) -> String {
        let kinds = tokens(source).into_iter().filter(|token| token.kind != TokenKind::Space);
        kinds.map(|token| format!("{:?}:{}", token.kind, token.text)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn source_is_split_as_lua_does() {
        for (source, expected) in [
            ("user:create('a')", "Name:user Symbol:: Name:create Symbol:( Text:'a' Symbol:)"),
            (r#""a\"b" 'a\'b'"#, r#"Text:"a\"b" Text:'a\'b'"#),
            (r#""a\\" b"#, r#"Text:"a\\" Name:b"#),
            ("\"a\\\nb\"", "Text:\"a\\\nb\""),
            ("\"a\\\r\nb\"", "Text:\"a\\\r\nb\""),
            ("\"a\\\n\rb\"", "Text:\"a\\\n\rb\""),
            ("\"a\\z  \n  b\"", "Text:\"a\\z  \n  b\""),
            ("\"a\nb\"", "Broken:\"a\nb\""),
            ("'a", "Broken:'a"),
            ("'a\\", "Broken:'a\\"),
            ("[[a]]b", "Text:[[a]] Name:b"),
            ("[==[a]]]=]b]==]c", "Text:[==[a]]]=]b]==] Name:c"),
            ("[=[a]]", "Broken:[=[a]]"),
            ("t[1]", "Name:t Symbol:[ Number:1 Symbol:]"),
            ("t[a[1]]", "Name:t Symbol:[ Name:a Symbol:[ Number:1 Symbol:] Symbol:]"),
            ("a --b\nc", "Name:a Comment:--b Name:c"),
            ("a --[[b\nc]]d", "Name:a Comment:--[[b\nc]] Name:d"),
            ("--[[b", "Broken:--[[b"),
            ("1e-5+0x1p-3 .5 3..4", "Number:1e-5 Symbol:+ Number:0x1p-3 Number:.5 Number:3..4"),
            ("a-b", "Name:a Symbol:- Name:b"),
            ("a.b..c", "Name:a Symbol:. Name:b Symbol:. Symbol:. Name:c"),
            ("a@b 'c'", "Name:a Broken:@b 'c'"),
            ("caf\u{e9} 'c'", "Name:caf Broken:\u{e9} 'c'"),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }

    #[test]
    fn an_identifier_is_a_name_and_no_keyword() {
        for (source, expected) in [("user", true), ("end", false), ("'user'", false), ("1", false), (":", false)] {
            let is_identifier: Vec<bool> = tokens(source).iter().map(Token::is_identifier).collect();
            assert_eq!(is_identifier, [expected], "{source}");
        }
    }

    #[test]
    fn a_string_of_lua_is_unescaped() {
        for (string, text) in [
            (r#""a""#, Some("a")),
            (r#""a\"b\\c""#, Some("a\"b\\c")),
            ("\"a\\\nb\\r\\0\\065\\0651\"", Some("a\nb\r\0AA1")),
            ("'a'", Some("a")),
            ("'\\n\\t'", Some("\n\t")),
            ("\"\\195\\188\"", Some("\u{fc}")),
            ("\"\\195\"", None),
            ("\"\\x41\"", None),
            ("\"\\999\"", None),
            ("[[a]]", None),
            ("", None),
        ] {
            assert_eq!(unescaped(string).as_deref(), text, "{string}");
        }
    }

    proptest! {
        #[test]
        fn the_tokens_are_all_of_the_source(source in any::<String>(), lua in "[a\"'\\\\\\[\\]=\\-\n .z(){}]{0,40}") {
            for source in [source, lua] {
                let joined: String = tokens(&source).iter().map(|token| token.text).collect();
                prop_assert_eq!(joined, source);
            }
        }
    }
}
