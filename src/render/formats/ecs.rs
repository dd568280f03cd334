//! Events of the Elastic Common Schema, version 8.17, as JSON Lines.
//!
//! Values without a field in ECS are in `prosody.audit`, with the names of the format `json`.

use serde_json::{Map, Value as Json, json};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::fields::{Link, details, plain_address};
use crate::render::formats::json::lines;
use crate::render::note::note;
use crate::render::taxonomy::{Severity, meaning};
use crate::time::rfc3339;

/// The version of ECS.
pub const VERSION: &str = "8.17.0";

/// Writes ECS.
#[derive(Debug)]
pub struct Ecs {
    host: String,
}

impl Ecs {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    fn event(&self, event: &StoredEvent) -> Json {
        let meaning = meaning(&event.kind);
        let repeated = event.repeated.as_ref();
        let mut document = Map::new();
        let mut put = |name: &str, value: Json| {
            if !value.is_null() {
                document.insert(name.to_owned(), value);
            }
        };
        put("@timestamp", json!(event.date_time()));
        put("ecs", json!({ "version": VERSION }));
        put(
            "event",
            present([
                ("kind", json!("event")),
                ("module", json!("prosody")),
                ("dataset", json!("prosody.audit")),
                ("provider", json!(event.source)),
                ("action", json!(event.kind)),
                ("category", json!([meaning.ecs.0])),
                ("type", json!(meaning.ecs.1)),
                ("outcome", json!(meaning.outcome.name())),
                ("severity", json!(meaning.severity.ocsf())),
                ("id", json!(event.id)),
                ("created", json!(rfc3339(event.stored))),
                ("start", json!(repeated.and_then(|repeated| repeated.first.as_ref()))),
                ("end", json!(repeated.and_then(|repeated| repeated.last.as_ref()))),
                (
                    "reason",
                    json!(event.details.iter().find_map(|detail| detail.attribute("condition").or_else(|| detail.attribute("reason")))),
                ),
            ]),
        );
        put("log", json!({ "level": level(meaning.severity), "logger": event.source }));
        put("message", Some(note(event)).filter(|note| !note.is_empty()).into());
        put("service", json!({ "type": "prosody", "name": self.host }));
        // `user` is the actor, and `user.target` the account that the event is about, if both are known.
        let account = event.user.as_deref();
        let actor = event.actor.as_ref().and_then(|actor| actor.jid.as_deref());
        let mut person = actor.or(account).map_or_else(Map::new, user);
        if let (Some(_), Some(account)) = (actor, account) {
            person.insert("target".to_owned(), user(account).into());
        }
        put("user", Some(person).filter(|person| !person.is_empty()).into());
        let ip = event.ip.as_deref().or_else(|| event.actor.as_ref()?.ip.as_deref());
        let address = ip.filter(|ip| plain_address(ip).is_some());
        let geo = present([("country_iso_code", json!(event.country)), ("continent_code", json!(event.continent))]);
        let organization = present([("name", json!(event.organization))]);
        let system = present([("number", json!(event.asn)), ("organization", organization)]);
        let link = Link::of(event);
        let remote = link.map(|link| link.remote);
        let peer =
            present([("address", json!(ip.or(remote))), ("domain", json!(remote)), ("ip", json!(address)), ("geo", geo), ("as", system)]);
        let own = json!({ "domain": self.host });
        if link.is_some_and(|link| link.is_outgoing) {
            put("destination", peer.clone());
            put("server", peer);
            put("source", own.clone());
            put("client", own);
        } else {
            put("source", peer.clone());
            put("client", peer);
            put("server", own);
        }
        put("network", link.map(|link| json!({ "direction": if link.is_outgoing { "outbound" } else { "inbound" } })).into());
        let users: Vec<&str> = account.into_iter().chain(actor.filter(|actor| Some(*actor) != account)).collect();
        put("related", present([("ip", json!(address.map(|ip| [ip]))), ("user", json!(Some(users).filter(|users| !users.is_empty())))]));
        put("prosody", json!({ "audit": self.rest(event) }));
        document.into()
    }

