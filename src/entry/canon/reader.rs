//! Reading the parts of an entry from its XML.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use super::writer::Writer;
use crate::entry::xml::Visitor;

impl<'a> Visitor<'a> for Writer<'a> {
    fn open(&mut self, start: BytesStart<'a>) -> Result<(), String> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|e| e.to_string());
        self.begin(Cow::Owned(text(start.name().into_inner())?));
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?.into_owned();
            self.attribute(Cow::Owned(text(attribute.key.into_inner())?), Cow::Owned(value));
        }
        Ok(())
    }

    fn text(&mut self, text: Cow<'a, str>) {
        self.add_text(&text);
    }

    fn close(&mut self) {
        self.end();
    }
}
