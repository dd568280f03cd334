//! Text from outside in the page.

use maud::{Markup, Render, html};

use crate::render::printable::printable;

/// The longest part of a text that is kept, in characters.
const TEXT: usize = 200;

/// Text from the log. It is printable and not too long, and there is only one way to put it into the page: escaped, and isolated so
/// that its writing direction does not affect the text around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outside(String);

impl Outside {
    pub(super) fn new(text: &str) -> Self {
        let text = printable(text);
        Self(match text.char_indices().nth(TEXT) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, for a place that can't have elements, such as the title of the page. It is still to be escaped.
    pub(super) fn plain(&self) -> &str {
        &self.0
    }
}

impl Render for Outside {
    fn render(&self) -> Markup {
        html! { bdi { (self.0) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup_and_keeps_its_direction_to_itself() {
        let shown = Outside::new("<a b='c' d=\"e\">&\u{202e}\n").render().into_string();
        assert_eq!(shown, "<bdi>&lt;a b='c' d=&quot;e&quot;&gt;&amp;\\u{202e} </bdi>");
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = Outside::new(&"ä".repeat(1000));
        assert_eq!((shown.plain().chars().count(), shown.plain().ends_with("ä…")), (TEXT + 1, true));
    }
}
