//! The objects of a run that all nodes refer to by number: peers, messages, and signed values.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, identity::Keypair, multiaddr::Protocol};

use crate::{
    domain::{
        geo::GeoLocation,
        hash::Hash,
        lookup::position,
        manifest::{Draft, File},
        name::{PackageId, PublisherId},
        prefix::Prefix,
        record::{
            Announcement, Authorised, DEFAULT_LIFE, DhtKey, HeadMark, HeadState, Record, Refusal,
        },
        release::ReleaseEntry,
        time::Timestamp,
    },
    ecosystem::Ecosystem,
    net::DEFAULT_PORT,
    sim::{Id, dice::Dice, script::NodeRole},
};

/// Hostile nodes in one public prefix.
const OF_A_PREFIX: usize = 8;
/// Signatures of an announcement: head, manifest, notice, and that of the message itself.
pub const SIGNED: u64 = 4;

/// One peer, as all nodes see it.
pub struct Member {
    pub peer: PeerId,
    pub role: NodeRole,
    pub ip: IpAddr,
    pub address: Multiaddr,
    pub home: GeoLocation,
}

/// A gossiped message. Its signatures were verified once, and are counted for each node that
/// receives it.
pub struct SharedMessage {
    pub author: Id,
    pub bytes: usize,
    pub claimed: Option<PublisherId>,
    /// The result of [`Announcement::verify`] for its bytes.
    pub verdict: Result<News, Refusal>,
}

/// The contents of an announcement.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub package: u32,
    pub mark: HeadMark,
    pub at: Timestamp,
    /// The signed head and its manifest.
    pub head: Value,
    pub manifest: Value,
}

/// A signed value's number. The next number is the same value with one byte changed.
pub type Value = u32;

/// A record as bytes, and the result of [`Record::verify`] for them.
pub struct SharedRecord {
    pub key: u32,
    pub bytes: Vec<u8>,
    pub verdict: Result<Record, Refusal>,
}

/// A package and its publisher's key.
struct SharedPackage {
    owner: Keypair,
    versions: Vec<ReleaseEntry>,
    head: Option<HeadMark>,
    last: Option<(Bytes, News)>,
    /// Number of altered copies made of it.
    forged: usize,
}

/// All shared objects. Numbers are assigned in the order of events, so that a seed always gives the
/// same ones.
pub struct SharedObjects {
    pub members: Vec<Member>,
    pub positions: Vec<u64>,
    /// The public prefix of each peer.
    pub prefixes: Vec<Option<Prefix>>,
    /// The other nodes of that prefix.
    beside: Vec<Vec<Id>>,
    pub messages: Vec<SharedMessage>,
    pub values: Vec<SharedRecord>,
    pub keys: Vec<(DhtKey, u64)>,
    by_bytes: HashMap<Hash, Value>,
    packages: Vec<SharedPackage>,
    /// Number of signatures made.
    pub signed: u64,
    /// The start of the monotonic clock.
    pub base: Instant,
}

