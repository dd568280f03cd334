//! The part of an event that flood control needs.

/// The part of an event that flood control needs. The values may be any bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FloodEvent<'a> {
    /// The account that the event is about.
    pub account: Account<'a>,
    /// The peer's address.
    pub address: Option<&'a [u8]>,
    /// Why the attempt failed.
    pub condition: Option<&'a [u8]>,
    /// Who did it, if that can be someone other than `account`: a JID, or the domain of another server.
    pub actor: Option<&'a [u8]>,
    /// How many events it counts as, see [`weight`]. 0 counts as 1.
    pub weight: u32,
}

/// How an event names its account.
#[derive(Clone, Copy, Debug, Default)]
pub enum Account<'a> {
    /// The event names no account.
    #[default]
    Unknown,
    /// By its JID.
    Jid(&'a [u8]),
    /// By its name on the event's host. The caller does not need to build the JID, which would cost more than counting.
    Name(&'a [u8]),
}

/// How many events an event counts as, from the number of bytes of text in it: one, and one more for each KiB.
#[must_use]
pub fn weight(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1)
}
