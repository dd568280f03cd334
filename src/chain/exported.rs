//! Evidence that leaves the machine: a file with all that is needed to verify the log of a host elsewhere.
//!
//! JSON Lines: a header, a line for each entry, an end. `docs/evidence-bytes.md` describes it.

mod format;

use std::borrow::Cow;
use std::io::{self, BufRead};

use format::{Class, End, Gone, Head, Header, Line, Slot, gone, heads, read_gone, read_heads};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::anchors::Anchors;
use super::chains::Progress;
use super::erased::Erased;
use super::sealed::{End as SealEnd, Proved, Seals};
use super::verdict::Verdict;
use super::verify::Verifier;
use crate::archive::partition::Partition;
use crate::archive::retention::{Retention, RetentionClass, Rules, TypePattern};
use crate::entry::limits::HOST_WIDE;
use crate::entry::{Row, element, payload};
use crate::time::{date_time, parse_milliseconds};

/// What the header says that the file is.
const FORMAT: &str = "prosody-audit-evidence";
/// The version of the format.
const VERSION: u32 = 1;
/// The longest line. An entry has 32 KiB at most, which may grow when it is written as XML in JSON.
const LINE: u64 = 1 << 24;

/// Writes the file, in parts.
///
/// ```
/// use audit_core::archive::retention::Retention;
/// use audit_core::chain::{anchors::Anchors, exported::{Export, verify}};
/// let mut export = Export::begin("example.com", 1_795_521_600.0, [], &Retention::default(), None, None);
/// export.end([], None);
/// let verdict = verify(&mut export.take().as_slice(), Anchors::default(), None, None).unwrap();
/// assert_eq!((verdict.host.as_str(), verdict.verdict.status()), ("example.com", 0));
/// ```
#[derive(Debug)]
pub struct Export {
    text: Vec<u8>,
    digest: Sha256,
    entries: u64,
    partition: Option<Partition>,
}

impl Export {
    /// Begins the file for the log of a host, whose journal says that its chains have got so far. `made` is in UNIX seconds, `seal` what
    /// the seal file has, and `erased` what was erased, if that is known.
    #[must_use]
    pub fn begin(
        host: &str,
        made: f64,
        chains: impl IntoIterator<Item = Progress>,
        retention: &Retention,
        seal: Option<&SealEnd>,
        erased: Option<&Erased>,
    ) -> Self {
        let types = |class: &RetentionClass| class.types.iter().map(ToString::to_string).collect();
        let classes = retention.classes().map(|class| Class { name: class.name.clone(), types: types(class) }).collect();
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            host: host.into(),
            made: date_time(made).unwrap_or_default(),
            chains: heads(chains),
            classes,
            seal: seal.map(Slot::of),
            erased: gone(erased),
        };
        let mut export = Self { text: Vec::new(), digest: Sha256::new(), entries: 0, partition: None };
        export.write(&header);
        export
    }

    /// The rows that follow are those of this partition, or of archive user `nil`.
    pub fn place(&mut self, partition: Option<Partition>) {
        self.partition = partition;
    }

    /// Adds the next entry of the partition.
    pub fn row(&mut self, row: &Row) {
        // Without it, this is an entry that can't be read.
        let xml = if row.element.is_empty() { Some(row.xml.as_str().into()) } else { element::to_xml(&row.element).map(Cow::from) };
        let partition = self.partition.as_ref().map(|partition| partition.to_string().into());
        let with = row.with.as_deref().filter(|with| !with.is_empty()).unwrap_or(HOST_WIDE);
        self.entries = self.entries.saturating_add(1);
        self.write(&Line {
            partition,
            key: Some(row.key.as_str().into()),
            when: Some(row.when),
            with: Some(with.into()),
            xml,
            ..Line::default()
        });
    }

    /// Some rows of the partition can't be read.
    pub fn unreadable(&mut self, count: u64) {
        if count > 0 {
            let partition = self.partition.as_ref().map(|partition| partition.to_string().into());
            self.write(&Line { partition, unreadable: Some(count), ..Line::default() });
        }
    }

    /// Adds an entry that waits in the journal.
    pub fn waiting(&mut self, payload: &[u8]) {
        let xml = payload.get(payload::begin_of(payload)..).and_then(element::to_xml).map(Cow::from);
        let key = payload::attribute_of(payload, "id").unwrap_or_default();
        self.entries = self.entries.saturating_add(1);
        let when = payload::time_of(payload);
        self.write(&Line { key: Some(key.into()), when, xml, waiting: true, ..Line::default() });
    }

    /// Ends the file. The chains may have lost entries to rules meanwhile, and more may have been erased. Returns the number of entries.
    pub fn end(&mut self, chains: impl IntoIterator<Item = Progress>, erased: Option<&Erased>) -> u64 {
        let sha256 = hexadecimal(self.digest.clone());
        self.write(&End { end: true, entries: self.entries, chains: heads(chains), erased: gone(erased), sha256 });
        self.entries
    }

    /// Takes what was written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    fn write(&mut self, line: &impl Serialize) {
        let begin = self.text.len();
        // Writing to memory can't fail, and all keys are texts.
        let _ = serde_json::to_writer(&mut self.text, line);
        self.text.push(b'\n');
        self.digest.update(self.text.get(begin..).unwrap_or_default());
    }
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a file can't be verified. In one line.
#[derive(Debug, Error)]
pub enum ExportedError {
    /// It can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a file of --export-evidence")]
    Other,
    /// A later version has made it.
    #[error("it has version {0} of the format, and this program knows only {VERSION}")]
    Later(u32),
    /// It is of another host.
    #[error("it is the log of {0}")]
    OtherHost(String),
    /// A line is not what it was.
    #[error("line {0} can't be read: it is not what was exported")]
    Line(u64),
    /// The end is missing.
    #[error("it ends before the end of the export: it was cut off")]
    Cut,
    /// It is not what it was.
    #[error("it is not what was exported: its checksum does not fit")]
    Changed,
    /// There is more than there was.
    #[error("it goes on behind the end of the export")]
    Longer,
}

