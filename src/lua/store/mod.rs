//! The archive stores: how long one is waited for, and the files of the embedded driver.

pub(crate) mod embedded;
pub(crate) mod patience;
