//! Access rules: the host that a request names, the page that it comes from, and its token. Pure.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use data_encoding::BASE64;

/// The reason why a request is refused before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRefusal {
    /// A name that an attacker may have pointed at this machine.
    Host(String),
    /// A page of another origin.
    Origin(String),
}

/// Returns the name by which the client addressed the gateway, if that is one of its names.
///
/// Every IP address is allowed: unlike the name of a page, it cannot be pointed elsewhere (DNS
/// rebinding).
pub fn host(headers: &HeaderMap, public: Option<&str>) -> Result<String, AccessRefusal> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let host = text(header::HOST).unwrap_or_default();
    let public = public.and_then(authority);
    let is_ours = is_address(&host) || public == Some(host.as_str());
    if !is_ours {
        return Err(AccessRefusal::Host(host));
    }
    match text(header::ORIGIN) {
        None => Ok(host),
        Some(origin)
            if authority(&origin)
                .is_some_and(|origin| origin == host || Some(origin) == public) =>
        {
            Ok(host)
        }
        Some(origin) => Err(AccessRefusal::Origin(origin)),
    }
}

/// Returns the host and port of a URL.
fn authority(url: &str) -> Option<&str> {
    url.split_once("://")
        .map(|(_, rest)| rest.split('/').next().unwrap_or(rest))
}

/// Returns true for an IP address or `localhost`, with a port.
fn is_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// Returns the tokens of a request, in each of the ways that clients send them: the bare value
/// (cargo), `Bearer`, and the password of `Basic`.
pub fn words(headers: &HeaderMap) -> Vec<String> {
    let said = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim();
    let scheme = |name: &str| match said.split_once(' ') {
        Some((first, rest)) if first.eq_ignore_ascii_case(name) => Some(rest.trim()),
        _ => None,
    };
    let password = |coded: &str| {
        let text = String::from_utf8(BASE64.decode(coded.as_bytes()).ok()?).ok()?;
        text.split_once(':')
            .map(|(_, password)| password.to_owned())
    };
    let basic = scheme("basic").and_then(password);
    let others = [Some(said), scheme("bearer")]
        .into_iter()
        .flatten()
        .map(ToOwned::to_owned);
    others
        .chain(basic)
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns true if one of the words is the token. Takes the same time for every word.
pub fn says(words: &[String], token: &str) -> bool {
    // Hashes are compared in constant time.
    words
        .iter()
        .any(|word| blake3::hash(word.as_bytes()) == blake3::hash(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_addresses_and_the_public_name_are_ours() {
        let public = Some("https://packages.example.org/swarm");
        for good in [
            "127.0.0.1:4810",
            "localhost:4810",
            "[::1]:4810",
            "192.0.2.7",
            "packages.example.org",
        ] {
            assert_eq!(
                host(&of(&[(header::HOST, good)]), public),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example:4810",
            "localhost.evil.example",
        ] {
            assert_eq!(
                host(&of(&[(header::HOST, bad)]), public),
                Err(AccessRefusal::Host(bad.to_owned()))
            );
        }
        assert!(host(&of(&[(header::HOST, "packages.example.org")]), None).is_err());
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let from = |origin| {
            host(
                &of(&[(header::HOST, "127.0.0.1:4810"), (header::ORIGIN, origin)]),
                None,
            )
        };
        assert!(from("http://127.0.0.1:4810").is_ok());
        for other in ["http://127.0.0.1:4811", "https://evil.example", "null"] {
            assert_eq!(from(other), Err(AccessRefusal::Origin(other.to_owned())));
        }
    }

    #[test]
    fn a_word_is_heard_in_each_way_of_saying_it() {
        let said = |value: &str| {
            says(
                &words(&of(&[(header::AUTHORIZATION, value)])),
                "secret-secret-secret",
            )
        };
        assert!(said("secret-secret-secret"));
        assert!(said("Bearer secret-secret-secret") && said("bearer  secret-secret-secret"));
        assert!(said(&format!(
            "Basic {}",
            BASE64.encode(b"__token__:secret-secret-secret")
        )));
        assert!(!said("Basic secret-secret-secret") && !said("secret") && !said("Bearer "));
        assert!(
            !says(&words(&HeaderMap::new()), ""),
            "nothing said is no word"
        );
    }
}
