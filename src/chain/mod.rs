//! Tamper evidence: the entries of a class are linked, so that nobody can change, remove, insert or move one without being noticed.
//!
//! Each entry carries `<chain/>`: a hash of what it says and of the entry before it. Values that tell of a person are hashed apart,
//! each group with a random number, so that they can be removed later while the chain still verifies.
//!
//! At intervals the heads of all chains are sealed with a key that is destroyed right after that ([`seal`]). An operator who has the
//! first key can verify that nobody has made the chains anew.

pub mod anchors;
pub mod catch_up;
pub mod chains;
pub mod erased;
mod erasures;
pub mod exported;
pub mod hash;
pub mod head;
pub mod heads;
pub mod link;
mod opened;
mod ranges;
mod reliance;
pub mod rules;
pub mod seal;
pub mod seal_file;
pub mod sealed;
pub mod sealing;
mod seen;
pub mod verdict;
pub mod verify;

#[cfg(test)]
mod tests;
