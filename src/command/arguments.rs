//! Reads the flags of the command one by one.

use std::fmt::Write as _;
use std::str::FromStr;

use super::evidence::EvidenceArguments;
use super::flags::{self, Flag, Group};
use super::names::{read_actor, read_user};
use super::output::Output;
use super::pairs;
use super::web::WebArguments;
use super::{Command, EraseCommand, Made, ShowCommand, Stringprep, UsageError};
use crate::filter::pattern::Pattern;
use crate::filter::person::Person;
use crate::filter::{Filter, network};
use crate::query::Position;
use crate::redact::HIDDEN;
use crate::render::columns::Column;
use crate::render::formats::Format;
use crate::time::moment::Moment;
use crate::time::zone::Zone;

/// The arguments that were read so far.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    show: ShowCommand,
    since: Option<Moment>,
    until: Option<Moment>,
    users: Vec<String>,
    actors: Vec<String>,
    output: Option<String>,
    report: Option<String>,
    stats: bool,
    all: bool,
    no_colour: bool,
    pub(super) host_data: bool,
    pub(super) action: Option<&'static str>,
    pub(super) trust_clock: bool,
    pub(super) evidence: EvidenceArguments,
    pub(super) web: WebArguments,
    pub(super) sink: String,
    /// The account of `--person` or `--erase`, as it was given.
    pub(super) person: Option<String>,
    pub(super) before: Option<Moment>,
    pub(super) reason: Option<String>,
    pub(super) acted: bool,
    pub(super) yes: bool,
    /// The names of all flags, each once. `format` is included only if it is not the table.
    pub(super) names: Vec<&'static str>,
}

impl Arguments {
    /// Takes a flag with its value.
    pub(super) fn take(&mut self, flag: &Flag, on: bool, value: &str) -> Result<(), UsageError> {
        let show = &mut self.show;
        let filter = &mut show.request.filter;
        match flag.name {
            "trust-clock" => self.trust_clock = true,
            "anchor" | "from" | "seal-key" => self.evidence.take(flag.name, value),
            "host-data" => self.host_data = true,
            "before" => self.before = Some(read(flag, value)?),
            "reason" => self.reason = Some(value.to_owned()).filter(|reason| !reason.is_empty()),
            "acted" => self.acted = true,
            "yes" => self.yes = true,
            "types" | "expires" => self.web.take(flag.name, value)?,
            "events" | "alerts" | "prune" | "new-key" | "new-seal" | "verify" | "link" | "token" | "tokens" | "revoke" | "sinks"
            | "sink-test" | "person" | "erase" | "privacy" | "anchors" | "export-evidence" => {
                self.web.take(flag.name, value)?;
                self.evidence.take(flag.name, value);
                if flag.name == "sink-test" {
                    self.sink = value.to_owned();
                }
                if matches!(flag.name, "person" | "erase") {
                    self.person = Some(value.to_owned());
                }
                if let Some(other) = self.action.replace(flag.name).filter(|other| *other != flag.name) {
                    return Err(UsageError(format!("Use --{other} or --{}, not both", flag.name)));
                }
            }
            "since" => self.since = Some(read(flag, value)?),
            "until" => self.until = Some(read(flag, value)?),
            "type" => read_types(filter, flag, value)?,
            "all" => self.all = true,
            "user" => self.users.extend(words(flag, value)?.map(ToOwned::to_owned)),
            "ip" => read_addresses(filter, flag, value)?,
            "source" => filter.sources.extend(words(flag, value)?.map(Pattern::new)),
            "client" => filter.clients.extend(words(flag, value)?.map(Pattern::new)),
            "country" => filter.countries.extend(read_countries(flag, value)?),
            "actor" => self.actors.extend(words(flag, value)?.map(ToOwned::to_owned)),
            "class" => filter.classes.extend(words(flag, value)?.map(Pattern::new)),
            "text" => filter.text = Some(value.to_lowercase()).filter(|text| !text.is_empty()),
            "global" => filter.global = Some(on),
            "limit" => show.request.limit = Some(read_limit(value)?),
            "after" => show.request.after = Some(read::<Position>(flag, value)?),
            "oldest-first" => show.request.oldest_first = true,
            "utc" => show.zone = Zone::Utc,
            "zone" => show.zone = read(flag, value)?,
            "columns" => {
                let chosen = words(flag, value)?.map(Column::from_str).collect::<Result<_, _>>();
                show.columns.chosen = Some(chosen.map_err(|error| UsageError(format!("--columns: {error}")))?);
            }
            "format" => show.format = value.parse().map_err(|error| UsageError(format!("--format: {error}")))?,
            "output" => self.output = Some(value.to_owned()),
            "report" => self.report = Some(value.to_owned()),
            "stats" => self.stats = true,
            "bom" => show.byte_order_mark = true,
            "follow" => show.follow = true,
            "colour" => self.no_colour = !on,
            name => {
                let column = name.strip_prefix("show-").and_then(|name| name.parse().ok());
                show.columns.said.extend(column.map(|column| (column, on)));
            }
        }
        let is_default = flag.name == "format" && show.format == Format::default();
        if !is_default && !self.names.contains(&flag.name) {
            self.names.push(flag.name);
        }
        if matches!(flag.group, Group::Filter | Group::Page) {
            let space = if show.asked.is_empty() { "" } else { " " };
            let no = if on { "" } else { "no-" };
            // The text to search for may be a secret. Blanks in other values are replaced, so that a space always ends a value.
            let value = if flag.name == "text" { HIDDEN.to_owned() } else { value.split_whitespace().collect::<Vec<_>>().join("%20") };
            // Writing to a string can't fail.
            let _ = match flag.value {
                Some(_) => write!(show.asked, "{space}--{}={value}", flag.name),
                None => write!(show.asked, "{space}--{no}{}", flag.name),
            };
        }
        Ok(())
    }

