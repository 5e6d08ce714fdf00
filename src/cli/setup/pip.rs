//! Edits `pip.conf`, and `.pypirc`, which upload tools such as twine read. Pure.

use super::{Access, ini::Ini};

/// Name of the swarm in `.pypirc`.
const SWARM: &str = "swarm";
/// Servers that twine knows if `.pypirc` names none: naming one must not remove these.
const USUAL: [&str; 2] = ["pypi", "testpypi"];
/// Ends of the gateway's addresses, by which our settings are recognised.
const INDEX: &str = "/pypi/simple/";
const UPLOADS: &str = "/pypi/legacy/";

/// Returns the URL of the index, with the token in it unless the address is loopback.
pub fn index(access: &Access) -> String {
    let url = match access.url.split_once("://") {
        Some((scheme, rest)) if access.closed => {
            format!("{scheme}://__token__:{}@{rest}", access.token)
        }
        _ => access.url.clone(),
    };
    format!("{url}{INDEX}")
}

pub fn uploads(access: &Access) -> String {
    format!("{}{UPLOADS}", access.url)
}

/// Returns everything as one text to paste.
pub fn text(access: &Access, mirror: bool) -> String {
    let conf = match mirror {
        true => format!(
            "# pip.conf. Every name is looked for in the swarm alone then: packages that nobody \
             has there are not found, and\n\
             # neither are what builds of source distributions need. Never add an extra-index-url: \
             pip takes the highest version\n\
             # of all its indexes, whoever published it.\n{}",
            add("", access).unwrap_or_default()
        ),
        false => format!(
            "# pip install --index-url {} PACKAGE\n# With --trusted-host {} pip keeps what it \
             downloads over http.\n",
            index(access),
            host(access)
        ),
    };
    format!(
        "{conf}\n# .pypirc, for `twine upload -r {SWARM} dist/*`\n{}",
        add_uploads("", access).unwrap_or_default()
    )
}

/// Returns the host that pip must trust without https. Otherwise it caches nothing and, beyond
/// loopback, refuses to connect.
fn host(access: &Access) -> &str {
    access
        .url
        .split_once("://")
        .map_or(&*access.url, |(_, rest)| {
            rest.split('/').next().unwrap_or(rest)
        })
}

/// Sets the swarm as the index in `pip.conf`. Existing settings are kept, except for earlier
/// gateway addresses.
///
/// # Errors
/// The reason, as the end of a sentence.
pub fn add(text: &str, access: &Access) -> Result<String, String> {
    let mut conf = Ini::of(text);
    for key in ["index-url", "extra-index-url"] {
        if let Some(other) = conf
            .get("global", key)
            .filter(|url| key != "index-url" || !url.ends_with(INDEX))
        {
            return Err(format!(
                "it has an {key} already, {other}; remove that first"
            ));
        }
    }
    // A trusted host that belongs to an earlier gateway address is ours.
    let trusted = conf.get("global", "trusted-host");
    let before = conf.get("global", "index-url").unwrap_or_default();
    conf.set("global", "index-url", &index(access));
    if trusted.is_none_or(|host| before.contains(&host)) {
        conf.set("global", "trusted-host", host(access));
    }
    Ok(conf.text())
}

/// Removes from `pip.conf` what [`add`] put there.
pub fn remove(text: &str) -> String {
    let mut conf = Ini::of(text);
    if let Some(url) = conf
        .get("global", "index-url")
        .filter(|url| url.ends_with(INDEX))
    {
        conf.remove("global", "index-url");
        if conf
            .get("global", "trusted-host")
            .is_some_and(|host| url.contains(&host))
        {
            conf.remove("global", "trusted-host");
        }
        conf.remove_empty("global");
    }
    conf.text()
}

/// Adds the swarm to the servers in `.pypirc`.
///
/// # Errors
/// As [`add`].
pub fn add_uploads(text: &str, access: &Access) -> Result<String, String> {
    let mut rc = Ini::of(text);
    if let Some(other) = rc
        .get(SWARM, "repository")
        .filter(|url| !url.ends_with(UPLOADS))
    {
        return Err(format!(
            "it has a server {SWARM} already, at {other}; rename that one"
        ));
    }
    let mut servers = servers(&rc).unwrap_or_else(|| USUAL.map(str::to_owned).to_vec());
    if !servers.iter().any(|server| server == SWARM) {
        servers.push(SWARM.to_owned());
        rc.set("distutils", "index-servers", &servers.join("\n"));
    }
    rc.set(SWARM, "repository", &uploads(access));
    rc.set(SWARM, "username", "__token__");
    rc.set(SWARM, "password", &access.token);
    Ok(rc.text())
}

fn servers(rc: &Ini) -> Option<Vec<String>> {
    let servers = rc.get("distutils", "index-servers")?;
    Some(servers.split_whitespace().map(str::to_owned).collect())
}

