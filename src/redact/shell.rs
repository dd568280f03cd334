//! A line of Prosody's shell, without what is secret in it.

use super::HIDDEN;
use super::commands::{self, Argument, Command};
use super::tokens::{Kind, Token, tokens};

/// The line as it may be recorded.
///
/// Of a command that is known, each argument that is a secret is hidden; of one that is not known, all of them. In what is
/// Lua code every string and comment is. What can't be read is hidden from there on.
///
/// ```
/// use audit_core::redact::shell_line;
/// assert_eq!(shell_line(r#"user:create("romeo@example.com", "secret")"#), r#"user:create("romeo@example.com", ***)"#);
/// assert_eq!(shell_line(r#"{"user","password","romeo@example.com","secret"}"#), "user password romeo@example.com ***");
/// assert_eq!(shell_line(r#">prosody.x("secret", 1)"#), ">prosody.x(***, 1)");
/// ```
#[must_use]
pub fn shell_line(line: &str) -> String {
    let line = line.trim();
    if let Some(code) = line.strip_prefix('>') {
        return format!(">{}", code_without_strings(&tokens(code)));
    }
    let found = tokens(line);
    let redacted = if line.starts_with('{') { argument_list(&found) } else { call(&found).or_else(|| words(line, &found)) };
    redacted.unwrap_or_else(|| code_without_strings(&found))
}

/// Lua code with its strings and comments hidden; from where it can't be Lua on, everything is.
fn code_without_strings(tokens: &[Token<'_>]) -> String {
    let mut code = String::new();
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        // Two names in a row may be two statements of Lua, but rather are words.
        let a_word = before.is_some_and(Token::is_identifier) && (token.is_identifier() || token.kind == Kind::Number);
        if a_word || token.kind == Kind::Broken {
            code.push_str(HIDDEN);
            break;
        }
        match token.kind {
            Kind::Text | Kind::Comment => code.push_str(HIDDEN),
            _ => code.push_str(token.text),
        }
        if !token.is_void() {
            before = Some(token);
        }
    }
    code
}

