//! The file that `--output` or `--report` names.

use std::path::{Component, Path, PathBuf};

use super::UsageError;
use super::arguments::quote;

/// A file to write, as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The flag that names it, without `--`.
    pub flag: &'static str,
    /// The name. It may be relative to the folder of the caller.
    pub name: String,
}

impl Output {
    /// The file that `value` of a flag names. `-` is standard output, for which this returns `None`.
    #[must_use]
    pub fn of(flag: &'static str, value: &str) -> Option<Self> {
        (value != "-").then(|| Self { flag, name: value.to_owned() })
    }

    /// The path of the file. `caller` is the folder in which the command was called (`$PWD`): prosodyctl has gone to another one.
    ///
    /// # Errors
    ///
    /// Returns [`UsageError`] if the name is empty, or relative to a folder that is not known.
    pub fn path(&self, caller: Option<&Path>) -> Result<PathBuf, UsageError> {
        if self.name.is_empty() {
            return Err(self.refused("the name of the file is empty"));
        }
        let name = Path::new(&self.name);
        let folder = match caller {
            _ if name.is_absolute() => Path::new(""),
            Some(folder) if folder.is_absolute() => folder,
            other => {
                let why = other.map_or_else(
                    || "PWD is not set, sudo for example does not pass it on".to_owned(),
                    |folder| format!("PWD is {}", quote(&folder.to_string_lossy())),
                );
                return Err(self.refused(&format!(
                    "{} is relative, and the folder you are in is not known ({why}): give the whole path, as in --{} \"$PWD/{}\", or write to \
                     standard output with --{} -",
                    quote(&self.name),
                    self.flag,
                    self.name.escape_debug(),
                    self.flag
                )));
            }
        };
        Ok(folder.join(name).components().filter(|part| *part != Component::CurDir).collect())
    }

    /// The line about something that went wrong with the file.
    #[must_use]
    pub fn problem(&self, what: &str) -> String {
        format!("--{}: {what}", self.flag)
    }

    /// The same, if the file can't be made. `user` is the user that this process runs as, who is often not the caller.
    #[must_use]
    pub fn not_made(&self, what: &str, user: &str) -> String {
        let line = self.problem(what);
        format!("{line}; prosodyctl runs as the user {user}, who must be allowed to write there (or use --{} - and redirect it)", self.flag)
    }

    fn refused(&self, what: &str) -> UsageError {
        UsageError(self.problem(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_relative_to_the_folder_of_the_caller() {
        let path = |name: &str, caller: Option<&str>| {
            let output = Output::of("output", name).unwrap();
            output.path(caller.map(Path::new)).map_err(|error| error.to_string())
        };
        for (name, caller, expected) in [
            ("log.json", Some("/home/alice"), "/home/alice/log.json"),
            ("./a/log.json", Some("/home/alice/"), "/home/alice/a/log.json"),
            ("../log.json", Some("/home/alice"), "/home/alice/../log.json"),
            ("/tmp/log.json", Some("/home/alice"), "/tmp/log.json"),
            ("/tmp/log.json", Some("somewhere"), "/tmp/log.json"),
            ("/tmp/log.json", None, "/tmp/log.json"),
        ] {
            assert_eq!(path(name, caller), Ok(PathBuf::from(expected)), "{name} {caller:?}");
        }
        for (name, caller, why) in [
            (
                "log.json",
                None,
                "(PWD is not set, sudo for example does not pass it on): give the whole path, as in --output \"$PWD/log.json\"",
            ),
            ("log.json", Some("home"), "(PWD is \"home\")"),
            ("log.json", Some(""), "(PWD is \"\")"),
            ("", Some("/home/alice"), "is empty"),
        ] {
            let problem = path(name, caller).unwrap_err();
            assert!(problem.starts_with("--output: ") && problem.contains(why) && !problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_dash_is_standard_output() {
        assert_eq!(Output::of("report", "-"), None);
        assert_eq!(Output::of("report", "./-").unwrap().path(Some(Path::new("/x"))), Ok(PathBuf::from("/x/-")));
    }

    #[test]
    fn problems_name_the_flag_and_the_user() {
        let report = Output::of("report", "a.html").unwrap();
        assert_eq!(report.problem("a.html exists already"), "--report: a.html exists already");
        assert_eq!(
            report.not_made("/srv/a.html: Permission denied", "prosody"),
            "--report: /srv/a.html: Permission denied; prosodyctl runs as the user prosody, who must be allowed to write there (or use --report - \
             and redirect it)"
        );
    }
}
