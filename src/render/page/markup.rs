//! Pieces of HTML. All text from an entry goes through [`text`].

use std::fmt::Write as _;

use super::collect::{EntryLine, Groups};
use crate::render::printable::printable;
use crate::render::taxonomy::{Outcome, meaning};
use crate::render::totals::tally::{Bucket, grouped};
use crate::time::rfc3339;
use crate::time::zone::Zone;

/// A text, escaped for use between tags and in quoted attributes.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text from outside, isolated so that its writing direction does not affect the text around it.
pub(super) fn foreign(value: &str) -> String {
    format!("<bdi>{}</bdi>", text(value))
}

/// A word with its number: "1 entry", "2,000 entries".
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    let half = u128::from(whole) / 2;
    let share = u128::from(part).saturating_mul(1000).saturating_add(half).checked_div(u128::from(whole)).unwrap_or_default();
    match share {
        0 if part > 0 => "&lt;0.1%".to_owned(),
        0..100 => format!("{}.{}%", share / 10, share % 10),
        _ => format!("{}%", share.saturating_add(5) / 10),
    }
}

/// Entries as a list.
pub(super) fn push_lines<'a>(page: &mut String, lines: impl IntoIterator<Item = &'a EntryLine>, zone: Zone) {
    page.push_str("<ol class=\"lines\">\n");
    for line in lines {
        let class = if meaning(&line.kind).outcome == Outcome::Failure { " class=\"bad\"" } else { "" };
        let _ = write!(
            page,
            "<li{class}><time datetime=\"{}\">{}</time> <b>{}</b>",
            rfc3339(line.time),
            zone.show(line.time).0,
            foreign(&line.kind)
        );
        if line.count > 1 {
            let _ = write!(page, " <span>× {}</span>", grouped(line.count));
        }
        let place = [line.address.as_deref(), line.country.as_deref()].into_iter().flatten().map(foreign).collect::<Vec<_>>().join(" ");
        for part in [line.user.as_deref().map(foreign), Some(place).filter(|place| !place.is_empty())].into_iter().flatten() {
            let _ = write!(page, " <span>{part}</span>");
        }
        if !line.note.is_empty() {
            let _ = write!(page, " <span class=\"note\">{}</span>", foreign(&line.note));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ol>\n");
}

/// The entries behind a number, as a section that can be opened.
pub(super) fn push_behind<'a>(page: &mut String, lines: impl ExactSizeIterator<Item = &'a EntryLine>, zone: Zone) {
    let title = match lines.len() {
        0 => return,
        1 => "Newest entry".to_owned(),
        number => format!("Newest {number} entries"),
    };
    let _ = writeln!(page, "<details><summary>{title}</summary>");
    push_lines(page, lines, zone);
    page.push_str("</details>");
}

/// A table of numbers by name, each with its entries.
pub(super) struct Ranked<'a> {
    pub(super) caption: &'a str,
    /// The title of the column of names.
    pub(super) name: &'a str,
    pub(super) groups: &'a Groups,
    pub(super) limit: usize,
    /// The CSS class of its bars.
    pub(super) bars: &'a str,
    /// The text if there are no names.
    pub(super) nothing: &'a str,
}

impl Ranked<'_> {
    pub(super) fn push(&self, page: &mut String, zone: Zone) {
        let counts = &self.groups.counts;
        if counts.total() == 0 {
            let _ = writeln!(page, "<div><h3>{}</h3><p class=\"hint\">{}</p></div>", self.caption, self.nothing);
            return;
        }
        let ranking = counts.ranking(self.limit);
        let most = ranking.top.first().map_or(1, |(_, count)| *count);
        let sign = if counts.uncertainty() > 0 { "≥ " } else { "" };
        let _ = writeln!(
            page,
            "<div><table class=\"ranked\"><caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\" aria-hidden=\"true\"></th>\
             <th scope=\"col\" class=\"number\">Events</th><th scope=\"col\" class=\"number\">Share</th></tr></thead>",
            self.caption, self.name
        );
        for (name, count) in &ranking.top {
            let _ = writeln!(
                page,
                "<tbody><tr><th scope=\"row\">{}</th><td class=\"bar\">{}</td><td class=\"number\">{sign}{}</td><td class=\"number\">{}</td></tr>",
                foreign(name),
                bar(*count, most, self.bars),
                grouped(*count),
                percent(*count, counts.total())
            );
            page.push_str("<tr class=\"behind\"><td colspan=\"4\">");
            push_behind(page, self.groups.behind(name).iter(), zone);
            page.push_str("</td></tr></tbody>\n");
        }
        if ranking.rest > 0 {
            let others = ranking.others.map_or_else(|| "All others".to_owned(), |others| counted(others as u64, "other", "others"));
            let _ = writeln!(
                page,
                "<tbody><tr class=\"rest\"><th scope=\"row\">{others}</th><td class=\"bar\"></td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr></tbody>",
                grouped(ranking.rest),
                percent(ranking.rest, counts.total())
            );
        }
        page.push_str("</table>");
        if counts.uncertainty() > 0 {
            let _ = write!(
                page,
                "<p class=\"hint\">≥ may be up to {} more: there were too many names to keep all.</p>",
                grouped(counts.uncertainty())
            );
        }
        page.push_str("</div>\n");
    }
}

