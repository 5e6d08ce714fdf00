//! Reading single values, whatever layer they come from.

use std::{fmt::Write as _, ops::RangeInclusive, time::Duration};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::domain::text::{fit, printable};

/// Shortest and longest age that can be chosen.
const AGES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(720 * 3_600);
/// Shortest and longest time a query may be given.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3_600);

/// A value as a layer gives it: text from the environment and flags, typed from the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum LayerValue<'a> {
    Text(&'a str),
    Toml(&'a toml::Value),
}

/// The reason for which a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueError {
    /// A value of the wrong kind, with what to write instead.
    Value(String),
    /// One of several addresses is not one of a peer.
    Address { given: String, why: String },
}

impl From<&str> for ValueError {
    fn from(remedy: &str) -> Self {
        Self::Value(remedy.to_owned())
    }
}

impl From<String> for ValueError {
    fn from(remedy: String) -> Self {
        Self::Value(remedy)
    }
}

impl<'a> LayerValue<'a> {
    pub fn text(self) -> Result<&'a str, ValueError> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::Toml(toml::Value::String(text)) => Ok(text.trim()),
            Self::Toml(_) => Err("write it in quotes".into()),
        }
    }

    pub fn boolean(self) -> Result<bool, ValueError> {
        match self {
            Self::Toml(toml::Value::Boolean(value)) => Ok(*value),
            Self::Text("true" | "1" | "yes" | "on") => Ok(true),
            Self::Text("false" | "0" | "no" | "off") => Ok(false),
            _ => Err("write true or false".into()),
        }
    }

    /// A whole number from 1 to `most`.
    pub fn count(self, most: usize) -> Result<usize, ValueError> {
        self.whole(1, most)
    }

    /// A whole number from `least` to `most`.
    pub fn whole(self, least: usize, most: usize) -> Result<usize, ValueError> {
        let number = match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Toml(toml::Value::Integer(number)) => usize::try_from(*number).ok(),
            Self::Toml(_) => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("write a whole number from {least} to {most}").into())
    }

    /// A number from 0 to `most`.
    pub fn amount(self, most: f64) -> Result<f64, ValueError> {
        let number = match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Toml(toml::Value::Float(number)) => Some(*number),
            Self::Toml(toml::Value::Integer(number)) => Some(*number as f64),
            Self::Toml(_) => None,
        };
        number
            .filter(|number| (0.0..=most).contains(number))
            .ok_or_else(|| format!("write a number from 0 to {most}").into())
    }

    pub fn timeout(self) -> Result<Duration, ValueError> {
        let text = self
            .text()
            .map_err(|_| "write it in quotes with its unit, such as \"5s\"")?;
        let timeout = parse_duration(text)?;
        if TIMEOUTS.contains(&timeout) {
            Ok(timeout)
        } else {
            Err("choose between 10ms and 1h".into())
        }
    }

    /// An age of days rather than seconds.
    pub fn age(self) -> Result<Duration, ValueError> {
        let text = self
            .text()
            .map_err(|_| "write it in quotes with its unit, such as \"24h\"")?;
        let age = parse_duration(text)?;
        if AGES.contains(&age) {
            Ok(age)
        } else {
            Err("choose between 1m and 720h".into())
        }
    }

    /// A list: an array in the file, separated by commas or space elsewhere.
    fn list(self) -> Result<Vec<&'a str>, ValueError> {
        let split = |text: &'a str| {
            text.split([',', ' ', '\n', '\t'])
                .filter(|part| !part.is_empty())
                .collect()
        };
        match self {
            Self::Text(text) => Ok(split(text)),
            Self::Toml(toml::Value::String(text)) => Ok(split(text)),
            Self::Toml(toml::Value::Array(values)) => values
                .iter()
                .map(|value| {
                    value
                        .as_str()
                        .ok_or_else(|| "write a list of texts in quotes".into())
                })
                .collect(),
            Self::Toml(_) => Err("write a list of texts in quotes".into()),
        }
    }

    pub fn listen(self) -> Result<Vec<Multiaddr>, ValueError> {
        let parse = |text: &str| match text.parse::<Multiaddr>() {
            Ok(address)
                if !matches!(
                    address.iter().next(),
                    Some(Protocol::Ip4(_) | Protocol::Ip6(_))
                ) =>
            {
                Err(unusable(
                    text,
                    "it does not begin with an IP address of this machine",
                ))
            }
            Ok(address) if is_transport(&address) => Ok(address),
            Ok(_) => Err(unusable(text, "only tcp and quic-v1 can be listened on")),
            Err(error) => Err(unusable(text, &error.to_string())),
        };
        self.list()?.into_iter().map(parse).collect()
    }

    pub fn peers(self) -> Result<Vec<Multiaddr>, ValueError> {
        let parse = |text: &str| {
            let wrong = |why: String| ValueError::Address {
                given: fit(&printable(text), 100),
                why,
            };
            let address: Multiaddr = text
                .parse::<Multiaddr>()
                .map_err(|error| wrong(error.to_string()))?;
            match address.iter().last() {
                Some(Protocol::P2p(_)) => Ok(address),
                _ => Err(wrong(
                    "it does not end with /p2p/ and the peer's id".to_owned(),
                )),
            }
        };
        self.list()?.into_iter().map(parse).collect()
    }
}

