//! An event as flood control sees it.

/// An event, as far as it matters whether it is one of many. Any bytes may stand in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The account that it concerns.
    pub account: Account<'a>,
    /// The peer's address.
    pub address: Option<&'a [u8]>,
    /// Why it failed.
    pub condition: Option<&'a [u8]>,
    /// Who did it, where that may be another one than the account: a JID, or another server's domain.
    pub actor: Option<&'a [u8]>,
    /// As how many events it counts, see [`weight`]; 0 is 1.
    pub weight: u32,
}

/// An account, as far as an event names it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Account<'a> {
    /// Not at all.
    #[default]
    Unknown,
    /// By its JID.
    Jid(&'a [u8]),
    /// By its name on the event's host: the JID need not be put together then, which costs more than all the rest.
    Name(&'a [u8]),
}

/// How many events one event counts as, by the bytes of text in it: one more for each kilobyte.
#[must_use]
pub fn weight(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1)
}
