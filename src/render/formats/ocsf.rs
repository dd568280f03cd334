//! Events of the Open Cybersecurity Schema Framework, version 1.8.0, as JSON Lines.
//!
//! [`taxonomy`](crate::render::taxonomy) has the class and activity of each event type. Values without an attribute in OCSF are in
//! `unmapped`, with the names of the format `json`.

use std::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use crate::entry::{Actor, StoredEvent};
use crate::render::Renderer;
use crate::render::fields::{Link, details, plain_address};
use crate::render::formats::json::lines;
use crate::render::note::note;
use crate::render::taxonomy::{OTHER, OcsfClass, Outcome, meaning};
use crate::time::{parse_milliseconds, whole_milliseconds};

/// The version of OCSF.
pub const VERSION: &str = "1.8.0";

/// Writes OCSF.
#[derive(Debug)]
pub struct Ocsf {
    host: String,
}

impl Ocsf {
    /// A renderer for the log of `host`.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    fn event(&self, event: &StoredEvent) -> Json {
        let meaning = meaning(&event.kind);
        let (class, activity) = meaning.ocsf;
        let uid = class.uid();
        let mut object = Map::new();
        let mut put = |name: &str, value: Json| {
            if !value.is_null() {
                object.insert(name.to_owned(), value);
            }
        };
        put("category_uid", json!(uid / 1000));
        put("class_uid", json!(uid));
        put("activity_id", json!(activity));
        put("type_uid", json!(uid * 100 + activity));
        if activity == OTHER {
            put("activity_name", json!(event.kind));
        }
        put("time", json!(event.milliseconds()));
        put("severity_id", json!(meaning.severity.ocsf()));
        put("status_id", json!(if meaning.outcome == Outcome::Success { 1 } else { 2 }));
        put("status_detail", condition(event));
        put("message", Some(note(event)).filter(|note| !note.is_empty()).into());
        put("metadata", metadata(event));
        if let Some(repeated) = &event.repeated {
            put("count", json!(i32::try_from(repeated.count).unwrap_or(i32::MAX)));
            put("start_time", time(repeated.first.as_deref()));
            put("end_time", time(repeated.last.as_deref()));
        }
        if class.has_actor() {
            put("actor", actor(event, class));
        }
        if class.has_user() {
            put("user", user(event.user.as_deref().unwrap_or("-")));
        }
        if class.has_source() && class != OcsfClass::NetworkActivity {
            put("src_endpoint", peer(event, class));
        }
        let own = json!({ "hostname": self.host });
        match class {
            OcsfClass::Authentication => {
                put("dst_endpoint", own);
                put("service", json!({ "name": "Prosody" }));
                put("is_remote", json!(true));
                put("session", event.session_id.as_ref().map(|id| json!({ "uid": id })).into());
                if let Some(mechanism) = detail(event, "authentication", "mechanism") {
                    put("auth_protocol_id", json!(OTHER));
                    put("auth_protocol", json!(mechanism));
                }
            }
            OcsfClass::NetworkActivity => {
                let peer = peer(event, class);
                match Link::of(event).map(|link| link.is_outgoing) {
                    Some(true) => {
                        put("src_endpoint", own);
                        put("dst_endpoint", peer);
                        put("connection_info", json!({ "direction_id": 2 }));
                    }
                    direction => {
                        put("src_endpoint", peer);
                        put("dst_endpoint", own);
                        put("connection_info", direction.map(|_| json!({ "direction_id": 1 })).into());
                    }
                }
            }
            OcsfClass::ApplicationLifecycle => put("app", json!({ "name": "Prosody" })),
            OcsfClass::EntityManagement => put("entity", entity(event)),
            OcsfClass::ApiActivity => {
                put("dst_endpoint", own);
                put("api", json!({ "operation": operation(event) }));
            }
            OcsfClass::EventLogActivity => {
                put("dst_endpoint", own);
                put("log_name", json!("audit"));
            }
            OcsfClass::AccountChange | OcsfClass::BaseEvent => {}
        }
        put("unmapped", self.unmapped(event, class));
        object.into()
    }

    fn unmapped(&self, event: &StoredEvent, class: OcsfClass) -> Json {
        let mut object = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        };
        put("host", Some(&self.host));
        put("class", event.class.as_deref());
        put("client", event.client.as_deref());
        put("session.type", event.session_type.as_deref());
        put("anchor", event.anchor.as_deref());
        if !class.has_user() {
            put("user", event.user.as_deref());
        }
        if !class.has_source() {
            put("ip", event.ip.as_deref());
            put("country", event.country.as_deref());
        }
        if let Some(actor) = event.actor.as_ref().filter(|_| !class.has_actor()) {
            put("actor.kind", Some(&actor.kind));
            put("actor.jid", actor.jid.as_deref());
            put("actor.ip", actor.ip.as_deref());
        }
        for (name, value) in details(event) {
            put(&name, Some(value));
        }
        object.into()
    }
}

