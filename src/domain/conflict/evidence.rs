//! Evidence of a conflict: one file from which anybody can verify it. Nothing in the file is the
//! exporter's word, so nobody has to trust the exporter. `docs/evidence.md` describes the format.

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{ConflictId, MAX_SIDES};
use crate::domain::{
    hash::Hash,
    manifest::{File, Manifest},
    name::{Handle, PackageName, PublisherId},
    record::{Authorised, Head, Owned, Page, Refusal},
    release::{self, ReleaseEntry},
    text::printable,
    time::Timestamp,
    version::VersionText,
};

/// Largest evidence file in bytes: eight heads of 14 KiB and two manifests of 8 KiB in base64, with
/// room to spare.
pub const MAX_EVIDENCE: usize = 256 * 1024;
/// The value of the `format` field.
const FORMAT: &str = "swarmdex-evidence";
/// The format version that this program writes and reads.
const VERSION: u32 = 1;
/// One for each of the two hashes.
const MAX_MANIFESTS: usize = 2;

/// Signed bytes, written as base64 in text formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBytes(pub Vec<u8>);

impl Serialize for SignedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SignedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        // Base64 in its canonical form only: no white space and no stray bits.
        BASE64
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| D::Error::custom("not base64"))
    }
}

/// A signed record in which a publisher makes a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Statement {
    /// A head of a package.
    Head(SignedBytes),
    /// A page of older releases of a package.
    Page(SignedBytes),
}

/// The conflict that the statements prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Proven {
    /// One key signed two manifests of one version.
    Version {
        /// The key.
        publisher: PublisherId,
        /// The package.
        package: PackageName,
        /// The version.
        version: VersionText,
    },
    /// One key signed two manifests that list a file of one version with different bytes. The
    /// manifests are the proof, and there are no statements.
    File {
        /// The key.
        publisher: PublisherId,
        /// The package.
        package: PackageName,
        /// The version.
        version: VersionText,
        /// The name of the file.
        file: String,
    },
    /// One key signed a state that lacks this manifest of a version, which the state before it
    /// lists. The statements are the two states, and the page cut between them if there is one.
    Removed {
        /// The key.
        publisher: PublisherId,
        /// The package.
        package: PackageName,
        /// The version.
        version: VersionText,
        /// The removed manifest.
        manifest: Hash,
    },
    /// One key signed two states with one number.
    Fork {
        /// The key.
        publisher: PublisherId,
        /// The package.
        package: PackageName,
        /// The number of both states.
        seq: u64,
    },
    /// Several keys claim one handle, which is no misconduct.
    Handle {
        /// The handle.
        handle: Handle,
    },
}

/// An evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    version: u32,
    /// The id of the case on every node. It binds the claim to the statements.
    id: ConflictId,
    claim: Proven,
    statements: Vec<Statement>,
    /// The manifests that the statements name, as far as the exporter had them.
    manifests: Vec<SignedBytes>,
}

/// The reasons why a file is not valid evidence.
// Each variant is described by its message.
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it has {0} bytes, but evidence may have at most {MAX_EVIDENCE}")]
    TooLarge(usize),
    #[error("it is not an evidence file, or it is damaged: {0}")]
    Damaged(String),
    #[error(
        "it has format version {0}, but this program reads version {VERSION}; use a newer program"
    )]
    UnknownVersion(u32),
    #[error("it has {found} statements, but needs {wanted}")]
    Statements { found: usize, wanted: &'static str },
    #[error("statement {number} does not verify: {refusal}")]
    Refused { number: usize, refusal: Refusal },
    #[error("statement {number} is signed by another key: {by} instead of {claimed}")]
    OtherKey {
        number: usize,
        by: Box<PublisherId>,
        claimed: Box<PublisherId>,
    },
    #[error("statement {number} is about another package: {found} instead of {claimed}")]
    OtherPackage {
        number: usize,
        found: PackageName,
        claimed: PackageName,
    },
    #[error("statement {number} does not list version {version}")]
    OtherVersion { number: usize, version: VersionText },
    #[error("both statements name the same manifest for version {version}: {hash}")]
    SameHash { version: VersionText, hash: Hash },
    #[error("both statements are the same state: {0}")]
    SameHead(Hash),
    #[error("statement {number} is state {found} of the package instead of {claimed}")]
    OtherSeq {
        number: usize,
        found: u64,
        claimed: u64,
    },
    #[error("statement {number} is a page of older releases, which has no number and no handle")]
    NoHead { number: usize },
    #[error("statement {number} does not claim the handle {claimed}")]
    OtherHandle { number: usize, claimed: Handle },
    #[error("two statements are signed by the same key: {0}")]
    SameKey(PublisherId),
    #[error("manifest {number} does not verify: {refusal}")]
    BadManifest { number: usize, refusal: Refusal },
    #[error("manifest {number} is not one that the statements name for this version")]
    StrangeManifest { number: usize },
    #[error("the manifests do not list {file} with different bytes")]
    SameFile { file: String },
    #[error("the second statement does not remove version {version} of the first: {why}")]
    NotRemoved {
        version: VersionText,
        why: &'static str,
    },
    #[error("its id does not match its contents: {said} instead of {is}")]
    OtherId { said: ConflictId, is: ConflictId },
}

