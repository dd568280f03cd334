//! Which parts of an entry hold an address. When addresses expire before their entries, these parts are narrowed or removed.

/// Elements whose text is an address or a network.
pub const ADDRESS_ELEMENTS: &[&str] = &["remote-ip"];

/// Elements whose text stands for an address. With the key, the address can be found.
pub const HASH_ELEMENTS: &[&str] = &["ip-hash"];

/// Attributes of any element that hold an address or a network.
pub const ADDRESS_ATTRIBUTES: &[&str] = &["address", "ip", "network", "remote-ip"];

/// Attributes of the element [`TEXT_ELEMENT`] that may have addresses among other text.
pub const TEXT_ATTRIBUTES: &[&str] = &["filter", "file"];

/// The element that says what a reading asked for.
pub const TEXT_ELEMENT: &str = "query";
