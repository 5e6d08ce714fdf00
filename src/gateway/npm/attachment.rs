//! Splits the body of a publish as it arrives: decodes the tarball in it and collects the rest.
//!
//! The body is one JSON text, in which the file is a base64 string (`_attachments`, `NAME.tgz`,
//! `data`). Parsing it as a whole would take several times the file's size in memory. The collected
//! text has an empty string in place of the file, and its later parser finds any errors in it.

use data_encoding::BASE64;

/// Most bytes besides the file. A document with thousands of versions, sent to deprecate one, has a
/// few MiB.
pub const MAX_WORDS: usize = 4 << 20;
/// Most bytes of a key, including escapes, on the path to the file.
const MAX_KEY: usize = 2_048;

/// The reason why a body is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("its metadata has more than {} MiB", MAX_WORDS >> 20)]
    TooLong,
    #[error("it has more than one tarball")]
    Second,
    #[error("its tarball is no base64")]
    Base64,
    #[error("it ends too early")]
    Cut,
}

/// An open object or array on the path to the file.
struct OpenNode {
    is_object: bool,
    key: String,
    /// True if a value comes next.
    at_value: bool,
}

enum State {
    Between,
    /// In a string that is collected; `key` has its text if it matters.
    Text {
        escaped: bool,
        key: Option<Vec<u8>>,
    },
    /// In the file, with an escape sequence that is still incomplete.
    Data {
        escape: Vec<u8>,
    },
}

/// Splits a body.
pub struct Splitter {
    words: Vec<u8>,
    levels: Vec<OpenNode>,
    /// Number of open objects and arrays below `levels`, which cannot contain the file.
    deeper: usize,
    state: State,
    decoder: Decoder,
    found: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            levels: Vec::new(),
            deeper: 0,
            state: State::Between,
            decoder: Decoder::default(),
            found: false,
        }
    }
}

impl Splitter {
    /// Takes the next piece, and appends bytes of the file to `file`.
    ///
    /// # Errors
    /// The reason why the body is invalid.
    pub fn feed(&mut self, piece: &[u8], file: &mut Vec<u8>) -> Result<(), Wrong> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match &mut self.state {
                State::Between => {
                    self.between(byte)?;
                    after
                }
                State::Text { escaped, key } => {
                    if let Some(key) = key.as_mut().filter(|key| key.len() < MAX_KEY) {
                        key.push(byte);
                    }
                    let ends = byte == b'"' && !*escaped;
                    *escaped = byte == b'\\' && !*escaped;
                    if ends {
                        self.text_ends();
                    }
                    self.collect(byte)?;
                    after
                }
                State::Data { escape } if !escape.is_empty() => {
                    escape.push(byte);
                    if let Some(decoded) = unescaped(escape)? {
                        escape.clear();
                        self.decoder.feed(decoded.as_bytes(), file)?;
                    }
                    after
                }
                State::Data { escape } => match byte {
                    b'\\' => {
                        escape.push(byte);
                        after
                    }
                    b'"' => {
                        self.decoder.end()?;
                        self.state = State::Between;
                        self.collect(byte)?;
                        after
                    }
                    _ => {
                        let run = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                        let (run, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                        self.decoder.feed(run, file)?;
                        after
                    }
                },
            };
        }
        Ok(())
    }

    /// Returns the collected text, and true if there was a file.
    ///
    /// # Errors
    /// Fails if the file does not end.
    pub fn end(self) -> Result<(Vec<u8>, bool), Wrong> {
        match self.state {
            State::Data { .. } => Err(Wrong::Cut),
            _ => Ok((self.words, self.found)),
        }
    }

    fn collect(&mut self, byte: u8) -> Result<(), Wrong> {
        if self.words.len() >= MAX_WORDS {
            return Err(Wrong::TooLong);
        }
        self.words.push(byte);
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), Wrong> {
        match byte {
            b'"' => self.begin_text()?,
            b'{' | b'[' if self.levels.len() == FILE.len() => self.deeper += 1,
            b'{' | b'[' => {
                let is_object = byte == b'{';
                self.levels.push(OpenNode {
                    is_object,
                    key: String::new(),
                    at_value: !is_object,
                });
            }
            b'}' | b']' if self.deeper > 0 => self.deeper -= 1,
            b'}' | b']' => drop(self.levels.pop()),
            b',' | b':' if self.deeper == 0 => {
                if let Some(level) = self.levels.last_mut() {
                    level.at_value = byte == b':' || !level.is_object;
                }
            }
            _ => {}
        }
        self.collect(byte)
    }

    fn begin_text(&mut self) -> Result<(), Wrong> {
        let is_key = self.deeper == 0 && self.levels.last().is_some_and(|level| !level.at_value);
        if is_key || !self.is_file() {
            self.state = State::Text {
                escaped: false,
                key: is_key.then(|| vec![b'"']),
            };
            return Ok(());
        }
        if std::mem::replace(&mut self.found, true) {
            return Err(Wrong::Second);
        }
        self.state = State::Data { escape: Vec::new() };
        Ok(())
    }

    fn text_ends(&mut self) {
        let State::Text { key, .. } = std::mem::replace(&mut self.state, State::Between) else {
            return;
        };
        if let (Some(key), Some(level)) = (key, self.levels.last_mut()) {
            level.key = serde_json::from_slice(&key).unwrap_or_default();
        }
    }

    /// Returns true if the next value is the file.
    fn is_file(&self) -> bool {
        let is_one = |(level, is_right): (&OpenNode, &fn(&str) -> bool)| {
            level.is_object && is_right(&level.key)
        };
        self.deeper == 0
            && self.levels.len() == FILE.len()
            && self.levels.iter().zip(&FILE).all(is_one)
    }
}

