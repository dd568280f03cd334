//! The laws of a redacted line of the shell. The fuzz target and a property test share them.

use std::collections::HashSet;

use audit_core::redact::{COMMANDS, HIDDEN, KnownNames, ShellCommand, shell_line};

const MARK: &str = "hunter2";

/// Checks the laws for `text`: as a line, as the text around a secret, and as mistakes in typing a command with a secret.
pub(crate) fn check(text: &str) {
    for line in [text.to_owned(), format!(">{text}"), format!("{{{text}"), format!("user:create({text}")] {
        let redacted = redact(&line);
        // A line only grows by the marks for what is hidden.
        assert!(redacted.len() <= line.len() * 6 + 8, "{line}");
        assert_nothing_new(&line, &redacted);
    }
    let secret = format!("{}{MARK}", text.replace(MARK, ""));
    for command in COMMANDS {
        check_command(command, &secret);
    }
    // One command at a time, as there are many mistakes.
    let number = text.chars().map(|character| character as usize).sum::<usize>();
    check_mistakes(COMMANDS.get(number % COMMANDS.len()).unwrap(), text);
    for name in ["vault:open", "user:nothing", "a:b"] {
        check_command(&ShellCommand { name, arguments: "", flags: &[] }, &secret);
    }
    for string in strings(&secret) {
        for code in [
            format!("> x = {string}"),
            format!("> f({string}, 1) -- done"),
            format!("local password = {string}"),
            format!("user.password(user, \"a@b\", {string})"),
            format!("user:password{string}"),
            string.clone(),
        ] {
            assert_hidden(&code);
        }
    }
    // The secret pasted by mistake, or as a command.
    for line in [secret.clone(), format!("user {secret}"), format!("user:{MARK}{text}"), format!("help {secret}"), format!("> {secret}")] {
        assert_hidden(&line);
    }
    let comment = text.replace(['\n', '\r'], "");
    assert_hidden(&format!("> x() --{comment} {MARK}"));
    assert_hidden(&format!("c2s:count() -- {comment} {MARK}"));
}

/// The secret as each argument that is one, and after all arguments.
fn check_command(command: &ShellCommand, secret: &str) {
    let (section, name) = command.name.split_once(':').unwrap();
    let places = command.arguments.split_whitespace().filter(|argument| *argument != "...").count();
    for place in (0..=places).filter(|place| command.hides(*place)) {
        for string in strings(secret) {
            let before = "\"a@example.com\", ".repeat(place);
            assert_hidden(&format!("{section}:{name}({before}{string})"));
            assert_hidden(&format!("{section}:{name}({before}{string}, \"a@b\")"));
            assert_hidden(&format!("{section}:{name}({before}{string}"));
            assert_hidden(&format!("{section}:{name}({before}x..{string})"));
            assert_hidden(&format!("{section}:{name}({before}{{ password = {string} }}):save({string})"));
        }
        let listed = "\"a@example.com\",".repeat(place);
        let escaped = quoted(secret, '"');
        assert_hidden(&format!("{{\"{section}\",\"{name}\",{listed}{escaped}}}"));
        assert_hidden(&format!("{{\"{section}\",\"{name}\",{listed}{escaped},\"a@b\"}}"));
        // Words. One of them is the secret.
        let word: String = secret.split_whitespace().collect();
        assert_hidden(&format!("{section} {name} {}{word}", "a@b ".repeat(place)));
        assert_hidden(&format!("{section} {name} {}{word} a@b", "a@b ".repeat(place)));
    }
}

