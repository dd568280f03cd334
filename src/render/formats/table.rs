//! Events as a table in a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::entry::StoredEvent;
use crate::render::Renderer;
use crate::render::columns::{Column, Columns};
use crate::render::printable::printable;
use crate::time::zone::Zone;

/// The space between two columns.
const GAP: &str = "  ";

/// The space behind a time with a mark.
const NARROW_GAP: &str = " ";

/// The mark of a row whose time is not its place in the order. The note says when it was recorded.
const OUT_OF_ORDER: &str = "*";

/// The smallest width of a column, in cells.
const NARROWEST: usize = 8;

/// The columns that a narrow terminal has no room for, in the order in which they give way. Their values are then in the note, as far
/// as there is one.
const GIVE_WAY: &[Column] = &[Column::Location, Column::Ip, Column::User, Column::Note];

/// How many rows are held back until the columns are known.
const HELD: usize = 50;

/// The additional width of a time with its own offset: ` +01:00`.
const OFFSET: usize = 7;

/// A table of events with one header, written piece by piece.
///
/// The first rows are held back. They determine which columns there are, and how wide. If a later row has a value for a
/// missing column, it is shown in the note. A later cell that is wider extends to the right if the terminal has room, and is cut
/// otherwise. The time and the event type tell events apart: all others give way before them ([`GIVE_WAY`]).
#[derive(Debug)]
pub struct Table {
    columns: Columns,
    /// The width of the terminal, in cells. `None` if the output is not a terminal. Nothing is cut then.
    width: Option<usize>,
    zone: Zone,
    coloured: bool,
    /// Whether rows are shown at once. Then the table has all usual columns.
    live: bool,
    held: Vec<TableRow>,
    /// The columns, once they are known.
    layout: Option<Vec<Laid>>,
    /// The columns that the terminal has no room for, by the index of their cells.
    without_room: Vec<usize>,
    /// The offset in the header, once it is known.
    offset: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Laid {
    column: Column,
    /// The index of its cell in a row.
    index: usize,
    width: usize,
    /// Whether it was asked for. Then it does not give way.
    asked: bool,
}

/// An event as cells, one for each column that may be shown.
#[derive(Clone, Debug)]
struct TableRow {
    cells: Vec<String>,
    colour: Option<&'static str>,
    time: f64,
    /// Whether the time is not the place in the order: the event was recorded later, or earlier.
    out_of_order: bool,
}

impl Table {
    /// A table with these columns, for a terminal of `width` cells.
    #[must_use]
    pub const fn new(columns: Columns, width: Option<usize>, zone: Zone) -> Self {
        Self { columns, width, zone, coloured: false, live: false, held: Vec::new(), layout: None, without_room: Vec::new(), offset: None }
    }

    /// Sets whether event types are coloured.
    #[must_use]
    pub fn coloured(self, coloured: bool) -> Self {
        Self { coloured, ..self }
    }

    /// Sets whether each row is shown at once.
    #[must_use]
    pub fn live(self, live: bool) -> Self {
        Self { live, ..self }
    }

    /// The lines for `events`, each with a newline, and the header before the first. Returns an empty text while rows are held
    /// back.
    pub fn lines(&mut self, events: &[StoredEvent]) -> String {
        if events.is_empty() {
            return String::new();
        }
        if self.offset.is_none() {
            let offsets = events.iter().map(|event| self.zone.show(event.time).1);
            self.offset = offsets.reduce(|a, b| if a == b { a } else { "local".to_owned() });
        }
        let rows: Vec<TableRow> = events.iter().map(|event| self.row(event)).collect();
        if self.layout.is_some() {
            return self.shown(&rows);
        }
        self.held.extend(rows);
        if self.live || self.held.len() >= HELD { self.begun(false) } else { String::new() }
    }

    /// The lines that are still held back.
    pub fn rest(&mut self) -> String {
        if self.layout.is_some() || self.held.is_empty() { String::new() } else { self.begun(true) }
    }

