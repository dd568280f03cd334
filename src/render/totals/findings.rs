//! What stands out in the entries, as sentences with numbers, the most important first.
//!
//! [`Findings`] collects what the sentences need, and [`sentences`](super::sentences) writes them.

use std::collections::HashMap;

use super::bouts::{Bout, Bouts, FEWEST, Failure, Login};
use super::network;
use super::tally::Counts;
use super::trails::Trails;
use crate::address::location::country::Names;
use crate::entry::StoredEvent;
use crate::entry::xml::Element;
use crate::render::taxonomy::{Outcome, meaning};
use crate::time::parse_seconds;

/// For how many pairs of account and network the first login is remembered.
const PAIRS: usize = 65_536;

/// After how many failures of others a login is worth a look, although its account had no failure in the bout.
const FAILURES_OF_OTHERS: u64 = 100;

/// From how many networks an account must be tried until that is more than a network's own bout.
const NETWORKS: u64 = 3;

/// How long after its first event a summary is stored at most, in seconds.
const SOON: f64 = 3600.0;

/// How many grants of an administrator's role are kept.
const GRANTS: usize = 3;

/// How many names of clients are remembered.
const CLIENTS: usize = 4096;

/// A login that came after many failures.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The account that logged in.
    pub account: String,
    /// From which network.
    pub network: String,
    /// When, in UNIX seconds.
    pub time: f64,
    /// How many failures of the network, or of the account, came before it.
    pub before: u64,
    /// How many of them were of both the account and the network, at least.
    pub own: u64,
    /// How many accounts the network tried, or from how many networks the account was tried.
    pub others: u64,
    /// Whether the failures are those of the account, from several networks. Otherwise they are those of the network.
    pub by_account: bool,
    /// Whether the account had logged in from that network before the failures began. `None` if that is not known.
    pub known: Option<bool>,
}

/// An account that was given an administrator's role.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// When, in UNIX seconds.
    pub time: f64,
    /// The account.
    pub account: String,
    /// The role.
    pub role: String,
    /// Who gave it, if that is known.
    pub by: Option<String>,
}

/// How often something happened, and when last, in UNIX seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Occasions {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: f64,
}

impl Occasions {
    fn add(&mut self, time: f64, count: u64) {
        self.count = self.count.saturating_add(count);
        self.last = self.last.max(time);
    }
}

/// Collects what the sentences need.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    by_network: Bouts,
    by_account: Bouts,
    first_logins: HashMap<(String, String), f64>,
    too_many_pairs: bool,
    /// The countries that accounts logged in from, by their codes.
    pub countries: Trails,
    /// What people read of these countries.
    pub country_names: Names,
    /// The clients that accounts used, by their identifiers.
    pub clients: Trails,
    client_names: HashMap<String, String>,
    /// Clients that were used for the first time.
    pub new_clients: Occasions,
    /// Logins.
    pub logins: u64,
    /// Events that are lost.
    pub lost: Occasions,
    /// Crashes.
    pub crashes: Occasions,
    /// How often the file of the store was damaged, deleted or replaced.
    pub recovered: Occasions,
    /// Jumps of the clock.
    pub clock: Occasions,
    /// Changes of the log's options.
    pub options: Occasions,
    /// How often the key that addresses are hashed with was replaced.
    pub keys: Occasions,
    /// Administrators' roles that were given.
    pub roles: Occasions,
    /// The newest of these.
    pub grants: Vec<Grant>,
    /// Reports of abuse, by account.
    pub reports: Counts,
}

impl Findings {
    /// Adds an entry.
    pub fn add(&mut self, event: &StoredEvent) {
        let (time, count) = (event.time, event.count());
        match event.kind.as_str() {
            "authentication-failure" => self.failure(event),
            "authentication-success" => self.login(event),
            "new-client" => {
                self.new_clients.add(time, count);
                self.client(event);
            }
            "audit-entries-lost" => {
                let lost = event.details.iter().find(|detail| detail.name == "lost").and_then(|lost| lost.attribute("count"));
                self.lost.add(time, lost.and_then(|count| count.parse().ok()).unwrap_or(1));
            }
            "server-crashed" => self.crashes.add(time, count),
            "audit-store-recovered" => self.recovered.add(time, count),
            "audit-clock-jumped" => self.clock.add(time, count),
            "audit-options-changed" => self.options.add(time, count),
            "audit-key-replaced" => self.keys.add(time, count),
            "user-role-changed" => self.role(event),
            "abuse-reported" => self.reports.add(event.user.as_deref().unwrap_or("no account"), count),
            _ => {}
        }
    }