/// Returns the first 64 bits of a position in the key space.
fn place(hash: &Hash) -> u64 {
    hash.0
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// Returns a random id without a key: nodes sign nothing in a simulation, only publishers do. Its
/// last bytes are the node's number, which saves looking it up.
fn peer_id(number: Id, dice: &mut Dice) -> Option<PeerId> {
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    (0..4).for_each(|_| bytes.extend(dice.draw().to_be_bytes()));
    bytes.truncate(bytes.len() - size_of::<Id>());
    bytes.extend(number.to_be_bytes());
    PeerId::from_bytes(&bytes).ok()
}

/// Returns the address of a node: honest ones have a public prefix each, and eight hostile ones
/// share one.
fn ip_of(number: usize, hostile_before: Option<usize>) -> IpAddr {
    let (a, network, host) = match hostile_before {
        None => (23, number, 7),
        Some(before) => (45, before / OF_A_PREFIX, 1 + before % OF_A_PREFIX),
    };
    Ipv4Addr::new(a, (network / 250) as u8, (network % 250) as u8, host as u8).into()
}

/// Returns for each node the others of its prefix.
fn beside(prefixes: &[Option<Prefix>]) -> Vec<Vec<Id>> {
    let mut of: HashMap<Prefix, Vec<Id>> = HashMap::new();
    for (id, prefix) in (0..).zip(prefixes) {
        if let Some(prefix) = prefix {
            of.entry(*prefix).or_default().push(id);
        }
    }
    let others = |(id, prefix): (Id, &Option<Prefix>)| {
        let all = prefix.and_then(|prefix| of.get(&prefix));
        let all = all.into_iter().flatten().copied();
        all.filter(|other| *other != id).collect()
    };
    (0..).zip(prefixes).map(others).collect()
}

/// Returns a random location where most land is.
fn home(dice: &mut Dice) -> GeoLocation {
    GeoLocation {
        latitude: dice.share().mul_add(100.0, -40.0),
        longitude: dice.share().mul_add(360.0, -180.0),
        place: None,
    }
}

impl SharedObjects {
    pub fn new(roles: &[NodeRole], seed: u64) -> Self {
        let mut dice = Dice::of(seed, "members", 0);
        let mut members = Vec::with_capacity(roles.len());
        let mut hostile = 0;
        for (number, role) in roles.iter().enumerate() {
            let before = (*role != NodeRole::Honest).then_some(hostile);
            hostile += usize::from(before.is_some());
            let ip = ip_of(number, before);
            members.extend(peer_id(number as Id, &mut dice).map(|peer| Member {
                peer,
                role: *role,
                ip,
                address: Multiaddr::from(ip).with(Protocol::Tcp(DEFAULT_PORT)),
                home: home(&mut dice),
            }));
        }
        let prefixes: Vec<Option<Prefix>> =
            members.iter().map(|member| Prefix::of(member.ip)).collect();
        Self {
            beside: beside(&prefixes),
            prefixes,
            positions: members
                .iter()
                .map(|member| place(&position(&member.peer)))
                .collect(),
            members,
            messages: Vec::new(),
            values: Vec::new(),
            keys: Vec::new(),
            by_bytes: HashMap::new(),
            packages: Vec::new(),
            signed: 0,
            base: Instant::now(),
        }
    }

    pub fn id(&self, peer: &PeerId) -> Option<Id> {
        let number = peer.as_ref().digest().last_chunk();
        number.map(|number| Id::from_be_bytes(*number))
    }

    /// Returns the other nodes of a peer's prefix.
    pub fn beside(&self, id: Id) -> &[Id] {
        self.beside.get(id as usize).map_or(&[], Vec::as_slice)
    }

    pub fn peer(&self, id: Id) -> Option<PeerId> {
        self.members.get(id as usize).map(|member| member.peer)
    }

    pub fn prefix(&self, id: Id) -> Option<Prefix> {
        self.prefixes.get(id as usize).copied().flatten()
    }

    pub fn position(&self, id: Id) -> u64 {
        self.positions.get(id as usize).copied().unwrap_or_default()
    }

    /// Returns the time for bytes from one node to another.
    pub fn one_way(&self, a: Id, b: Id) -> Duration {
        let home = |id: Id| self.members.get(id as usize).map(|member| &member.home);
        match (home(a), home(b)) {
            (Some(a), Some(b)) => a.one_way(b),
            _ => Duration::ZERO,
        }
    }

    pub fn message(&self, number: u32) -> Option<&SharedMessage> {
        self.messages.get(number as usize)
    }

    pub fn value(&self, number: Value) -> Option<&SharedRecord> {
        self.values.get(number as usize)
    }

    /// Returns the number of a known value.
    pub fn value_of(&self, bytes: &[u8]) -> Option<Value> {
        self.by_bytes.get(&Hash::of(bytes)).copied()
    }

    /// Creates a package; its publisher's key depends on its number and the seed.
    pub fn package(&mut self, seed: u64) -> Result<u32, Refusal> {
        let number = self.packages.len();
        let mut bytes = [0; 32];
        let mut dice = Dice::of(seed, "publisher", number as u64);
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&dice.draw().to_le_bytes());
        }
        let owner = Keypair::ed25519_from_bytes(bytes).map_err(|_| Refusal::BadField)?;
        self.packages.push(SharedPackage {
            owner,
            versions: Vec::new(),
            head: None,
            last: None,
            forged: 0,
        });
        Ok(number as u32)
    }

    pub fn owner(&self, package: u32) -> Option<PublisherId> {
        let package = self.packages.get(package as usize)?;
        Some(PublisherId::of(&package.owner.public()))
    }

    pub fn package_id(&self, package: u32) -> Option<PackageId> {
        let news = self.last(package)?;
        match self.value(news.head)?.verdict.as_ref() {
            Ok(Record::Head(head)) => Some(head.package().clone()),
            _ => None,
        }
    }

    /// Returns the last announcement of a package.
    pub fn last(&self, package: u32) -> Option<News> {
        let package = self.packages.get(package as usize)?;
        package.last.as_ref().map(|(_, news)| *news)
    }

    /// Signs the next release of a package, and an announcement of it by `author`.
    pub fn release(&mut self, package: u32, author: Id, now: Timestamp) -> Result<u32, Refusal> {
        let number = package;
        let package = self
            .packages
            .get_mut(package as usize)
            .ok_or(Refusal::BadField)?;
        let owner = PublisherId::of(&package.owner.public());
        let version = format!("1.{}.0", package.versions.len());
        let manifest = draft(&format!("package-{number}"), &version)?
            .into_manifest(
                owner,
                File::of(&Ecosystem::Generic, "file", version.as_bytes()),
                now,
            )
            .map_err(|_| Refusal::BadField)?;
        let manifest = Authorised::sign(&package.owner, manifest)?;
        let entry = ReleaseEntry::new(manifest.version.clone(), manifest.hash());
        package.versions.push(entry);
        let state = HeadState {
            seq: package.head.map_or(1, |head| head.seq + 1),
            prev: package.head.iter().map(|head| head.hash).collect(),
            ..HeadState::first(
                Ecosystem::Generic,
                manifest.name.clone(),
                package.versions.clone(),
            )
        };
        let (head, _) = state.sign(&package.owner, now, DEFAULT_LIFE)?;
        let mark = HeadMark::of(&head);
        package.head = Some(mark);
        let announcement = Announcement::sign(&package.owner, now, head.clone(), manifest.clone())?;
        let data = announcement.encode()?;
        self.signed += SIGNED;
        let head = self.keep(Record::Head(head));
        let manifest = self.keep(Record::Manifest(manifest));
        let news = News {
            package: number,
            mark,
            at: now,
            head,
            manifest,
        };
        if let Some(package) = self.packages.get_mut(number as usize) {
            package.last = Some((data.clone(), news));
        }
        Ok(self.say(author, data, news, now))
    }

    /// Creates a message of these bytes. Its verdict comes from the real rule, whoever made it.
    fn say(&mut self, author: Id, data: Bytes, news: News, now: Timestamp) -> u32 {
        self.messages.push(SharedMessage {
            author,
            bytes: data.len(),
            claimed: Announcement::claimed_publisher(&data),
            verdict: Announcement::verify(&data, now).map(|_| news),
        });
        self.messages.len() as u32 - 1
    }

    /// Adds a peer that is not part of the run and can only have signed something.
    #[cfg(test)]
    pub fn stranger(&mut self) -> Option<Id> {
        let number = self.members.len() as Id;
        let mut dice = Dice::of(u64::from(number), "stranger", 0);
        let (ip, peer) = (ip_of(number as usize, None), peer_id(number, &mut dice)?);
        self.members.push(Member {
            peer,
            role: NodeRole::Honest,
            ip,
            address: Multiaddr::from(ip).with(Protocol::Tcp(DEFAULT_PORT)),
            home: home(&mut dice),
        });
        Some(number)
    }

    /// Copies a message for another author and package: a cheap piece of news.
    #[cfg(test)]
    pub fn copy(&mut self, of: u32, author: Id, package: u32) -> Option<u32> {
        let of = self.message(of)?;
        let verdict = of.verdict.map(|news| News { package, ..news });
        let copy = SharedMessage {
            author,
            bytes: of.bytes,
            claimed: None,
            verdict,
        };
        self.messages.push(copy);
        Some(self.messages.len() as u32 - 1)
    }

    /// Creates the last announcement of a package with one byte changed, a different one each time.
    pub fn forge(&mut self, author: Id, package: u32, now: Timestamp) -> Option<u32> {
        let package = self.packages.get_mut(package as usize)?;
        let (data, news) = package.last.clone()?;
        package.forged += 1;
        let mut data = data.to_vec();
        let place = data.len().checked_sub(package.forged)?;
        *data.get_mut(place)? ^= 1;
        Some(self.say(author, data.into(), news, now))
    }

    /// Adds a record and its damaged copy.
    fn keep(&mut self, record: Record) -> Value {
        let (key, bytes) = (record.key(), record.envelope().to_vec());
        let number = self.number_of(key);
        let value = self.values.len() as Value;
        let mut damaged = bytes.clone();
        damaged.last_mut().into_iter().for_each(|last| *last ^= 1);
        for bytes in [bytes, damaged] {
            let value = self.values.len() as Value;
            self.by_bytes.insert(Hash::of(&bytes), value);
            self.values.push(SharedRecord {
                key: number,
                verdict: Record::verify(&key, &bytes),
                bytes,
            });
        }
        value
    }

    fn number_of(&mut self, key: DhtKey) -> u32 {
        let known = self.keys.iter().rposition(|(known, _)| *known == key);
        known.unwrap_or_else(|| {
            self.keys.push((key, place(&Hash::of(&key.0))));
            self.keys.len() - 1
        }) as u32
    }
}

fn draft(name: &str, version: &str) -> Result<Draft, Refusal> {
    Ok(Draft {
        handle: None,
        name: name.parse().map_err(|_| Refusal::BadField)?,
        version: version.parse().map_err(|_| Refusal::BadField)?,
        title: None,
        description: format!("The package {name}."),
        categories: Vec::new(),
        tags: Vec::new(),
        license: None,
        authors: Vec::new(),
        repository: None,
        homepage: None,
        dependencies: Vec::new(),
        ecosystem: Ecosystem::Generic,
    })
}
