//! Events as a table in a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::event::StoredEvent;
use crate::report::Renderer;
use crate::report::columns::{Column, Columns};
use crate::report::printable::printable;
use crate::report::zone::Zone;

/// Between two columns.
const GAP: &str = "  ";

/// The narrowest that a column may get.
const NARROWEST: usize = 8;

/// A table of events, written in as many pieces as they arrive in. Each piece may add columns and make them wider; the
/// header is written again where that changes what the rows below it mean.
#[derive(Debug)]
pub struct Table {
    columns: Columns,
    /// How many cells the terminal has in a row; nothing where the output is no terminal, and nothing is cut.
    width: Option<usize>,
    zone: Zone,
    coloured: bool,
    /// The columns of the last header.
    layout: Vec<Laid>,
    /// What the widest cell of each column took so far, whether it was shown or not.
    widest: Vec<usize>,
    offset: String,
}

#[derive(Clone, Copy, Debug)]
struct Laid {
    column: Column,
    width: usize,
}

impl Table {
    /// A table with these columns, for a terminal of `width` cells.
    #[must_use]
    pub const fn new(columns: Columns, width: Option<usize>, zone: Zone) -> Self {
        Self { columns, width, zone, coloured: false, layout: Vec::new(), widest: Vec::new(), offset: String::new() }
    }

    /// The same, with colours for event types that an operator looks for.
    #[must_use]
    pub fn coloured(self, coloured: bool) -> Self {
        Self { coloured, ..self }
    }

    /// The lines for `events`, each ended by a newline; with a header the first time, and where the columns change.
    pub fn lines(&mut self, events: &[StoredEvent]) -> String {
        let mut lines = String::new();
        if events.is_empty() {
            return lines;
        }
        if self.layout.is_empty() {
            let offsets = events.iter().map(|event| self.zone.show(event.time).1);
            self.offset = offsets.reduce(|a, b| if a == b { a } else { "local".to_owned() }).unwrap_or_default();
        }
        let layout = self.arrange(events);
        let columns = |layout: &[Laid]| layout.iter().map(|column| column.column).collect::<Vec<_>>();
        // Where nothing is cut, wider cells only shift those behind them.
        if self.width.is_some() || columns(&layout) != columns(&self.layout) {
            let before = self.header();
            self.layout = layout;
            let header = self.header();
            if header != before {
                lines.push_str(&header);
            }
        }
        for event in events {
            let cells: Vec<String> = self.layout.iter().map(|column| self.cell(column.column, event)).collect();
            let colour = if self.coloured { colour_of(&event.kind) } else { None };
            push_row(&mut lines, &self.layout, &cells, self.width, colour);
        }
        lines
    }

    fn header(&self) -> String {
        let titles: Vec<String> = self.layout.iter().map(|column| self.title(column.column)).collect();
        let mut header = String::new();
        push_row(&mut header, &self.layout, &titles, self.width, None);
        header
    }

    fn title(&self, column: Column) -> String {
        match column {
            Column::Time => format!("{} ({})", column.title(), self.offset),
            _ => column.title().to_owned(),
        }
    }

    fn cell(&self, column: Column, event: &StoredEvent) -> String {
        if column != Column::Time {
            return printable(&column.text(event, self.zone));
        }
        let (time, offset) = self.zone.show(event.time);
        // Where summer time begins or ends within the table, a time alone could be one of two.
        if offset == self.offset {
            time
        } else {
            format!("{time} {}", offset.strip_prefix("UTC").filter(|o| !o.is_empty()).unwrap_or("UTC"))
        }
    }

    fn arrange(&mut self, events: &[StoredEvent]) -> Vec<Laid> {
        let mut layout: Vec<Laid> = Vec::new();
        let wanted = self.columns.wanted();
        let mut all_widest = std::mem::take(&mut self.widest);
        all_widest.resize(wanted.len(), 0);
        for ((column, asked), widest) in wanted.into_iter().zip(&mut all_widest) {
            let here = events.iter().map(|event| self.cell(column, event).width()).max().unwrap_or_default();
            *widest = here.max(*widest);
            if asked.unwrap_or(*widest > 0) {
                layout.push(Laid { column, width: (*widest).max(self.title(column).width()) });
            }
        }
        self.widest = all_widest;
        let Some(terminal) = self.width else { return layout };
        let gaps = GAP.len().saturating_mul(layout.len().saturating_sub(1));
        // The widest column gives way first, the event type after all others; a time is never cut.
        while layout.iter().map(|column| column.width).sum::<usize>().saturating_add(gaps) > terminal {
            let can_give_way = |column: &&mut Laid| column.column != Column::Time && column.width > NARROWEST;
            let widest = layout.iter_mut().filter(can_give_way).max_by_key(|column| (column.column != Column::Event, column.width));
            let Some(column) = widest else { break };
            column.width = column.width.saturating_sub(1);
        }
        layout
    }
}