/// `section:command(argument, …)`, the whole line.
fn call(tokens: &[Token<'_>]) -> Option<String> {
    let mut rest = tokens;
    let section = take(&mut rest, Token::is_identifier)?.text;
    take(&mut rest, |token| token.is_symbol(":"))?;
    let name = take(&mut rest, Token::is_identifier)?.text;
    take(&mut rest, |token| token.is_symbol("("))?;
    let known = commands::find(section, name);
    let mut line = format!("{section}:{name}({})", arguments(&mut rest, known));
    // What such a call gives may be called in turn: muc:room("…"):set_password("…").
    loop {
        let mut chained = rest;
        let method = take(&mut chained, |token| token.is_symbol(":"))
            .and_then(|_| take(&mut chained, Token::is_identifier))
            .filter(|_| take(&mut chained, |token| token.is_symbol("(")).is_some());
        let Some(method) = method else { break };
        rest = chained;
        line.push_str(&format!(":{}({})", method.text, arguments(&mut rest, None)));
    }
    if rest.iter().any(|token| !(token.kind == Kind::Space || token.is_symbol(";"))) {
        line.push(' ');
        line.push_str(HIDDEN);
    }
    Some(line)
}

/// The next token that is something to Lua, where it is what is looked for.
fn take<'a, 'b>(rest: &mut &'b [Token<'a>], wanted: impl Fn(&Token<'a>) -> bool) -> Option<&'b Token<'a>> {
    let at = rest.iter().position(|token| !token.is_void())?;
    let (token, after) = rest.get(at..)?.split_first()?;
    if wanted(token) {
        *rest = after;
        Some(token)
    } else {
        None
    }
}

/// The arguments up to the parenthesis that closes them, and that too; where there is none, all that is left.
fn arguments(rest: &mut &[Token<'_>], known: Option<&Command>) -> String {
    let (mut list, mut current): (Vec<&[Token<'_>]>, usize) = (Vec::new(), 0);
    let mut depth = 0_usize;
    let mut end = None;
    for (at, token) in rest.iter().enumerate() {
        if token.kind != Kind::Symbol {
            continue;
        }
        match token.text {
            "(" | "{" | "[" => depth = depth.saturating_add(1),
            ")" if depth == 0 => {
                end = Some(at);
                break;
            }
            ")" | "}" | "]" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                list.push(rest.get(current..at).unwrap_or_default());
                current = at.saturating_add(1);
            }
            _ => {}
        }
    }
    let last = rest.get(current..end.unwrap_or(rest.len())).unwrap_or_default();
    if !list.is_empty() || last.iter().any(|token| !token.is_void()) {
        list.push(last);
    }
    *rest = end.and_then(|end| rest.get(end.saturating_add(1)..)).unwrap_or_default();
    let shown: Vec<String> = list.iter().enumerate().map(|(place, argument)| self::argument(argument, known, place)).collect();
    shown.join(", ")
}

fn argument(tokens: &[Token<'_>], known: Option<&Command>, place: usize) -> String {
    let is_shown = known.is_some_and(|command| command.argument(place) == Argument::Shown);
    if !is_shown || tokens.iter().any(|token| token.kind == Kind::Broken) {
        return HIDDEN.to_owned();
    }
    if is_literal(tokens) {
        tokens.iter().map(|token| token.text).collect::<String>().trim().to_owned()
    } else {
        code_without_strings(tokens).trim().to_owned()
    }
}

/// Whether it is a string, a number, a word such as `nil`, or a table of them: what it says is what it is.
fn is_literal(tokens: &[Token<'_>]) -> bool {
    tokens.iter().all(|token| match token.kind {
        Kind::Space | Kind::Text | Kind::Number => true,
        Kind::Name => matches!(token.text, "nil" | "true" | "false"),
        Kind::Symbol => "{}[]=,;-".contains(token.text),
        Kind::Comment | Kind::Broken => false,
    })
}

/// `{"section","command","argument",…}`: how prosodyctl passes on what it was called with.
fn argument_list(tokens: &[Token<'_>]) -> Option<String> {
    let mut rest = tokens;
    take(&mut rest, |token| token.is_symbol("{"))?;
    let mut list = Vec::new();
    while let Some(text) = take(&mut rest, |token| token.kind == Kind::Text && token.text.starts_with('"')) {
        list.push(unquoted(text.text)?);
        if take(&mut rest, |token| token.is_symbol(",")).is_none() {
            break;
        }
    }
    take(&mut rest, |token| token.is_symbol("}"))?;
    if list.is_empty() || rest.iter().any(|token| token.kind != Kind::Space) {
        return None;
    }
    Some(listed(&list))
}

/// What is between the quotes. Escapes but for those of the quotes themselves stay as they are.
fn unquoted(text: &str) -> Option<String> {
    Some(text.strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// A command in words that are known to be apart.
fn listed(list: &[String]) -> String {
    let mut words = list.iter().map(String::as_str);
    let (Some(section), name) = (words.next(), words.next()) else { return HIDDEN.to_owned() };
    let mut shown = vec![name_or_hidden(section)];
    if commands::SIMPLE.contains(&section) {
        shown.extend(name.into_iter().chain(words).map(topic));
        return shown.join(" ");
    }
    let Some(name) = name else { return shown.join(" ") };
    shown.push(name_or_hidden(name));
    let known = commands::find(section, name);
    let (mut place, mut rest_is_hidden) = (0_usize, known.is_none());
    let mut flag_takes = None;
    for word in words {
        // The value of a flag that was named before it; it may have none, and then it is an argument, which is shown too.
        let after_flag = flag_takes.take().is_some();
        if rest_is_hidden {
            shown.push(HIDDEN.to_owned());
        } else if let Some(flag) = word.strip_prefix("--") {
            let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
            if known.is_some_and(|command| command.flags.contains(&flag.replace('_', "-").as_str())) {
                shown.push(quoted(word));
                flag_takes = Some(()).filter(|()| value.is_none());
            } else {
                rest_is_hidden = true;
                shown.push(HIDDEN.to_owned());
            }
        } else if word.starts_with(['-', ':']) {
            // A short flag, or a method that is called on what the command gives; or a secret that begins so.
            rest_is_hidden = true;
            shown.push(HIDDEN.to_owned());
        } else {
            let is_shown = after_flag || known.is_some_and(|command| command.argument(place) == Argument::Shown);
            shown.push(if is_shown { quoted(word) } else { HIDDEN.to_owned() });
            if !after_flag {
                place = place.saturating_add(1);
            }
        }
    }
    shown.join(" ")
}

/// A line of words, as it is typed by whoever takes the shell for another one. Where one word ends is not certain, so what
/// comes after the first secret or the first quote is hidden.
fn words(line: &str, tokens: &[Token<'_>]) -> Option<String> {
    let mut significant = tokens.iter().filter(|token| token.kind != Kind::Space);
    let first = significant.next()?;
    match significant.next() {
        // One word: the command, or something that was pasted by mistake.
        None => {
            let is_word = first.is_identifier() || first.kind == Kind::Number;
            return is_word.then(|| if is_command(first.text) { first.text.to_owned() } else { HIDDEN.to_owned() });
        }
        // A name, and what can't follow one in Lua.
        Some(second) if first.is_identifier() => {
            let follows = second.is_identifier() || matches!(second.kind, Kind::Number | Kind::Broken | Kind::Comment);
            if !follows {
                return None;
            }
        }
        Some(_) => return None,
    }
    let mut words = line.split_whitespace();
    let section = words.next()?;
    let mut shown = vec![topic(section)];
    if commands::SIMPLE.contains(&section) {
        shown.extend(words.map(topic));
        return Some(shown.join(" "));
    }
    let name = words.next()?;
    shown.push(topic(name));
    let known = commands::find(section, name);
    for (place, word) in words.enumerate() {
        let is_shown = known.is_some_and(|command| command.argument(place) == Argument::Shown);
        if !is_shown || word.starts_with('-') || word.contains(['"', '\'', '\\', '[', '(', '{']) {
            shown.push(HIDDEN.to_owned());
            break;
        }
        shown.push(word.to_owned());
    }
    Some(shown.join(" "))
}

/// A word that is a part of a command's name; any other could be a secret that was pasted by mistake.
fn topic(word: &str) -> String {
    if is_command(word) { word.to_owned() } else { HIDDEN.to_owned() }
}

/// Whether the word is a part of a command's name.
fn is_command(word: &str) -> bool {
    commands::SIMPLE.contains(&word) || commands::COMMANDS.iter().any(|command| command.name.split(':').any(|part| part == word))
}

/// A word in the place of a section's or a command's name: it is one, or looks like one.
fn name_or_hidden(word: &str) -> String {
    let looks_like_one = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    if looks_like_one && word.starts_with(|first: char| first.is_ascii_lowercase()) { word.to_owned() } else { HIDDEN.to_owned() }
}

/// A word as a shell would want it.
fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|character| character.is_alphanumeric() || "-_.,:@/=+%*?#~".contains(character));
    if is_plain { word.to_owned() } else { format!("{word:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

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
        let redacted: Vec<String> = lines.iter().map(|line| format!("{}\n", shell_line(line))).collect();
        expect![[r#"
            user:create("romeo@example.com", ***)
            user:create("romeo@example.com", ***, "prosody:admin")
            user:create('romeo@example.com', ***)
            user:create("romeo@example.com", ***)
            user:create("romeo@example.com", ***, "prosody:admin")
            user:create("romeo@example.com", ***)
            user:password("romeo@example.com", ***)
            user:password("romeo@example.com", ***)
            user:password("romeo@example.com", ***)
            user:password("romeo@example.com", ***)
            user:password("romeo@example.com", ***) ***
            user:password("romeo@example.com", ***) ***
            user:password(*** ***, ***)
            user:roles("romeo@example.com", "example.com", { "prosody:admin" })
            user:delete("romeo@example.com")
            user:delete(jid or ***)
            user:password(nil, ***, ***, ***)
            c2s:show(nil, {"id", "jid"})
            c2s:count()
            config:set("example.com", "option", ***)
            muc:create("room@muc.example.com", ***)
            muc:room("room@muc.example.com"):set_password(***):save(***)
            invite:delete("example.com", ***)
            vault:open(***, ***, ***)
            user:vanish(***)
            vault:open()
            user create romeo@example.com *** prosody:admin
            user password romeo@example.com ***
            user delete "romeo and@example.com"
            invite create_account example.com --role prosody:admin "--expires-after=1 day"
            invite create_account example.com *** ***
            muc room room@muc.example.com *** ***
            vault open *** ***
            help user ***
            user
            {***,***,***,***
            { password = *** }
            help
            help user
            help ***
            bye
            ***
            ***
            *** ***
            user create romeo@example.com ***
            user create ***
            user delete romeo@example.com
            user delete romeo@example.com ***
            user ***
            invite create_account example.com ***
            *** *** ***
            >prosody.hosts[***].x(1, ***, ***)
            > local p = *** ***
            > user ***
            > x(***
            > x(***
            > word ***
            local p = ***; user:create(***, p)
            return user:password(***, ***)
            user.password(user, ***, ***)
            user:password***
            user:create{***, ***}
            ***
            user
            1 + 1
            ***

        "#]]
        .assert_eq(&redacted.concat());
        assert!(!redacted.concat().contains("SECRET"));
    }

    #[test]
    fn a_command_with_flags_takes_no_secret() {
        // What is after a flag may be its value or an argument.
        for command in commands::COMMANDS.iter().filter(|command| !command.flags.is_empty()) {
            assert!(!command.arguments.contains('*'), "{}", command.name);
        }
    }
}
