//! Tamper evidence: the entries of a class are linked, so that nobody can change, remove, insert or move one without being noticed.
//!
//! Each entry carries `<chain/>`: a hash of what it says and of the entry before it. Values that tell of a person are hashed apart,
//! each group with a random number, so that they can be removed later while the chain still verifies.
//!
//! Nothing writes links yet. This is what they will be made and verified with.

pub mod anchors;
pub mod chains;
pub mod hash;
pub mod head;
pub mod link;
pub mod seal;
pub mod seal_file;
pub mod verdict;
pub mod verify;

#[cfg(test)]
mod tests;