    /// The command that is about one person.
    pub(super) fn of_person(self, action: &str, person: Person, now: f64, names: &dyn Stringprep) -> Result<Command, UsageError> {
        if action == "erase" {
            let before = self.before.map(|moment| moment.resolve(now, Zone::default()));
            return Ok(Command::Erase(Box::new(EraseCommand {
                person: person.jid().to_owned(),
                before,
                reason: self.reason,
                acted: self.acted,
                yes: self.yes,
            })));
        }
        let mut show = self.show(None, person.host().to_owned(), now, names)?;
        show.format = Format::Json;
        show.request.filter.hides_housekeeping = false;
        let space = if show.asked.is_empty() { "" } else { " " };
        // Writing to a string can't fail.
        let _ = write!(show.asked, "{space}--person={}", person.jid());
        show.request.filter.person = Some(person);
        Ok(Command::Show(Box::new(show)))
    }

    /// The command to show the log of `host`, or of its account `local`.
    pub(super) fn show(self, local: Option<String>, host: String, now: f64, names: &dyn Stringprep) -> Result<ShowCommand, UsageError> {
        let mut show = self.show;
        let zone = show.zone;
        let resolve = |moment: Option<Moment>| moment.map(|moment| moment.resolve(now, zone));
        let (since, until) = (resolve(self.since), resolve(self.until));
        if let Some((since, until)) = since.zip(until).filter(|(since, until)| since >= until) {
            let shown = |time| zone.show(time).0;
            return Err(UsageError(format!("--since is {}, and --until is {}: nothing is between", shown(since), shown(until))));
        }
        if let Some(refusal) = pairs::refusal(&self.names) {
            return Err(UsageError(refusal));
        }
        if show.byte_order_mark && show.format != Format::Csv {
            return Err(UsageError("--bom is for --format csv only".to_owned()));
        }
        show.made = match (self.stats, &self.report) {
            (_, Some(_)) => Made::Report { at: now },
            (true, None) => Made::Stats,
            (false, None) => Made::Entries,
        };
        show.output = match (&self.output, &self.report) {
            (Some(file), _) => Output::of("output", file),
            (None, Some(file)) => Output::of("report", file),
            (None, None) => None,
        };
        let filter = &mut show.request.filter;
        (filter.since, filter.until) = (since, until);
        filter.hides_housekeeping = !self.all;
        for user in &self.users {
            filter.users.push(Pattern::new(&read_user(user, &host, names)?));
        }
        for actor in &self.actors {
            filter.actors.push(Pattern::new(&read_actor(actor, names)?));
        }
        if let Some(local) = local {
            if !filter.users.is_empty() {
                return Err(UsageError(format!("Name the account as {local}@{host} or with --user, not both")));
            }
            filter.users.push(Pattern::exactly(&format!("{local}@{host}")));
            let space = if show.asked.is_empty() { "" } else { " " };
            let _ = write!(show.asked, "{space}--user={local}");
        }
        filter.host.clone_from(&host);
        show.host = host;
        show.colour = !self.no_colour;
        Ok(show)
    }
}

