use super::*;
use crate::entry::StoredEvent;
use crate::render::printable::steers;
use crate::render::sample;
use crate::render::standing::{Health, Standing};
use crate::web::address::Address;
use crate::web::view::{Seen, View};
use proptest::prelude::*;

const READER: Reader<'static> = Reader { account: "admin@example.com", csrf: "secret" };

fn view(events: &[StoredEvent]) -> View {
    let view = View::default();
    view.rows().entries(events);
    view.numbers().entries(events);
    view
}

fn shown(subject: Subject, query: &str, seen: &Seen) -> String {
    let health = [Health { standing: Standing::Bad, text: "<i>5 wait".to_owned() }];
    let remarks = ["Some entries are <missing>.".to_owned()];
    let address = Address::parse(query).unwrap();
    let page =
        LogPage { subject, host: "example.com", address: &address, reader: READER, health: &health, next: Some("1//k"), remarks: &remarks };
    log_page(&page, seen)
}

/// Every tag of a page: its name, and its attributes with their values.
fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut tags = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split_once('>').unwrap().0;
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while !rest.is_empty() {
            let end = rest.find(['=', ' ']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let (value, after) = match after.strip_prefix("=\"") {
                Some(after) => after.split_once('"').unwrap(),
                None => ("", after),
            };
            attributes.push((name.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        tags.push((name.to_owned(), attributes));
    }
    tags
}

/// What is wrong with a page: tags and attributes that no page has.
fn strangers(page: &str) -> Vec<String> {
    const TAGS: &str = "!DOCTYPE html head meta title link script body a header p form span input button main h1 h2 h3 footer div label small \
        details summary select option ul li section svg rect ol nav aside time b bdi dl dt dd strong table thead tbody tr th td";
    const ATTRIBUTES: &str = "html lang charset name content rel href type src defer class id tabindex method action value role aria-label for \
        aria-describedby aria-labelledby aria-hidden aria-pressed autocomplete spellcheck maxlength open checked selected viewBox \
        preserveAspectRatio x y width height datetime title hidden data-live data-newest data-entries data-range data-begin data-length data-bars \
        data-bar data-events data-failures scope";
    let mut found = Vec::new();
    for (name, attributes) in tags(page) {
        if !TAGS.split_whitespace().any(|known| known == name.trim_start_matches('/')) {
            found.push(name.clone());
        }
        for (attribute, value) in attributes {
            let is_way = matches!(attribute.as_str(), "href" | "src" | "action")
                && (value.contains(':') && !value.contains('?') || value.starts_with("//"));
            if is_way || !ATTRIBUTES.split_whitespace().any(|known| known == attribute) {
                found.push(format!("{name} {attribute}={value}"));
            }
        }
    }
    found
}

#[test]
fn a_page_has_only_what_pages_have() {
    let view = view(&sample::events());
    for subject in [Subject::Log, Subject::Account, Subject::Network] {
        let page = shown(subject, "user=juliet&all=yes", &view.seen());
        assert_eq!(strangers(&page), Vec::<String>::new());
        assert!(page.contains("authentication-failure") && page.contains("× 17") && page.contains("&lt;missing&gt;"), "{page}");
    }
    assert_eq!(strangers("<p onclick=\"x\"><iframe><a href=\"javascript:x\">"), ["p onclick=x", "iframe", "a href=javascript:x"]);
}

#[test]
fn the_address_of_a_page_is_in_its_form_and_in_its_links() {
    let view = view(&sample::events());
    let page = shown(Subject::Log, "type=authentication-*&global=none&since=2d", &view.seen());
    for part in [
        "name=\"type\" value=\"authentication-*\"",
        "<option value=\"none\" selected>",
        "name=\"since\" value=\"2d\"",
        "href=\"./?type=authentication-*&amp;global=none&amp;since=2d&amp;after=1//k\"",
        "href=\"download?type=authentication-*&amp;global=none&amp;since=2d&amp;format=csv\"",
        "href=\"./?global=none&amp;since=2d&amp;type=authentication-failure\"",
        "data-live=\"live?type=authentication-*&amp;global=none&amp;since=2d\"",
        "href=\"account?user=juliet@example.com\"",
        "href=\"network?ip=198.51.100.0/24\"",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!shown(Subject::Log, "after=1//k", &view.seen()).contains("data-live"), "only the first page is live");
}

#[test]
fn every_list_of_numbers_narrows_the_search_by_one_click() {
    let view = view(&sample::events());
    let page = shown(Subject::Log, "since=2d&limit=20", &view.seen());
    for (title, link) in [
        (
            "Types",
            "<a href=\"./?since=2d&amp;limit=20&amp;type=authentication-failure\"><bdi>authentication-failure</bdi></a> <span class=\"number\">17<",
        ),
        (
            "Accounts",
            "<a href=\"./?since=2d&amp;limit=20&amp;user=juliet@example.com\"><bdi>juliet@example.com</bdi></a> <span class=\"number\">",
        ),
        ("Networks", "<a href=\"./?since=2d&amp;limit=20&amp;ip=198.51.100.0/24\"><bdi>198.51.100.0/24</bdi></a> <span class=\"number\">"),
        ("Countries", "<a href=\"./?since=2d&amp;limit=20&amp;country=DE\"><bdi>Germany</bdi></a> <span class=\"number\">"),
        ("Clients", "<a href=\"./?since=2d&amp;limit=20&amp;client=d4565fa7\"><bdi>d4565fa7</bdi></a> <span class=\"number\">"),
    ] {
        let list = page.split_once(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("{title}")).1.split_once("</section>").unwrap().0;
        assert!(list.contains(link), "{title}: {list}");
    }
}

#[test]
fn a_country_is_named_but_its_filter_has_the_code() {
    let login = |ago: f64, location: &str| {
        let session = format!("<session><remote-ip>203.0.113.7</remote-ip>{location}</session>");
        sample::event(ago, "events", None, &format!("<audit-event type='authentication-success' user='a@b'>{session}</audit-event>"))
    };
    let view = view(&[login(0.0, "<location country='BR'>BR</location>"), login(1.0, "<location country='T1'/>")]);
    for subject in [Subject::Log, Subject::Account, Subject::Network] {
        let page = shown(subject, "", &view.seen());
        for part in [
            "country=BR\"><bdi>Brazil</bdi></a> <span class=\"number\">1<",
            "country=T1\"><bdi>T1</bdi></a> <span class=\"number\">1<",
            "<bdi>203.0.113.7</bdi></span> <span><bdi>Brazil</bdi></span>",
            "<dt><bdi>country</bdi></dt><dd><bdi>Brazil (BR)</bdi></dd>",
            "<dt><bdi>country</bdi></dt><dd><bdi>T1</bdi></dd>",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}

#[test]
fn the_page_of_an_account_and_of_a_network_have_their_numbers_failures_and_privileged_actions() {
    let mut events = sample::events();
    let actor = "<actor kind='adhoc' jid='admin@example.com/desk'/>";
    events.push(sample::event(
        5.0,
        "accounts",
        None,
        &format!("<audit-event type='user-role-changed' user='juliet@example.com'>{actor}</audit-event>"),
    ));
    let view = view(&events);
    let section = |page: &str, title: &str| {
        let after = page.split_once(&format!("<h2>{title}</h2>")).unwrap_or_else(|| panic!("{title}\n{page}")).1;
        after.split_once("</section>").unwrap().0.to_owned()
    };
    let account = shown(Subject::Account, "user=juliet", &view.seen());
    for (title, text) in [
        ("Clients", "href=\"./?client=d4565fa7\""),
        ("Countries", "href=\"./?country=DE\""),
        ("Networks", "href=\"network?ip=198.51.100.0/24\""),
        ("Types", "href=\"./?type=user-password-changed\""),
        ("Newest failures", "authentication-failure"),
        ("Newest privileged actions", "user-role-changed"),
    ] {
        assert!(section(&account, title).contains(text), "{title}: {}", section(&account, title));
    }
    assert!(!section(&account, "Newest privileged actions").contains("authentication-"));
    let network = shown(Subject::Network, "ip=198.51.100.0/24", &view.seen());
    assert!(section(&network, "Accounts").contains("href=\"account?user=mallory@example.com\""), "{network}");
    assert!(section(&network, "Newest failures").contains("authentication-failure"));
}

#[test]
fn a_range_of_the_timeline_keeps_what_is_searched_for_but_its_time() {
    let view = view(&sample::events());
    for (subject, query, range, chips) in [
        (Subject::Log, "since=2d&type=a&until=1d&after=1//k", "./?type=a", ["since", "type", "until"].as_slice()),
        (Subject::Log, "", "./", &[]),
        (Subject::Account, "user=juliet&since=2d", "account?user=juliet", &["since"]),
        (Subject::Network, "until=1d&ip=::1", "network?ip=::1", &["until"]),
    ] {
        let page = shown(subject, query, &view.seen());
        let tags = tags(&page);
        let of = |name: &str, attribute: &str| -> Vec<String> {
            let with = tags.iter().filter(|(tag, _)| tag == name).flat_map(|(_, attributes)| attributes);
            with.filter(|(one, _)| one == attribute).map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(of("svg", "data-range"), [range]);
        // One of them happened an hour earlier.
        assert_eq!((of("svg", "data-begin"), of("svg", "data-length")), (vec!["1795518000".to_owned()], vec!["300".to_owned()]));
        let bars: u64 = of("a", "data-events").iter().map(|number| number.parse::<u64>().unwrap()).sum();
        assert_eq!(bars, 21, "as many as there are");
        let dropped: Vec<String> =
            of("a", "aria-label").iter().filter_map(|label| label.strip_prefix("Drop the filter ").map(str::to_owned)).collect();
        assert_eq!(dropped, chips, "{query}");
    }
}

#[test]
fn every_page_but_that_of_a_link_can_sign_out() {
    let own = OwnPage {
        reader: READER,
        columns: &["Time".to_owned()],
        rows: &[vec!["<b>".to_owned()]],
        next: None,
        is_first: true,
        remarks: &[],
    };
    let own = own_page(&own);
    assert!(own.contains("name=\"csrf\" value=\"secret\"") && own.contains("&lt;b&gt;"));
    assert_eq!(strangers(&own), Vec::<String>::new());
    let link = sign_in("abc\"><b>", "a\u{202e}@x", "x", false);
    assert!(link.contains("value=\"abc&quot;&gt;&lt;b&gt;\"") && link.contains("a\\u{202e}@x") && !link.contains("csrf"), "{link}");
    assert_eq!(strangers(&link), Vec::<String>::new());
    assert_eq!(strangers(&notice("Gone", "<x>")), Vec::<String>::new());
}

#[test]
fn the_script_and_the_style_are_small_and_load_nothing() {
    assert!(SCRIPT.len() <= 30 * 1024 && STYLE.len() <= 30 * 1024);
    for file in [SCRIPT, STYLE] {
        assert!(
            !file.contains("http")
                && !file.contains("@import")
                && !file.contains("url(")
                && !file.contains("eval")
                && !file.contains("innerHTML")
        );
    }
}

proptest! {
    #[test]
    fn nothing_of_an_entry_becomes_markup(event in sample::any_event(), value in "\\PC{0,20}") {
        let view = view(&[event]);
        let query = Address::default().with(&[("text", &value), ("user", &value)]).query();
        for subject in [Subject::Log, Subject::Account] {
            let page = shown(subject, query.trim_start_matches('?'), &view.seen());
            prop_assert_eq!(strangers(&page), Vec::<String>::new());
            let seen = page.split("<main").nth(1).unwrap_or_default();
            let in_values = |c: char| steers(c) && c != '\n';
            // What a form holds is what was typed.
            let texts: String = seen.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text).collect();
            prop_assert!(!texts.contains(in_values));
        }
    }
}