    fn rest(&self, event: &StoredEvent) -> Json {
        let mut rest = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                rest.insert(name.to_owned(), value.into());
            }
        };
        put("class", event.class.as_deref());
        put("session.id", event.session_id.as_deref());
        put("session.type", event.session_type.as_deref());
        put("client", event.client.as_deref());
        put("ip_hash", event.ip_hash.as_deref());
        put("anchor", event.anchor.as_deref());
        if let Some(actor) = &event.actor {
            put("actor.kind", Some(&actor.kind));
            put("actor.caused_by", actor.caused_by.as_deref());
        }
        for (name, value) in details(event) {
            put(&name, Some(value));
        }
        if let Some(repeated) = &event.repeated {
            let numbers = [("count", Some(repeated.count)), ("accounts", repeated.accounts), ("networks", repeated.networks)];
            rest.extend(numbers.into_iter().filter_map(|(name, number)| Some((format!("repeated.{name}"), number?.into()))));
            rest.insert("repeated.at_least".to_owned(), repeated.at_least.into());
        }
        rest.into()
    }
}

impl Renderer for Ecs {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        lines(events, |event| self.event(event))
    }
}

/// An object of the values that exist. Returns JSON's null if there are none.
fn present<const N: usize>(fields: [(&str, Json); N]) -> Json {
    let object: Map<String, Json> =
        fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect();
    if object.is_empty() { Json::Null } else { object.into() }
}

