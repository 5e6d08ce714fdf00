//! A private swarm of real nodes in one process: what they publish, who they are and where they live.

pub mod catalogue;
pub mod city;
pub mod plan;
