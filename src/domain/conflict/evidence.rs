//! Evidence that is handed on: one file, from which anybody can see for themselves that a conflict is one. Nothing in it is
//! the exporter's word, so nobody has to trust the exporter. `docs/evidence.md` is what is in it.

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{ConflictId, MAX_SIDES};
use crate::domain::{
    hash::{ContentRoot, Hash},
    manifest::Manifest,
    name::{Handle, PackageName, PublisherId},
    record::{Authorised, Head, Owned, Page, Refusal},
    time::Timestamp,
    version::VersionText,
};

/// Most bytes of a file of evidence: eight heads of 14 KiB and two manifests of 8 KiB in base64, with room to spare.
pub const MAX_EVIDENCE: usize = 256 * 1024;
/// What the file says it is.
const FORMAT: &str = "swarmdex-evidence";
/// Version of the format that this program writes and reads.
const VERSION: u32 = 1;
/// One for each of two hashes.
const MAX_MANIFESTS: usize = 2;

/// Signed bytes, in base64 where they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope(pub Vec<u8>);

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // One spelling only: neither white space nor bits that mean nothing.
        BASE64.decode(text.as_bytes()).map(Self).map_err(|_| D::Error::custom("not base64"))
    }
}

/// A record in which a publisher says something, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Statement {
    Head(Envelope),
    /// Older releases of a package.
    Page(Envelope),
}

/// What is to be seen from the statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Proven {
    /// One key signed two manifests of one version.
    Version { publisher: PublisherId, package: PackageName, version: VersionText },
    /// One key signed two states of one number.
    Fork { publisher: PublisherId, package: PackageName, seq: u64 },
    /// Several keys claim one handle, which is no misdeed.
    Handle { handle: Handle },
}

/// A file of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    version: u32,
    /// Names the case on every node; binds what is claimed to the statements.
    id: ConflictId,
    claim: Proven,
    statements: Vec<Statement>,
    /// Those that the statements name, as far as the exporter had them.
    manifests: Vec<Envelope>,
}

/// Why a file is no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it has {0} bytes, and evidence has {MAX_EVIDENCE} at most")]
    TooLarge(usize),
    #[error("it is no file of evidence, or a damaged one: {0}")]
    Damaged(String),
    #[error("it is of format version {0}, and this program reads version {VERSION}; use a newer one")]
    UnknownVersion(u32),
    #[error("it has {found} statements, and {wanted} are needed")]
    Statements { found: usize, wanted: &'static str },
    #[error("statement {number} does not verify: {refusal}")]
    Refused { number: usize, refusal: Refusal },
    #[error("statement {number} is signed by another key: {by}, and not {claimed}")]
    OtherKey { number: usize, by: Box<PublisherId>, claimed: Box<PublisherId> },
    #[error("statement {number} is about another package: {found}, and not {claimed}")]
    OtherPackage { number: usize, found: PackageName, claimed: PackageName },
    #[error("statement {number} does not list version {version}")]
    OtherVersion { number: usize, version: VersionText },
    #[error("both statements name the same manifest for version {version}: {hash}")]
    SameHash { version: VersionText, hash: Hash },
    #[error("both statements are the same state: {0}")]
    SameHead(Hash),
    #[error("statement {number} is state {found} of the package, and not {claimed}")]
    OtherSeq { number: usize, found: u64, claimed: u64 },
    #[error("statement {number} is a page of older releases, which has neither number nor handle")]
    NoHead { number: usize },
    #[error("statement {number} does not claim the handle {claimed}")]
    OtherHandle { number: usize, claimed: Handle },
    #[error("two statements are of the same key: {0}")]
    SameKey(PublisherId),
    #[error("manifest {number} does not verify: {refusal}")]
    BadManifest { number: usize, refusal: Refusal },
    #[error("manifest {number} is none that the statements name for this version")]
    StrangeManifest { number: usize },
    #[error("its id is not that of what it shows: {said}, and not {is}")]
    OtherId { said: ConflictId, is: ConflictId },
}

/// One statement, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stated {
    pub publisher: PublisherId,
    pub fingerprint: String,
    pub package: PackageName,
    /// Of the record itself.
    pub record: Hash,
    /// Of the manifest that it names for the version in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Hash>,
    /// `None` for a page of older releases.
    pub seq: Option<u64>,
    /// By the signer's own word; `None` for a page, which bears no time.
    pub signed_at: Option<Timestamp>,
}

/// A manifest that a statement names, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvenManifest {
    pub hash: Hash,
    pub content: ContentRoot,
    pub size: u64,
}

/// What evidence proves to whoever verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    pub id: ConflictId,
    pub proven: Proven,
    /// In the order of the file: what the exporter held comes first. That order proves nothing.
    pub statements: Vec<Stated>,
    pub manifests: Vec<ProvenManifest>,
}

