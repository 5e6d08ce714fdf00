//! Detects private keys in bytes: our own key files by decoding them, others by the header of their
//! format.

use libp2p::identity::Keypair;
use memchr::memmem::Finder;

/// Largest key file that is read, in bytes. A plain one has 68 bytes and a sealed one about 500;
/// the rest is for comments.
pub const MAX_KEY_FILE: u64 = 64 << 10;
/// The line before a sealed key, which distinguishes it from other files encrypted with age.
pub const SEALED: &str =
    "# Swarmdex publisher key, sealed with a passphrase; `swarmdex key import` takes it.";
const ARMOR_BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";

/// Bytes before and after a header that decide if it is one: a label, and the beginning of the next
/// line.
const AROUND: usize = 512;
/// The number of base64 digits after a header in the same string that make it a key. No word in
/// prose or code is as long.
const DIGITS: usize = 16;
/// Longest label of a header, in bytes. The longest known one is `SSH2 ENCRYPTED PRIVATE KEY`.
const LABEL: usize = 64;

/// A file with a key of ours.
pub enum KeyFile<'a> {
    /// The form in a data directory, also written by `key export --plain`.
    Plain(Box<Keypair>),
    /// The form written by `key export`: encrypted with [age](https://age-encryption.org/v1) and
    /// armored.
    Sealed(&'a str),
}

impl<'a> KeyFile<'a> {
    /// Recognises every form in which the program reads or writes a key. Returns `None` for
    /// anything else.
    pub fn recognise(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() as u64 > MAX_KEY_FILE {
            return None;
        }
        if let Ok(key) = Keypair::from_protobuf_encoding(bytes) {
            return Some(Self::Plain(Box::new(key)));
        }
        sealed(std::str::from_utf8(bytes).ok()?).map(Self::Sealed)
    }
}

/// Returns the armored part after a line that marks a sealed key, anywhere in the text.
fn sealed(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(SEALED) {
        let armor = after.trim_start();
        if armor.starts_with(ARMOR_BEGIN)
            && let Some(end) = armor.find(ARMOR_END)
        {
            return armor.get(..end + ARMOR_END.len());
        }
        rest = after;
    }
    None
}

/// Finds the header of a private key in bytes that arrive in chunks of any size.
pub struct Headers {
    /// Four dashes, as in SSH2, and five.
    begins: [Finder<'static>; 2],
    /// The end of the earlier bytes, in which a header may have begun.
    held: Vec<u8>,
    /// True while the held bytes include the very first ones.
    at_start: bool,
    found: Option<String>,
}

impl Default for Headers {
    fn default() -> Self {
        let begins = ["---- BEGIN ", "-----BEGIN "].map(Finder::new);
        Self {
            begins,
            held: Vec::new(),
            at_start: true,
            found: None,
        }
    }
}

impl Headers {
    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        if self.found.is_some() {
            return;
        }
        self.held.extend_from_slice(bytes);
        self.look(false);
        if let Some(too_many) = self
            .held
            .len()
            .checked_sub(3 * AROUND)
            .filter(|more| *more > 0)
        {
            self.held.drain(..too_many);
            self.at_start = false;
        }
    }

    /// Returns the label of the first header found, such as `OPENSSH PRIVATE KEY`, after all bytes
    /// have been taken.
    pub fn end(mut self) -> Option<String> {
        if self.found.is_none() {
            self.look(true);
        }
        self.found
    }

    fn look(&mut self, at_end: bool) {
        if self.at_start && self.held.starts_with(b"PuTTY-User-Key-File-") {
            self.found = Some("PuTTY-User-Key-File".to_owned());
            return;
        }
        for needle in &self.begins {
            for at in needle.find_iter(&self.held) {
                let before = self.held.get(..at).unwrap_or_default();
                let after = self
                    .held
                    .get(at + needle.needle().len()..)
                    .unwrap_or_default();
                // The deciding bytes are still to come; this position is examined again with them.
                if !at_end && after.len() < AROUND {
                    break;
                }
                if let Some(label) = header(before, after, self.at_start) {
                    self.found = Some(label);
                    return;
                }
            }
        }
    }
}

/// Returns the label of a private key's header, given the bytes around its dashes and `BEGIN`.
fn header(before: &[u8], after: &[u8], at_start: bool) -> Option<String> {
    let end = after.iter().take(LABEL).position(|byte| *byte == b'-')?;
    let label = std::str::from_utf8(after.get(..end)?).ok()?.trim_end();
    let is_key = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
    if !is_key
        || !label
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ')
    {
        return None;
    }
    let rest = after.get(end..)?;
    let dashes = rest.iter().take_while(|byte| **byte == b'-').count();
    let rest = rest.get(dashes..).filter(|_| dashes >= 4)?;
    (stands_alone(before, rest, at_start) || goes_on_as_key(rest)).then(|| label.to_owned())
}