/// The command as it should be typed, with a secret as each argument that is one, and mistakes of all kinds: `text` instead of a
/// character or a separator, two arguments swapped, the secret as any argument. The secret has no blanks, but otherwise does not
/// look like a word of the command.
pub(crate) fn check_mistakes(command: &ShellCommand, text: &str) {
    let (section, name) = command.name.split_once(':').unwrap();
    let places: Vec<&str> = command.arguments.split_whitespace().filter(|argument| *argument != "...").collect();
    for secret in 0..=places.len() {
        let argument = |(place, name): (usize, &&str)| if place == secret { MARK.to_owned() } else { sample(name).to_owned() };
        let mut arguments: Vec<String> = places.iter().enumerate().map(argument).collect();
        if secret == places.len() {
            arguments.push(MARK.to_owned());
        }
        for (open, close, separator) in [("(", ")", ", "), (" ", "", " "), ("({", "})", ","), ("(", "", ";"), ("{", "}", ", ")] {
            let quoted: Vec<String> = arguments.iter().map(|argument| format!("\"{argument}\"")).collect();
            assert_hidden(&format!("{section}:{name}{open}{}{close}", quoted.join(separator)));
            assert_hidden(&format!("{section}.{name}{open}{}{close}", quoted.join(separator)));
            assert_hidden(&format!("{section}:{name}{open}{}{close}", arguments.join(separator)));
            assert_hidden(&format!("{section} {name}{open}{}{close}", arguments.join(separator)));
        }
        // A missing or wrong separator. The name of another host may be anything in the form of a domain; a command with such an
        // argument has no password.
        let is_foreign = |name: &&str| matches!(name.trim_end_matches('?'), "from" | "to" | "peer" | "contact" | "domain");
        let is_checked = command.hides(secret) && !places.iter().any(is_foreign);
        for wrong in ["", " ", "; ", "\" \"", "..", text].into_iter().filter(|_| is_checked) {
            assert_hidden(&format!("{section}:{name}(\"{}\")", arguments.join(&format!("\"{wrong}\""))));
            // An address and a secret may make the name of another host, as in bob@example.com.hunter2.ax. The server knows its hosts.
            let _ = redact(&format!("{section}:{name}(\"{}\")", arguments.join(wrong)));
            assert_hidden(&format!("{{\"{section}\",\"{name}\",\"{}\"}}", arguments.join(&format!("\"{wrong}\""))));
        }
        // Characters that are missing, doubled or wrong.
        let line = format!("{section}:{name}(\"{}\")", arguments.join("\", \""));
        let list = format!("{{\"{section}\",\"{name}\",\"{}\"}}", arguments.join("\",\""));
        for line in [line, list] {
            assert_hidden(&line);
            let at = text.chars().map(|character| character as usize).sum::<usize>() % line.len();
            let (before, after) = line.split_at(at);
            let shorter = after.get(1..).unwrap_or_default();
            for mutated in [format!("{before}{shorter}"), format!("{before}{text}{after}"), format!("{before}{text}{shorter}")] {
                if mutated.contains(MARK) {
                    assert_hidden(&mutated);
                }
            }
            assert_hidden(&format!("{line}{text}"));
            assert_hidden(&format!("{text}{line}"));
            assert_hidden(&format!("{line};{line}"));
        }
    }
}

/// A plausible value of an argument.
fn sample(name: &str) -> &'static str {
    match name.trim_end_matches('?') {
        "jid" | "room" | "target" | "contact" | "peer" => "bob@example.com",
        "service" | "host" | "domain" | "from" | "to" => "example.com",
        "module" | "flag" | "mark" | "node" => "saslauth",
        "option" => "component_ports",
        "role" => "prosody:admin",
        "period" => "2d",
        "boolean" => "true",
        "level" => "info",
        "code" | "port" | "number" => "1",
        _ => "x",
    }
}

/// A line contains no word that was not typed, and no letter or digit that is not part of a command.
fn assert_nothing_new(line: &str, redacted: &str) {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let typed: HashSet<&str> = line.split(|character| !is_word(character)).collect();
    for word in redacted.replace(HIDDEN, " ").split(|character| !is_word(character)) {
        assert!(typed.contains(word) || word.is_empty(), "{line:?} is redacted to {redacted:?}");
    }
}

/// The secret as strings of Lua.
fn strings(secret: &str) -> Vec<String> {
    let mut level = String::new();
    while secret.contains(&format!("]{level}]")) || secret.ends_with(&format!("]{level}")) {
        level.push('=');
    }
    vec![quoted(secret, '"'), quoted(secret, '\''), format!("[{level}[{secret}]{level}]")]
}

fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' | '\n' | '\r' => quoted.extend(['\\', character]),
            _ if character == quote => quoted.extend(['\\', character]),
            _ => quoted.push(character),
        }
    }
    quoted.push(quote);
    quoted
}

/// The line as it is recorded without the knowledge of the server. With that, it has no secret.
fn redact(line: &str) -> String {
    let hosts = |host: &str| host == "example.com";
    let commands = |section: &str, _: &str| section == "vault";
    let known = shell_line(line, &KnownNames { hosts: Some(&hosts), command: &commands });
    assert!(!known.contains(MARK), "{line:?} is redacted to {known:?}");
    shell_line(line, &KnownNames::default())
}

fn assert_hidden(line: &str) {
    let redacted = redact(line);
    assert!(!redacted.contains(MARK), "{line:?} is redacted to {redacted:?}");
}
