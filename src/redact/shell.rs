//! Removes secrets from a line of Prosody's shell.
//!
//! An argument is shown only if the whole line is one call of a known command with the right arguments, and the argument is a
//! single token of the expected form. Everything else is hidden. If a line is not understood, only the words of a known command are
//! shown.

use std::borrow::Cow;

use super::commands::{self, ShellCommand};
use super::forms::Form;
use super::tokens::{Token, TokenKind, tokens, unescaped};
use super::{HIDDEN, KnownNames};

/// The line as it may be recorded.
///
/// ```
/// use audit_core::redact::{KnownNames, shell_line};
/// let known = KnownNames::default();
/// assert_eq!(shell_line(r#"user:create("romeo@example.com", "secret")"#, &known), r#"user:create("romeo@example.com", ***)"#);
/// assert_eq!(shell_line(r#"user:create("romeo@example.com" "secret")"#, &known), "user:create(***)");
/// assert_eq!(shell_line(r#"{"user","password","romeo@example.com","secret"}"#, &known), "user password romeo@example.com ***");
/// assert_eq!(shell_line(r#">prosody.x("secret", 1)"#, &known), ">***");
/// assert_eq!(shell_line("Tr0ub4dor&3", &known), "***");
/// ```
#[must_use]
pub fn shell_line(line: &str, known: &KnownNames<'_>) -> String {
    let line = line.trim();
    if line.is_empty() {
        return String::new();
    }
    if line.starts_with('>') {
        // Lua code may have a secret anywhere, not only in its strings.
        return format!(">{HIDDEN}");
    }
    let found = tokens(line);
    if line.starts_with('{') {
        return argument_list(&found).map_or_else(|| HIDDEN.to_owned(), |list| listed(&list, known));
    }
    call(&found, known).unwrap_or_else(|| words(line, known))
}

/// One argument of a call.
#[derive(Clone, Copy, Debug)]
enum Argument<'a> {
    /// A string, without its quotes. `None` if it has escapes or long brackets.
    Text(Option<&'a str>, &'a str),
    Number(&'a str),
    /// `nil`, `true` or `false`.
    Word(&'a str),
    Table,
}

/// Reads `section:command(argument, …)`. Returns `None` if the line does not begin with `name:name`.
fn call(tokens: &[Token<'_>], known: &KnownNames<'_>) -> Option<String> {
    let mut rest = tokens;
    let section = take(&mut rest, Token::is_identifier)?.text;
    take(&mut rest, |token| token.is_symbol(":"))?;
    let name = take(&mut rest, Token::is_identifier).map(|token| token.text);
    let Some(name) = name.filter(|name| known.has(section, name)) else {
        return Some(if is_section(section) { format!("{section}:{HIDDEN}") } else { HIDDEN.to_owned() });
    };
    let command = commands::find(section, name);
    if rest.iter().all(|token| token.kind == TokenKind::Space) {
        return Some(format!("{section}:{name}"));
    }
    let Some(given) = arguments(rest) else {
        let opened = take(&mut rest, |token| token.is_symbol("(")).is_some();
        return Some(if opened { format!("{section}:{name}({HIDDEN})") } else { format!("{section}:{name} {HIDDEN}") });
    };
    let shown = command.and_then(|command| shown_call(command, &given, known)).unwrap_or_else(|| {
        // A command without arguments, or one that is not in the table.
        if given.is_empty() { String::new() } else { HIDDEN.to_owned() }
    });
    Some(format!("{section}:{name}({shown})"))
}

/// Takes the next token that is not white space. Returns `None` if it is not the expected one.
fn take<'a, 'b>(rest: &mut &'b [Token<'a>], wanted: impl Fn(&Token<'a>) -> bool) -> Option<&'b Token<'a>> {
    let at = rest.iter().position(|token| token.kind != TokenKind::Space)?;
    let (token, after) = rest.get(at..)?.split_first()?;
    if wanted(token) {
        *rest = after;
        Some(token)
    } else {
        None
    }
}

/// Reads `(argument, …)`, which only semicolons may follow. Returns `None` for anything else, or if an argument is more than one
/// token and not a table.
fn arguments<'a>(tokens: &[Token<'a>]) -> Option<Vec<Argument<'a>>> {
    let mut rest = tokens;
    take(&mut rest, |token| token.is_symbol("("))?;
    let mut given = Vec::new();
    if take(&mut rest, |token| token.is_symbol(")")).is_none() {
        loop {
            given.push(argument(&mut rest)?);
            if take(&mut rest, |token| token.is_symbol(",")).is_none() {
                take(&mut rest, |token| token.is_symbol(")"))?;
                break;
            }
        }
    }
    rest.iter().all(|token| token.kind == TokenKind::Space || token.is_symbol(";")).then_some(given)
}