/// The flag that an argument names, whether it is turned on, and the value after `=`.
pub(super) fn read_flag(argument: &str) -> Result<(&'static Flag, bool, Option<&str>), UsageError> {
    let (name, value) = argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
    let unknown = || UsageError(format!("Unknown flag {} (--help lists all flags)", quote(name)));
    if matches!(name, "-h" | "-?") {
        return flags::find("help").map(|flag| (flag, true, None)).ok_or_else(unknown);
    }
    let plain = name.strip_prefix("--").map(|name| name.replace('_', "-")).ok_or_else(unknown)?;
    match (flags::find(&plain), plain.strip_prefix("no-").and_then(flags::find)) {
        (Some(flag), _) => Ok((flag, true, value)),
        (None, Some(flag)) if flag.negatable => Ok((flag, false, value)),
        _ => Err(unknown()),
    }
}

fn read<T: FromStr>(flag: &Flag, value: &str) -> Result<T, UsageError>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|error| UsageError(format!("--{} is {}, but takes {error}", flag.name, quote(value))))
}

/// The items of a list. A list must not be empty.
fn words<'a>(flag: &Flag, value: &'a str) -> Result<impl Iterator<Item = &'a str>, UsageError> {
    let words = || value.split(',').map(str::trim).filter(|word| !word.is_empty());
    if words().next().is_none() {
        return Err(UsageError(format!("--{} is empty", flag.name)));
    }
    Ok(words())
}

/// Types that are wanted, and types behind a `!` that are not.
fn read_types(filter: &mut Filter, flag: &Flag, value: &str) -> Result<(), UsageError> {
    for word in words(flag, value)? {
        match word.strip_prefix('!') {
            Some("") => return Err(UsageError(format!("--{} has a ! without an event type behind it", flag.name))),
            Some(excluded) => filter.excluded_types.push(Pattern::new(excluded)),
            None => filter.types.push(Pattern::new(word)),
        }
    }
    Ok(())
}

fn read_addresses(filter: &mut Filter, flag: &Flag, value: &str) -> Result<(), UsageError> {
    for word in words(flag, value)? {
        let network = network(word).ok_or_else(|| {
            UsageError(format!("--ip has {}, which is not an address or a network such as 203.0.113.7 or 2001:db8::/32", quote(word)))
        })?;
        filter.networks.push(network);
    }
    Ok(())
}

fn read_limit(text: &str) -> Result<usize, UsageError> {
    text.parse()
        .ok()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| UsageError(format!("--limit is {}, but takes a whole number from 1", quote(text))))
}

/// Codes of two letters, or patterns of them.
fn read_countries(flag: &Flag, value: &str) -> Result<Vec<Pattern>, UsageError> {
    let country = |word: &str| {
        let may_be = word.contains('*') || word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let refused = || UsageError(format!("--country has {}, which is not a code of two letters such as DE", quote(word)));
        may_be.then(|| Pattern::new(word)).ok_or_else(refused)
    };
    words(flag, value)?.map(country).collect()
}

/// A text from the command line, quoted for an error. It can't control a terminal.
pub(super) fn quote(text: &str) -> String {
    format!("{text:?}")
}
