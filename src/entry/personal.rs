//! Which parts of an entry hold an address, or identify a person.

/// Elements whose text is an address or a network.
pub const ADDRESS_ELEMENTS: &[&str] = &["remote-ip"];

/// Elements whose text stands for an address, and lets who has the key find it: they go when addresses go.
pub const HASH_ELEMENTS: &[&str] = &["ip-hash"];

/// Attributes that hold an address or a network, in any element.
pub const ADDRESS_ATTRIBUTES: &[&str] = &["address", "ip", "network", "remote-ip"];

/// Attributes that may have addresses among other text, with the element that has them: what a reading was asked for.
pub const ADDRESS_TEXTS: &[(&str, &str)] = &[("query", "filter"), ("query", "file")];