/// A verified statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// The signer.
    pub publisher: PublisherId,
    /// The signer's fingerprint, for display.
    pub fingerprint: String,
    /// The package concerned.
    pub package: PackageName,
    /// Hash of the record itself.
    pub record: Hash,
    /// Hash of the manifest that it names for the version in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Hash>,
    /// `None` for a page of older releases.
    pub seq: Option<u64>,
    /// The time of signing by the signer's own clock; `None` for a page, which has none.
    pub signed_at: Option<Timestamp>,
}

/// A verified manifest that a statement names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvenManifest {
    /// The hash of the manifest.
    pub hash: Hash,
    /// The files it lists.
    pub files: Vec<File>,
}

/// The result of verifying evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedEvidence {
    /// The id of the case.
    pub id: ConflictId,
    /// The conflict that is proven.
    pub proven: Proven,
    /// In the order of the file: the exporter's own record comes first. The order proves nothing.
    pub statements: Vec<Stated>,
    /// The manifests, verified.
    pub manifests: Vec<ProvenManifest>,
}

impl Evidence {
    /// Creates the evidence of a case.
    pub fn of(
        id: ConflictId,
        claim: Proven,
        statements: Vec<Statement>,
        manifests: impl IntoIterator<Item = Vec<u8>>,
    ) -> Self {
        let manifests = manifests.into_iter().map(SignedBytes).collect();
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            id,
            claim,
            statements,
            manifests,
        }
    }

    /// Returns the id of the case.
    pub fn id(&self) -> ConflictId {
        self.id
    }

    /// Returns the file's text.
    pub fn to_text(&self) -> String {
        // Strings and numbers only, so serialisation cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads an untrusted evidence file. It verifies nothing yet.
    ///
    /// # Errors
    /// The file is too large, damaged or of another format version.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        /// The fields that every format version has.
        #[derive(Deserialize)]
        struct Any {
            format: String,
            version: u32,
        }
        if bytes.len() > MAX_EVIDENCE {
            return Err(Flaw::TooLarge(bytes.len()));
        }
        let damaged = |error: serde_json::Error| {
            Flaw::Damaged(super::super::text::printable(&error.to_string()))
        };
        let any: Any = serde_json::from_slice(bytes).map_err(damaged)?;
        if any.format != FORMAT {
            return Err(Flaw::Damaged(
                "its format field is missing or wrong".to_owned(),
            ));
        }
        if any.version != VERSION {
            return Err(Flaw::UnknownVersion(any.version));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Verifies every signature and that the statements prove the claim.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn verify(&self) -> Result<VerifiedEvidence, Flaw> {
        let count = self.statements.len();
        let (least, most, wanted) = match self.claim {
            Proven::Handle { .. } => (2, MAX_SIDES, "two to eight"),
            Proven::File { .. } => (0, 0, "none"),
            Proven::Removed { .. } => (2, 3, "two or three"),
            _ => (2, 2, "two"),
        };
        if count < least || count > most {
            return Err(Flaw::Statements {
                found: count,
                wanted,
            });
        }
        let mut seen = Vec::with_capacity(count);
        for (number, statement) in (1..).zip(&self.statements) {
            seen.push(VerifiedStatement::verify(number, statement)?);
        }
        let is = match &self.claim {
            Proven::File {
                publisher,
                package,
                version,
                file,
            } => self.same_file(*publisher, package, version, file)?,
            Proven::Removed {
                publisher,
                package,
                version,
                manifest,
            } => removed(&mut seen, *publisher, package, version, manifest)?,
            Proven::Version {
                publisher,
                package,
                version,
            } => same_version(&mut seen, *publisher, package, version)?,
            Proven::Fork {
                publisher,
                package,
                seq,
            } => same_seq(&seen, *publisher, package, *seq)?,
            Proven::Handle { handle } => same_handle(&seen, handle)?,
        };
        if is != self.id {
            return Err(Flaw::OtherId { said: self.id, is });
        }
        let statements: Vec<Stated> = seen.into_iter().map(|seen| seen.stated).collect();
        let manifests = self.manifests(&statements)?;
        Ok(VerifiedEvidence {
            id: self.id,
            proven: self.claim.clone(),
            statements,
            manifests,
        })
    }

    fn manifests(&self, statements: &[Stated]) -> Result<Vec<ProvenManifest>, Flaw> {
        let mut proven: Vec<ProvenManifest> = Vec::new();
        for (number, SignedBytes(bytes)) in (1..).zip(&self.manifests) {
            if number > MAX_MANIFESTS {
                return Err(Flaw::StrangeManifest { number });
            }
            let manifest = Authorised::<Manifest>::verify(bytes)
                .map_err(|refusal| Flaw::BadManifest { number, refusal })?;
            let hash = manifest.hash();
            // The hash covers the signer too, so a manifest that is named is the publisher's.
            let (package, version, named) = match &self.claim {
                Proven::Version {
                    package, version, ..
                } => (
                    package,
                    version,
                    statements
                        .iter()
                        .any(|stated| stated.manifest == Some(hash)),
                ),
                Proven::File {
                    publisher,
                    package,
                    version,
                    ..
                } => (package, version, manifest.owner() == *publisher),
                Proven::Removed {
                    package,
                    version,
                    manifest,
                    ..
                } => (package, version, *manifest == hash),
                Proven::Fork { .. } | Proven::Handle { .. } => {
                    return Err(Flaw::StrangeManifest { number });
                }
            };
            let once = proven.iter().all(|known| known.hash != hash);
            if !named
                || !once
                || manifest.package().name != *package
                || manifest.version.key(package.ecosystem()) != version.key(package.ecosystem())
            {
                return Err(Flaw::StrangeManifest { number });
            }
            proven.push(ProvenManifest {
                hash,
                files: manifest.into_value().files,
            });
        }
        Ok(proven)
    }
}

impl Evidence {
    /// Checks that the two manifests list one file of the version with different bytes.
    fn same_file(
        &self,
        publisher: PublisherId,
        package: &PackageName,
        version: &VersionText,
        file: &str,
    ) -> Result<ConflictId, Flaw> {
        let same = || Flaw::SameFile {
            file: printable(file),
        };
        let manifests = self.manifests(&[])?;
        let root = |manifest: &ProvenManifest| {
            let listed = manifest.files.iter().find(|one| one.name == file);
            listed.map(|one| one.root).ok_or_else(same)
        };
        match manifests.as_slice() {
            [a, b] if root(a)? != root(b)? => Ok(ConflictId::of_file(
                &publisher,
                package,
                version,
                file,
                [a.hash, b.hash],
            )),
            _ => Err(same()),
        }
    }
}

/// A statement whose signature is valid.
struct VerifiedStatement {
    number: usize,
    stated: Stated,
    handle: Option<Handle>,
    record: Recorded,
}

enum Recorded {
    Head(Box<Authorised<Head>>),
    Page(Box<Authorised<Page>>),
}

impl VerifiedStatement {
    fn verify(number: usize, statement: &Statement) -> Result<Self, Flaw> {
        fn authorised<T: Owned>(
            number: usize,
            SignedBytes(bytes): &SignedBytes,
        ) -> Result<Authorised<T>, Flaw> {
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
                Self {
                    number,
                    stated,
                    handle: head.handle.clone(),
                    record: Recorded::Head(Box::new(head)),
                }
            }
            Statement::Page(envelope) => {
                let page = authorised::<Page>(number, envelope)?;
                let stated = stated(page.owner(), &page.package().name, page.hash());
                Self {
                    number,
                    stated,
                    handle: None,
                    record: Recorded::Page(Box::new(page)),
                }
            }
        })
    }

    fn releases(&self) -> &[ReleaseEntry] {
        match &self.record {
            Recorded::Head(head) => &head.releases,
            Recorded::Page(page) => &page.releases,
        }
    }

    fn is_of(&self, publisher: PublisherId, package: &PackageName) -> Result<(), Flaw> {
        let (number, stated) = (self.number, &self.stated);
        if stated.publisher != publisher {
            return Err(Flaw::OtherKey {
                number,
                by: stated.publisher.into(),
                claimed: publisher.into(),
            });
        }
        if stated.package != *package {
            return Err(Flaw::OtherPackage {
                number,
                found: stated.package.clone(),
                claimed: package.clone(),
            });
        }
        Ok(())
    }
}