impl Evidence {
    pub fn of(
        id: ConflictId,
        claim: Proven,
        statements: Vec<Statement>,
        manifests: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let manifests = manifests.into_iter().map(Envelope).collect();
        Self { format: FORMAT.to_owned(), version: VERSION, id, claim, statements, manifests }
    }

    pub fn id(&self) -> ConflictId {
        self.id
    }

    /// The file.
    pub fn to_text(&self) -> String {
        // Strings and numbers only: nothing of it can fail to be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a file from anywhere.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Any {
            format: String,
            version: u32,
        }
        if bytes.len() > MAX_EVIDENCE {
            return Err(Flaw::TooLarge(bytes.len()));
        }
        let damaged = |error: serde_json::Error| Flaw::Damaged(super::super::text::printable(&error.to_string()));
        let any: Any = serde_json::from_slice(bytes).map_err(damaged)?;
        if any.format != FORMAT {
            return Err(Flaw::Damaged("it does not say that it is one".to_owned()));
        }
        if any.version != VERSION {
            return Err(Flaw::UnknownVersion(any.version));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Sees for itself: what the file proves, or the first thing in it that does not hold.
    pub fn verify(&self) -> Result<Proof, Flaw> {
        let count = self.statements.len();
        let (most, wanted) = match self.claim {
            Proven::Handle { .. } => (MAX_SIDES, "two to eight"),
            _ => (2, "two"),
        };
        if count < 2 || count > most {
            return Err(Flaw::Statements { found: count, wanted });
        }
        let mut seen = Vec::with_capacity(count);
        for (number, statement) in (1..).zip(&self.statements) {
            seen.push(Seen::verify(number, statement)?);
        }
        let is = match &self.claim {
            Proven::Version { publisher, package, version } => same_version(&mut seen, *publisher, package, version)?,
            Proven::Fork { publisher, package, seq } => same_seq(&seen, *publisher, package, *seq)?,
            Proven::Handle { handle } => same_handle(&seen, handle)?,
        };
        if is != self.id {
            return Err(Flaw::OtherId { said: self.id, is });
        }
        let statements: Vec<Stated> = seen.into_iter().map(|seen| seen.stated).collect();
        let manifests = self.manifests(&statements)?;
        Ok(Proof { id: self.id, proven: self.claim.clone(), statements, manifests })
    }

    fn manifests(&self, statements: &[Stated]) -> Result<Vec<ProvenManifest>, Flaw> {
        let mut proven: Vec<ProvenManifest> = Vec::new();
        for (number, Envelope(bytes)) in (1..).zip(&self.manifests) {
            if number > MAX_MANIFESTS {
                return Err(Flaw::StrangeManifest { number });
            }
            let manifest =
                Authorised::<Manifest>::verify(bytes).map_err(|refusal| Flaw::BadManifest { number, refusal })?;
            let Proven::Version { package, version, .. } = &self.claim else {
                return Err(Flaw::StrangeManifest { number });
            };
            let hash = manifest.hash();
            // The hash is over the signer too, so a named manifest is the publisher's.
            let named = statements.iter().any(|stated| stated.manifest == Some(hash));
            let once = proven.iter().all(|known| known.hash != hash);
            if !named
                || !once
                || manifest.package().name != *package
                || manifest.version.key(package.ecosystem()) != version.key(package.ecosystem())
            {
                return Err(Flaw::StrangeManifest { number });
            }
            proven.push(ProvenManifest { hash, content: manifest.content, size: manifest.size });
        }
        Ok(proven)
    }
}

/// A statement whose signature holds.
struct Seen {
    number: usize,
    stated: Stated,
    handle: Option<Handle>,
    releases: Vec<crate::domain::release::ReleaseEntry>,
}

impl Seen {
    fn verify(number: usize, statement: &Statement) -> Result<Self, Flaw> {
        fn authorised<T: Owned>(number: usize, Envelope(bytes): &Envelope) -> Result<Authorised<T>, Flaw> {
            Authorised::verify(bytes).map_err(|refusal| Flaw::Refused { number, refusal })
        }
        let stated = |publisher: PublisherId, package: &PackageName, record| Stated {
            publisher,
            fingerprint: publisher.fingerprint(),
            package: package.clone(),
            record,
            manifest: None,
            seq: None,
            signed_at: None,
        };
        Ok(match statement {
            Statement::Head(envelope) => {
                let head = authorised::<Head>(number, envelope)?;
                let stated = Stated {
                    seq: Some(head.seq),
                    signed_at: Some(head.signed_at),
                    ..stated(head.owner(), &head.package().name, head.hash())
                };
                let head = head.into_value();
                Self { number, stated, handle: head.handle, releases: head.releases }
            }
            Statement::Page(envelope) => {
                let page = authorised::<Page>(number, envelope)?;
                let stated = stated(page.owner(), &page.package().name, page.hash());
                Self { number, stated, handle: None, releases: page.into_value().releases }
            }
        })
    }