fn argument<'a>(rest: &mut &[Token<'a>]) -> Option<Argument<'a>> {
    let token = take(rest, |_| true)?;
    match token.kind {
        TokenKind::Text => {
            let quoted = |quote| token.text.strip_prefix(quote)?.strip_suffix(quote);
            let inside = quoted('"').or_else(|| quoted('\'')).filter(|text| !text.contains('\\'));
            Some(Argument::Text(inside, token.text))
        }
        TokenKind::Number => Some(Argument::Number(token.text)),
        TokenKind::Name if matches!(token.text, "nil" | "true" | "false") => Some(Argument::Word(token.text)),
        TokenKind::Symbol if token.text == "{" => table(rest),
        _ => None,
    }
}

/// Reads the rest of a table, up to its closing brace.
fn table<'a>(rest: &mut &[Token<'a>]) -> Option<Argument<'a>> {
    let mut open = vec!["}"];
    while let Some(closing) = open.last() {
        let token = take(rest, |token| !matches!(token.kind, TokenKind::Broken | TokenKind::Comment))?;
        if token.kind == TokenKind::Symbol {
            match token.text {
                "(" => open.push(")"),
                "{" => open.push("}"),
                "[" => open.push("]"),
                text if text == *closing => drop(open.pop()),
                ")" | "}" | "]" => return None,
                _ => {}
            }
        }
    }
    Some(Argument::Table)
}