/// What was found in a file.
#[derive(Debug)]
pub struct Verified {
    /// Whose log it is.
    pub host: String,
    /// When the file was made.
    pub made: String,
    /// What was found.
    pub verdict: Verdict,
}

/// Verifies a file in one pass. `host` is whose log it has to be, if that was said. `proved` is what [`seals`] has led to, and the interval
/// in seconds.
///
/// # Errors
///
/// Returns [`ExportedError`] if it is not a whole file of an export.
pub fn verify(
    input: &mut dyn BufRead,
    anchors: Anchors,
    host: Option<&str>,
    proved: Option<(Proved, u64)>,
) -> Result<Verified, ExportedError> {
    let (mut lines, header) = open(input, host)?;
    let (host, made) = (header.host, header.made);
    let chains = read_heads(header.chains).ok_or(ExportedError::Line(1))?;
    let mut verifier = Verifier::new(&host, chains).with_classes(retention(header.classes));
    verifier.compare(anchors);
    if let Some(now) = parse_milliseconds(&made).and_then(|now| u64::try_from(now).ok()) {
        verifier.judge(now);
    }
    if let Some((proved, interval)) = proved {
        verifier.rely_on(proved, interval);
    }
    let erased = |gone: Option<Vec<Gone>>, line: u64| gone.map(|gone| read_gone(gone).ok_or(ExportedError::Line(line))).transpose();
    if let Some(erased) = erased(header.erased, 1)? {
        verifier.know_erased(erased);
    }
    let mut rows = Rows { verifier, place: None };
    let (end, gone) = lines.walk(|line| rows.take(line))?;
    rows.verifier.update(end);
    if let Some(erased) = erased(gone, lines.number)? {
        rows.verifier.know_erased_now(erased);
    }
    Ok(Verified { host, made, verdict: rows.verifier.finish() })
}

/// Reads the seals of a file, in a pass of its own: whose log it is, the seals, and how they end.
///
/// # Errors
///
/// Returns [`ExportedError`] if it is not a whole file of an export.
pub fn seals(input: &mut dyn BufRead, host: Option<&str>) -> Result<(String, Seals, Option<SealEnd>), ExportedError> {
    let (mut lines, header) = open(input, host)?;
    let end = header.seal.map(|slot| slot.end().ok_or(ExportedError::Line(1))).transpose()?;
    let mut seals = Seals::default();
    lines.walk(|line| {
        let row = Row { key: line.key.unwrap_or_default().into_owned(), xml: line.xml.unwrap_or_default().into_owned(), ..Row::default() };
        seals.feed(&row);
        Some(())
    })?;
    Ok((header.host, seals, end))
}

/// A file that was opened, and its header.
struct Opened {
    host: String,
    made: String,
    chains: Vec<Head>,
    classes: Vec<Class>,
    seal: Option<Slot>,
    erased: Option<Vec<Gone>>,
}