/// Removes from `.pypirc` what [`add_uploads`] put there.
pub fn remove_uploads(text: &str) -> String {
    let mut rc = Ini::of(text);
    if rc
        .get(SWARM, "repository")
        .is_none_or(|url| !url.ends_with(UPLOADS))
    {
        return rc.text();
    }
    ["repository", "username", "password"]
        .iter()
        .for_each(|key| rc.remove(SWARM, key));
    rc.remove_empty(SWARM);
    let mut left = servers(&rc).unwrap_or_default();
    left.retain(|server| server != SWARM);
    if left == USUAL || left.is_empty() {
        rc.remove("distutils", "index-servers");
        rc.remove_empty("distutils");
    } else {
        rc.set("distutils", "index-servers", &left.join("\n"));
    }
    rc.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn access(port: u16) -> Access {
        Access {
            url: format!("http://127.0.0.1:{port}"),
            token: "word".to_owned(),
            closed: false,
        }
    }

    #[test]
    fn what_is_there_stays_and_ours_goes_in_and_out() {
        for theirs in [
            "",
            "# mine\n[global]\ntimeout = 9 # s\n\n[install]\npre = yes\n",
            "[install]\nx: 1\n",
        ] {
            let added = add(theirs, &access(4810)).unwrap();
            assert!(
                added.contains("index-url = http://127.0.0.1:4810/pypi/simple/\n"),
                "{added}"
            );
            assert_eq!(
                add(&added, &access(4810)).unwrap(),
                added,
                "it can be repeated"
            );
            let moved = add(&added, &access(4811)).unwrap();
            assert!(
                !moved.contains("4810") && moved.matches("4811").count() == 2,
                "{moved}"
            );
            assert_eq!(remove(&moved), theirs);
        }
        for theirs in [
            "",
            "# mine\n[distutils]\nindex-servers =\n    work\n\n[work]\nrepository = \
             https://work.example/\n",
        ] {
            let added = add_uploads(theirs, &access(4810)).unwrap();
            assert!(
                added.contains(
                    "[swarm]\nrepository = http://127.0.0.1:4810/pypi/legacy/\nusername = \
                     __token__\npassword = word\n"
                ),
                "{added}"
            );
            assert!(
                added.contains(if theirs.is_empty() {
                    "    testpypi\n    swarm\n"
                } else {
                    "    work\n    swarm\n"
                }),
                "{added}"
            );
            assert_eq!(add_uploads(&added, &access(4810)).unwrap(), added);
            assert_eq!(
                remove_uploads(&added).replace("index-servers = work", "index-servers =\n    work"),
                theirs
            );
        }
    }

    #[test]
    fn what_is_somebody_elses_is_never_replaced() {
        let theirs = "[global]\nindex_url = https://work.example/simple\n";
        assert!(
            add(theirs, &access(1))
                .unwrap_err()
                .contains("work.example")
        );
        assert!(
            add(
                "[global]\nextra-index-url = https://work.example/simple\n",
                &access(1)
            )
            .is_err()
        );
        assert_eq!(remove(theirs), theirs);
        let swarm = "[swarm]\nrepository = https://work.example/\n";
        assert!(
            add_uploads(swarm, &access(1))
                .unwrap_err()
                .contains("work.example")
        );
        assert_eq!(remove_uploads(swarm), swarm);
        let trusted = "[global]\ntrusted-host = work.example\n";
        let moved = Access {
            url: "http://192.0.2.7:4811".to_owned(),
            ..access(1)
        };
        let moved = add(&add("", &access(4810)).unwrap(), &moved).unwrap();
        assert!(moved.contains("trusted-host = 192.0.2.7:4811\n"), "{moved}");
        assert!(
            add(trusted, &access(1))
                .unwrap()
                .contains("trusted-host = work.example\n")
        );
    }

    #[test]
    fn beyond_loopback_the_index_says_the_token() {
        let closed = Access {
            closed: true,
            url: "http://192.0.2.7:4810".to_owned(),
            token: "word".to_owned(),
        };
        assert!(text(&closed, true).contains(
            "index-url = http://__token__:word@192.0.2.7:4810/pypi/simple/\ntrusted-host = \
             192.0.2.7:4810\n"
        ));
        for mirror in [false, true] {
            let text = text(&access(4810), mirror);
            assert!(
                text.lines()
                    .all(|line| line.starts_with('#') || !line.contains("extra-index-url")),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_file_is_changed_or_left_with_a_reason(text in "(\\[(global|distutils|swarm)\\]\n|(index-url|index-servers|repository|x) ?[=:] ?(a|b)\n|  c\n|# d\n){0,8}") {
            if let Ok(added) = add(&text, &access(1)) {
                prop_assert_eq!(add(&added, &access(1)), Ok(added.clone()));
                prop_assert!(!remove(&added).contains("127.0.0.1"));
            }
            if let Ok(added) = add_uploads(&text, &access(1)) {
                prop_assert_eq!(add_uploads(&added, &access(1)), Ok(added.clone()));
                prop_assert!(!remove_uploads(&added).contains("127.0.0.1"));
            }
        }
    }
}