/// The arguments of a call as they may be recorded. Returns `None` if they are not those that the command takes, as they may be in
/// the wrong order.
fn shown_call(command: &ShellCommand, given: &[Argument<'_>], known: &KnownNames<'_>) -> Option<String> {
    if given.len() < command.least() {
        return None;
    }
    let mut shown = Vec::new();
    for (place, argument) in given.iter().enumerate() {
        shown.push(match (command.form(place), argument) {
            (None, Argument::Text(Some(text), whole)) => {
                let (flag, _) = flag(command, text.strip_prefix("--")?, None, known)?;
                let quote = whole.get(..1)?;
                format!("{quote}--{flag}{quote}")
            }
            (None, _) => return None,
            (Some(Form::Secret), _) | (_, Argument::Table) => HIDDEN.to_owned(),
            (Some(_), Argument::Word("nil")) => "nil".to_owned(),
            (Some(form), Argument::Text(text, whole)) => {
                let quote = whole.get(..1)?;
                format!("{quote}{}{quote}", form.shown((*text)?, known)?)
            }
            (Some(form), Argument::Number(text)) if form == Form::Number => form.shown(text, known)?.into_owned(),
            (Some(form @ Form::OneOf(_)), Argument::Word(text)) => form.shown(text, known)?.into_owned(),
            (Some(_), _) => return None,
        });
    }
    Some(shown.join(", "))
}

/// A flag of the command as it may be recorded, from `name=value`, or `name` and the next argument. Also returns whether the next
/// argument is its value.
fn flag(command: &ShellCommand, flag: &str, next: Option<&str>, known: &KnownNames<'_>) -> Option<(String, bool)> {
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let shown = |form: Form, value| if form == Form::Secret { Some(Cow::Borrowed(HIDDEN)) } else { form.shown(value, known) };
    match (command.flag(&name.replace('_', "-"))?, value, next) {
        (None, None, _) => Some((name.to_owned(), false)),
        (Some(form), Some(value), _) => Some((format!("{name}={}", shown(form, value)?), false)),
        (Some(form), None, Some(next)) => Some((format!("{name} {}", quoted(&shown(form, next)?)), true)),
        _ => None,
    }
}

/// Reads `{"section","command","argument",…}`, the form in which prosodyctl passes on its arguments.
fn argument_list(tokens: &[Token<'_>]) -> Option<Vec<String>> {
    let mut rest = tokens;
    take(&mut rest, |token| token.is_symbol("{"))?;
    let mut list = Vec::new();
    while let Some(text) = take(&mut rest, |token| token.kind == TokenKind::Text) {
        list.push(unescaped(text.text)?);
        if take(&mut rest, |token| token.is_symbol(",")).is_none() {
            break;
        }
    }
    take(&mut rest, |token| token.is_symbol("}"))?;
    rest.iter().all(|token| token.kind == TokenKind::Space).then_some(list)
}

/// A command whose words are separate arguments.
fn listed(list: &[String], known: &KnownNames<'_>) -> String {
    let Some((heading, rest)) = heading(&list.iter().map(String::as_str).collect::<Vec<_>>(), known) else {
        return HIDDEN.to_owned();
    };
    let command = list.first().zip(list.get(1)).and_then(|(section, name)| commands::find(section, name));
    let shown = command.filter(|_| rest == list.len().saturating_sub(2)).and_then(|command| {
        let arguments: Vec<&str> = list.iter().skip(2).map(String::as_str).collect();
        shown_list(command, &arguments, known)
    });
    match shown {
        _ if rest == 0 => heading,
        Some(shown) => format!("{heading} {shown}"),
        None => format!("{heading} {HIDDEN}"),
    }
}

/// The arguments of a list as they may be recorded. Returns `None` if they are not those that the command takes.
fn shown_list(command: &ShellCommand, arguments: &[&str], known: &KnownNames<'_>) -> Option<String> {
    let mut shown = Vec::new();
    let mut place: usize = 0;
    let mut at = arguments.iter();
    while let Some(argument) = at.next() {
        // Prosody calls this as a method on the result of the command.
        if argument.starts_with(':') {
            return None;
        }
        if !command.flags.is_empty() && argument.starts_with('-') {
            let (flag, took_next) = flag(command, argument.strip_prefix("--")?, at.clone().next().copied(), known)?;
            if took_next {
                at.next();
            }
            shown.push(quoted(&format!("--{flag}")));
            continue;
        }
        let form = command.form(place)?;
        shown.push(if form == Form::Secret { HIDDEN.to_owned() } else { quoted(&form.shown(argument, known)?) });
        place = place.saturating_add(1);
    }
    (place >= command.least()).then(|| shown.join(" "))
}

/// A line of words, typed as in another shell. Prosody does not run it, and it is not certain where a word ends, so only the words
/// of a command are shown.
fn words(line: &str, known: &KnownNames<'_>) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match heading(&words, known) {
        None => HIDDEN.to_owned(),
        Some((heading, 0)) => heading,
        Some((heading, _)) => format!("{heading} {HIDDEN}"),
    }
}

/// The words of a command, and how many words are left. Returns `None` if the first word does not begin a command.
fn heading(words: &[&str], known: &KnownNames<'_>) -> Option<(String, usize)> {
    let (section, rest) = words.split_first()?;
    if commands::SIMPLE.contains(section) {
        let topics = rest.iter().take_while(|word| *section == "help" && is_section(word)).count();
        return Some((words.get(..=topics)?.join(" "), rest.len().saturating_sub(topics)));
    }
    match rest.split_first() {
        Some((name, rest)) if known.has(section, name) => Some((format!("{section} {name}"), rest.len())),
        _ => is_section(section).then(|| ((*section).to_owned(), rest.len())),
    }
}

fn is_section(word: &str) -> bool {
    commands::is_section(word)
}

/// A word, quoted as in a shell if it needs to be.
fn quoted(word: &str) -> String {
    if word.contains(' ') && !word.starts_with("--") { format!("\"{word}\"") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn redacted(line: &str) -> String {
        shell_line(line, &KnownNames::default())
    }

    #[test]
    fn lines_are_recorded_without_their_secrets() {
        let lines = [
            // Known commands, by their arguments.
            r#"user:create("romeo@example.com", "SECRET")"#,
            r#"user:create("romeo@example.com", "SECRET", "prosody:admin")"#,
            r#"user:create('romeo@example.com', [[SECRET]])"#,
            r#"user:create("romeo@example.com", "SEC".."RET")"#,
            r#"user:create("romeo@example.com", "SECRET)", "prosody:admin");"#,
            r#"user:create("romeo@example.com", ("SECRET"):rep(2))"#,
            r#" user : password ( "romeo@example.com" , 12345678 ) "#,
            r#"user:password("romeo@example.com", "SECRET"#,
            r#"user:password("romeo@example.com", "SECRET'"#,
            r#"user:password("romeo@example.com", SECRET"#,
            r#"user:password("romeo@example.com", "x") SECRET"#,
            r#"user:password("romeo@example.com", "x") -- SECRET"#,
            r#"user:password("romeo@example.com" --[[ SECRET ]], "x")"#,
            r#"user:roles("romeo@example.com", "example.com", { "prosody:admin" })"#,
            r#"user:delete("romeo@example.com")"#,
            r#"user:delete(jid or "SECRET")"#,
            r#"user:password(nil, "SECRET", "SECRET", SECRET)"#,
            r#"c2s:show(nil, {"id", "jid"})"#,
            "c2s:count()",
            r#"config:set("example.com", "option", "SECRET")"#,
            r#"muc:create("room@muc.example.com", { password = "SECRET" })"#,
            r#"muc:room("room@muc.example.com"):set_password("SECRET"):save(1)"#,
            r#"invite:delete("example.com", "SECRET")"#,
            // Commands that nobody here knows.
            r#"vault:open("SECRET", 12345, SECRET)"#,
            r#"user:vanish("SECRET")"#,
            "vault:open()",
            // As prosodyctl passes them on.
            r#"{"user","create","romeo@example.com","SECRET","prosody:admin"}"#,
            r#"{"user", "password", "romeo@example.com", "SEC\"RET, \"x"}"#,
            r#"{"user","delete","romeo and@example.com"}"#,
            r#"{"invite","create_account","example.com","--role","prosody:admin","--expires-after=1 day"}"#,
            r#"{"invite","create_account","example.com","--secret","SECRET"}"#,
            r#"{"muc","room","room@muc.example.com",":set_password","SECRET"}"#,
            r#"{"vault","open","SECRET","--key=SECRET"}"#,
            r#"{"help","user","SECRET"}"#,
            r#"{"user"}"#,
            r#"{"user","create","romeo@example.com","SECRET"#,
            r#"{ password = "SECRET" }"#,
            // As words.
            "help",
            "help user",
            "help SECRET",
            "bye",
            "SECRET",
            "12345678",
            "hunter2 hunter3",
            "user create romeo@example.com SECRET prosody:admin",
            r#"user create "romeo @example.com" SECRET prosody:admin"#,
            "user delete romeo@example.com",
            "user delete romeo@example.com SECRET",
            "user SECRET",
            "invite create_account example.com --role prosody:admin",
            "vault open SECRET SECRET",
            r#"{"user","hunter2"}"#,
            r#"{"hunter2","SECRET"}"#,
            r#"{"user","create","SECRET","romeo@example.com"}"#,
            r#"{"user","create","romeo@example.com","SECRET","SECRET"}"#,
            r#"{"user","create","romeo@example.com","SEC\
RET\13\0\092"}"#,
            r#"{'user','create',[[romeo@example.com]],'SECRET'}"#,
            r#"{"audit","show","example.com","--type=user-*","--limit","5","--ip=203.0.113.7","--text","SECRET","--utc"}"#,
            r#"{"audit","show","example.com","--type=hunter2"}"#,
            r#"{"user","create","romeo@example.com"};{"SECRET"}"#,
            r#"{"user","delete","romeo@example.com" "SECRET"}"#,
            // Typing mistakes.
            r#"user:create("bob@example.com" "SECRET")"#,
            r#"user:create("bob@example.com"; "SECRET")"#,
            r#"user:create("bob@example.com" , "SECRET" "prosody:admin")"#,
            r#"user:create("bob@example.com SECRET")"#,
            r#"user:create("bob@example.com, SECRET")"#,
            r#"user:create("SECRET", "bob@example.com")"#,
            r#"user:create("bob@example.com", "SECRET", "SECRET")"#,
            r#"user:create({"bob@example.com","SECRET"})"#,
            r#"user:create("bob@example.com/SECRET")"#,
            r#"user:delete("bob@example.com"); user:password("bob@example.com", "SECRET")"#,
            r#"user:create("bob@example.com", ...)"#,
            r#"config:set("*","component_secret" "SECRET")"#,
            r#"config:set("component_secret","swordfish")"#,
            r#"config:set("*","swordfish")"#,
            r#"config:set("*","swordfish","component_secret")"#,
            r#"config:set("*",component_secret,"SECRET")"#,
            r#"user:hunter2("SECRET")"#,
            r#"user:hunter2"#,
            "user hunter2",
            "Tr0ub4dor&3",
            "T0psecretC-horse-battery",
            "correct horse battery staple",
            "hunter2:foo()",
            "swordfish:create",
            r#"module:load("http_oauth2", "example.com")"#,
            r#"module:load("mod_x", {"a.example.com","b.example.com"})"#,
            r#"server:shutdown("SECRET", 1)"#,
            r#"xmpp:ping("example.com", "example.net", 10)"#,
            r#"pubsub:create_node("pubsub.example.com", "urn:xmpp:microblog:0")"#,
            r#"audit:show("example.com", "--since=2d", "--user=SECRET")"#,
            r#"audit:show("example.com", { text = "SECRET" })"#,
            "user:create",
            // Lua code.
            r#">prosody.hosts["SECRET"].x(1, 'SECRET', [==[SECRET]==])"#,
            r#"> local p = "SECRET" -- SECRET"#,
            "> user password romeo@example.com SECRET",
            "> x('SECRET",
            "> x([[SECRET",
            "> word SECRET",
            r#"local p = "SECRET"; user:create("romeo@example.com", p)"#,
            r#"return user:password("romeo@example.com", "SECRET")"#,
            r#"user.password(user, "romeo@example.com", "SECRET")"#,
            r#"user:password"SECRET""#,
            r#"user:create{"romeo@example.com", "SECRET"}"#,
            r#""SECRET""#,
            "user",
            "1 + 1",
            "$SECRET",
            "",
        ];
        let shown: Vec<String> = lines.iter().map(|line| format!("{}\n", redacted(line))).collect();
        expect![[r#"
            user:create("romeo@example.com", ***)
            user:create("romeo@example.com", ***, "prosody:admin")
            user:create('romeo@example.com', ***)
            user:create(***)
            user:create("romeo@example.com", ***, "prosody:admin")
            user:create(***)
            user:password("romeo@example.com", ***)
            user:password(***)
            user:password(***)
            user:password(***)
            user:password(***)
            user:password(***)
            user:password(***)
            user:roles("romeo@example.com", "example.com", ***)
            user:delete("romeo@example.com")
            user:delete(***)
            user:password(***)
            c2s:show(nil, ***)
            c2s:count()
            config:set(***)
            muc:create("room@muc.example.com", ***)
            muc:room(***)
            invite:delete("example.com", ***)
            ***
            user:***
            ***
            user create romeo@example.com *** prosody:admin
            user password romeo@example.com ***
            user delete ***
            invite create_account example.com --role prosody:admin --expires-after=1 day
            invite create_account ***
            muc room ***
            ***
            help user ***
            user
            ***
            ***
            help
            help user
            help ***
            bye
            ***
            ***
            ***
            user create ***
            user create ***
            user delete ***
            user delete ***
            user ***
            invite create_account ***
            ***
            user ***
            ***
            user create ***
            user create ***
            user create romeo@example.com ***
            ***
            audit show example.com --type=user-* --limit 5 --ip=*** --text *** --utc
            audit show ***
            ***
            ***
            user:create(***)
            user:create(***)
            user:create(***)
            user:create(***)
            user:create(***)
            user:create(***)
            user:create(***)
            user:create(***)
            user:create("bob@example.com/***")
            user:delete(***)
            user:create(***)
            config:set(***)
            config:set(***)
            config:set(***)
            config:set(***)
            config:set(***)
            user:***
            user:***
            user ***
            ***
            ***
            ***
            ***
            ***
            module:load("http_oauth2", "example.com")
            module:load("mod_x", ***)
            server:shutdown(***, 1)
            xmpp:ping("example.com", "example.net", 10)
            pubsub:create_node("pubsub.example.com", "urn:xmpp:microblog:0")
            audit:show("example.com", "--since=2d", "--user=***")
            audit:show(***)
            user:create
            >***
            >***
            >***
            >***
            >***
            >***
            ***
            ***
            ***
            user:password ***
            user:create ***
            ***
            user
            ***
            ***

        "#]]
        .assert_eq(&shown.concat());
        for secret in ["SECRET", "hunter2", "swordfish", "horse", "203.0.113.7", "1234567"] {
            assert!(!shown.concat().contains(secret), "{secret}");
        }
    }

    #[test]
    fn an_argument_is_a_string_a_number_a_constant_or_a_whole_table() {
        for (line, shown) in [
            (r#"user:password("romeo@example.com", SECRET)"#, "user:password(***)"),
            (r#"c2s:show(nil, { f("SECRET") })"#, "c2s:show(nil, ***)"),
            (r#"c2s:show(nil, { { "SECRET" } })"#, "c2s:show(nil, ***)"),
            (r#"c2s:show(nil, { ["SECRET"] = 1 })"#, "c2s:show(nil, ***)"),
            ("c2s:show(nil, { ) })", "c2s:show(***)"),
            ("c2s:show(nil, -1 })", "c2s:show(***)"),
            (r#"user:list_inactive("example.com", "30")"#, r#"user:list_inactive("example.com", "30")"#),
            (r#"user:list_inactive("example.com", 30)"#, "user:list_inactive(***)"),
        ] {
            assert_eq!(redacted(line), shown, "{line}");
        }
    }

    #[test]
    fn hosts_and_commands_of_the_server_are_known() {
        let hosts = |host: &str| host == "example.com";
        let commands = |section: &str, name: &str| section == "vault" && name == "open";
        let known = KnownNames { hosts: Some(&hosts), command: &commands };
        for (line, shown) in [
            (r#"user:create("bob@example.com", "pw")"#, r#"user:create("bob@example.com", ***)"#),
            (r#"user:password("p@ss.word")"#, "user:password(***)"),
            (r#"user:create("bob@exmaple.com", "pw")"#, "user:create(***)"),
            (r#"vault:open("SECRET", 1)"#, "vault:open(***)"),
            ("vault:open()", "vault:open()"),
            ("vault:close()", "***"),
            (r#"{"vault","open","SECRET"}"#, "vault open ***"),
            ("vault open SECRET", "vault open ***"),
            (r#"{"vault","SECRET"}"#, "***"),
            (
                r#"roster:subscribe("bob@example.com", "x@example.net/SECRET")"#,
                r#"roster:subscribe("bob@example.com", "x@example.net/***")"#,
            ),
        ] {
            assert_eq!(shell_line(line, &known), shown, "{line}");
        }
    }
}
