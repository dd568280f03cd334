//! The arguments for links and tokens, which are for reading the log of a host over HTTP.

use super::UsageError;
use super::arguments::quote;
use crate::time::period::Period;

/// What is to be done with links and tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum WebCommand {
    /// Make a link that signs an administrator in.
    Link {
        /// The localpart of the account.
        user: String,
    },
    /// Make a token.
    Token {
        /// Its name.
        name: String,
        /// The event types that it shows. Empty if it shows all.
        types: Vec<String>,
        /// How long it can be used, in seconds. `None` if it has no end.
        seconds: Option<f64>,
    },
    /// List the tokens.
    Tokens,
    /// End a token.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// The arguments that were read so far.
#[derive(Debug, Default)]
pub(super) struct WebArguments {
    name: String,
    types: Vec<String>,
    expires: Option<Period>,
}

/// Whether an action is about links or tokens.
pub(super) fn is_of_it(action: &str) -> bool {
    matches!(action, "link" | "token" | "tokens" | "revoke")
}

impl WebArguments {
    /// Takes a flag with its value.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        match flag {
            "token" | "revoke" => value.clone_into(&mut self.name),
            "types" => self.types = read_types(value)?,
            "expires" => {
                let period =
                    Period::parse(value).map_err(|error| UsageError(format!("--expires is {}, but takes {error}", quote(value))))?;
                self.expires = Some(period);
            }
            _ => {}
        }
        Ok(())
    }

    /// Why these arguments do not go with an action.
    pub(super) fn refusal(&self, action: Option<&str>) -> Option<UsageError> {
        let flag = match (self.types.is_empty(), self.expires) {
            (false, _) => "types",
            (true, Some(_)) => "expires",
            (true, None) => return None,
        };
        (action != Some("token")).then(|| UsageError(format!("--{flag} goes with --token only")))
    }

    /// The command of an action. `target` is the account or host that was named.
    pub(super) fn command(self, action: &str, target: Option<(Option<String>, String)>) -> Result<super::Command, UsageError> {
        let what = match (action, &target) {
            ("link", Some((Some(user), _))) => WebCommand::Link { user: user.clone() },
            ("link", _) => return Err(UsageError("Name the administrator: --link admin@example.com".to_owned())),
            (_, Some((Some(_), host))) => return Err(UsageError(format!("--{action} is for a whole host: {host}"))),
            ("tokens", _) => WebCommand::Tokens,
            ("token", _) => {
                let seconds = self.expires.map(Period::seconds).filter(|seconds| seconds.is_finite());
                WebCommand::Token { name: self.name, types: self.types, seconds }
            }
            _ => WebCommand::Revoke { name: self.name },
        };
        let (_, host) = target.ok_or_else(|| UsageError(format!("Name the host: --{action} … example.com")))?;
        Ok(super::Command::Web { host, what })
    }
}

fn read_types(value: &str) -> Result<Vec<String>, UsageError> {
    let types: Vec<String> = value.split(',').map(str::trim).filter(|kind| !kind.is_empty()).map(ToOwned::to_owned).collect();
    if types.is_empty() {
        return Err(UsageError("--types is empty".to_owned()));
    }
    if let Some(kind) = types.iter().find(|kind| kind.starts_with('!')) {
        return Err(UsageError(format!("--types has {}: it names what the token shows", quote(kind))));
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace(), 0.0).map_err(|error| error.to_string())
    }

    #[test]
    fn links_and_tokens_are_for_a_host() {
        let host = || "example.com".to_owned();
        for (line, what) in [
            ("--link Admin@example.com", WebCommand::Link { user: "admin".to_owned() }),
            ("--token portal example.com", WebCommand::Token { name: "portal".to_owned(), types: vec![], seconds: None }),
            (
                "example.com --token=a --types user-*,new-client --expires 2d",
                WebCommand::Token {
                    name: "a".to_owned(),
                    types: vec!["user-*".to_owned(), "new-client".to_owned()],
                    seconds: Some(172_800.0),
                },
            ),
            ("--token a --expires never example.com", WebCommand::Token { name: "a".to_owned(), types: vec![], seconds: None }),
            ("--tokens example.com", WebCommand::Tokens),
            ("--revoke portal example.com", WebCommand::Revoke { name: "portal".to_owned() }),
        ] {
            assert_eq!(parse(line), Ok(Command::Web { host: host(), what }), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, words) in [
            ("--link example.com", "Name the administrator"),
            ("--link", "Name the administrator"),
            ("--tokens", "Name the host"),
            ("--token a b@example.com", "is for a whole host"),
            ("--types a example.com", "--types goes with --token only"),
            ("--tokens --expires 2d example.com", "--expires goes with --token only"),
            ("--token a --types , example.com", "--types is empty"),
            ("--token a --types !x example.com", "--types has \"!x\""),
            ("--token a --expires soon example.com", "--expires is \"soon\""),
            ("--token a --limit 5 example.com", "--token and --limit do not go together"),
            ("--token a --revoke a example.com", "not both"),
        ] {
            let problem = parse(line).unwrap_err();
            assert!(problem.contains(words) && !problem.contains('\n'), "{line}: {problem}");
        }
    }
}
