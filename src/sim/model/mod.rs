//! Models of libp2p's protocols for virtual time, which libp2p itself cannot run on, with the
//! values that a node configures.

pub mod gossip;
pub mod kad;
