//! Questions to peers and their answers.

pub mod asking;
pub mod protocol;
pub mod requests;
