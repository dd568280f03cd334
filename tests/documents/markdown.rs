//! As much of Markdown as the documents use.

use std::collections::HashSet;

/// A document in its parts.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
    /// Lines that are no code. A line of code is an empty one, so that paragraphs stay apart.
    prose: Vec<String>,
}

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// What stands behind the fence: empty for plain and indented code.
    pub(crate) language: String,
    pub(crate) text: String,
    /// The number of its first line.
    pub(crate) line: usize,
}

impl Document {
    pub(crate) fn new(text: &str) -> Self {
        let (mut blocks, mut prose) = (Vec::new(), Vec::new());
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let is_apart = prose.last().is_none_or(String::is_empty);
            if let Some(language) = line.strip_prefix("```") {
                let code: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
                blocks.push(Block { language: language.to_owned(), text: code.join("\n"), line: index + 2 });
                prose.push(String::new());
            } else if line.starts_with("    ") && is_apart {
                let mut code = vec![line];
                while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("    ")) {
                    code.push(line);
                }
                blocks.push(Block { language: String::new(), text: code.join("\n"), line: index + 1 });
                prose.push(String::new());
            } else {
                prose.push(line.to_owned());
            }
        }
        Self { text: text.to_owned(), blocks, prose }
    }

    /// Blocks of code in no language: commands and what they print, trees of folders.
    pub(crate) fn plain_blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.language.is_empty())
    }

    /// What stands in backticks in the text. It may go on in the next line of a paragraph.
    pub(crate) fn spans(&self) -> Vec<String> {
        let prose = self.prose.join("\n");
        let paragraphs = prose.split("\n\n").flat_map(|paragraph| {
            // A row of a table is a paragraph of its own.
            if paragraph.starts_with('|') { paragraph.lines().collect() } else { vec![paragraph] }
        });
        paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2)).map(|span| span.replace('\n', " ")).collect()
    }

    /// The targets of all links.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose.join("\n");
        prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
    }

    /// What `#` can lead to.
    pub(crate) fn anchors(&self) -> HashSet<String> {
        let headings = self.prose.iter().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
        let mut anchors = HashSet::new();
        for heading in headings {
            let slug = slug(heading);
            let numbered = (1..).map(|number| format!("{slug}-{number}"));
            let anchor = std::iter::once(slug.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
            anchors.insert(anchor.unwrap());
        }
        anchors
    }
}

/// The anchor of a heading, as GitHub makes it.
fn slug(heading: &str) -> String {
    heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The words of a command line, as a shell tells them apart. A comment ends it. Returns `None` if a quote is left open.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            '#' if !is_quoted && word.is_none() => break,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

#[test]
fn a_document_is_taken_apart() {
    let document = Document::new(
        "# A `b` c\n\ntext [x](y.md#z), `two\nlines`\n\n    indented `no`\n\n```lua\ncode(`no`)\n```\n| `row` |\n\n- item\n    goes on\n\n## A b c!\n",
    );
    assert_eq!(document.spans(), ["b", "two lines", "row"]);
    assert_eq!(document.links(), ["y.md#z"]);
    let blocks: Vec<_> = document.blocks.iter().map(|block| (block.language.as_str(), block.text.as_str(), block.line)).collect();
    assert_eq!(blocks, [("", "    indented `no`", 6), ("lua", "code(`no`)", 9)]);
    assert_eq!(document.anchors(), HashSet::from(["a-b-c".to_owned(), "a-b-c-1".to_owned()]));
    assert_eq!(words("a 'b c' --d='e'  # f 'g").unwrap(), ["a", "b c", "--d=e"]);
    assert_eq!(words("a 'b"), None);
}