    fn is_of(&self, publisher: PublisherId, package: &PackageName) -> Result<(), Flaw> {
        let (number, stated) = (self.number, &self.stated);
        if stated.publisher != publisher {
            return Err(Flaw::OtherKey { number, by: stated.publisher.into(), claimed: publisher.into() });
        }
        if stated.package != *package {
            return Err(Flaw::OtherPackage { number, found: stated.package.clone(), claimed: package.clone() });
        }
        Ok(())
    }
}

fn same_version(
    seen: &mut [Seen],
    publisher: PublisherId,
    package: &PackageName,
    version: &VersionText,
) -> Result<ConflictId, Flaw> {
    let mut hashes = Vec::with_capacity(2);
    for one in seen.iter_mut() {
        one.is_of(publisher, package)?;
        let key = version.key(package.ecosystem());
        let entry = one.releases.iter().find(|entry| entry.version.key(package.ecosystem()) == key);
        let entry = entry.ok_or(Flaw::OtherVersion { number: one.number, version: version.clone() })?;
        one.stated.manifest = Some(entry.manifest);
        hashes.push(entry.manifest);
    }
    match hashes.as_slice() {
        [a, b] if a != b => Ok(ConflictId::of_version(&publisher, package, version, [*a, *b])),
        [a, ..] => Err(Flaw::SameHash { version: version.clone(), hash: *a }),
        [] => Err(Flaw::Statements { found: 0, wanted: "two" }),
    }
}

fn same_seq(seen: &[Seen], publisher: PublisherId, package: &PackageName, seq: u64) -> Result<ConflictId, Flaw> {
    for one in seen {
        one.is_of(publisher, package)?;
        match one.stated.seq {
            Some(found) if found == seq => {}
            Some(found) => return Err(Flaw::OtherSeq { number: one.number, found, claimed: seq }),
            None => return Err(Flaw::NoHead { number: one.number }),
        }
    }
    match seen {
        [a, b] if a.stated.record != b.stated.record => {
            Ok(ConflictId::of_fork(&publisher, package, seq, [a.stated.record, b.stated.record]))
        }
        [a, ..] => Err(Flaw::SameHead(a.stated.record)),
        [] => Err(Flaw::Statements { found: 0, wanted: "two" }),
    }
}

fn same_handle(seen: &[Seen], handle: &Handle) -> Result<ConflictId, Flaw> {
    for (at, one) in seen.iter().enumerate() {
        if one.stated.seq.is_none() {
            return Err(Flaw::NoHead { number: one.number });
        }
        if one.handle.as_ref() != Some(handle) {
            return Err(Flaw::OtherHandle { number: one.number, claimed: handle.clone() });
        }
        if seen.iter().take(at).any(|other| other.stated.publisher == one.stated.publisher) {
            return Err(Flaw::SameKey(one.stated.publisher));
        }
    }
    Ok(ConflictId::of_handle(handle))
}

impl Proof {
    /// What it proves, in plain sentences.
    pub fn sentences(&self, time: impl Fn(Timestamp) -> String) -> Vec<String> {
        let key = |publisher: &PublisherId| format!("{publisher} (fingerprint {})", publisher.fingerprint());
        let signed = |stated: &Stated| match (stated.seq, stated.signed_at) {
            (Some(seq), Some(at)) => format!("state {seq}, signed at {}", time(at)),
            _ => "a page of older releases, which bears no time".to_owned(),
        };
        let mut said = Vec::new();
        match &self.proven {
            Proven::Version { publisher, package, version } => {
                said.push(format!("It is proven that one key signed two different manifests for {package} {version}."));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, stated) in (1..).zip(&self.statements) {
                    let hash = stated.manifest.map_or(String::new(), |hash| hash.to_string());
                    said.push(format!("{number}. manifest {hash}, in {}.", signed(stated)));
                }
                said.extend(self.manifests.iter().map(|manifest| {
                    let (hash, root) = (manifest.hash.fingerprint(), manifest.content);
                    format!("Manifest {hash}… is here too: content {root}, {} bytes.", manifest.size)
                }));
                said.push(
                    "A release never changes, so that its owner made a mistake, or another has the key.".to_owned(),
                );
            }
            Proven::Fork { publisher, package, seq } => {
                said.push(format!("It is proven that one key signed two different states {seq} of {package}."));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, stated) in (1..).zip(&self.statements) {
                    said.push(format!("{number}. head {}, {}.", stated.record, signed(stated)));
                }
                said.push("Two machines that publish at once do that: it is no misdeed by itself.".to_owned());
            }
            Proven::Handle { handle } => {
                let count = self.statements.len();
                said.push(format!("It is proven that {count} different keys call themselves {handle}."));
                for (number, stated) in (1..).zip(&self.statements) {
                    let (key, package) = (key(&stated.publisher), &stated.package);
                    said.push(format!("{number}. {key}, for {package} in head {}, {}.", stated.record, signed(stated)));
                }
                said.push("Anybody may claim a handle: that is no misdeed, and does not say whose it is.".to_owned());
            }
        }
        said.push("Times are the signer's own word.".to_owned());
        said
    }
}
