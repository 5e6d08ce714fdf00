//! Connections: listening, admission, and detecting dead ones.

pub mod admission;
pub mod dial_back;
pub mod failure;
pub mod gate;
pub mod limited;
pub mod listen;
pub mod silence;
pub mod transport;