    fn failure(&mut self, event: &StoredEvent) {
        let repeated = event.repeated.as_ref();
        let time_of = |text: Option<&String>| text.and_then(|text| parse_seconds(text));
        let first = time_of(repeated.and_then(|repeated| repeated.first.as_ref()));
        let last = time_of(repeated.and_then(|repeated| repeated.last.as_ref()));
        // A summary is stored soon after its last event. If its times say anything else, they are not used.
        let is_near = |time: &f64| (event.time - SOON..=event.time + 1.0).contains(time);
        let end = last.filter(is_near).unwrap_or(event.time);
        let begin = first.filter(is_near).unwrap_or(end).min(end);
        let count = event.count();
        let (own_network, samples) = (network(event), repeated.map_or(&[][..], |repeated| &repeated.samples));
        let accounts = others(event.user.as_deref(), count, samples, "user");
        let networks = others(own_network.as_deref(), count, samples, "network");
        if let Some(network) = &own_network {
            let distinct = repeated.and_then(|repeated| repeated.accounts);
            self.by_network.failure(network, &Failure { begin, end, count, others: accounts, distinct });
        }
        if let Some(user) = &event.user {
            let distinct = repeated.and_then(|repeated| repeated.networks);
            self.by_account.failure(user, &Failure { begin, end, count, others: networks, distinct });
        }
    }

    fn login(&mut self, event: &StoredEvent) {
        self.logins = self.logins.saturating_add(event.count());
        let Some(user) = &event.user else { return };
        if let Some(code) = &event.country {
            self.countries.add(user, code, event.time, event.ip.as_deref());
            self.country_names.add(event);
        }
        if let Some(client) = &event.client {
            self.clients.add(user, client, event.time, event.ip.as_deref());
        }
        let Some(network) = network(event) else { return };
        self.by_network.login(&network, user, event.time);
        self.by_account.login(user, &network, event.time);
        let full = self.first_logins.len() >= PAIRS;
        let pair = (user.clone(), network);
        match self.first_logins.get_mut(&pair) {
            Some(first) => *first = first.min(event.time),
            None if full => self.too_many_pairs = true,
            None => {
                self.first_logins.insert(pair, event.time);
            }
        }
    }

    fn client(&mut self, event: &StoredEvent) {
        let (Some(user), Some(id)) = (&event.user, client_id(event)) else { return };
        self.clients.add(user, id, event.time, event.ip.as_deref());
        if let Some(name) = client_name(event).filter(|_| self.client_names.len() < CLIENTS) {
            self.client_names.insert(id.to_owned(), name.to_owned());
        }
    }

    fn role(&mut self, event: &StoredEvent) {
        let Some(account) = &event.user else { return };
        let roles = event.details.iter().filter(|detail| detail.name == "role" && detail.attribute("change") != Some("removed"));
        let names = roles.filter_map(|role| role.attribute("name").or_else(|| role.attribute("to")));
        let Some(role) = names.into_iter().find(|name| name.contains("admin") || name.contains("operator")) else { return };
        self.roles.add(event.time, 1);
        let by = event.actor.as_ref().map(|actor| actor.jid.clone().unwrap_or_else(|| actor.kind.clone()));
        let by = by.filter(|by| by != crate::catalogue::UNKNOWN_ACTOR);
        self.grants.push(Grant { time: event.time, account: account.clone(), role: role.to_owned(), by });
        self.grants.sort_by(|a, b| b.time.total_cmp(&a.time));
        self.grants.truncate(GRANTS);
    }

    /// The client of an entry, and the one that its account used before: their names, or the identifiers of clients without a name.
    #[must_use]
    pub fn clients_of(&self, event_user: &str, id: &str) -> (Option<String>, String) {
        let named =
            |id: &str| self.client_names.get(id).cloned().unwrap_or_else(|| format!("client {}", id.chars().take(8).collect::<String>()));
        (self.clients.before(event_user, id).map(named), named(id))
    }

