//! What bash, zsh and fish offer for `prosodyctl mod_audit`.
//!
//! Hosts are read from the configuration, where the user may read it. They are taken as they are written there, letters, digits,
//! dots, dashes and underscores only, so that nothing in it can reach the shell as more than a word.

use std::fmt::Write as _;

use super::{Values, spellings};

/// The commands of `prosodyctl` that it has by itself, and ours.
const COMMANDS: &[&str] = &[
    "about",
    "adduser",
    "cert",
    "check",
    "deluser",
    "install",
    "list",
    "mod_audit",
    "passwd",
    "reload",
    "remove",
    "restart",
    "shell",
    "start",
    "status",
    "stop",
];

const HOSTS: &str = r"sed -nE 's/^[[:space:]]*(VirtualHost|Component)[^[:alnum:]$]+([[:alnum:]._-]+).*/\2/p'";

/// A completion for bash; it needs nothing else.
#[must_use]
pub fn bash() -> String {
    let mut script = String::from("# bash completion for prosodyctl mod_audit\n\n");
    let _ = write!(
        script,
        r#"_prosodyctl_audit_hosts() {{
	local config=${{PROSODY_CONFIG:-/etc/prosody/prosody.cfg.lua}}
	{HOSTS} "$config" "${{config%/*}}"/conf.d/*.cfg.lua 2>/dev/null
}}

_prosodyctl() {{
	local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} before=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W '{}' -- "$cur")
		return
	elif [[ ${{COMP_WORDS[1]}} != mod_audit ]]; then
		compopt -o default 2>/dev/null
		return
	fi
	# To bash, --flag=value and user@host are three words; the third one of user@host begins with the @.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $cur == @ || $prev == @ ]]; then
		cur=${{cur#@}} before=@
	elif [[ $cur == *@* && $cur != -* ]]; then
		before=${{cur%@*}}@ cur=${{cur##*@}}
	elif [[ $prev == = ]]; then
		prev=${{COMP_WORDS[COMP_CWORD-2]}}
	fi
	case ${{prev//_/-}} in
"#,
        COMMANDS.join(" ")
    );
    let mut free = Vec::new();
    for (name, flag) in spellings() {
        match Values::of(flag) {
            Values::None => {}
            Values::Free => free.push(format!("--{name}")),
            Values::File => {
                let _ = write!(
                    script,
                    "\t--{name})\n\t\tcompopt -o filenames 2>/dev/null\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\t\treturn ;;\n"
                );
            }
            Values::One(words) => {
                let _ = write!(
                    script,
                    "\t--{name})\n\t\tmapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")\n\t\treturn ;;\n",
                    words.join(" ")
                );
            }
            Values::Several(words) => {
                let _ = write!(
                    script,
                    "\t--{name})\n\t\t[[ $cur != *,* ]] || before=${{cur%,*}},\n\t\tcompopt -o nospace 2>/dev/null\n\t\t\
                     mapfile -t COMPREPLY < <(compgen -P \"$before\" -W '{}' -- \"${{cur##*,}}\")\n\t\treturn ;;\n",
                    words.join(" ")
                );
            }
        }
    }
    let flags: Vec<_> = spellings().map(|(name, _)| format!("--{name}")).collect();
    let _ = write!(
        script,
        r#"	{})
		return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '{}' -- "${{cur//_/-}}")
	else
		mapfile -t COMPREPLY < <(compgen -P "$before" -W "$(_prosodyctl_audit_hosts)" -- "$cur")
	fi
}}

complete -F _prosodyctl prosodyctl
"#,
        free.join("|"),
        flags.join(" ")
    );
    script
}

/// A completion for zsh: a function `_prosodyctl` in a file of that name.
#[must_use]
pub fn zsh() -> String {
    let mut script = String::from("#compdef prosodyctl\n# zsh completion for prosodyctl mod_audit\n\n");
    let _ = write!(
        script,
        r#"_prosodyctl_audit_hosts() {{
	local config=${{PROSODY_CONFIG:-/etc/prosody/prosody.cfg.lua}}
	local -a hosts
	hosts=(${{(f)"$({HOSTS} $config ${{config:h}}/conf.d/*.cfg.lua(N) 2>/dev/null)"}})
	compset -P '*@'
	compadd -a hosts
}}

_prosodyctl() {{
	if (( CURRENT == 2 )); then
		compadd -- {}
		return
	elif [[ $words[2] != mod_audit ]]; then
		_default
		return
	fi
	shift words
	(( CURRENT-- ))
	_arguments \
"#,
        COMMANDS.join(" ")
    );
    for (name, flag) in spellings() {
        let meaning = if name == flag.name { flag.meaning.to_owned() } else { format!("the opposite of --{}", flag.name) };
        let many = if flag.value.is_some_and(|value| value.ends_with('…')) { "*" } else { "" };
        let equals = if flag.value.is_some() { "=" } else { "" };
        let value = flag.value.unwrap_or_default().trim_end_matches('…').trim_end_matches(',');
        let action = match Values::of(flag) {
            Values::None => String::new(),
            Values::Free => format!(":{value}: "),
            Values::File => format!(":{value}:_files"),
            Values::One(words) => format!(":{value}:({})", words.join(" ")),
            Values::Several(words) => format!(":{value}:_sequence compadd - {}", words.join(" ")),
        };
        let _ = writeln!(script, "\t\t'{many}--{name}{equals}[{}]{action}' \\", for_zsh(&meaning));
    }
    script.push_str("\t\t'1:host or account:_prosodyctl_audit_hosts'\n}\n\n_prosodyctl \"$@\"\n");
    script
}

/// A completion for fish.
#[must_use]
pub fn fish() -> String {
    let mut script = String::from("# fish completion for prosodyctl mod_audit\n\n");
    let _ = write!(
        script,
        r"function __prosodyctl_audit_hosts
    set -l config $PROSODY_CONFIG /etc/prosody/prosody.cfg.lua
    set -l files (string replace -r '/[^/]*$' '' $config[1])/conf.d/*.cfg.lua
    set -l account (commandline -ct | string match -r '.*@'; or echo)
    printf '%s\n' $account({HOSTS} $config[1] $files 2>/dev/null)
end

function __prosodyctl_audit
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = mod_audit
end

complete -c prosodyctl -n 'test (count (commandline -opc)) -eq 1' -f -a '{}'
complete -c prosodyctl -n __prosodyctl_audit -f -a '(__prosodyctl_audit_hosts)'
",
        COMMANDS.join(" ")
    );
    for (name, flag) in spellings() {
        let meaning = if name == flag.name { flag.meaning.to_owned() } else { format!("the opposite of --{}", flag.name) };
        let values = match Values::of(flag) {
            Values::None => String::new(),
            Values::Free => " -x".to_owned(),
            Values::File => " -r -F".to_owned(),
            Values::One(words) => format!(" -x -a '{}'", words.join(" ")),
            Values::Several(words) => format!(" -x -a '(__fish_append , {})'", words.join(" ")),
        };
        let meaning = meaning.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = writeln!(script, "complete -c prosodyctl -n __prosodyctl_audit -l {name} {}-d '{meaning}'", with_space(&values));
    }
    script
}

fn with_space(values: &str) -> String {
    if values.is_empty() { String::new() } else { format!("{} ", values.trim_start()) }
}

/// As it stands between brackets of `_arguments`, in single quotes.
fn for_zsh(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\'' => escaped.push_str("'\\''"),
            '[' | ']' | '\\' | ':' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
