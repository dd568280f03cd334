use super::*;
use crate::render::formats::Format;
use crate::render::printable::steers;
use crate::render::totals::tally::counted;
use crate::render::{Options, sample};
use expect_test::expect;
use proptest::prelude::*;

fn page(events: &[StoredEvent]) -> String {
    let mut page = Report::new("example.com", Zone::Utc, sample::NOON);
    let before = [page.begin(), page.entries(events)].concat();
    assert_eq!(before, "");
    page.end()
}

/// The page as a reader meets it: its texts, a line for each element that begins one.
fn words(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let mut text = String::new();
    for part in body.split('<') {
        let (tag, after) = part.split_once('>').unwrap_or(("", part));
        let name = tag.split(' ').next().unwrap();
        let begins =
            ["h1", "h2", "h3", "p", "li", "div", "summary", "text", "tr", "section", "footer", "figcaption", "title"].contains(&name);
        text.push(if begins { '\n' } else { ' ' });
        text.push_str(after);
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// Every tag of the page: its name, and the names of its attributes with their values.
fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut tags = Vec::new();
    for tag in page.split('<').skip(1) {
        let (name, mut rest) = tag.split_at(tag.find([' ', '>']).unwrap());
        let mut attributes = Vec::new();
        while let Some(attribute) = rest.strip_prefix(' ') {
            let (name, value) = attribute.split_once("=\"").unwrap();
            let (value, after) = value.split_once('"').unwrap();
            attributes.push((name.to_owned(), value.to_owned()));
            rest = after;
        }
        assert!(rest.starts_with('>') || rest.starts_with("/>"), "{tag}");
        tags.push((name.to_owned(), attributes));
    }
    tags
}

#[test]
fn the_policy_knows_the_style_and_no_script() {
    let page = page(&[]);
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(style));
    assert!(
        page.contains(&format!("content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\"")),
        "{page}"
    );
    assert!(!style.contains('<') && !page.contains("script"));
}