impl Renderer for Ocsf {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        lines(events, |event| self.event(event))
    }
}

impl OcsfClass {
    /// Its number. The thousands are the number of its category.
    #[must_use]
    pub const fn uid(self) -> u32 {
        match self {
            Self::BaseEvent => 0,
            Self::EventLogActivity => 1008,
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::NetworkActivity => 4001,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
        }
    }

    const fn has_user(self) -> bool {
        matches!(self, Self::AccountChange | Self::Authentication)
    }

    const fn has_actor(self) -> bool {
        !matches!(self, Self::BaseEvent | Self::NetworkActivity | Self::ApplicationLifecycle)
    }

    const fn has_source(self) -> bool {
        !matches!(self, Self::BaseEvent | Self::ApplicationLifecycle)
    }
}

fn metadata(event: &StoredEvent) -> Json {
    let mut metadata = json!({
        "version": VERSION,
        "product": { "name": "prosody-audit", "vendor_name": "prosody-audit", "version": env!("CARGO_PKG_VERSION") },
        "event_code": event.kind,
        "log_name": "audit",
        "log_provider": event.source,
        "logged_time": whole_milliseconds(event.stored),
    });
    if let Some(object) = metadata.as_object_mut() {
        let caused_by = event.actor.as_ref().and_then(|actor| actor.caused_by.clone());
        for (name, value) in [("uid", event.id.clone()), ("correlation_uid", caused_by)] {
            object.extend(value.map(|value| (name.to_owned(), value.into())));
        }
    }
    metadata
}

/// The actor. If the entry has none, and the class requires one, the account is used.
fn actor(event: &StoredEvent, class: OcsfClass) -> Json {
    match (&event.actor, &event.user) {
        (Some(Actor { jid: Some(jid), kind, .. }), _) => json!({ "user": user(jid), "app_name": kind }),
        (Some(actor), _) => json!({ "app_name": actor.kind }),
        (None, Some(jid)) if class == OcsfClass::ApiActivity => json!({ "user": user(jid) }),
        (None, None) if class == OcsfClass::ApiActivity => json!({ "app_name": event.source }),
        (None, _) => Json::Null,
    }
}

fn user(jid: &str) -> Json {
    let bare = jid.split_once('/').map_or(jid, |(bare, _)| bare);
    match bare.split_once('@') {
        Some((local, domain)) => json!({ "name": local, "domain": domain, "uid": bare }),
        None => json!({ "name": bare }),
    }
}

/// The other end: the stored address, or what is stored instead. For a connection between servers, also the other server's host
/// name.
fn peer(event: &StoredEvent, class: OcsfClass) -> Json {
    let actor = event.actor.as_ref().and_then(|actor| actor.ip.as_ref());
    let ip = event.ip.as_ref().or(actor);
    let mut endpoint = Map::new();
    match ip.map(|ip| (ip, plain_address(ip))) {
        Some((ip, Some(IpAddr::V4(_) | IpAddr::V6(_)))) => endpoint.insert("ip".to_owned(), json!(ip)),
        Some((network, None)) => endpoint.insert("name".to_owned(), json!(network)),
        None => event.ip_hash.as_ref().and_then(|hash| endpoint.insert("uid".to_owned(), json!(hash))),
    };
    if let Some(country) = &event.country {
        let location = event
            .continent
            .as_ref()
            .map_or_else(|| json!({ "country": country }), |continent| json!({ "country": country, "continent": continent }));
        endpoint.insert("location".to_owned(), location);
    }
    if event.asn.is_some() || event.organization.is_some() {
        let mut system = Map::new();
        system.extend(event.asn.map(|asn| ("number".to_owned(), json!(asn))));
        system.extend(event.organization.as_ref().map(|name| ("name".to_owned(), json!(name))));
        endpoint.insert("autonomous_system".to_owned(), system.into());
    }
    if let Some(link) = Link::of(event) {
        endpoint.insert("hostname".to_owned(), json!(link.remote));
    }
    // The endpoint must have a name.
    if !endpoint.keys().any(|name| matches!(name.as_str(), "ip" | "name" | "uid" | "hostname"))
        && (class == OcsfClass::ApiActivity || !endpoint.is_empty())
    {
        let kind = event.actor.as_ref().map_or("unknown", |actor| actor.kind.as_str());
        endpoint.insert("name".to_owned(), json!(kind));
    }
    if endpoint.is_empty() { Json::Null } else { endpoint.into() }
}