fn same_version(
    seen: &mut [VerifiedStatement],
    publisher: PublisherId,
    package: &PackageName,
    version: &VersionText,
) -> Result<ConflictId, Flaw> {
    let mut hashes = Vec::with_capacity(2);
    for one in seen.iter_mut() {
        one.is_of(publisher, package)?;
        let entry = release::find(package.ecosystem(), one.releases(), version);
        let entry = entry.ok_or(Flaw::OtherVersion {
            number: one.number,
            version: version.clone(),
        })?;
        let first = entry.first();
        one.stated.manifest = first;
        hashes.extend(first);
    }
    match hashes.as_slice() {
        // In an ecosystem whose releases grow, another manifest is an addition.
        [a, b] if a != b && !package.ecosystem().grows() => Ok(ConflictId::of_version(
            &publisher,
            package,
            version,
            [*a, *b],
        )),
        [a, ..] => Err(Flaw::SameHash {
            version: version.clone(),
            hash: *a,
        }),
        [] => Err(Flaw::Statements {
            found: 0,
            wanted: "two",
        }),
    }
}

/// Checks that the second state follows the first and lacks the manifest, as does the page cut
/// between them, if there is one.
fn removed(
    seen: &mut [VerifiedStatement],
    publisher: PublisherId,
    package: &PackageName,
    version: &VersionText,
    manifest: &Hash,
) -> Result<ConflictId, Flaw> {
    seen.iter()
        .try_for_each(|one| one.is_of(publisher, package))?;
    let not = |why| Flaw::NotRemoved {
        version: version.clone(),
        why,
    };
    let (before, after, page) = match seen {
        [
            VerifiedStatement {
                record: Recorded::Head(before),
                ..
            },
            VerifiedStatement {
                record: Recorded::Head(after),
                ..
            },
        ] => (before, after, None),
        [
            VerifiedStatement {
                record: Recorded::Head(before),
                ..
            },
            VerifiedStatement {
                record: Recorded::Head(after),
                ..
            },
            VerifiedStatement {
                record: Recorded::Page(page),
                ..
            },
        ] => (before, after, Some(&**page)),
        _ => {
            return Err(not(
                "it needs two states, and the page between them if there is one",
            ));
        }
    };
    let gone = after
        .removes(before, page)
        .ok_or_else(|| not("it does not directly follow the first"))?;
    let key = version.key(package.ecosystem());
    if !gone
        .iter()
        .any(|(one, hash)| hash == manifest && one.key(package.ecosystem()) == key)
    {
        return Err(not("it lists everything that the first lists"));
    }
    let id = ConflictId::of_removed(&publisher, package, version, manifest, &after.hash());
    if let Some(first) = seen.first_mut() {
        first.stated.manifest = Some(*manifest);
    }
    Ok(id)
}