fn open<'a>(input: &'a mut dyn BufRead, host: Option<&str>) -> Result<(Lines<'a>, Opened), ExportedError> {
    let mut lines = Lines { input, digest: Sha256::new(), number: 0, line: Vec::new() };
    if !lines.next()? {
        return Err(ExportedError::Other);
    }
    let header: Header<'_> = serde_json::from_slice(&lines.line).map_err(|_| ExportedError::Other)?;
    if header.format != FORMAT {
        return Err(ExportedError::Other);
    } else if header.version > VERSION {
        return Err(ExportedError::Later(header.version));
    } else if host.is_some_and(|host| host != header.host) {
        return Err(ExportedError::OtherHost(header.host.into_owned()));
    }
    let Header { host, made, chains, classes, seal, erased, .. } = header;
    let opened = Opened { host: host.into_owned(), made, chains, classes, seal, erased };
    Ok((lines, opened))
}

/// The classes as the exporting server had them. How long entries are kept is of no interest.
fn retention(classes: Vec<Class>) -> Retention {
    let types = |types: Vec<String>| types.iter().filter_map(|text| TypePattern::new(text)).collect();
    let class = |class: Class| RetentionClass { name: class.name, types: types(class.types), rules: Rules::default() };
    Retention::new(Rules::default(), classes.into_iter().map(class).collect())
}

/// The lines of a file, one at a time.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    digest: Sha256,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Gives the lines up to the last one to `take`. Returns where the chains have got to at the end, and what was erased.
    fn walk(&mut self, mut take: impl FnMut(Line<'_>) -> Option<()>) -> Result<(Vec<Progress>, Option<Vec<Gone>>), ExportedError> {
        let mut entries = 0_u64;
        loop {
            let digest = self.digest.clone();
            if !self.next()? {
                return Err(ExportedError::Cut);
            }
            if let Ok(end) = serde_json::from_slice::<End>(&self.line) {
                if hexadecimal(digest) != end.sha256 || entries != end.entries {
                    return Err(ExportedError::Changed);
                }
                let chains = read_heads(end.chains).ok_or(ExportedError::Line(self.number))?;
                return if self.next()? { Err(ExportedError::Longer) } else { Ok((chains, end.erased)) };
            }
            let line: Line<'_> = serde_json::from_slice(&self.line).map_err(|_| ExportedError::Line(self.number))?;
            if line.unreadable.is_none() {
                entries = entries.saturating_add(1);
            }
            take(line).ok_or(ExportedError::Line(self.number))?;
        }
    }

    /// Reads the next line. Returns whether there is one.
    fn next(&mut self) -> Result<bool, ExportedError> {
        self.line.clear();
        self.number = self.number.saturating_add(1);
        let read = io::Read::take(&mut *self.input, LINE).read_until(b'\n', &mut self.line)?;
        self.digest.update(&self.line);
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if self.number == 1 => Err(ExportedError::Other),
            Some(_) if u64::try_from(read).unwrap_or(LINE) == LINE => Err(ExportedError::Line(self.number)),
            Some(_) => Err(ExportedError::Cut),
        }
    }
}

/// Gives the entries of a file to a verifier.
struct Rows {
    verifier: Verifier,
    /// The archive user of the last row.
    place: Option<Option<String>>,
}

impl Rows {
    fn take(&mut self, line: Line<'_>) -> Option<()> {
        let Line { partition, key, when, with, xml, waiting, unreadable } = line;
        if !waiting {
            self.begin(partition)?;
        }
        if let Some(count) = unreadable {
            self.verifier.damaged(count);
            return Some(());
        }
        // What is no XML can't be read, here as there.
        let (key, xml) = (key?.into_owned(), xml.map_or_else(|| "<".to_owned(), Cow::into_owned));
        if !waiting {
            let with = with.map(Cow::into_owned);
            self.verifier.feed(&Row { key, when: when?, with, xml, ..Row::default() });
            return Some(());
        }
        let mut payload = Vec::new();
        payload::begin(&mut payload, when.unwrap_or_default());
        payload.extend(element::of_xml(&xml).unwrap_or_else(|| vec![1]));
        self.verifier.feed_waiting(&payload);
        Some(())
    }

    fn begin(&mut self, place: Option<Cow<'_, str>>) -> Option<()> {
        if self.place.as_ref().is_none_or(|before| before.as_deref() != place.as_deref()) {
            let partition = place.as_deref().map(str::parse).transpose().ok()?;
            self.verifier.begin(partition);
            self.place = Some(place.map(Cow::into_owned));
        }
        Some(())
    }
}
