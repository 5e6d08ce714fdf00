//! Keys sealed with a passphrase, in the format of [age](https://age-encryption.org/v1): scrypt,
//! then ChaCha20-Poly1305. Any other program that supports age can open them too.

use age::{DecryptError, scrypt, secrecy::SecretString};
use libp2p::identity::Keypair;

use crate::{RegistryError, Result, domain::secret::SEALED};

/// The work factor of scrypt, as a power of two. On a current computer it takes a second and 256
/// MiB, as age's own program does.
pub const WORK: u8 = 18;
/// The highest work factor accepted in a file: four seconds and 1 GiB.
const MOST_WORK: u8 = 20;

/// Seals a key as `key export` writes it.
///
/// # Errors
/// Fails if the key cannot be encoded or encrypted, which would be a bug.
pub fn seal(key: &Keypair, passphrase: &str, work: u8) -> Result<String> {
    let failed = |why: String| RegistryError::Internal {
        what: "sealing a key",
        why,
    };
    let bytes = super::encoded(key)?;
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(work);
    let armored =
        age::encrypt_and_armor(&recipient, &bytes).map_err(|error| failed(error.to_string()))?;
    Ok(format!("{SEALED}\n{}\n", armored.trim_end()))
}

/// The reason why a sealed key could not be opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    #[error("the passphrase is wrong")]
    Passphrase,
    #[error("its passphrase takes more work than is accepted; open it with age itself")]
    TooMuchWork,
    #[error("it is damaged; use another copy")]
    Damaged,
}

/// Opens the armored part of a sealed file and returns the key.
///
/// # Errors
/// Fails if the passphrase is wrong or the file was changed.
pub fn open(armored: &str, passphrase: &str) -> Result<Keypair, Unopened> {
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase));
    identity.set_max_work_factor(MOST_WORK);
    let bytes = age::decrypt(&identity, armored.as_bytes()).map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::NoMatchingKeys => Unopened::Passphrase,
        DecryptError::ExcessiveWork { .. } => Unopened::TooMuchWork,
        _ => Unopened::Damaged,
    })?;
    Keypair::from_protobuf_encoding(&bytes).map_err(|_| Unopened::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::KeyFile;

    /// The lowest work factor that scrypt accepts.
    const LITTLE: u8 = 1;

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_only() {
        let key = Keypair::generate_ed25519();
        let sealed = seal(&key, "correct horse", LITTLE).unwrap();
        assert!(
            sealed.starts_with(SEALED) && sealed.ends_with("-----\n"),
            "{sealed}"
        );
        let armored = |text: &str| match KeyFile::recognise(text.as_bytes()) {
            Some(KeyFile::Sealed(armored)) => armored.to_owned(),
            _ => panic!("{text}"),
        };
        let part = armored(&sealed);
        assert_eq!(open(&part, "correct horse").unwrap().public(), key.public());
        assert_eq!(
            open(&part, "correct horse ").unwrap_err(),
            Unopened::Passphrase
        );
        // A mail program may have changed it like this.
        let crlf = armored(&format!("> my key\n\n  {}", sealed.replace('\n', "\r\n")));
        assert_eq!(open(&crlf, "correct horse").unwrap().public(), key.public());
        let damaged = part.replacen('A', "B", 40);
        assert!(matches!(
            open(&damaged, "correct horse"),
            Err(Unopened::Damaged | Unopened::Passphrase)
        ));
        let costly = seal(&key, "x", LITTLE).unwrap();
        assert_ne!(
            costly,
            seal(&key, "x", LITTLE).unwrap(),
            "each has a salt of its own"
        );
    }
}
