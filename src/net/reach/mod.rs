//! Connections: where this node listens, who may connect, and when a connection is dead.

pub mod dial_back;
pub mod door;
pub mod failure;
pub mod gate;
pub mod limited;
pub mod listen;
pub mod silence;
pub mod transport;