fn same_seq(
    seen: &[VerifiedStatement],
    publisher: PublisherId,
    package: &PackageName,
    seq: u64,
) -> Result<ConflictId, Flaw> {
    for one in seen {
        one.is_of(publisher, package)?;
        match one.stated.seq {
            Some(found) if found == seq => {}
            Some(found) => {
                return Err(Flaw::OtherSeq {
                    number: one.number,
                    found,
                    claimed: seq,
                });
            }
            None => return Err(Flaw::NoHead { number: one.number }),
        }
    }
    match seen {
        [a, b] if a.stated.record != b.stated.record => Ok(ConflictId::of_fork(
            &publisher,
            package,
            seq,
            [a.stated.record, b.stated.record],
        )),
        [a, ..] => Err(Flaw::SameHead(a.stated.record)),
        [] => Err(Flaw::Statements {
            found: 0,
            wanted: "two",
        }),
    }
}

fn same_handle(seen: &[VerifiedStatement], handle: &Handle) -> Result<ConflictId, Flaw> {
    for (at, one) in seen.iter().enumerate() {
        if one.stated.seq.is_none() {
            return Err(Flaw::NoHead { number: one.number });
        }
        if one.handle.as_ref() != Some(handle) {
            return Err(Flaw::OtherHandle {
                number: one.number,
                claimed: handle.clone(),
            });
        }
        if seen
            .iter()
            .take(at)
            .any(|other| other.stated.publisher == one.stated.publisher)
        {
            return Err(Flaw::SameKey(one.stated.publisher));
        }
    }
    Ok(ConflictId::of_handle(handle))
}