/// `part` of `whole` as a share of `scale`, with one decimal. A part above zero is at least the smallest share.
fn scaled(part: u64, whole: u64, scale: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // It becomes a length in a drawing.
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * scale as f64 };
    if part > 0 { share.max(0.8) } else { 0.0 }
}

fn bar(count: u64, most: u64, class: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"{:.1}\" height=\"6\"/></svg>",
        scaled(count, most, 100)
    )
}

/// Events over time as bars. Each bar with events links to the row `t<number>`. `label` returns the text of a bucket, `mark` a
/// shorter one.
pub(super) fn push_chart(
    page: &mut String,
    buckets: &[(i64, Bucket)],
    what: &str,
    label: impl Fn(i64) -> String,
    mark: impl Fn(i64) -> String,
) {
    let most = buckets.iter().map(|(_, bucket)| bucket.events).max().unwrap_or_default();
    // A few bars must not fill the whole width.
    let width = buckets.len().max(12).saturating_mul(10);
    let _ = writeln!(
        page,
        "<div class=\"chart\"><span class=\"top\">{}</span>\n<svg viewBox=\"0 0 {width} 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{what}\">\
         <line x1=\"0\" x2=\"{width}\" y1=\"0\" y2=\"0\"/><line x1=\"0\" x2=\"{width}\" y1=\"50\" y2=\"50\"/><line x1=\"0\" x2=\"{width}\" y1=\"100\" y2=\"100\"/>",
        grouped(most)
    );
    for (index, (begin, bucket)) in buckets.iter().enumerate().filter(|(_, (_, bucket))| bucket.events > 0) {
        let (x, all, failed) = (index.saturating_mul(10), scaled(bucket.events, most, 100), scaled(bucket.failures, most, 100));
        let _ = writeln!(
            page,
            "<a href=\"#t{index}\" tabindex=\"-1\"><title>{}: {}, {}</title><rect class=\"hit\" x=\"{x}\" width=\"10\" height=\"100\"/>\
             <rect class=\"calm\" x=\"{x}.8\" y=\"{:.1}\" width=\"8.4\" height=\"{all:.1}\"/><rect class=\"fail\" x=\"{x}.8\" y=\"{:.1}\" width=\"8.4\" height=\"{failed:.1}\"/></a>",
            text(&label(*begin)),
            counted(bucket.events, "event", "events"),
            counted(bucket.failures, "failure", "failures"),
            100.0 - all,
            100.0 - failed
        );
    }
    page.push_str("</svg></div>\n<div class=\"axis\" aria-hidden=\"true\">");
    let last = buckets.len().saturating_sub(1);
    let mut marks: Vec<usize> = (0..5_usize).map(|number| number.saturating_mul(last) / 4).collect();
    marks.dedup();
    for (begin, _) in marks.iter().filter_map(|index| buckets.get(*index)) {
        let _ = write!(page, "<span>{}</span>", text(&mark(*begin)));
    }
    page.push_str("</div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_no_markup() {
        assert_eq!(text("<a b='c' d=\"e\">&\u{202e}\n"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;\\u{202e} ");
    }

    #[test]
    fn shares_are_short() {
        for (part, whole, shown) in
            [(1, 3, "33%"), (1, 30, "3.3%"), (1, 100_000, "&lt;0.1%"), (0, 3, "0.0%"), (3, 3, "100%"), (0, 0, "0.0%")]
        {
            assert_eq!(percent(part, whole), shown);
        }
    }
}