fn unusable(text: &str, why: &str) -> ValueError {
    let text = fit(&printable(text), 100);
    ValueError::Value(format!(
        "{text} cannot be listened on ({why}); write it like /ip4/0.0.0.0/tcp/4807 or /ip4/0.0.0.0/udp/4807/quic-v1"
    ))
}

/// Tells if the address ends in a transport that a node listens with.
fn is_transport(address: &Multiaddr) -> bool {
    matches!(
        address.iter().last(),
        Some(Protocol::Tcp(_) | Protocol::QuicV1)
    )
}

/// Reads `500ms`, `5s`, `1.5s`, `2m`, `1h`.
///
/// # Errors
/// A sentence that says how to write one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with ms, s, m or h, such as 500ms, 5s or 2m".to_owned();
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text
        .strip_suffix(unit)
        .and_then(|number| number.parse().ok())
        .ok_or_else(wrong)?;
    let seconds = match unit.trim() {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// The shortest form that [`parse_duration`] reads back, to the millisecond.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        _ if millis == 0 || !millis.is_multiple_of(1_000) => format!("{millis}ms"),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ => format!("{}s", millis / 1_000),
    }
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of texts as TOML writes it.
pub(super) fn quoted_list<T: ToString>(values: &[T]) -> String {
    let mut out = "[".to_owned();
    for (n, value) in values.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{}", quoted(&value.to_string()));
    }
    out + "]"
}

/// A number as TOML writes a float.
pub(super) fn float(number: f64) -> String {
    toml::Value::Float(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("3 s", 3_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "5x",
            "1.2.3s",
            "99999999999999999999999h",
            "∞s",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked_for_their_purpose() {
        let peer =
            "/ip4/192.0.2.7/tcp/4807/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        assert_eq!(
            LayerValue::Text(&format!("{peer},{peer}"))
                .peers()
                .unwrap()
                .len(),
            2
        );
        let error = LayerValue::Text("/ip4/192.0.2.7/tcp/4807")
            .peers()
            .unwrap_err();
        assert!(matches!(error, ValueError::Address { .. }), "{error:?}");
        assert!(LayerValue::Text("192.0.2.7:4807").listen().is_err());
        assert!(LayerValue::Text(peer).listen().is_err());
        assert_eq!(
            LayerValue::Text("/ip4/0.0.0.0/tcp/0 /ip6/::/udp/0/quic-v1")
                .listen()
                .unwrap()
                .len(),
            2
        );
    }

    proptest! {
        #[test]
        fn durations_come_back(millis in 0u64..100_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn hostile_text_never_panics(text in ".*") {
            let _ = parse_duration(&text);
            let given = LayerValue::Text(&text);
            let _ = (given.boolean(), given.count(9), given.amount(1.0), given.peers(), given.listen());
        }
    }
}