    /// The header and the rows that were held back. `whole` says that there are no other rows.
    fn begun(&mut self, whole: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut layout = self.arrange(&held, whole);
        if let Some(terminal) = self.width {
            self.without_room = give_way(&mut layout, terminal);
        }
        let titles: Vec<String> = self.columns.wanted().into_iter().map(|(column, _)| self.title(column)).collect();
        let mut lines = String::new();
        let mut header = TableRow { cells: titles, colour: None, time: 0.0, out_of_order: false };
        for (index, cell) in header.cells.iter_mut().enumerate() {
            if !layout.iter().any(|laid| laid.index == index) {
                cell.clear();
            }
        }
        self.push_row(&mut lines, &layout, &header);
        self.layout = Some(layout);
        lines.push_str(&self.shown(&held));
        lines
    }

    fn shown(&self, rows: &[TableRow]) -> String {
        let mut lines = String::new();
        for row in rows {
            self.push_row(&mut lines, self.layout.as_deref().unwrap_or_default(), row);
        }
        lines
    }

    fn row(&self, event: &StoredEvent) -> TableRow {
        let wanted = self.columns.wanted();
        // Cells that are never shown are not made.
        let cells = wanted.into_iter().map(|(column, asked)| if asked == Some(false) { String::new() } else { self.cell(column, event) });
        TableRow {
            cells: cells.collect(),
            colour: if self.coloured { colour_of(&event.kind) } else { None },
            time: event.time,
            out_of_order: is_out_of_order(event),
        }
    }

    fn title(&self, column: Column) -> String {
        match column {
            Column::Time => format!("{} ({})", column.title(), self.offset.as_deref().unwrap_or_default()),
            _ => column.title().to_owned(),
        }
    }

    fn cell(&self, column: Column, event: &StoredEvent) -> String {
        if column == Column::Note && is_out_of_order(event) {
            let (note, recorded) = (column.text(event, self.zone), self.recorded(event));
            return printable(&if note.is_empty() { recorded } else { format!("{recorded}; {note}") });
        }
        if column != Column::Time {
            return printable(&column.text(event, self.zone));
        }
        let (time, offset) = self.zone.show(event.time);
        // If summer time begins or ends within the table, a time without offset would be ambiguous.
        if self.offset.as_ref() == Some(&offset) {
            time
        } else {
            format!("{time} {}", offset.strip_prefix("UTC").filter(|o| !o.is_empty()).unwrap_or("UTC"))
        }
    }

    /// When an entry was recorded: its place in the order.
    fn recorded(&self, event: &StoredEvent) -> String {
        let (happened, recorded) = (self.zone.show(event.time).0, self.zone.show(event.stored).0);
        match (happened.split_once(' '), recorded.split_once(' ')) {
            (Some((day, _)), Some((same, time))) if day == same => format!("recorded at {time}"),
            _ => format!("recorded {recorded}"),
        }
    }

    fn arrange(&self, rows: &[TableRow], whole: bool) -> Vec<Laid> {
        let mut layout: Vec<Laid> = Vec::new();
        for (index, (column, asked)) in self.columns.wanted().into_iter().enumerate() {
            let cells = rows.iter().filter_map(|row| row.cells.get(index));
            let mut widest = cells.map(|cell| cell.width()).max().unwrap_or_default();
            let usual_width = match column {
                Column::Event => 22,
                Column::User => 24,
                Column::Ip => 15,
                _ => 0,
            };
            if column == Column::Time && !whole && rows.first().is_some_and(|row| self.zone.may_change_near(row.time)) {
                let (time, _) = self.zone.show(rows.first().map_or(0.0, |row| row.time));
                widest = widest.max(time.width().saturating_add(OFFSET));
            }
            if asked.unwrap_or(self.live || widest > 0) {
                let least = if self.live { usual_width } else { 0 };
                let width = widest.max(least).max(self.title(column).width());
                layout.push(Laid { column, index, width, asked: asked == Some(true) });
            }
        }
        layout
    }

    /// The values of a row that have no column, for the note or behind the row.
    fn missing(&self, layout: &[Laid], row: &TableRow) -> String {
        let (mut words, mut named) = (Vec::new(), Vec::new());
        for (index, (column, asked)) in self.columns.wanted().into_iter().enumerate() {
            let cell = row.cells.get(index).map_or("", String::as_str);
            if cell.is_empty() || asked.is_some() || layout.iter().any(|laid| laid.index == index) {
                continue;
            }
            if self.without_room.contains(&index) {
                // There is little room for the name of a column, and the value shows what it is.
                words.push(cell);
            } else {
                named.push(format!("{} {cell}", column.title().to_lowercase()));
            }
        }
        let (words, named) = (words.join(" "), named.join(", "));
        let both = [words, named].into_iter().filter(|text| !text.is_empty());
        both.collect::<Vec<_>>().join("; ")
    }