/// The path to the file. Beside it there may be its provenance (`.sigstore`), which is not base64.
const FILE: [fn(&str) -> bool; 3] = [
    |key| key == "_attachments",
    |key| key.ends_with(".tgz"),
    |key| key == "data",
];

/// Returns the text of an escape sequence; `None` while it is incomplete.
fn unescaped(escape: &[u8]) -> Result<Option<String>, Wrong> {
    let whole = if escape.get(1) == Some(&b'u') { 6 } else { 2 };
    if escape.len() < whole {
        return Ok(None);
    }
    let quoted = [b"\"", escape, b"\""].concat();
    serde_json::from_slice(&quoted)
        .map(Some)
        .map_err(|_| Wrong::Base64)
}

/// Decodes padded base64 as it arrives.
#[derive(Default)]
struct Decoder {
    /// Fewer than four characters.
    begun: Vec<u8>,
    padded: bool,
}

impl Decoder {
    fn feed(&mut self, mut text: &[u8], into: &mut Vec<u8>) -> Result<(), Wrong> {
        if !self.begun.is_empty() {
            let (more, rest) = text
                .split_at_checked(4 - self.begun.len())
                .unwrap_or((text, &[]));
            self.begun.extend_from_slice(more);
            text = rest;
            if self.begun.len() < 4 {
                return Ok(());
            }
            let begun = std::mem::take(&mut self.begun);
            self.decode(&begun, into)?;
        }
        let (whole, rest) = text
            .split_at_checked(text.len() / 4 * 4)
            .unwrap_or((text, &[]));
        self.begun.extend_from_slice(rest);
        self.decode(whole, into)
    }

    fn decode(&mut self, text: &[u8], into: &mut Vec<u8>) -> Result<(), Wrong> {
        if text.is_empty() {
            return Ok(());
        }
        let padding = memchr::memchr(b'=', text);
        // Padding ends it.
        if self.padded || padding.is_some_and(|at| at + 4 < text.len()) {
            return Err(Wrong::Base64);
        }
        self.padded = padding.is_some();
        into.extend(BASE64.decode(text).map_err(|_| Wrong::Base64)?);
        Ok(())
    }

