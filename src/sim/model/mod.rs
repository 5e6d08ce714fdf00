//! What libp2p does and cannot do on virtual time: models of its protocols, with the figures that a
//! node configures.

pub mod gossip;
pub mod kad;