/// What an event without an account is about: the first detail that its module recorded.
fn entity(event: &StoredEvent) -> Json {
    let first = event.details.first();
    let kind = first.map_or(event.kind.as_str(), |detail| detail.name.as_str());
    let text = first.map(crate::entry::xml::Element::text).filter(|text| !text.trim().is_empty());
    let name = first
        .and_then(|detail| ["name", "jid", "id", "token", "token-sha256"].iter().find_map(|name| detail.attribute(name)))
        .or(text.as_deref())
        .or(event.user.as_deref())
        .unwrap_or(kind);
    let mut entity = json!({ "type": kind, "name": name });
    if let (Some(jid), Some(object)) = (&event.user, entity.as_object_mut()) {
        object.insert("user".to_owned(), user(jid));
    }
    entity
}

fn operation(event: &StoredEvent) -> String {
    let first = event.details.first();
    let named = first.and_then(|detail| ["command", "node", "name"].iter().find_map(|name| detail.attribute(name)));
    let text = first.map(crate::entry::xml::Element::text).filter(|text| !text.trim().is_empty());
    named.map(ToOwned::to_owned).or(text).unwrap_or_else(|| event.kind.clone())
}

fn detail<'a>(event: &'a StoredEvent, element: &str, attribute: &str) -> Option<&'a str> {
    event.details.iter().find(|detail| detail.name == element).and_then(|detail| detail.attribute(attribute))
}

fn condition(event: &StoredEvent) -> Json {
    event.details.iter().find_map(|detail| detail.attribute("condition").or_else(|| detail.attribute("reason"))).into()
}

