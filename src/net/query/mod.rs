//! Requests to peers and their answers.

pub mod answering;
pub mod asking;
pub mod greeting;
pub mod protocol;
pub mod requests;