impl VerifiedEvidence {
    /// Returns the findings as plain sentences.
    pub fn sentences(&self, time: impl Fn(Timestamp) -> String) -> Vec<String> {
        let key = |publisher: &PublisherId| {
            format!("{publisher} (fingerprint {})", publisher.fingerprint())
        };
        let signed = |stated: &Stated| match (stated.seq, stated.signed_at) {
            (Some(seq), Some(at)) => format!("state {seq}, signed at {}", time(at)),
            _ => "a page of older releases, which has no time".to_owned(),
        };
        let mut said = Vec::new();
        match &self.proven {
            Proven::Version {
                publisher,
                package,
                version,
            } => {
                said.push(format!(
                    "It is proven that one key signed two different manifests for \
                    {package} {version}."
                ));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, stated) in (1..).zip(&self.statements) {
                    let hash = stated
                        .manifest
                        .map_or(String::new(), |hash| hash.to_string());
                    said.push(format!("{number}. manifest {hash}, in {}.", signed(stated)));
                }
                said.extend(self.manifests.iter().flat_map(|manifest| {
                    let hash = manifest.hash.fingerprint();
                    manifest.files.iter().map(
                        move |File {
                                  name, sha256, size, ..
                              }| {
                            format!(
                                "Manifest {hash}… is here too: {}, {size} bytes, SHA-256 {sha256}.",
                                printable(name)
                            )
                        },
                    )
                }));
                said.push(
                    "A release never changes, so either its owner made a mistake or somebody else \
                    has the key."
                        .to_owned(),
                );
            }
            Proven::File {
                publisher,
                package,
                version,
                file,
            } => {
                let file = printable(file);
                said.push(format!(
                    "It is proven that one key signed two different files {file} of {package} \
                    {version}."
                ));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, manifest) in (1..).zip(&self.manifests) {
                    for one in manifest
                        .files
                        .iter()
                        .filter(|one| printable(&one.name) == file)
                    {
                        let (hash, File { size, sha256, .. }) = (manifest.hash, one);
                        said.push(format!(
                            "{number}. in manifest {hash}: {size} bytes, SHA-256 {sha256}."
                        ));
                    }
                }
                said.push(
                    "A file of a release never changes, so either its owner made a mistake or \
                    somebody else has the key."
                        .to_owned(),
                );
            }
            Proven::Removed {
                publisher,
                package,
                version,
                manifest,
            } => {
                said.push(format!(
                    "It is proven that one key removed a manifest of {package} \
                    {version} that it had published."
                ));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, stated) in (1..).zip(self.statements.iter().take(2)) {
                    let does = if stated.manifest.is_some() {
                        "lists"
                    } else {
                        "lacks"
                    };
                    said.push(format!(
                        "{number}. {} {does} manifest {manifest}.",
                        signed(stated)
                    ));
                }
                said.push("A release may be yanked, but never removed.".to_owned());
            }
            Proven::Fork {
                publisher,
                package,
                seq,
            } => {
                said.push(format!(
                    "It is proven that one key signed two different states {seq} of {package}."
                ));
                said.push(format!("The key is {}.", key(publisher)));
                for (number, stated) in (1..).zip(&self.statements) {
                    said.push(format!(
                        "{number}. head {}, {}.",
                        stated.record,
                        signed(stated)
                    ));
                }
                said.push(
                    "This happens when two machines publish at once; by itself it is not \
                    misconduct."
                        .to_owned(),
                );
            }
            Proven::Handle { handle } => {
                let count = self.statements.len();
                said.push(format!(
                    "It is proven that {count} different keys call themselves {handle}."
                ));
                for (number, stated) in (1..).zip(&self.statements) {
                    let (key, package) = (key(&stated.publisher), &stated.package);
                    said.push(format!(
                        "{number}. {key}, for {package} in head {}, {}.",
                        stated.record,
                        signed(stated)
                    ));
                }
                said.push(
                    "Anybody may claim a handle: it is not misconduct, and it does not prove \
                    ownership."
                        .to_owned(),
                );
            }
        }
        said.push("Times are as claimed by the signers.".to_owned());
        said
    }
}