fn time(text: Option<&str>) -> Json {
    text.and_then(parse_milliseconds).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::printable::steers;
    use crate::render::sample;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn an_entry_is_an_event_of_its_class() {
        expect![[r#"
            {"activity_id":1,"auth_protocol":"SCRAM-SHA-1-PLUS","auth_protocol_id":99,"category_uid":3,"class_uid":3002,"dst_endpoint":{"hostname":"example.com"},"is_remote":true,"message":"SCRAM-SHA-1-PLUS; TLSv1.3","metadata":{"event_code":"authentication-success","log_name":"audit","log_provider":"mod_audit_auth","logged_time":1795521600000,"product":{"name":"prosody-audit","vendor_name":"prosody-audit","version":"0.1.0"},"uid":"01a20e7e-d2b8-75d1-8370-6296c154b976","version":"1.8.0"},"service":{"name":"Prosody"},"session":{"uid":"c2s1"},"severity_id":1,"src_endpoint":{"autonomous_system":{"name":"Example Net","number":64500},"ip":"203.0.113.7","location":{"continent":"EU","country":"DE"}},"status_id":1,"time":1795521600000,"type_uid":300201,"unmapped":{"authentication.mechanism":"SCRAM-SHA-1-PLUS","class":"events","client":"d4565fa7","host":"example.com","session.type":"c2s","tls.cipher":"TLS_AES_256_GCM_SHA384","tls.version":"TLSv1.3"},"user":{"domain":"example.com","name":"juliet","uid":"juliet@example.com"}}
            {"activity_id":1,"auth_protocol":"PLAIN","auth_protocol_id":99,"category_uid":3,"class_uid":3002,"count":17,"dst_endpoint":{"hostname":"example.com"},"end_time":1795521600000,"is_remote":true,"message":"at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\\b \"c\" ]x)","metadata":{"event_code":"authentication-failure","log_name":"audit","log_provider":"mod_audit_auth","logged_time":1795521591000,"product":{"name":"prosody-audit","vendor_name":"prosody-audit","version":"0.1.0"},"version":"1.8.0"},"service":{"name":"Prosody"},"session":{"uid":"c2s1"},"severity_id":2,"src_endpoint":{"autonomous_system":{"name":"Example Net","number":64500},"location":{"continent":"EU","country":"DE"},"name":"198.51.100.0/24"},"start_time":1795521540000,"status_detail":"not-authorized","status_id":2,"time":1795521591000,"type_uid":300201,"unmapped":{"authentication.condition":"not-authorized","authentication.mechanism":"PLAIN","authentication.text":"=2+5|a\\b \"c\" ]x","class":"failures","client":"d4565fa7","host":"example.com","repeated.sample.ip":"198.51.100.7","session.type":"c2s"},"user":{"domain":"example.com","name":"mallory","uid":"mallory@example.com"}}
            {"activity_id":3,"actor":{"app_name":"adhoc","user":{"domain":"example.com","name":"admin","uid":"admin@example.com"}},"category_uid":3,"class_uid":3001,"message":"by admin@example.com/desk (adhoc) at 2001:db8::1","metadata":{"correlation_uid":"0193","event_code":"user-password-changed","log_name":"audit","log_provider":"mod_audit_user_accounts","logged_time":1795521530000,"product":{"name":"prosody-audit","vendor_name":"prosody-audit","version":"0.1.0"},"version":"1.8.0"},"severity_id":2,"src_endpoint":{"ip":"2001:db8::1"},"status_id":1,"time":1795518000000,"type_uid":300103,"unmapped":{"class":"accounts","host":"example.com"},"user":{"domain":"example.com","name":"juliet","uid":"juliet@example.com"}}
            {"activity_id":4,"app":{"name":"Prosody"},"category_uid":6,"class_uid":6002,"message":"Received SIGTERM\nbye","metadata":{"event_code":"server-stopped","log_name":"audit","log_provider":"mod_audit_status","logged_time":1795521520000,"product":{"name":"prosody-audit","vendor_name":"prosody-audit","version":"0.1.0"},"version":"1.8.0"},"severity_id":2,"status_id":1,"time":1795521520000,"type_uid":600204,"unmapped":{"class":"events","host":"example.com","note.text":"Received SIGTERM\nbye"}}
            {"activity_id":99,"activity_name":"thing-happened","category_uid":0,"class_uid":0,"message":"thing: colour=red","metadata":{"event_code":"thing-happened","log_name":"audit","log_provider":"mod_elsewhere","logged_time":1795521510000,"product":{"name":"prosody-audit","vendor_name":"prosody-audit","version":"0.1.0"},"version":"1.8.0"},"severity_id":1,"status_id":1,"time":1795521510000,"type_uid":99,"unmapped":{"class":"events","host":"example.com","thing.colour":"red"}}
        "#]].assert_eq(&Ocsf::new("example.com").entries(&sample::events()));
    }

    #[test]
    fn a_connection_runs_from_the_server_that_opened_it() {
        let endpoints = |event: &StoredEvent| {
            let json: Json = serde_json::from_str(&Ocsf::new("example.com").entries(std::slice::from_ref(event))).unwrap();
            (json["src_endpoint"].clone(), json["dst_endpoint"].clone(), json["connection_info"]["direction_id"].clone())
        };
        let own = json!({ "hostname": "example.com" });
        let peer = json!({ "hostname": "remote.example", "ip": "203.0.113.7" });
        for kind in ["s2s-established", "s2s-refused"] {
            assert_eq!(endpoints(&sample::link(kind, "incoming", Some("203.0.113.7"))), (peer.clone(), own.clone(), json!(1)), "{kind}");
            assert_eq!(endpoints(&sample::link(kind, "outgoing", Some("203.0.113.7"))), (own.clone(), peer.clone(), json!(2)), "{kind}");
        }
        // The other server is named even if the connection came to nothing.
        let named = json!({ "hostname": "remote.example" });
        assert_eq!(endpoints(&sample::link("s2s-refused", "outgoing", None)), (own, named, json!(2)));
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_one_line_and_reads_back(event in sample::any_event()) {
            let text = Ocsf::new("example.com").entries(std::slice::from_ref(&event));
            prop_assert!(!text.trim_end_matches('\n').chars().any(steers), "{}", text);
            let object: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(object["metadata"]["event_code"].as_str(), Some(event.kind.as_str()));
            let (class, activity) = (object["class_uid"].as_u64().unwrap(), object["activity_id"].as_u64().unwrap());
            prop_assert_eq!(object["type_uid"].as_u64(), Some(class * 100 + activity));
        }
    }
}