    fn push_row(&self, lines: &mut String, layout: &[Laid], row: &TableRow) {
        let mut laid = layout.to_vec();
        let mut cells: Vec<String> = layout.iter().map(|laid| row.cells.get(laid.index).cloned().unwrap_or_default()).collect();
        let missing = self.missing(layout, row);
        let has_room = self.width.is_none_or(|terminal| total(layout).saturating_add(GAP.len() + NARROWEST) <= terminal);
        let has_note = layout.iter().any(|laid| laid.column == Column::Note);
        if !missing.is_empty() && (has_note || has_room) {
            match layout.iter().zip(&mut cells).find(|(laid, _)| laid.column == Column::Note) {
                Some((_, note)) if note.is_empty() => *note = missing,
                Some((_, note)) => *note = format!("{missing}; {note}"),
                None => {
                    laid.push(Laid { column: Column::Note, index: usize::MAX, width: 0, asked: false });
                    cells.push(missing);
                }
            }
        }
        if let Some(terminal) = self.width {
            // A wide cell extends to the right as far as the row has room.
            let mut room = terminal.saturating_sub(total(&laid));
            for (laid, cell) in laid.iter_mut().zip(&cells) {
                let more = cell.width().saturating_sub(laid.width).min(room);
                laid.width = laid.width.saturating_add(more);
                room = room.saturating_sub(more);
            }
        }
        let mut line = String::new();
        let mut gap = GAP;
        let has_room = |width: usize| self.width.is_none_or(|terminal| width < terminal);
        for (index, (column, cell)) in laid.iter().zip(&cells).enumerate() {
            if index > 0 {
                line.push_str(std::mem::replace(&mut gap, GAP));
            }
            let cell = match (self.width, column.column) {
                (None, _) => cell.clone(),
                (Some(_), Column::Event) => shortened_inside(cell, column.width),
                (Some(_), _) => shortened(cell, column.width),
            };
            let padding = column.width.saturating_sub(cell.width());
            match row.colour.filter(|_| column.column == Column::Event) {
                Some(colour) => line.extend([colour, &cell, "\u{1b}[0m"]),
                None => line.push_str(&cell),
            }
            let is_last = index.saturating_add(1) == laid.len();
            if column.column == Column::Time && row.out_of_order && (!is_last || has_room(total(&laid))) {
                // The mark takes a cell of the space behind the time, so the columns stay where they are.
                line.push_str(OUT_OF_ORDER);
                if padding == 0 {
                    gap = NARROW_GAP;
                }
                line.extend(std::iter::repeat_n(' ', padding.saturating_sub(1)));
            } else {
                line.extend(std::iter::repeat_n(' ', padding));
            }
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
}

impl Renderer for Table {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        self.lines(events)
    }

    fn end(&mut self) -> String {
        self.rest()
    }
}

/// Whether an entry stands elsewhere in the order than its time says: it was recorded in another second than it happened.
fn is_out_of_order(event: &StoredEvent) -> bool {
    (event.stored.floor() - event.time.floor()).abs() >= 1.0
}

/// The width of a row with these columns, in cells.
fn total(layout: &[Laid]) -> usize {
    let gaps = GAP.len().saturating_mul(layout.len().saturating_sub(1));
    layout.iter().map(|column| column.width).sum::<usize>().saturating_add(gaps)
}

/// Makes columns narrower, or leaves them out, until a row fits the terminal. The widest column is narrowed first, and the event type
/// after all others have given way. A time is never cut. Returns the columns that are left out, by the index of their cells.
fn give_way(layout: &mut Vec<Laid>, terminal: usize) -> Vec<usize> {
    let mut without_room = Vec::new();
    let mut narrowed = layout.clone();
    narrow(&mut narrowed, terminal, |column| !matches!(column, Column::Time | Column::Event));
    for column in GIVE_WAY {
        if total(&narrowed) <= terminal {
            break;
        }
        let Some(at) = layout.iter().position(|laid| laid.column == *column && !laid.asked) else { continue };
        without_room.push(layout.remove(at).index);
        // The others may be wider again.
        narrowed.clone_from(layout);
        narrow(&mut narrowed, terminal, |column| !matches!(column, Column::Time | Column::Event));
    }
    narrow(&mut narrowed, terminal, |column| column == Column::Event);
    *layout = narrowed;
    without_room
}

/// Makes some columns narrower, the widest first, until a row fits the terminal or none can be narrower.
fn narrow(layout: &mut [Laid], terminal: usize, may_give_way: impl Fn(Column) -> bool) {
    while total(layout) > terminal {
        let can_give_way = |laid: &&mut Laid| may_give_way(laid.column) && laid.width > NARROWEST;
        let Some(widest) = layout.iter_mut().filter(can_give_way).max_by_key(|laid| laid.width) else { break };
        widest.width = widest.width.saturating_sub(1);
    }
}

/// The colour of an event type (ECMA-48): red if something was refused or failed, yellow if something was removed.
fn colour_of(kind: &str) -> Option<&'static str> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| kind.ends_with(ending));
    if ends(&["-failure", "-refused", "-crashed", "-lost"]) {
        Some("\u{1b}[31m")
    } else if ends(&["-disabled", "-deleted", "-deregistered", "-revoked", "-reset", "-pruned", "-destroyed"]) {
        Some("\u{1b}[33m")
    } else {
        None
    }
}

/// `text` in at most `width` cells.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used: usize = 1;
    for c in text.chars() {
        used = used.saturating_add(c.width().unwrap_or_default());
        if used > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// `text` in at most `width` cells, without a piece before its last word: `authen…-failure`. Event types often differ in that word.
fn shortened_inside(text: &str, width: usize) -> String {
    let (begin, end) = text.rfind('-').map_or((text, ""), |at| text.split_at(at));
    // The dash may go, too, but of the beginning something should be left.
    let end = if end.width().saturating_add(1) < width { end } else { end.trim_start_matches('-') };
    if text.width() <= width || end.is_empty() || end.width().saturating_add(1) > width {
        return shortened(text, width);
    }
    let short = shortened(begin, width.saturating_sub(end.width()));
    let short = if short.ends_with('…') { short } else { format!("{short}…") };
    format!("{short}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::EVENT_TYPES;
    use crate::entry::Row;
    use crate::render::printable::steers;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    fn event(ago: f64, kind: &str, user: &str, inside: &str) -> StoredEvent {
        let xml = format!("<audit-event type='{kind}' user='{user}'>{inside}</audit-event>");
        StoredEvent::read(&Row { key: String::new(), when: NOON - ago, xml, ..Row::default() }).unwrap()
    }

    fn sample() -> Vec<StoredEvent> {
        let session = "<session><remote-ip>2001:db8:1:2:3:4:5:6</remote-ip><location country='DE'/></session>";
        vec![
            event(0.0, "authentication-success", "juliet@example.com", session),
            event(
                9.0,
                "authentication-failure",
                "a-quite-long-name-of-an-account@example.com",
                &format!(
                    "{session}<authentication mechanism='SCRAM-SHA-1' condition='not-authorized'>Unable to authorize you</authentication>"
                ),
            ),
            event(70.0, "server-stopped", "", "<note>Received SIGTERM</note>"),
        ]
    }

    /// All lines of a table.
    fn whole(mut table: Table, events: &[StoredEvent]) -> String {
        [table.lines(events), table.rest()].concat()
    }

    fn check(columns: Columns, width: Option<usize>, events: &[StoredEvent], expected: Expect) {
        let lines = whole(Table::new(columns, width, Zone::Utc), events);
        if let Some(width) = width {
            for line in lines.lines() {
                assert!(line.width() <= width, "{line:?}");
            }
        }
        expected.assert_eq(&lines);
    }

    #[test]
    fn columns_fit_the_terminal() {
        check(
            Columns::default(),
            Some(100),
            &sample(),
            expect![[r#"
                TIME (UTC)           EVENT                   USER            ADDRESS         COUNTRY  NOTE
                2026-11-24 12:00:00  authentication-success  juliet@exampl…  2001:db8:1:2:…  DE
                2026-11-24 11:59:51  authentication-failure  a-quite-long-…  2001:db8:1:2:…  DE       SCRAM-SHA-1 n…
                2026-11-24 11:58:50  server-stopped                                                   Received SIGT…
            "#]],
        );
        check(
            Columns { said: vec![(Column::Ip, false), (Column::Location, false)], ..Columns::default() },
            Some(140),
            &sample(),
            expect![[r#"
                TIME (UTC)           EVENT                   USER                                         NOTE
                2026-11-24 12:00:00  authentication-success  juliet@example.com
                2026-11-24 11:59:51  authentication-failure  a-quite-long-name-of-an-account@example.com  SCRAM-SHA-1 not-authorized (Unable to authorize y…
                2026-11-24 11:58:50  server-stopped                                                       Received SIGTERM
            "#]],
        );
    }

    /// What the event column shows, in a table of these events.
    fn shown_types(width: usize, events: &[StoredEvent]) -> Vec<String> {
        let lines = whole(Table::new(Columns::default(), Some(width), Zone::Utc), events);
        for line in lines.lines() {
            assert!(line.width() <= width, "{width} {line:?}");
        }
        lines.lines().skip(1).map(|line| line.split_whitespace().nth(2).unwrap().to_owned()).collect()
    }

    #[test]
    fn success_and_failure_differ_on_every_terminal() {
        for width in 40..=200 {
            let events = sample();
            let types = shown_types(width, &events);
            assert!(types[0].ends_with("success") && types[1].ends_with("failure") && types[2] == "server-stopped", "{width} {types:?}");
            // A time and an event type fit into 43 cells.
            assert!(width < 43 || types[..2] == ["authentication-success", "authentication-failure"], "{width} {types:?}");
        }
    }

    #[test]
    fn all_event_types_differ_on_every_terminal() {
        let session = "<session><remote-ip>2001:db8:1:2:3:4:5:6</remote-ip><location country='DE'/></session><note>something</note>";
        let events: Vec<StoredEvent> =
            EVENT_TYPES.iter().map(|kind| event(0.0, kind.name, "a-quite-long-name-of-an-account@example.com", session)).collect();
        for width in 40..=200 {
            let mut types = shown_types(width, &events);
            types.sort();
            types.dedup();
            assert_eq!(types.len(), EVENT_TYPES.len(), "{width} {types:?}");
        }
    }

    #[test]
    fn columns_give_way_to_the_event_type() {
        for (width, expected) in [
            (
                80,
                expect![[r#"
            TIME (UTC)           EVENT                   USER         ADDRESS     NOTE
            2026-11-24 12:00:00  authentication-success  juliet@exa…  2001:db8:…  DE
            2026-11-24 11:59:51  authentication-failure  a-quite-lo…  2001:db8:…  DE; SCRAM…
            2026-11-24 11:58:50  server-stopped                                   Received …
        "#]],
            ),
            (
                60,
                expect![[r#"
            TIME (UTC)           EVENT                   NOTE
            2026-11-24 12:00:00  authentication-success  juliet@example…
            2026-11-24 11:59:51  authentication-failure  a-quite-long-n…
            2026-11-24 11:58:50  server-stopped          Received SIGTE…
        "#]],
            ),
            (
                40,
                expect![[r#"
            TIME (UTC)           EVENT
            2026-11-24 12:00:00  authentica…-success
            2026-11-24 11:59:51  authentica…-failure
            2026-11-24 11:58:50  server-stopped
        "#]],
            ),
        ] {
            check(Columns::default(), Some(width), &sample(), expected);
        }
        // What was asked for stays.
        let columns = Columns { chosen: Some(vec![Column::Time, Column::Event, Column::User, Column::Ip]), ..Columns::default() };
        check(
            columns,
            Some(60),
            &sample(),
            expect![[r#"
            TIME (UTC)           EVENT                USER      ADDRESS
            2026-11-24 12:00:00  authentica…-success  juliet@…  2001:db…
            2026-11-24 11:59:51  authentica…-failure  a-quite…  2001:db…
            2026-11-24 11:58:50  server-stopped
        "#]],
        );
    }

    #[test]
    fn an_event_type_is_cut_before_its_last_word() {
        for (text, width, expected) in [
            ("authentication-failure", 22, "authentication-failure"),
            ("authentication-failure", 15, "authen…-failure"),
            ("authentication-failure", 10, "a…-failure"),
            ("authentication-failure", 9, "a…failure"),
            ("authentication-failure", 8, "…failure"),
            ("authentication-failure", 7, "authen…"),
            ("somethingverylong", 8, "somethi…"),
            ("a-verylonglastword", 8, "a-veryl…"),
            ("-", 8, "-"),
            ("", 8, ""),
        ] {
            let short = shortened_inside(text, width);
            assert_eq!(short, expected);
            assert!(short.width() <= width);
        }
    }

    #[test]
    fn cells_are_not_cut_in_a_file() {
        check(
            Columns::default(),
            None,
            &sample(),
            expect![[r#"
                TIME (UTC)           EVENT                   USER                                         ADDRESS               COUNTRY  NOTE
                2026-11-24 12:00:00  authentication-success  juliet@example.com                           2001:db8:1:2:3:4:5:6  DE
                2026-11-24 11:59:51  authentication-failure  a-quite-long-name-of-an-account@example.com  2001:db8:1:2:3:4:5:6  DE       SCRAM-SHA-1 not-authorized (Unable to authorize you)
                2026-11-24 11:58:50  server-stopped                                                                                      Received SIGTERM
            "#]],
        );
    }

    #[test]
    fn a_time_that_is_not_the_place_in_the_order_is_marked() {
        let mut events = sample();
        events[1].stored += 86_400.0;
        events[2].stored += 7.5;
        check(
            Columns::default(),
            Some(150),
            &events,
            expect![[r#"
            TIME (UTC)           EVENT                   USER                                  ADDRESS               COUNTRY  NOTE
            2026-11-24 12:00:00  authentication-success  juliet@example.com                    2001:db8:1:2:3:4:5:6  DE
            2026-11-24 11:59:51* authentication-failure  a-quite-long-name-of-an-account@exa…  2001:db8:1:2:3:4:5:6  DE       recorded 2026-11-25 11:59:51; SCRAM…
            2026-11-24 11:58:50* server-stopped                                                                               recorded at 11:58:57; Received SIGT…
        "#]],
        );
        let only_time = Columns { chosen: Some(vec![Column::Time]), ..Columns::default() };
        for (width, marks) in [(None, 2), (Some(20), 2), (Some(19), 0)] {
            let lines = whole(Table::new(only_time.clone(), width, Zone::Utc), &events);
            assert_eq!(lines.matches('*').count(), marks, "{lines}");
            assert!(lines.lines().all(|line| width.is_none_or(|width| line.width() <= width)), "{lines}");
        }
    }

    #[test]
    fn a_mark_moves_no_column() {
        for width in 40..=200 {
            let mut events = sample();
            let before = whole(Table::new(Columns::default(), Some(width), Zone::Utc), &events);
            events[0].stored += 3600.0;
            let after = whole(Table::new(Columns::default(), Some(width), Zone::Utc), &events);
            let column = |lines: &str| lines.lines().map(|line| line.find(['E', 'a', 's']).unwrap()).collect::<Vec<_>>();
            assert_eq!((column(&before), after.matches('*').count()), (column(&after), 1), "{after}");
        }
    }

    #[test]
    fn an_empty_column_is_shown_only_if_asked_for() {
        check(
            Columns { said: vec![(Column::Ip, true)], ..Columns::default() },
            Some(80),
            &sample()[2..],
            expect![[r#"
            TIME (UTC)           EVENT           ADDRESS  NOTE
            2026-11-24 11:58:50  server-stopped           Received SIGTERM
        "#]],
        );
    }

    #[test]
    fn the_header_comes_once() {
        let many: Vec<StoredEvent> = (0..HELD + 10).map(|n| event(n as f64, "server-stopped", "", "")).collect();
        for width in [None, Some(70), Some(100), Some(200)] {
            for live in [false, true] {
                // Pieces that bring columns, and wider cells, after the first; and one that is larger than what is held back.
                for pieces in [vec![&many[..1], &many[1..], &sample()], vec![&many, &sample()], vec![&[], &sample(), &many, &sample()[1..]]]
                {
                    let mut table = Table::new(Columns::default(), width, Zone::Utc).live(live);
                    let mut lines: String = pieces.iter().map(|piece| table.lines(piece)).collect();
                    lines.push_str(&table.rest());
                    assert_eq!((lines.matches("TIME").count(), lines.find("TIME")), (1, Some(0)), "{lines}");
                    assert_eq!(lines.lines().count(), 1 + pieces.iter().map(|piece| piece.len()).sum::<usize>(), "{lines}");
                    let has_room = width.is_none_or(|width| width >= 200);
                    for text in ["authentication-failure", "a-quite-long-name", "2001:db8:1:2", "SCRAM-SHA-1 not-auth"] {
                        assert!(!has_room || lines.contains(text), "{text} {width:?} {live}\n{lines}");
                    }
                    assert!(lines.lines().all(|line| width.is_none_or(|width| line.width() <= width)), "{lines}");
                }
            }
        }
    }

    #[test]
    fn a_live_table_shows_rows_at_once() {
        let mut table = Table::new(Columns::default(), Some(120), Zone::Utc).live(true);
        assert_eq!(table.lines(&sample()[2..]).lines().count(), 2);
        assert_eq!((table.lines(&sample()).lines().count(), table.rest()), (3, String::new()));
        let mut table = Table::new(Columns::default(), Some(120), Zone::Utc);
        assert_eq!((table.lines(&sample()), table.rest().lines().count(), table.rest()), (String::new(), 4, String::new()));
        assert_eq!(Table::new(Columns::default(), None, Zone::Utc).rest(), "");
    }

    #[test]
    fn later_rows_keep_the_columns_of_the_first() {
        let many: Vec<StoredEvent> = (0..HELD).map(|n| event(n as f64, "server-stopped", "", "<note>x</note>")).collect();
        let mut table = Table::new(Columns::default(), Some(80), Zone::Utc);
        let first = table.lines(&many);
        let later = table.lines(&sample());
        expect![[r#"
            2026-11-24 12:00:00  authentication-success  user juliet@example.com, address 2…
            2026-11-24 11:59:51  authentication-failure  user a-quite-long-name-of-an-accou…
            2026-11-24 11:58:50  server-stopped  Received SIGTERM
        "#]]
        .assert_eq(&later);
        assert!(first.starts_with("TIME (UTC)           EVENT           NOTE\n"), "{first}");
        // Without a column for the note it stands behind the row.
        let columns = Columns { said: vec![(Column::Note, false)], ..Columns::default() };
        let mut table = Table::new(columns, None, Zone::Utc);
        table.lines(&many);
        assert!(table.lines(&sample()).contains("  user juliet@example.com, address 2001:db8:1:2:3:4:5:6, country DE\n"));
    }

    #[test]
    fn only_event_types_are_coloured_and_only_if_asked_for() {
        let plain = whole(Table::new(Columns::default(), Some(100), Zone::Utc), &sample());
        let coloured = whole(Table::new(Columns::default(), Some(100), Zone::Utc).coloured(true), &sample());
        assert_eq!(coloured.matches('\u{1b}').count(), 2, "{coloured}");
        assert!(coloured.contains("  \u{1b}[31mauthentication-failure\u{1b}[0m  "), "{coloured}");
        assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""), plain);
    }

    #[test]
    fn columns_can_be_chosen() {
        let columns = Columns { chosen: Some(vec![Column::Source, Column::Event]), ..Columns::default() };
        let lines = whole(Table::new(columns, None, Zone::Utc), &sample()[2..]);
        assert_eq!(lines, "SOURCE  EVENT\n        server-stopped\n");
    }

    #[test]
    fn text_from_outside_can_not_steer_the_terminal() {
        let hostile = event(0.0, "t\u{9b}", "\u{202e}mallory", "<note>\u{85}\u{2028}</note>");
        let lines = whole(Table::new(Columns::default(), Some(120), Zone::Utc), &[hostile]);
        assert!(!lines.chars().any(|c| c != '\n' && steers(c)), "{lines:?}");
    }

    proptest! {
        #[test]
        fn a_row_never_outgrows_the_terminal(kind in "\\PC{0,40}", user in "\\PC{0,80}", width in 40usize..200) {
            let mut event = sample().remove(0);
            (event.kind, event.user) = (kind, Some(user));
            let mut table = Table::new(Columns::default(), Some(width), Zone::Utc).live(true);
            let lines = [table.lines(&sample()[2..]), table.lines(&[event])].concat();
            for line in lines.lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