    /// Bouts of failures of networks, those with the most failures first.
    #[must_use]
    pub fn attacks(&self) -> Vec<Bout> {
        self.by_network.found()
    }

    /// Bouts of failures of an account from several networks, those with the most failures first.
    #[must_use]
    pub fn attacks_on_accounts(&self) -> Vec<Bout> {
        let mut found = self.by_account.found();
        found.retain(|bout| bout.others >= NETWORKS);
        found
    }

    /// Whether there were too many networks or accounts to follow all.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.by_network.incomplete || self.by_account.incomplete
    }

    /// Logins that came after many failures, the most important first: those of accounts that had not logged in from the network
    /// before, and of them those with the most failures.
    #[must_use]
    pub fn suspects(&self) -> Vec<Suspect> {
        let mut suspects: Vec<Suspect> = Vec::new();
        for (bouts, by_account) in [(self.attacks(), false), (self.attacks_on_accounts(), true)] {
            for bout in &bouts {
                for login in &bout.logins {
                    let suspect = self.suspect(bout, login, by_account);
                    let is_same = |other: &Suspect| (&other.account, &other.network) == (&suspect.account, &suspect.network);
                    if is_worth_a_look(&suspect) && !suspects.iter().any(is_same) {
                        suspects.push(suspect);
                    }
                }
            }
        }
        suspects.sort_by(|a, b| {
            let order = |suspect: &Suspect| (suspect.known == Some(true), std::cmp::Reverse((suspect.own.min(FEWEST), suspect.before)));
            order(a).cmp(&order(b)).then_with(|| b.time.total_cmp(&a.time)).then_with(|| a.account.cmp(&b.account))
        });
        suspects
    }

    fn suspect(&self, bout: &Bout, login: &Login, by_account: bool) -> Suspect {
        let (account, network) = if by_account { (&bout.key, &login.other) } else { (&login.other, &bout.key) };
        let first = self.first_logins.get(&(account.clone(), network.clone()));
        Suspect {
            account: account.clone(),
            network: network.clone(),
            time: login.time,
            before: login.before,
            own: login.own,
            others: bout.others,
            by_account,
            known: first.map(|first| *first < bout.begin).or((!self.too_many_pairs).then_some(false)),
        }
    }
}

fn is_worth_a_look(suspect: &Suspect) -> bool {
    if suspect.before < FEWEST {
        return false;
    }
    // Others may share a network with somebody who fails, and an account is used by its owner while others try it. So the account
    // must have failed from that network, or there must have been an attack.
    suspect.own > 0 || (!suspect.by_account && suspect.known != Some(true) && suspect.before >= FAILURES_OF_OTHERS)
}

/// The accounts or networks of an entry, with how often each came at least.
fn others<'a>(own: Option<&'a str>, count: u64, samples: &'a [Element], attribute: &str) -> Vec<(&'a str, u64)> {
    if let Some(own) = own {
        return vec![(own, count)];
    }
    let mut others: Vec<(&str, u64)> = Vec::new();
    for sample in samples {
        let Some(name) = sample.attribute(attribute) else { continue };
        let count = sample.attribute("count").and_then(|count| count.parse().ok()).unwrap_or(1);
        match others.iter_mut().find(|(other, _)| *other == name) {
            Some((_, known)) => *known = count.max(*known),
            None => others.push((name, count)),
        }
    }
    others
}

/// The identifier of the client of an entry.
#[must_use]
pub fn client_id(event: &StoredEvent) -> Option<&str> {
    let info = || event.details.iter().find(|detail| detail.name == "client-info")?.attribute("id");
    event.client.as_deref().or_else(|| info().map(|id| id.strip_prefix("client/").unwrap_or(id)))
}

/// The name of a new client: its software, or else its device.
fn client_name(event: &StoredEvent) -> Option<&str> {
    let agent = event.details.iter().find(|detail| detail.name == "client-info")?.child("user-agent")?;
    agent.attribute("software").or_else(|| agent.attribute("device"))
}

/// Whether an event is a failure that somebody caused who was refused. A crash of the server is none.
#[must_use]
pub fn is_refusal(kind: &str) -> bool {
    meaning(kind).outcome == Outcome::Failure
        && !matches!(kind, "server-crashed" | "audit-clock-jumped" | "audit-entries-lost" | "audit-store-recovered")
}