impl Renderer for Table {
    fn entries(&mut self, events: &[StoredEvent]) -> String {
        self.lines(events)
    }
}

fn push_row(lines: &mut String, layout: &[Laid], cells: &[String], terminal: Option<usize>, colour: Option<&str>) {
    let mut row = String::new();
    for (index, (column, cell)) in layout.iter().zip(cells).enumerate() {
        if index > 0 {
            row.push_str(GAP);
        }
        let cell = if terminal.is_some() { shortened(cell, column.width) } else { cell.clone() };
        let padding = column.width.saturating_sub(cell.width());
        match colour.filter(|_| column.column == Column::Event) {
            Some(colour) => row.extend([colour, &cell, "\u{1b}[0m"]),
            None => row.push_str(&cell),
        }
        row.extend(std::iter::repeat_n(' ', padding));
    }
    lines.push_str(row.trim_end());
    lines.push('\n');
}

/// The colour of an event type (ECMA-48): red where something was refused or broke, yellow where something was taken away.
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
pub(super) fn shortened(text: &str, width: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Row;
    use crate::report::printable::steers;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    const NOON: f64 = 1_795_521_600.0;

    fn event(ago: f64, kind: &str, user: &str, inside: &str) -> StoredEvent {
        let xml = format!("<audit-event type='{kind}' user='{user}'>{inside}</audit-event>");
        StoredEvent::read(&Row { key: String::new(), when: NOON - ago, with: None, xml }).unwrap()
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

    fn check(columns: Columns, width: Option<usize>, events: &[StoredEvent], expected: Expect) {
        let lines = Table::new(columns, width, Zone::Utc).lines(events);
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

    #[test]
    fn nothing_is_cut_in_a_file() {
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
        let mut table = Table::new(Columns::default(), None, Zone::Utc);
        let events = sample();
        let lines = [table.lines(&[]), table.lines(&events), table.lines(&events[1..])].concat();
        assert_eq!((lines.matches("TIME").count(), lines.lines().count()), (1, 6));
    }

    #[test]
    fn what_comes_later_is_cut_no_more_than_what_came_first() {
        for width in [Some(100), None] {
            let mut table = Table::new(Columns::default(), width, Zone::Utc);
            let lines = [table.lines(&[event(0.0, "short", "", "")]), table.lines(&sample())].concat();
            assert_eq!(lines.matches("TIME").count(), 2, "{lines}");
            assert!(lines.contains("authentication-failure") && lines.contains("Received SIG"), "{lines}");
        }
        let mut wide = Table::new(Columns::default(), Some(100), Zone::Utc);
        let lines = [wide.lines(&[event(0.0, "short", "", "")]), wide.lines(&[event(0.0, "a-longer-type", "", "")])].concat();
        assert_eq!(lines, "TIME (UTC)           EVENT\n2026-11-24 12:00:00  short\n2026-11-24 12:00:00  a-longer-type\n");
    }

    #[test]
    fn only_event_types_are_coloured_and_only_if_asked_for() {
        let plain = Table::new(Columns::default(), Some(100), Zone::Utc).lines(&sample());
        let coloured = Table::new(Columns::default(), Some(100), Zone::Utc).coloured(true).lines(&sample());
        assert_eq!(coloured.matches('\u{1b}').count(), 2, "{coloured}");
        assert!(coloured.contains("  \u{1b}[31mauthentication-failure\u{1b}[0m  "), "{coloured}");
        assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", ""), plain);
    }

    #[test]
    fn columns_can_be_chosen() {
        let columns = Columns { chosen: Some(vec![Column::Source, Column::Event]), ..Columns::default() };
        let lines = Table::new(columns, None, Zone::Utc).lines(&sample()[2..]);
        assert_eq!(lines, "SOURCE  EVENT\n        server-stopped\n");
    }

    #[test]
    fn text_from_outside_can_not_steer_the_terminal() {
        let hostile = event(0.0, "t\u{9b}", "\u{202e}mallory", "<note>\u{85}\u{2028}</note>");
        let lines = Table::new(Columns::default(), Some(120), Zone::Utc).lines(&[hostile]);
        assert!(!lines.chars().any(|c| c != '\n' && steers(c)), "{lines:?}");
    }

    proptest! {
        #[test]
        fn a_row_never_outgrows_the_terminal(kind in "\\PC{0,40}", user in "\\PC{0,80}", width in 70usize..200) {
            let mut event = sample().remove(0);
            (event.kind, event.user) = (kind, Some(user));
            let lines = Table::new(Columns::default(), Some(width), Zone::Utc).lines(&[event]);
            for line in lines.lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
