//! A long text, which Lua takes piece by piece.
//!
//! Prosody's garbage collector works in proportion to what Lua is given: a page of 100 KiB, with its copies on the way to the network, makes
//! it look at the whole heap several times in one turn of the loop. The text stays here, and each turn takes as much as it can send.

use mlua::prelude::*;

/// The text, and how much of it was taken.
pub(crate) struct LuaText {
    text: String,
    taken: usize,
}

impl LuaText {
    pub(crate) const fn new(text: String) -> Self {
        Self { text, taken: 0 }
    }

    fn left(&self) -> &[u8] {
        self.text.as_bytes().get(self.taken..).unwrap_or_default()
    }

    /// The next bytes, at most as many as `most`. A character may lie in two pieces.
    fn next(&mut self, most: usize) -> Option<&[u8]> {
        let begin = self.taken;
        self.taken = begin.saturating_add(most.max(1)).min(self.text.len());
        self.text.as_bytes().get(begin..self.taken).filter(|piece| !piece.is_empty())
    }
}

impl LuaUserData for LuaText {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // #text -> how many bytes were not taken yet
        methods.add_meta_method(LuaMetaMethod::Len, |_, this, ()| Ok(this.left().len()));
        // next(most) -> the next bytes | nil at the end
        methods.add_method_mut("next", |lua, this, most: usize| this.next(most).map(|piece| lua.create_string(piece)).transpose());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_text_are_the_text() {
        for (text, most, pieces) in [("", 4, 0), ("abc", 4, 1), ("abcd", 4, 1), ("abcde", 4, 2), ("äöü", 1, 6), ("abc", 0, 3)] {
            let mut whole = LuaText::new(text.to_owned());
            let mut taken = Vec::new();
            let mut count = 0;
            while let Some(piece) = whole.next(most) {
                assert!(piece.len() <= most.max(1));
                taken.extend_from_slice(piece);
                count += 1;
                assert_eq!(whole.left().len(), text.len() - taken.len());
            }
            assert_eq!((taken.as_slice(), count), (text.as_bytes(), pieces));
        }
    }
}
