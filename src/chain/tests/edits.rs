//! Random edits of a stored log, several at once, in all of its places.

use super::*;

/// Where a row lies: the class, the day after the first, or archive user `nil`.
type Place = Option<(bool, u64)>;

/// An edit that somebody with access to the store can make.
#[derive(Clone, Debug)]
enum Edit {
    Byte(Index, Index, u8),
    /// What one entry has between two quotes or tags is put into another one.
    Copy(Index, Index, Index, Index),
    When(Index, i8),
    With(Index, Index),
    Remove(Index),
    Twice(Index),
    Swap(Index, Index),
    Order(Index, Index),
    Move(Index, Option<(bool, u8)>),
    Unlinked(Index),
    /// All behind an entry, linked anew as somebody can who knows how.
    Relinked(Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), at(), b' '..=b'~').prop_map(|(at, place, byte)| Edit::Byte(at, place, byte)),
        (at(), at(), at(), at()).prop_map(|(from, piece, to, place)| Edit::Copy(from, piece, to, place)),
        (at(), any::<i8>()).prop_map(|(at, by)| Edit::When(at, by)),
        (at(), at()).prop_map(|(at, other)| Edit::With(at, other)),
        at().prop_map(Edit::Remove),
        at().prop_map(Edit::Twice),
        (at(), at()).prop_map(|(at, other)| Edit::Swap(at, other)),
        (at(), at()).prop_map(|(at, other)| Edit::Order(at, other)),
        (at(), any::<Option<(bool, u8)>>()).prop_map(|(at, place)| Edit::Move(at, place)),
        at().prop_map(Edit::Unlinked),
        (at(), "[a-d]@example\\.com").prop_map(|(at, user)| Edit::Relinked(at, user)),
    ]
}

/// The texts between quotes and tags, as ranges.
fn pieces(xml: &str) -> Vec<std::ops::Range<usize>> {
    let marks: Vec<usize> = xml.char_indices().filter(|(_, c)| matches!(c, '\'' | '<' | '>')).map(|(at, _)| at).collect();
    marks.windows(2).map(|pair| pair[0] + 1..pair[1]).collect()
}

fn apply(edit: &Edit, rows: &mut Vec<(Place, Row)>) {
    let of = |index: &Index, rows: &[(Place, Row)]| index.index(rows.len());
    if rows.is_empty() {
        return;
    }
    match edit {
        Edit::Byte(at, place, byte) => {
            let row = of(at, rows);
            let mut bytes = rows[row].1.xml.clone().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] = *byte;
            if let Ok(xml) = String::from_utf8(bytes) {
                rows[row].1.xml = xml;
            }
        }
        Edit::Copy(from, piece, to, place) => {
            let (source, target) = (rows[of(from, rows)].1.xml.clone(), of(to, rows));
            let (taken, put) = (pieces(&source), pieces(&rows[target].1.xml));
            if !taken.is_empty() && !put.is_empty() {
                rows[target].1.xml.replace_range(put[place.index(put.len())].clone(), &source[taken[piece.index(taken.len())].clone()]);
            }
        }
        Edit::When(at, by) => {
            let row = of(at, rows);
            rows[row].1.when += f64::from(*by);
        }
        Edit::With(at, other) => {
            let with = rows[of(other, rows)].1.with.clone();
            let row = of(at, rows);
            rows[row].1.with = with;
        }
        Edit::Remove(at) => drop(rows.remove(of(at, rows))),
        Edit::Twice(at) => {
            let row = rows[of(at, rows)].clone();
            rows.push(row);
        }
        Edit::Swap(at, other) => {
            let (one, other) = (of(at, rows), of(other, rows));
            let xml = rows[one].1.xml.clone();
            rows[one].1.xml = std::mem::replace(&mut rows[other].1.xml, xml);
        }
        Edit::Order(at, other) => {
            let (one, other) = (of(at, rows), of(other, rows));
            rows.swap(one, other);
        }
        Edit::Move(at, place) => {
            let row = of(at, rows);
            rows[row].0 = place.map(|(class, days)| (class, u64::from(days % 3)));
        }
        Edit::Unlinked(at) => {
            let row = of(at, rows);
            if let Some((before, rest)) = rows[row].1.xml.clone().rsplit_once("<chain ") {
                rows[row].1.xml = format!("{before}{}", rest.split_once("/>").map_or(rest, |(_, after)| after));
            }
        }
        Edit::Relinked(at, user) => {
            let row = of(at, rows);
            relink(rows, row, user);
        }
    }
}

