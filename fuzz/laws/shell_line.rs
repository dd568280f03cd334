//! What holds for a redacted line of the shell, whatever the operator typed. The fuzz target and a property test share it.

use audit_core::redact::{Argument, COMMANDS, Command, shell_line};

const MARK: &str = "hunter2";

/// Checks the laws for `text`: as a line, and as what stands around a secret in the place of one.
pub(crate) fn check(text: &str) {
    // A line never grows by more than the marks for what is hidden.
    for line in [text.to_owned(), format!(">{text}"), format!("{{{text}"), format!("user:create({text}")] {
        assert!(shell_line(&line).len() <= line.len() * 6 + 8, "{line}");
    }
    let secret = format!("{}{MARK}", text.replace(MARK, ""));
    for command in COMMANDS {
        check_command(command, &secret);
    }
    for name in ["vault:open", "user:nothing", "a:b"] {
        check_command(&Command { name, arguments: "", flags: &[] }, &secret);
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
    let comment = text.replace(['\n', '\r'], "");
    assert_hidden(&format!("> x() --{comment} {MARK}"));
    assert_hidden(&format!("c2s:count() -- {comment} {MARK}"));
}

/// The secret in each place where the command takes one, and behind all that it takes.
fn check_command(command: &Command, secret: &str) {
    let (section, name) = command.name.split_once(':').unwrap();
    let places = command.arguments.split_whitespace().filter(|argument| *argument != "...").count();
    for place in (0..=places).filter(|place| command.argument(*place) == Argument::Secret) {
        for string in strings(secret) {
            let before = "\"a@b\", ".repeat(place);
            assert_hidden(&format!("{section}:{name}({before}{string})"));
            assert_hidden(&format!("{section}:{name}({before}{string}, \"a@b\")"));
            assert_hidden(&format!("{section}:{name}({before}{string}"));
            assert_hidden(&format!("{section}:{name}({before}x..{string})"));
            assert_hidden(&format!("{section}:{name}({before}{{ password = {string} }}):save({string})"));
        }
        let listed = "\"a@b\",".repeat(place);
        let escaped = quoted(secret, '"');
        assert_hidden(&format!("{{\"{section}\",\"{name}\",{listed}{escaped}}}"));
        assert_hidden(&format!("{{\"{section}\",\"{name}\",{listed}{escaped},\"a@b\"}}"));
        // Words, in which a secret is one word.
        let word: String = secret.split_whitespace().collect();
        assert_hidden(&format!("{section} {name} {}{word}", "a@b ".repeat(place)));
        assert_hidden(&format!("{section} {name} {}{word} a@b", "a@b ".repeat(place)));
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

fn assert_hidden(line: &str) {
    let redacted = shell_line(line);
    assert!(!redacted.contains(MARK), "{line:?} is redacted to {redacted:?}");
}