fn user(jid: &str) -> Map<String, Json> {
    let bare = jid.split_once('/').map_or(jid, |(bare, _)| bare);
    let fields = match bare.split_once('@') {
        Some((local, domain)) => vec![("name", local), ("domain", domain), ("id", bare)],
        None => vec![("name", bare)],
    };
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "info",
        Severity::Low => "notice",
        Severity::Medium => "warning",
        Severity::High => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn an_entry_has_the_fields_of_ecs() {
        expect![[r#"
            {"@timestamp":"2026-11-24T12:00:00Z","client":{"address":"203.0.113.7","as":{"number":64500,"organization":{"name":"Example Net"}},"geo":{"continent_code":"EU","country_iso_code":"DE"},"ip":"203.0.113.7"},"ecs":{"version":"8.17.0"},"event":{"action":"authentication-success","category":["authentication"],"created":"2026-11-24T12:00:00Z","dataset":"prosody.audit","id":"01a20e7e-d2b8-75d1-8370-6296c154b976","kind":"event","module":"prosody","outcome":"success","provider":"mod_audit_auth","severity":1,"type":["start"]},"log":{"level":"info","logger":"mod_audit_auth"},"message":"SCRAM-SHA-1-PLUS; TLSv1.3","prosody":{"audit":{"authentication.mechanism":"SCRAM-SHA-1-PLUS","class":"events","client":"d4565fa7","session.id":"c2s1","session.type":"c2s","tls.cipher":"TLS_AES_256_GCM_SHA384","tls.version":"TLSv1.3"}},"related":{"ip":["203.0.113.7"],"user":["juliet@example.com"]},"server":{"domain":"example.com"},"service":{"name":"example.com","type":"prosody"},"source":{"address":"203.0.113.7","as":{"number":64500,"organization":{"name":"Example Net"}},"geo":{"continent_code":"EU","country_iso_code":"DE"},"ip":"203.0.113.7"},"user":{"domain":"example.com","id":"juliet@example.com","name":"juliet"}}
            {"@timestamp":"2026-11-24T11:59:51Z","client":{"address":"198.51.100.0/24","as":{"number":64500,"organization":{"name":"Example Net"}},"geo":{"continent_code":"EU","country_iso_code":"DE"}},"ecs":{"version":"8.17.0"},"event":{"action":"authentication-failure","category":["authentication"],"created":"2026-11-24T11:59:51Z","dataset":"prosody.audit","end":"2026-11-24T12:00:00Z","kind":"event","module":"prosody","outcome":"failure","provider":"mod_audit_auth","reason":"not-authorized","severity":2,"start":"2026-11-24T11:59:00Z","type":["start"]},"log":{"level":"notice","logger":"mod_audit_auth"},"message":"at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\\b \"c\" ]x)","prosody":{"audit":{"authentication.condition":"not-authorized","authentication.mechanism":"PLAIN","authentication.text":"=2+5|a\\b \"c\" ]x","class":"failures","client":"d4565fa7","repeated.accounts":1,"repeated.at_least":true,"repeated.count":17,"repeated.networks":3,"repeated.sample.ip":"198.51.100.7","session.id":"c2s1","session.type":"c2s"}},"related":{"user":["mallory@example.com"]},"server":{"domain":"example.com"},"service":{"name":"example.com","type":"prosody"},"source":{"address":"198.51.100.0/24","as":{"number":64500,"organization":{"name":"Example Net"}},"geo":{"continent_code":"EU","country_iso_code":"DE"}},"user":{"domain":"example.com","id":"mallory@example.com","name":"mallory"}}
            {"@timestamp":"2026-11-24T11:00:00Z","client":{"address":"2001:db8::1","ip":"2001:db8::1"},"ecs":{"version":"8.17.0"},"event":{"action":"user-password-changed","category":["iam"],"created":"2026-11-24T11:58:50Z","dataset":"prosody.audit","kind":"event","module":"prosody","outcome":"success","provider":"mod_audit_user_accounts","severity":2,"type":["user","change"]},"log":{"level":"notice","logger":"mod_audit_user_accounts"},"message":"by admin@example.com/desk (adhoc) at 2001:db8::1","prosody":{"audit":{"actor.caused_by":"0193","actor.kind":"adhoc","class":"accounts"}},"related":{"ip":["2001:db8::1"],"user":["juliet@example.com","admin@example.com/desk"]},"server":{"domain":"example.com"},"service":{"name":"example.com","type":"prosody"},"source":{"address":"2001:db8::1","ip":"2001:db8::1"},"user":{"domain":"example.com","id":"admin@example.com","name":"admin","target":{"domain":"example.com","id":"juliet@example.com","name":"juliet"}}}
            {"@timestamp":"2026-11-24T11:58:40Z","ecs":{"version":"8.17.0"},"event":{"action":"server-stopped","category":["process"],"created":"2026-11-24T11:58:40Z","dataset":"prosody.audit","kind":"event","module":"prosody","outcome":"success","provider":"mod_audit_status","severity":2,"type":["end"]},"log":{"level":"notice","logger":"mod_audit_status"},"message":"Received SIGTERM\nbye","prosody":{"audit":{"class":"events","note.text":"Received SIGTERM\nbye"}},"server":{"domain":"example.com"},"service":{"name":"example.com","type":"prosody"}}
            {"@timestamp":"2026-11-24T11:58:30Z","ecs":{"version":"8.17.0"},"event":{"action":"thing-happened","category":["session"],"created":"2026-11-24T11:58:30Z","dataset":"prosody.audit","kind":"event","module":"prosody","outcome":"success","provider":"mod_elsewhere","severity":1,"type":["info"]},"log":{"level":"info","logger":"mod_elsewhere"},"message":"thing: colour=red","prosody":{"audit":{"class":"events","thing.colour":"red"}},"server":{"domain":"example.com"},"service":{"name":"example.com","type":"prosody"}}
        "#]].assert_eq(&Ecs::new("example.com").entries(&sample::events()));
    }

    #[test]
    fn a_connection_runs_from_the_server_that_opened_it() {
        let ends = |direction| {
            let event = sample::link("s2s-established", direction, Some("203.0.113.7"));
            let json: Json = serde_json::from_str(&Ecs::new("example.com").entries(&[event])).unwrap();
            let of = |name: &str, field: &str| json[name][field].as_str().map(ToOwned::to_owned);
            [
                of("source", "domain"),
                of("source", "ip"),
                of("destination", "domain"),
                of("destination", "ip"),
                of("client", "domain"),
                of("server", "domain"),
                of("network", "direction"),
            ]
            .map(Option::unwrap_or_default)
        };
        assert_eq!(ends("incoming"), ["remote.example", "203.0.113.7", "", "", "remote.example", "example.com", "inbound"]);
        assert_eq!(ends("outgoing"), ["example.com", "", "remote.example", "203.0.113.7", "example.com", "remote.example", "outbound"]);
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_line_and_reads_back(event in sample::any_event()) {
            let text = Ecs::new("example.com").entries(std::slice::from_ref(&event));
            prop_assert!(!text.trim_end_matches('\n').chars().any(steers), "{}", text);
            let object: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(object["event"]["action"].as_str(), Some(event.kind.as_str()));
            // Elasticsearch refuses a whole document for one address that is none.
            prop_assert!(object["source"]["ip"].as_str().is_none_or(|ip| ip.parse::<std::net::IpAddr>().is_ok()));
        }
    }
}