/// Returns true if the header is alone on its line.
fn stands_alone(before: &[u8], rest: &[u8], at_start: bool) -> bool {
    let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\r');
    let first = before.iter().rev().find(|byte| !blank(byte));
    // Some editors begin a file with a byte order mark.
    let begins = match first {
        None => at_start || before.len() >= AROUND,
        Some(b'\n') => true,
        Some(_) => {
            at_start
                && before
                    .strip_prefix(b"\xef\xbb\xbf")
                    .is_some_and(|rest| rest.iter().all(|b| blank(&b)))
        }
    };
    begins
        && rest
            .iter()
            .find(|byte| !blank(byte))
            .is_none_or(|byte| *byte == b'\n')
}

/// Returns true if a key follows in the same string, as in JSON or source code: with escaped line
/// ends, or quotes between lines.
fn goes_on_as_key(rest: &[u8]) -> bool {
    let mut rest = rest;
    loop {
        match rest {
            [b'\\', b'n' | b'r', more @ ..] => rest = more,
            [
                b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'+' | b'\\',
                more @ ..,
            ] => rest = more,
            _ => break,
        }
    }
    let digits = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'/' | b'=');
    rest.starts_with(b"Proc-Type:") || rest.iter().take_while(digits).take(DIGITS).count() == DIGITS
}

/// The role of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The identity of the node on the network.
    Identity,
    /// The key that signs its packages.
    Publisher,
}

impl Role {
    /// Returns the word for the role in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Publisher => "publisher",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(parts: &[&[u8]]) -> Option<String> {
        let mut headers = Headers::default();
        parts.iter().for_each(|part| headers.take(part));
        headers.end()
    }

    fn sealed_text() -> String {
        format!(
            "{SEALED}\n{ARMOR_BEGIN}\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCA=\n{ARMOR_END}\n"
        )
    }

    #[test]
    fn keys_of_ours_are_recognised_in_every_form() {
        let plain = Keypair::generate_ed25519().to_protobuf_encoding().unwrap();
        assert!(matches!(
            KeyFile::recognise(&plain),
            Some(KeyFile::Plain(_))
        ));
        for text in [
            sealed_text(),
            format!("my backup\r\n{}", sealed_text().replace('\n', "\r\n")),
        ] {
            let Some(KeyFile::Sealed(armor)) = KeyFile::recognise(text.as_bytes()) else {
                panic!("{text}")
            };
            assert!(
                armor.starts_with(ARMOR_BEGIN) && armor.ends_with(ARMOR_END),
                "{armor}"
            );
        }
        let others = sealed_text().replace(SEALED, "# somebody else's");
        for other in [
            b"".as_slice(),
            b"key",
            SEALED.as_bytes(),
            others.as_bytes(),
            &plain[1..],
            &[0; 68],
        ] {
            assert!(KeyFile::recognise(other).is_none());
        }
    }

    #[test]
    fn headers_are_found_where_a_key_follows_or_the_line_is_nothing_else() {
        let label = |text: &str| found(&[text.as_bytes()]);
        for (text, wanted) in [
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nnot really\n",
                "OPENSSH PRIVATE KEY",
            ),
            ("-----BEGIN PRIVATE KEY-----", "PRIVATE KEY"),
            ("\u{feff}-----BEGIN PRIVATE KEY-----\r\n", "PRIVATE KEY"),
            (
                "key: |\n    -----BEGIN RSA PRIVATE KEY-----\n    MII",
                "RSA PRIVATE KEY",
            ),
            (
                "{\"key\":\"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B\\n",
                "PRIVATE KEY",
            ),
            (
                "k = \"-----BEGIN EC PRIVATE KEY-----\\n\" +\n  \"MHcCAQEEIIrYSSNQFaA2Hwf1duRS\"",
                "EC PRIVATE KEY",
            ),
            (
                "K='-----BEGIN DSA PRIVATE KEY-----\\nProc-Type: 4,ENCRYPTED'",
                "DSA PRIVATE KEY",
            ),
            (
                "Bag Attributes\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
                "ENCRYPTED PRIVATE KEY",
            ),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ",
                "PGP PRIVATE KEY BLOCK",
            ),
            (
                "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
                "SSH2 ENCRYPTED PRIVATE KEY",
            ),
            (
                "PuTTY-User-Key-File-3: ssh-ed25519\n",
                "PuTTY-User-Key-File",
            ),
        ] {
            assert_eq!(label(text).as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n",
            "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0B\n",
            "const BEGIN: &str = \"-----BEGIN PRIVATE KEY-----\";\n",
            "A file with `-----BEGIN PRIVATE KEY-----` in it is refused.",
            "if \"-----BEGIN PRIVATE KEY-----\" in text:",
            "-----BEGIN private KEY-----\n",
            "-----BEGIN PRIVATE KEY\n",
            "see PuTTY-User-Key-File-3",
        ] {
            assert_eq!(label(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_found_wherever_it_is_and_however_the_bytes_come(
            before in 0usize..3_000, after in 0usize..3_000, cuts in prop::collection::vec(0usize..6_100, 0..8)
        ) {
            let text = format!("{}\n-----BEGIN PRIVATE \
                KEY-----\n{}", "x ".repeat(before), "y".repeat(after));
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let label = found(&parts);
            prop_assert_eq!(label.as_deref(), Some("PRIVATE KEY"));
        }

        #[test]
        fn any_bytes_are_looked_through(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(KeyFile::recognise(&bytes).is_none());
            prop_assert_eq!(found(&[&bytes]), None);
        }
    }
}