#[test]
fn a_report_has_the_content_of_the_log() {
    expect![[r#"
        Audit log of example.com
        2026-11-24 11:00:00 to 2026-11-24 12:00:00 , UTC
        21 events
        17 failures, 81%
        2 accounts
        2 networks
        0 privileged actions
        Good the log’s own health
        What stands out
        The most important first.
        198.51.100.0/24 tried 1 account on 24 Nov: 17 failures , no success. Failures
        mallory@example.com was tried from at least 3 networks on 24 Nov: 17 failures , no success. Failures
        Logins after many failures
        A password may have been guessed: there were at least ten failures in a row, with pauses of an hour at most, from the same network or for the same account, and a login in that time or within an hour after it.
        There was none in this time.
        Events over time
        Each bar is a minute.
        A chart of events over time. The table below it has the same numbers.
        2026-11-24 11:00: 1 event, 0 failures
        2026-11-24 11:58: 2 events, 0 failures
        2026-11-24 11:59: 17 events, 17 failures
        2026-11-24 12:00: 1 event, 0 failures
        17 on 24 Nov 11:59
        24 Nov 11:00
        24 Nov 11:15
        24 Nov 11:30
        24 Nov 11:45
        24 Nov 12:00
        events
        of them failures
        The numbers, with entries
        From Events Failures
        2026-11-24 11:00 1 event, 0 failures
        2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1
        by admin@example.com/desk (adhoc) at 2001:db8::1
        2026-11-24 11:58 2 events, 0 failures
        2026-11-24 11:58:40 server-stopped
        Received SIGTERM bye
        2026-11-24 11:58:30 thing-happened
        thing: colour=red
        2026-11-24 11:59 17 events, 17 failures
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        2026-11-24 12:00 1 event, 0 failures
        2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 Germany
        SCRAM-SHA-1-PLUS; TLSv1.3
        Failures
        Logins and requests that were refused. A network is the first 24 bits of an IPv4 address, or 48 of IPv6. A row opens its newest entries.
        By network
        Network Events Share
        198.51.100.0/24 17 events, 100%
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        By account
        Account Events Share
        mallory@example.com 17 events, 100%
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        New countries and clients
        What an account was not seen with before, within this report.
        Logins from another country
        None in this time.
        Clients used for the first time
        None in this time.
        Privileged actions
        What only administrators can do, or what changes what somebody may do.
        There was none in this time.
        The log’s own health
        How far this log can be relied on, as the entries of this report tell.
        ✓
        Nothing was lost
        Every event of this time could be stored.
        ✓
        No crash
        The server was always stopped as it should be.
        ·
        at least 17 events in 1 summary
        The same happened too often to be stored each time. Their number is in every figure here.
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        ✓
        The log’s options were not changed
        ·
        Nothing was removed
        No entry had expired in this time.
        ✓
        No gap of an hour or more
        All events
        What happened, and from where.
        By type
        Event type Events Share
        authentication-failure 17 events, 81%
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        authentication-success 1 event, 4.8%
        2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 Germany
        SCRAM-SHA-1-PLUS; TLSv1.3
        server-stopped 1 event, 4.8%
        2026-11-24 11:58:40 server-stopped
        Received SIGTERM bye
        thing-happened 1 event, 4.8%
        2026-11-24 11:58:30 thing-happened
        thing: colour=red
        user-password-changed 1 event, 4.8%
        2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1
        by admin@example.com/desk (adhoc) at 2001:db8::1
        By country
        Country Events Share
        Germany 18 events, 100%
        2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 Germany
        SCRAM-SHA-1-PLUS; TLSv1.3
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        Newest entries
        The last of 5 entries.
        2026-11-24 12:00:00 authentication-success juliet@example.com 203.0.113.7 Germany
        SCRAM-SHA-1-PLUS; TLSv1.3
        2026-11-24 11:59:51 authentication-failure × 17 mallory@example.com 198.51.100.0/24 Germany
        at least 17 times, 1 account, 3 networks; PLAIN not-authorized (=2+5|a\b &quot;c&quot; ]x)
        2026-11-24 11:58:40 server-stopped
        Received SIGTERM bye
        2026-11-24 11:58:30 thing-happened
        thing: colour=red
        2026-11-24 11:00:00 user-password-changed juliet@example.com 2001:db8::1
        by admin@example.com/desk (adhoc) at 2001:db8::1
        Made 2026-11-24 12:00:00 (UTC) by prosody-audit 0.1.0.
        Numbers count every event, also those that an entry sums up. Behind a number are its newest entries, 5 at most; prosodyctl mod_audit shows all of them.
    "#]].assert_eq(&words(&page(&sample::events())));
}

#[test]
fn a_report_shows_losses_crashes_and_gaps() {
    let kind = |ago: f64, kind: &str, inside: &str| {
        sample::event(ago, "events", None, &format!("<audit-event type='{kind}'>{inside}</audit-event>"))
    };
    let events = [
        kind(0.0, "server-crashed", ""),
        kind(9000.0, "audit-entries-lost", "<lost count='1234'/>"),
        kind(20_000.0, "audit-pruned", "<pruned class='failures'/>"),
        kind(20_001.0, "audit-options-changed", ""),
    ];
    let text = words(&page(&events));
    let health = text.split_once("The log’s own health\nHow").unwrap().1.split_once("All events").unwrap().0;
    expect![[r#"
         far this log can be relied on, as the entries of this report tell.
        !
        1,234 events lost
        They could be stored nowhere for a while. How many they were is known, what they were is not.
        2026-11-24 09:30:00 audit-entries-lost
        lost: count=1234
        !
        1 crash
        The server ended without being stopped.
        2026-11-24 12:00:00 server-crashed
        ✓
        Nothing was suppressed
        Each event is an entry of its own.
        !
        1 change of the log’s options
        2026-11-24 06:26:39 audit-options-changed
        ·
        1 removal of expired entries
        Entries are removed when they expire.
        2026-11-24 06:26:40 audit-pruned
        pruned: class=failures
        ·
        The longest gaps between entries
        On a quiet server that is as it should be. On a busy one it is not.
        2026-11-24 06:26:40 to 2026-11-24 09:30:00 3 hours
        2026-11-24 09:30:00 to 2026-11-24 12:00:00 2 hours the server did not run
    "#]]
    .assert_eq(health);
}

/// An entry some seconds before noon.
fn at(ago: f64, kind: &str, user: &str, inside: &str) -> StoredEvent {
    let user = if user.is_empty() { String::new() } else { format!(" user='{user}'") };
    sample::event(ago, "events", None, &format!("<audit-event type='{kind}'{user}>{inside}</audit-event>"))
}

fn session(ip: &str, country: &str, client: &str) -> String {
    let code = match country {
        "Brazil" => "BR",
        "France" => "FR",
        "Germany" => "DE",
        _ => "XX",
    };
    format!("<session><remote-ip>{ip}</remote-ip><location country='{code}'>{country}</location><client>{client}</client></session>")
}

#[test]
fn what_is_new_says_from_what_to_what() {
    let new = |client: &str, software: &str| {
        format!("{}<client-info><user-agent software='{software}'/></client-info>", session("203.0.113.7", "Germany", client))
    };
    let login = |ago: f64, country: &str, client: &str| at(ago, "authentication-success", "a@b", &session("203.0.113.7", country, client));
    let events = [
        login(50.0, "Brazil", "c1"),
        at(60.0, "new-client", "a@b", &new("c2", "Conversations")),
        login(61.0, "Germany", "c2"),
        login(300.0, "Germany", "c1"),
        at(400.0, "new-client", "a@b", &new("c1", "Gajim")),
    ];
    let page = words(&page(&events));
    let new = page.split_once("New countries and clients\n").unwrap().1.split_once("Privileged actions").unwrap().0;
    expect![[r#"
        What an account was not seen with before, within this report.
        Logins from another country
        2026-11-24 11:59:10 Germany to → Brazil a@b 203.0.113.7
        Clients used for the first time
        2026-11-24 11:59:00 Gajim to → Conversations a@b 203.0.113.7 Germany
        2026-11-24 11:53:20 Gajim a@b 203.0.113.7 Germany
    "#]]
    .assert_eq(new);
}

#[test]
fn a_country_without_a_name_has_that_of_its_code_and_counts_as_the_same() {
    let login = |ago: f64, location: &str| {
        at(ago, "authentication-success", "a@b", &format!("<session><remote-ip>203.0.113.7</remote-ip>{location}</session>"))
    };
    let events = [
        login(50.0, "<location country='BR'>BR</location>"),
        login(60.0, "<location country='RU'>Russian Federation</location>"),
        login(61.0, "<location country='RU'/>"),
    ];
    let page = words(&page(&events));
    for line in [
        "1 account logged in from another country than before: a@b from Russian Federation to Brazil on 24 Nov at 11:59.",
        "2026-11-24 11:59:10 Russian Federation to → Brazil a@b 203.0.113.7",
        "Russian Federation 2 events, 67%\n2026-11-24 11:59:00 authentication-success a@b 203.0.113.7 Russian Federation\n\
         2026-11-24 11:58:59 authentication-success a@b 203.0.113.7 Russia\nBrazil 1 event, 33%\n\
         2026-11-24 11:59:10 authentication-success a@b 203.0.113.7 Brazil\n",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_privileged_action_says_who_did_it_on_what_and_from_where() {
    let admin = "<actor kind='adhoc' jid='admin@b/desk'><remote-ip>192.0.2.7</remote-ip></actor>";
    let events = [
        at(1.0, "user-disabled", "a@b", &format!("{admin}<disabled reason='spam'/>")),
        at(2.0, "shell-command", "", "<actor kind='admin-shell'/><command>user:roles(&quot;a@b&quot;)</command>"),
        at(3.0, "user-password-reset", "c@d", &session("198.51.100.7", "France", "c1")),
        at(4.0, "user-role-changed", "a@b", "<actor kind='adhoc' jid='admin@b/phone'/><role name='prosody:member'/>"),
    ];
    let page = words(&page(&events));
    let privileged = page.split_once("changes what somebody may do.\n").unwrap().1.split_once("The log’s own health\nHow").unwrap().0;
    expect![[r#"
        By who did it
        Who Events Share
        admin@b 2 events, 50%
        2026-11-24 11:59:59 user-disabled a@b 192.0.2.7
        disabled: reason=spam; by admin@b/desk (adhoc) at 192.0.2.7
        2026-11-24 11:59:56 user-role-changed a@b
        role: name=prosody:member; by admin@b/phone (adhoc)
        not recorded 1 event, 25%
        2026-11-24 11:59:57 user-password-reset c@d 198.51.100.7 France
        somebody in the shell 1 event, 25%
        2026-11-24 11:59:58 shell-command
        user:roles(&quot;a@b&quot;); by admin-shell
        By kind
        Action Events Share
        shell-command 1 event, 25%
        2026-11-24 11:59:58 shell-command
        user:roles(&quot;a@b&quot;); by admin-shell
        user-disabled 1 event, 25%
        2026-11-24 11:59:59 user-disabled a@b 192.0.2.7
        disabled: reason=spam; by admin@b/desk (adhoc) at 192.0.2.7
        user-password-reset 1 event, 25%
        2026-11-24 11:59:57 user-password-reset c@d 198.51.100.7 France
        user-role-changed 1 event, 25%
        2026-11-24 11:59:56 user-role-changed a@b
        role: name=prosody:member; by admin@b/phone (adhoc)
        Newest first
        When Who What On what From where
        2026-11-24 11:59:59 admin@b/desk user-disabled a@b disabled: reason=spam 192.0.2.7
        2026-11-24 11:59:58 somebody in the shell shell-command user:roles(&quot;a@b&quot;) – not recorded
        2026-11-24 11:59:57 – not recorded user-password-reset c@d 198.51.100.7 France
        2026-11-24 11:59:56 admin@b/phone user-role-changed a@b role: name=prosody:member – not recorded
    "#]]
    .assert_eq(privileged);
}

#[test]
fn a_login_after_failures_has_a_section_of_its_own_that_opens_the_failures() {
    let mut events: Vec<StoredEvent> = (0..40)
        .map(|n| at(f64::from(n) + 100.0, "authentication-failure", &format!("user{}@b", n % 4), &session("198.51.100.7", "Brazil", "")))
        .collect();
    events.insert(0, at(50.0, "authentication-success", "user3@b", &session("198.51.100.9", "Brazil", "")));
    let page = page(&events);
    let successes = section(&page, "successes");
    assert_eq!(successes.matches("<details>").count(), 1);
    assert!(words(&format!("<body>{successes}")).contains(
        "user3@b from 198.51.100.0/24 on 24 Nov at 11:59, after 40 failures from there for 4 accounts, 10 of them for this one. The account had \
         not logged in from there before."
    ));
    assert!(section(&page, "findings").contains("<a href=\"#successes\">"));
}

/// Three days of a server: accounts that log in, guesses from some networks, administrators at work.
fn three_days() -> Vec<StoredEvent> {
    let from = |network: u32, country: &str| session(&format!("198.51.{network}.7"), country, &format!("c{}", network % 5));
    let admin = |n: u32| format!("<actor kind='adhoc' jid='admin{}@b/desk'/><role name='prosody:member'/>", n % 3);
    (0..900)
        .map(|n| {
            let (ago, user) = (f64::from(n) * 288.0, format!("user{}@b", n * 7 % 40));
            match n % 30 {
                0 => at(ago, "user-role-changed", &user, &admin(n)),
                1 => at(ago, "shell-command", "", "<actor kind='admin-shell'/><command>user:list(&quot;b&quot;)</command>"),
                2..15 => at(ago, "authentication-failure", &user, &from(n * 5 % 17, "Brazil")),
                _ => at(ago, "authentication-success", &user, &from(100 + n % 40, ["Germany", "France"][n as usize % 2])),
            }
        })
        .collect()
}

/// What is seen of a part of the page while nothing is opened.
fn closed(part: &str) -> String {
    let (mut seen, mut is_behind) = (String::new(), Vec::new());
    for piece in part.split_inclusive('>') {
        let tag = &piece[piece.rfind('<').unwrap_or_default()..];
        match tag.split(['>', ' ']).next().unwrap() {
            "<details" => is_behind.push(false),
            "</details" => {
                is_behind.pop();
                seen.push_str(tag);
                continue;
            }
            _ => {}
        }
        if !is_behind.contains(&true) {
            seen.push_str(piece);
        }
        if tag == "</summary>" {
            *is_behind.last_mut().unwrap() = true;
        }
    }
    seen
}

#[test]
fn a_row_is_its_own_way_to_its_entries() {
    let page = page(&three_days());
    let (mut all_lines, mut all_opened) = (0, 0);
    let lists: Vec<&str> = page.split("<ul class=\"ranked").skip(1).map(|list| list.split_once("</ul>").unwrap().0).collect();
    for list in &lists {
        let rows = list.matches("class=\"row\"").count();
        let rests = list.matches("<li class=\"rest\">").count();
        // Each row but that of all others opens, by itself: there is nothing else to press.
        let opened = list.matches("<details>").count();
        assert_eq!((opened, list.matches("<summary class=\"row\">").count()), (rows - rests, rows - rests));
        assert_eq!((list.matches("<summary").count(), list.matches("<ol class=\"lines\">").count()), (opened, opened));
        // One line for each, below the titles.
        let seen = words(&format!("<body><ul class=\"ranked{}", closed(list)));
        let lines = seen.lines().count() - 1;
        assert_eq!(lines, rows, "{seen}");
        all_lines += lines;
        all_opened += opened;
    }
    // Networks, accounts, who did it and what, types, countries, and times.
    assert_eq!(lists.len(), 7);
    // A line of its own for the entries of each row would make the lists twice as long, but for two rows of all others.
    assert_eq!(all_lines, all_opened + 2);
    assert!(all_opened > 50, "{all_opened}");
}

#[test]
fn the_chart_names_its_peak_and_marks_crashes_starts_and_gaps() {
    let hour = 3600.0;
    let mut events = vec![at(0.0, "server-started", "", ""), at(1.0, "server-crashed", "", ""), at(9.0 * hour, "x", "", "")];
    events.extend((1..8).map(|n| at(20.0 * hour + f64::from(n), "x", "", "")));
    let page = page(&events);
    let chart = section(&page, "times").split_once("</figure>").unwrap().0;
    let text = words(&format!("<body>{chart}"));
    assert!(text.contains("\n7 on 23 Nov 15:00\n"), "{text}");
    for (class, number) in [("crash", 1), ("start", 1), ("gap", 2)] {
        assert_eq!(chart.matches(&format!("class=\"{class}\"")).count(), number, "{class}");
    }
    assert!(section(&page, "times").contains("1 crash<") && !chart.contains("NaN"));
}

#[test]
fn hidden_entries_are_not_counted_but_what_was_removed_is_told() {
    let of =
        |kind: &str| sample::event(60.0, "events", None, &format!("<audit-event type='{kind}'><pruned class='failures'/></audit-event>"));
    let mut page = Report::new("example.com", Zone::Utc, sample::NOON);
    page.entries(&[of("new-client")]);
    page.note_hidden(&[of("audit-queried"), of("audit-pruned")]);
    let text = words(&page.end());
    for line in [
        "1 event\n",
        "0 privileged actions\n",
        "1 removal of expired entries",
        "2 entries about who read the log and what was removed from it are not counted; with --all they are.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_report_says_what_the_server_knows_of_the_log() {
    use crate::render::standing::{Health, Standing};
    for events in [sample::events(), Vec::new()] {
        let mut page = Report::new("example.com", Zone::Utc, sample::NOON);
        page.entries(&events);
        page.know(vec![
            Health { standing: Standing::Bad, text: "5 events wait: <the disk>".to_owned() },
            Health { standing: Standing::Note, text: "Not verified".to_owned() },
        ]);
        let text = words(&page.end());
        let known = "How far it can be relied on, as the server knew when this was made.\n";
        assert!(text.contains(known), "{text}");
        assert!(text.contains("5 events wait: &lt;the disk&gt;\n") && text.contains("Not verified\n"), "{text}");
    }
    assert!(!words(&page(&sample::events())).contains("as the server knew"));
}

/// The numbers in spans of a class, in a part of the page.
fn numbers(part: &str, class: &str) -> Vec<u64> {
    let open = format!("<span class=\"{class}");
    let after = part.split(&open).skip(1).map(|rest| rest.split_once('>').unwrap().1);
    after.filter_map(|rest| rest.split('<').next().unwrap().replace(',', "").parse().ok()).collect()
}

fn section<'a>(page: &'a str, id: &str) -> &'a str {
    page.split_once(&format!("<section id=\"{id}\"")).unwrap().1.split_once("</section>").unwrap().0
}

/// The numbers of a table of the statistics.
fn counts(statistics: &str, title: &str) -> Vec<u64> {
    let rows = statistics.split("\n\n").find(|table| table.starts_with(title)).map(|table| table.lines().skip(1));
    // Names may contain blanks, but a number with its share follows: "authentication-failure  17   81%  █".
    let number = |row: &str| {
        let words: Vec<&str> = row.split(' ').filter(|word| !word.is_empty()).collect();
        let share = words.iter().rposition(|word| word.ends_with('%')).unwrap();
        words[share - 1].replace(',', "").parse().unwrap()
    };
    rows.map(|rows| rows.map(number).collect()).unwrap_or_default()
}

fn the_same_numbers(events: &[StoredEvent]) {
    let options = Options::new("example.com");
    let mut statistics = crate::render::statistics(&options);
    statistics.entries(events);
    let statistics = statistics.end();
    let mut table = crate::render::renderer(Format::Table, &options);
    let table = [table.entries(events), table.end()].concat();
    let page = page(events);
    let text = words(&page);
    let entries: u64 = events.len().try_into().unwrap();
    assert_eq!(table.lines().count(), events.len() + 1);
    assert!(text.contains(&format!("The last of {}.", counted(entries, "entry", "entries"))), "{text}");

    let first = statistics.lines().next().unwrap().split_once(": ").unwrap().1;
    let all: u64 = first.split(' ').next().unwrap().replace(',', "").parse().unwrap();
    let failures: u64 = statistics.lines().nth(1).unwrap().split(' ').next().unwrap().replace(',', "").parse().unwrap();
    assert!(text.contains(&format!("\n{}\n", counted(all, "event", "events"))), "{all} {text}");
    assert!(text.contains(&format!("\n{},", counted(failures, "failure", "failures"))), "{failures} {text}");
    for (class, sum) in [("number", all), ("share", failures)] {
        assert_eq!(numbers(section(&page, "times"), class).iter().sum::<u64>(), sum, "{class}");
    }
    assert_eq!(entries == all, !first.contains(" in "));

    let (types, countries) = section(&page, "totals").split_once("By country").unwrap();
    for (title, part) in [("TYPE", types), ("COUNTRY", countries)] {
        let shown = numbers(part, "number");
        let expected = counts(&statistics, title);
        let top = expected.len().min(10);
        assert_eq!(shown.iter().sum::<u64>(), expected.iter().sum::<u64>(), "{title}");
        assert_eq!(shown[..top.min(shown.len())], expected[..top.min(shown.len())], "{title}");
    }
}

#[test]
fn the_table_the_statistics_and_the_report_agree() {
    the_same_numbers(&sample::events());
}

#[test]
fn a_report_without_entries_says_so() {
    assert!(words(&page(&[])).contains("No entries"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_the_statistics_and_the_report_agree_on_any_log(events in prop::collection::vec(sample::any_event(), 1..30)) {
        the_same_numbers(&events);
    }

    #[test]
    fn text_from_the_log_is_never_markup(mut events in prop::collection::vec(sample::any_event(), 1..12), kinds in prop::collection::vec(0usize..7, 12)) {
        let own = ["authentication-success", "new-client", "server-crashed", "audit-entries-lost", "audit-pruned", "shell-command", "x-refused"];
        for (event, kind) in events.iter_mut().zip(kinds) {
            event.kind = own[kind].to_owned();
        }
        let page = page(&events);
        prop_assert!(!page.chars().any(|c| steers(c) && !matches!(c, '\n' | '\t')));
        let (head, body) = page.split_once("</head>").unwrap();
        prop_assert!(!head.split_once("</style>").unwrap().1.contains("script"));
        for (name, attributes) in tags(body) {
            let known = "body header nav main footer section div p ul ol li h1 h2 h3 a b span bdi svg line rect path text title figure figcaption table thead \
                tbody tr th td details summary time code html";
            let name = name.trim_start_matches('/');
            prop_assert!(known.split_whitespace().any(|tag| tag == name), "{}", name);
            for (attribute, value) in attributes {
                let known = ["class", "id", "href", "scope", "aria-hidden", "aria-label", "aria-labelledby", "tabindex", "viewBox",
                    "preserveAspectRatio", "x", "y", "x2", "y1", "y2", "width", "height", "d", "text-anchor"];
                prop_assert!(known.contains(&attribute.as_str()), "{}={}", attribute, value);
                prop_assert!(attribute != "href" || value.starts_with('#'), "{}", value);
            }
        }
    }
}
