//! Lookups that a person starts to inspect the DHT.

use std::time::{Duration, Instant};

use super::{
    looks,
    lookups::{DhtAnswer, Want},
};
use crate::{
    Result, clock,
    domain::{
        lookup::{LookupResult, RecordCopy, RoutingTable, Sought, Trace},
        record::{DhtKey, Record},
    },
    net::{Net, swarm::command::Command},
};

/// Copies of a record that a lookup seeks.
const COPIES: usize = 3;

impl Net {
    /// Returns every running lookup and the latest finished ones, newest first.
    pub async fn lookups(&self) -> Result<Vec<Trace>> {
        self.send(|reply| Command::Lookups { reply }).await
    }

    /// Returns the current routing table.
    pub async fn routing(&self) -> Result<RoutingTable> {
        self.send(|reply| Command::Routing { reply }).await
    }

    /// Looks up a key and returns the trace, hop by hop. `what` describes the purpose, if known.
    ///
    /// # Errors
    ///
    /// As for [`find`](Net::find).
    pub async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<LookupResult> {
        let (number, copies, peers) = match sought {
            Sought::Record(key) => {
                let lookup = self
                    .find(DhtKey(key.0), Want::Quorum(COPIES), what, timeout)
                    .await?;
                let copy = |answer: DhtAnswer| RecordCopy {
                    peer: answer.peer,
                    says: says(&answer.record),
                    bytes: answer.record.envelope().len() as u64,
                };
                (
                    lookup.trace,
                    lookup
                        .answers
                        .into_iter()
                        .take(looks::MOST)
                        .map(copy)
                        .collect(),
                    Vec::new(),
                )
            }
            Sought::Providers(_) | Sought::Closest(_) => {
                let deadline = clock::deadline(Instant::now(), timeout);
                let (number, peers) = self
                    .send(|reply| Command::Look {
                        sought,
                        what,
                        deadline,
                        reply,
                    })
                    .await?;
                (number, Vec::new(), peers)
            }
        };
        let trace = self.send(|reply| Command::Trace { number, reply }).await?;
        let gone = || crate::RegistryError::Busy {
            what: "the list of lookups",
            limit: crate::domain::lookup::MAX_PAST,
        };
        Ok(LookupResult {
            trace: trace.ok_or_else(gone)?,
            copies,
            peers,
        })
    }
}

/// Describes a record in one line.
fn says(record: &Record) -> String {
    match record {
        Record::Head(head) => {
            let latest = head.latest();
            let latest = latest
                .map(|entry| format!(", latest {}", entry.version))
                .unwrap_or_default();
            format!(
                "{}, seq {}, {} releases{latest}",
                what_of(record),
                head.seq,
                head.releases.len()
            )
        }
        Record::Manifest(_) | Record::Page(_) => what_of(record),
    }
}

/// Names a record for display.
pub(crate) fn what_of(record: &Record) -> String {
    // A handle is not unique in the network, so the fingerprint is always shown.
    let package = |publisher: crate::domain::name::PublisherId,
                   handle: Option<String>,
                   name: &str| match handle {
        Some(handle) => format!("{handle}/{name} ({})", publisher.fingerprint()),
        None => format!("{}/{name}", publisher.fingerprint()),
    };
    match record {
        Record::Head(head) => {
            let handle = head.handle.as_ref().map(ToString::to_string);
            format!(
                "head of {}",
                package(head.owner(), handle, head.package().name.as_str())
            )
        }
        Record::Manifest(manifest) => {
            format!(
                "manifest of {} {}",
                package(manifest.owner(), None, manifest.package().name.as_str()),
                manifest.version
            )
        }
        Record::Page(page) => {
            format!(
                "older releases of {}",
                package(page.owner(), None, page.package().name.as_str())
            )
        }
    }
}