/// Puts another entry in place of one, and computes its link, and those of all that follow.
fn relink(rows: &mut [(Place, Row)], at: usize, user: &str) {
    let Ok((first, _)) = Draft::of_xml(&rows[at].1.xml).map_err(|_| ()).and_then(|draft| Link::read(draft).map_err(|_| ())) else { return };
    let before = at.checked_sub(1).and_then(|before| Link::read(Draft::of_xml(&rows[before].1.xml).ok()?).ok());
    let before = before.map_or(BEGINNING, |(link, _)| link.hash);
    let mut head = Head::after(chain(), first.run, first.n.saturating_sub(1), before);
    for (number, (_, row)) in rows.iter_mut().enumerate().skip(at) {
        let Some((link, canon)) = Draft::of_xml(&row.xml).ok().and_then(|draft| Link::read(draft).ok()) else { return };
        let new = if number == at {
            let mut payload = open_payload(&plain(user), link.at);
            let new = head.next(link.at, link.cut, Bytes([9; 16]), draft_of(&payload));
            new.write(&mut payload);
            (row.xml, row.with) = (xml_of(payload), user.to_owned());
            new
        } else {
            let Ok(leaf) = link.leaf("example.com", "events", &canon) else { return };
            let new = Link { hash: link.follows(head.hash(), &leaf), ..link };
            if row.xml.contains("<chain ") {
                row.xml = relinked(&row.xml, &new);
            }
            new
        };
        head.advance(&new);
    }
}

fn verdict(rows: &[(Place, Row)], progress: Progress) -> Verdict {
    let mut verifier = Verifier::new("example.com", [progress]);
    let mut places: Vec<Place> = rows.iter().map(|(place, _)| *place).collect();
    places.sort_by_key(|place| (place.is_none(), *place));
    places.dedup();
    for place in places {
        #[allow(clippy::cast_precision_loss)]
        let partition = |(is_other, days): (bool, u64)| {
            Partition::new(if is_other { "failures" } else { "events" }, (AT / 1000) as f64 + days as f64 * 86_400.0)
        };
        verifier.begin(place.map(partition));
        rows.iter().filter(|(of, _)| *of == place).for_each(|(_, row)| verifier.feed(&stored(row)));
    }
    verifier.finish()
}

/// What a query shows, whatever the order of entries of the same time.
fn shown_of(rows: &[(Place, Row)]) -> Vec<String> {
    let mut shown: Vec<String> = rows.iter().map(|(_, row)| format!("{} {} {:?}", row.when, row.with, shown(row))).collect();
    shown.sort();
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn edits_are_found_or_change_nothing_that_a_query_shows(
        events in prop::collection::vec(given(), 2..6), edits in prop::collection::vec(edit(), 1..4)
    ) {
        let (before, head) = log(&events);
        let before: Vec<(Place, Row)> = before.into_iter().map(|row| (Some((false, 0)), row)).collect();
        prop_assert!(super::edits::verdict(&before, progress(&head)).is_intact());
        let mut rows = before.clone();
        edits.iter().for_each(|edit| apply(edit, &mut rows));
        let verdict = verdict(&rows, progress(&head));
        // What lies without a link in archive user nil, as the log of an older version does, is counted and reported.
        let is_found = !verdict.is_intact() || verdict.unprotected > 0;
        prop_assert!(is_found || shown_of(&rows) == shown_of(&before), "{:?} {:?}", edits, rows);
    }
}
