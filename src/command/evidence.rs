//! The arguments for evidence that leaves the machine, and is verified elsewhere.

use super::output::Output;
use super::{Command, UsageError};

/// What is to be done with evidence.
#[derive(Clone, Debug, PartialEq)]
pub enum EvidenceCommand {
    /// Print the heads of the chains as anchors.
    Anchors {
        /// The host. `None` for all hosts.
        host: Option<String>,
    },
    /// Write a file with all that is needed to verify the log elsewhere.
    Export {
        /// The host.
        host: String,
        /// The file. `None` for standard output.
        output: Option<Output>,
    },
    /// Verify such a file.
    VerifyFile {
        /// The file, or `-`.
        file: String,
        /// Whose log it has to be, if that was said.
        host: Option<String>,
        /// Files with anchors that were kept.
        anchors: Vec<String>,
        /// Whether the seals are verified, with a key that is read from standard input.
        seal_key: bool,
    },
}

/// The arguments that were read so far.
#[derive(Debug, Default)]
pub(super) struct EvidenceArguments {
    export: String,
    from: Option<String>,
    /// Whether seals are verified.
    seal_key: bool,
    /// Files with anchors.
    pub(super) anchors: Vec<String>,
}

impl EvidenceArguments {
    /// Takes a flag with its value.
    pub(super) fn take(&mut self, flag: &str, value: &str) {
        match flag {
            "export-evidence" => value.clone_into(&mut self.export),
            "seal-key" => self.seal_key = true,
            "from" => self.from = Some(value.to_owned()),
            "anchor" => self.anchors.push(value.to_owned()),
            _ => {}
        }
    }

    /// The command of an action.
    pub(super) fn command(self, action: &str, host: Option<String>) -> Result<Command, UsageError> {
        let missing = |flag: &str, name: &str| Err(UsageError(format!("Name the file: --{flag} {name}")));
        let reads = |file: &str| file == "-";
        if self.seal_key && (self.from.as_deref().is_some_and(reads) || self.anchors.iter().any(|file| reads(file))) {
            return Err(UsageError("--seal-key reads standard input, so --anchor and --from need files".to_owned()));
        }
        Ok(match (action, self.from, host) {
            ("anchors", _, host) => Command::Evidence(EvidenceCommand::Anchors { host }),
            ("verify", Some(file), _) if file.is_empty() => return missing("verify --from", "evidence.jsonl"),
            ("verify", Some(file), _) if file == "-" && self.anchors.iter().any(|anchors| anchors == "-") => {
                return Err(UsageError("Standard input can't be the file of --from and of --anchor".to_owned()));
            }
            ("verify", Some(file), host) => {
                Command::Evidence(EvidenceCommand::VerifyFile { file, host, anchors: self.anchors, seal_key: self.seal_key })
            }
            ("verify", None, host) => Command::Verify { host, anchors: self.anchors, seal_key: self.seal_key },
            (_, _, None) => return Err(UsageError("Name the host: --export-evidence evidence.jsonl example.com".to_owned())),
            _ if self.export.is_empty() => return missing("export-evidence", "evidence.jsonl example.com"),
            (_, _, Some(host)) => Command::Evidence(EvidenceCommand::Export { host, output: Output::of("export-evidence", &self.export) }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split(' '), 0.0).map_err(|error| error.to_string())
    }

    #[test]
    fn evidence_is_exported_of_one_host_and_verified_from_one_file() {
        let host = || Some("example.com".to_owned());
        let verify = |file: &str, host, anchors: &[&str]| EvidenceCommand::VerifyFile {
            file: file.to_owned(),
            host,
            anchors: anchors.iter().map(|name| (*name).to_owned()).collect(),
            seal_key: false,
        };
        for (line, command) in [
            ("--anchors", EvidenceCommand::Anchors { host: None }),
            ("--anchors Example.com", EvidenceCommand::Anchors { host: host() }),
            (
                "--export-evidence x.jsonl example.com",
                EvidenceCommand::Export { host: "example.com".to_owned(), output: Output::of("export-evidence", "x.jsonl") },
            ),
            ("--export-evidence=- example.com", EvidenceCommand::Export { host: "example.com".to_owned(), output: None }),
            ("--verify --from x.jsonl", verify("x.jsonl", None, &[])),
            ("--verify --from - --anchor a --anchor b example.com", verify("-", host(), &["a", "b"])),
        ] {
            assert_eq!(parse(line), Ok(Command::Evidence(command)), "{line}");
        }
        for (line, part) in [
            ("--export-evidence", "needs a value"),
            ("--export-evidence x.jsonl", "Name the host"),
            ("--export-evidence= example.com", "Name the file"),
            ("--export-evidence x.jsonl romeo@example.com", "is for a whole host"),
            ("--export-evidence x.jsonl --verify example.com", "not both"),
            ("--export-evidence x.jsonl --anchor a example.com", "--anchor goes with --verify only"),
            ("--export-evidence x.jsonl --format=json example.com", "do not go together"),
            ("--from x.jsonl example.com", "--from goes with --verify only"),
            ("--verify --from= example.com", "Name the file"),
            ("--verify --from - --anchor -", "Standard input"),
            ("--anchors romeo@example.com", "is for a whole host"),
            ("--anchors --limit=5 example.com", "do not go together"),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.contains(part) && !refused.contains('\n'), "{line}: {refused}");
        }
    }
}