    fn end(&self) -> Result<(), Wrong> {
        if self.begun.is_empty() {
            Ok(())
        } else {
            Err(Wrong::Base64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Feeds a text in pieces of these lengths, over and over.
    fn split(text: &[u8], lengths: &[usize]) -> Result<(Vec<u8>, bool, Vec<u8>), Wrong> {
        let (mut splitter, mut file, mut rest) = (Splitter::default(), Vec::new(), text);
        let mut lengths = lengths.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
            splitter.feed(piece, &mut file)?;
            rest = after;
        }
        let (words, found) = splitter.end()?;
        Ok((words, found, file))
    }

    fn body(data: &str) -> String {
        format!(r#"{{"name":"a","_attachments":{{"a-1.0.0.tgz":{{"data":"{data}","length":3}}}}}}"#)
    }

    #[test]
    fn the_file_is_decoded_and_the_rest_is_as_it_was() {
        let (words, found, file) = split(body("YWJj").as_bytes(), &[7]).unwrap();
        assert_eq!(
            (String::from_utf8(words).unwrap(), found, &*file),
            (body(""), true, &b"abc"[..])
        );
        assert_eq!(
            split(body(r"YW\u004a\/").as_bytes(), &[1]).unwrap().2,
            b"ab\x7f",
            "escapes"
        );
        // A text at another path is not the file.
        for other in [
            r#"{"data":"YWJj"}"#,
            r#"{"_attachments":{"data":"YWJj"}}"#,
            r#"{"_attachments":{"a.tgz":{"x":{"data":"YWJj"}}}}"#,
            r#"{"_attachments":{"a.sigstore":{"data":"{\"a\":1}"}}}"#,
            r#"{"versions":{"a.tgz":{"data":"YWJj"}}}"#,
            r#"{"_attachments":[{"data":"YWJj"}]}"#,
            r#"{"_attachments":{"a.tgz":["data","YWJj"]}}"#,
            r#"{"_attachments":{"a.tgz":{"x":"data","y":["data"]}}}"#,
            r#"{"readme":"\"_attachments\":{\"a.tgz\":{\"data\":\"x\\\"","a":"\\"}"#,
        ] {
            let (words, found, file) = split(other.as_bytes(), &[3]).unwrap();
            assert_eq!(
                (String::from_utf8(words).unwrap(), found, file.len()),
                (other.to_owned(), false, 0)
            );
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for bad in [
            "YWJ", "Y===", "YQ==YQ==", "YWJj\\n", "YW Jj", "é", "\\x", "\\u00",
        ] {
            assert_eq!(
                split(body(bad).as_bytes(), &[5]).err(),
                Some(Wrong::Base64),
                "{bad}"
            );
        }
        assert_eq!(
            split(br#"{"_attachments":{"a.tgz":{"data":"YWJj"#, &[9]).err(),
            Some(Wrong::Cut)
        );
        let two = r#"{"_attachments":{"a.tgz":{"data":"YWJj"},"b.tgz":{"data":"YWJj"}}}"#;
        assert_eq!(split(two.as_bytes(), &[9]).err(), Some(Wrong::Second));
        let long = format!("{{\"readme\":\"{}\"}}", "x".repeat(MAX_WORDS));
        assert_eq!(
            split(long.as_bytes(), &[64 << 10]).err(),
            Some(Wrong::TooLong)
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = || prop::sample::select(vec!["_attachments", "a.tgz", "data", "x\"\\", "é", ""]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::sample::select(vec![
                "",
                "data",
                "\\",
                "\"",
                "{\"data\":\"",
                "]},:",
                "\u{1}é"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// However the body is split and whatever surrounds the file, the result is that of a
        /// parser of the whole text.
        #[test]
        fn it_is_what_a_parser_of_the_whole_finds(
            around in any_json(), more in any_json(), file in prop::collection::vec(any::<u8>(), 0..200),
            lengths in prop::collection::vec(1usize..40, 1..6), pretty in any::<bool>(), is_first in any::<bool>(),
        ) {
            let attachment = json!({ "content_type": "x", "data": BASE64.encode(&file), "length": file.len() });
            let (before, after) = if is_first { ("zzz", "zz") } else { ("A", "B") };
            let mut whole = json!({ before: around, after: more });
            whole["_attachments"] = json!({ "n-1.0.0.tgz": attachment, "n.sigstore": { "data": "{}" } });
            let text = if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
            let (words, found, decoded) = split(&text, &lengths).unwrap();
            prop_assert!(found);
            prop_assert_eq!(decoded, file);
            whole["_attachments"]["n-1.0.0.tgz"]["data"] = "".into();
            prop_assert_eq!(serde_json::from_slice::<Value>(&words).unwrap(), whole);
        }

        /// For a text with any file or none, the result is that of a parser.
        #[test]
        fn any_json_has_the_file_that_a_parser_finds(value in any_json(), lengths in prop::collection::vec(1usize..20, 1..4)) {
            let text = serde_json::to_vec(&value).unwrap();
            let is_text = |file: &Value| file.is_string();
            let expected = value.get("_attachments").and_then(|all| all.get("a.tgz")?.get("data")).filter(|one| is_text(one));
            match split(&text, &lengths) {
                Ok((words, found, _)) => {
                    prop_assert_eq!(found, expected.is_some());
                    if !found {
                        prop_assert_eq!(words, text);
                    }
                }
                Err(wrong) => prop_assert!(expected.is_some() && wrong == Wrong::Base64, "{:?}", wrong),
            }
        }

        #[test]
        fn any_bytes_are_taken_apart_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), length in 1usize..30) {
            let _ = split(&bytes, &[length]);
        }
    }
}
