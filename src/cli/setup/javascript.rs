//! `setup npm`, `pnpm`, `yarn` and `bun`: chooses which packages come from the swarm, and sets the
//! token for publishing.

use std::path::PathBuf;

use super::{
    super::{DONE, global::Global, print, session},
    Access, Flags, access, change,
    npmrc::{self, Setting},
    yaml,
};
use crate::{RegistryError, Result, ecosystem::Ecosystem};

/// Tells the user what stops working if everything comes from the swarm.
const MIRROR: &str = "every package comes from the swarm: others are not found, audits are empty, \
                      and there are no accounts";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scopes of packages that come from the swarm, such as @team
    scopes: Vec<String>,
    #[command(flatten)]
    flags: Flags,
    /// Accept versions younger than a day in this project; pnpm and yarn skip them by default
    #[arg(long, conflicts_with = "global")]
    fresh: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NpmClient {
    Npm,
    Pnpm,
    /// yarn 2 and later. yarn 1 reads the files of npm.
    Yarn,
    Bun,
}

impl NpmClient {
    fn called(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    /// Returns the paths of its file in a project and of the one in the user's home.
    fn files(self) -> Result<[PathBuf; 2]> {
        let file = if self == Self::Yarn {
            ".yarnrc.yml"
        } else {
            ".npmrc"
        };
        let told = ["NPM_CONFIG_USERCONFIG", "npm_config_userconfig"]
            .into_iter()
            .find_map(std::env::var_os);
        let home = match told.filter(|told| !told.is_empty() && self == Self::Npm) {
            Some(told) => told.into(),
            None => {
                let home = etcetera::home_dir().map_err(|error| {
                    RegistryError::Usage(format!("no home directory found ({error}); set HOME"))
                })?;
                home.join(file)
            }
        };
        Ok([file.into(), home])
    }
}

/// The file that sets pnpm's minimum age of versions.
const WORKSPACE: &str = "pnpm-workspace.yaml";

/// The settings to write.
#[derive(Clone)]
struct RegistrySettings {
    client: NpmClient,
    /// URL of the registry, with the trailing slash that all clients write.
    registry: String,
    token: String,
    /// Scopes, with @.
    scopes: Vec<String>,
    mirror: bool,
    fresh: bool,
    /// Reading requires a token too.
    closed: bool,
}

pub(super) async fn run(global: &Global, client: NpmClient, args: Args) -> Result<u8> {
    if args.flags.undo {
        return undo(client);
    }
    let scopes = args
        .scopes
        .iter()
        .map(|scope| scope_of(scope))
        .collect::<Result<Vec<_>>>()?;
    session::running(global, async |node, settings| {
        let Access { url, token, closed } = access(node, settings).await?;
        let registry = format!("{url}/npm/");
        let wanted = RegistrySettings {
            client,
            registry,
            token,
            scopes,
            mirror: args.flags.mirror,
            fresh: args.fresh,
            closed,
        };
        let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(note) = wanted.proxy_in_between(told) {
            print::note(note);
        }
        match args.flags.write {
            true => write(&wanted, args.flags.global),
            false => {
                print::lines(wanted.text().map_err(RegistryError::Usage)?.trim_end())?;
                Ok(DONE)
            }
        }
    })
    .await
}

fn scope_of(text: &str) -> Result<String> {
    let scope = format!("@{}", text.trim_start_matches('@'));
    match Ecosystem::Npm.normalise(&format!("{scope}/a")) {
        Ok(_) => Ok(scope),
        Err(_) => Err(RegistryError::Usage(format!(
            "{text} is not a scope; an example is @team"
        ))),
    }
}

impl RegistrySettings {
    /// Returns everything as one text to paste.
    fn text(&self) -> Result<String, String> {
        let text = self.add_token(&self.add("")?)?;
        let hint = format!(
            "# Name the scopes whose packages come from here, as in `swarmdex setup {} @team`.\n",
            self.client.called()
        );
        let hint = if self.scopes.is_empty() && !self.mirror {
            hint
        } else {
            String::new()
        };
        let fresh = match self.client {
            NpmClient::Pnpm if self.fresh => {
                format!("# In {WORKSPACE} stands: minimumReleaseAge: 0\n")
            }
            _ => String::new(),
        };
        Ok(format!("{hint}{text}{fresh}"))
    }

    /// Adds the registry to a file; our earlier settings are updated to this address.
    fn add(&self, text: &str) -> Result<String, String> {
        let all = self.and_earlier(text);
        if self.client == NpmClient::Yarn {
            all.add_to_yarn(text)
        } else {
            all.add_to_npmrc(text)
        }
    }

    fn and_earlier(&self, text: &str) -> Self {
        let Self {
            mut scopes,
            mut mirror,
            mut fresh,
            ..
        } = self.clone();
        let earlier = if self.client == NpmClient::Yarn {
            yaml::ours(text)
        } else {
            npmrc::ours(text)
        };
        for key in earlier {
            mirror |= key == "registry" || key.starts_with("npmRegistryServer:");
            fresh |= key.starts_with("npmMinimalAgeGate:");
            let scope = match self.client {
                NpmClient::Yarn => key
                    .strip_prefix(' ')
                    .and_then(|key| key.trim().strip_suffix(':')),
                _ => key.strip_suffix(":registry"),
            };
            // A quoted key is a registry's address, not a scope.
            let scope = scope
                .filter(|scope| !scope.starts_with('"'))
                .and_then(|scope| scope_of(scope).ok());
            scopes.extend(scope.filter(|scope| !self.scopes.contains(scope)));
        }
        scopes.sort();
        Self {
            scopes,
            mirror,
            fresh,
            ..self.clone()
        }
    }

    fn add_to_npmrc(&self, text: &str) -> Result<String, String> {
        let mut settings: Vec<Setting> = self
            .scopes
            .iter()
            .map(|scope| Setting {
                key: format!("{scope}:registry"),
                value: self.registry.clone(),
                reason: format!("packages of {scope} come from the swarm"),
            })
            .collect();
        if self.mirror {
            let (key, value) = ("registry".to_owned(), self.registry.clone());
            settings.push(Setting {
                key,
                value,
                reason: MIRROR.to_owned(),
            });
        }
        npmrc::add(text, &settings)
    }

    fn add_to_yarn(&self, text: &str) -> Result<String, String> {
        let mut text = yaml::remove(text);
        let server = quoted(&self.registry);
        for scope in &self.scopes {
            let scope = scope.trim_start_matches('@');
            let entry = [
                format!("{scope}:"),
                format!("  npmRegistryServer: {server}"),
            ];
            text = yaml::add_below(&text, "npmScopes", &entry)?;
        }
        if self.mirror {
            text = yaml::set(&text, "npmRegistryServer", &server)?;
        }
        let is_used = self.mirror || !self.scopes.is_empty();
        if let Some(host) = self.plain_host().filter(|_| is_used) {
            text = yaml::add_below(
                &text,
                "unsafeHttpWhitelist",
                &[format!("- {}", quoted(&host))],
            )?;
        }
        if self.fresh {
            text = yaml::set(&text, "npmMinimalAgeGate", "0")?;
        }
        Ok(text)
    }

    /// Returns the host that yarn must allow without encryption.
    fn plain_host(&self) -> Option<String> {
        let url = url::Url::parse(&self.registry).ok()?;
        (url.scheme() == "http")
            .then(|| url.host_str().map(str::to_owned))
            .flatten()
    }

    /// Returns the proxy that the client would use even for this machine; none of the clients makes
    /// an exception for it.
    fn proxy_in_between(&self, told: impl Fn(&str) -> Option<String>) -> Option<String> {
        // npm and pnpm use the first for http and https addresses, yarn uses neither.
        let names: &[&str] = match self.client {
            NpmClient::Npm | NpmClient::Pnpm => {
                &["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"]
            }
            NpmClient::Bun => &["http_proxy", "HTTP_PROXY"],
            NpmClient::Yarn => &[],
        };
        let name = names.iter().find(|name| told(name).is_some())?;
        let host = self.plain_host()?;
        let left_out = ["no_proxy", "NO_PROXY"]
            .into_iter()
            .find_map(told)
            .unwrap_or_default();
        let is_left_out = left_out
            .split(',')
            .any(|other| other.trim() == host || other.trim() == "*");
        let client = self.client.called();
        (!is_left_out).then(|| {
            format!("{client} asks {host} through the proxy in {name} too; add {host} to no_proxy")
        })
    }

    /// Adds the token to a file, and keeps the registry in it.
    fn add_token(&self, text: &str) -> Result<String, String> {
        if self.client == NpmClient::Yarn {
            let mut entry = vec![
                format!("{}:", quoted(&self.registry)),
                format!("  npmAuthToken: {}", quoted(&self.token)),
            ];
            if self.closed {
                // Otherwise, yarn sends the token only for packages in scopes.
                entry.push("  npmAlwaysAuth: true".to_owned());
            }
            return yaml::add_below(text, "npmRegistries", &entry);
        }
        let address = self
            .registry
            .split_once(':')
            .map_or(&*self.registry, |(_, address)| address);
        let (key, value) = (format!("{address}:_authToken"), self.token.clone());
        let reason = match self.closed {
            true => {
                "lets you install and publish; yarn 1 wants always-auth=true beside it, of which \
                 npm warns"
            }
            false => "lets you publish",
        };
        npmrc::append(
            text,
            &[Setting {
                key,
                value,
                reason: reason.to_owned(),
            }],
        )
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn write(wanted: &RegistrySettings, global: bool) -> Result<u8> {
    let client = wanted.client;
    let [project, home] = client.files()?;
    let mut written = Vec::new();
    if global {
        change(&home, |text| wanted.add_token(&wanted.add(text)?))?;
    } else {
        if wanted.mirror || wanted.fresh || !wanted.scopes.is_empty() {
            change(&project, |text| wanted.add(text))?;
            written.push(project.display().to_string());
        }
        change(&home, |text| wanted.add_token(&clean(client, text)))?;
    }
    written.push(home.display().to_string());
    if wanted.fresh && client == NpmClient::Pnpm {
        change(WORKSPACE.as_ref(), |text| {
            yaml::set(&yaml::remove(text), "minimumReleaseAge", "0")
        })?;
        written.push(WORKSPACE.to_owned());
    }
    print::note(format!(
        "wrote {}; undo with `swarmdex setup {} --undo`",
        written.join(", "),
        client.called()
    ));
    if wanted.mirror {
        print::note(MIRROR);
    }
    if wanted.fresh && matches!(client, NpmClient::Npm | NpmClient::Bun) {
        print::note(format!(
            "{} accepts versions of any age, so --fresh has no effect",
            client.called()
        ));
    }
    if wanted.scopes.is_empty() && !wanted.mirror {
        print::note(
            "no scope was given, so nothing is installed from here yet; give one, such as @team, \
             or use --mirror",
        );
    }
    Ok(DONE)
}

/// Removes all of our settings from a file.
fn clean(client: NpmClient, text: &str) -> String {
    if client == NpmClient::Yarn {
        yaml::remove(text)
    } else {
        npmrc::remove(text)
    }
}

fn undo(client: NpmClient) -> Result<u8> {
    let mut files: Vec<PathBuf> = client.files()?.into();
    if client == NpmClient::Pnpm {
        files.push(WORKSPACE.into());
    }
    let mut changed = false;
    for path in files {
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml");
        if change(&path, |text| {
            Ok(if is_yaml {
                yaml::remove(text)
            } else {
                npmrc::remove(text)
            })
        })? {
            changed = true;
            print::note(format!(
                "removed Swarmdex's settings from {}",
                path.display()
            ));
        }
    }
    if !changed {
        print::note("there was nothing to remove");
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(client: NpmClient, scopes: &[&str], mirror: bool, fresh: bool) -> RegistrySettings {
        RegistrySettings {
            client,
            registry: "http://127.0.0.1:4810/npm/".to_owned(),
            token: "word".to_owned(),
            scopes: scopes
                .iter()
                .map(|scope| scope_of(scope).unwrap())
                .collect(),
            mirror,
            fresh,
            closed: false,
        }
    }

    #[test]
    fn what_is_pasted_names_scopes_and_the_token_and_replaces_nothing() {
        let text = wanted(NpmClient::Npm, &["@team", "other"], false, false)
            .text()
            .unwrap();
        for line in [
            "@team:registry=http://127.0.0.1:4810/npm/",
            "@other:registry=http://127.0.0.1:4810/npm/",
            "//127.0.0.1:4810/npm/:_authToken=word",
        ] {
            assert!(text.lines().any(|other| other == line), "{text}");
        }
        assert!(
            !text.lines().any(|line| line.starts_with("registry")),
            "{text}"
        );
        let mirror = wanted(NpmClient::Bun, &[], true, false).text().unwrap();
        assert!(
            mirror.contains("\nregistry=http://127.0.0.1:4810/npm/\n")
                && mirror.contains("not found"),
            "{mirror}"
        );
        let none = wanted(NpmClient::Pnpm, &[], false, true).text().unwrap();
        assert!(
            none.contains("setup pnpm @team") && none.contains("minimumReleaseAge: 0"),
            "{none}"
        );
        assert!(scope_of("@a/b").is_err() && scope_of("a b").is_err());
    }

    #[test]
    fn a_proxy_that_stands_in_between_is_told() {
        let told = |client, set: &[(&str, &str)]| {
            let get = |name: &str| {
                set.iter()
                    .find(|(other, _)| *other == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            wanted(client, &[], false, false).proxy_in_between(get)
        };
        let proxy = ("https_proxy", "http://proxy.example");
        assert!(
            told(NpmClient::Npm, &[proxy])
                .unwrap()
                .contains("add 127.0.0.1 to no_proxy")
        );
        assert_eq!(
            told(
                NpmClient::Npm,
                &[proxy, ("no_proxy", "localhost, 127.0.0.1")]
            ),
            None
        );
        assert_eq!(told(NpmClient::Npm, &[]), None);
        assert_eq!(
            (
                told(NpmClient::Bun, &[proxy]),
                told(NpmClient::Yarn, &[proxy])
            ),
            (None, None)
        );
        assert!(told(NpmClient::Bun, &[("HTTP_PROXY", "http://proxy.example")]).is_some());
    }

    #[test]
    fn what_is_pasted_for_yarn_is_yaml_with_the_host_it_may_ask() {
        let text = wanted(NpmClient::Yarn, &["@team"], true, true)
            .text()
            .unwrap();
        let expected = "npmScopes: # swarmdex
  team: # swarmdex
    npmRegistryServer: \"http://127.0.0.1:4810/npm/\" # swarmdex
npmRegistryServer: \"http://127.0.0.1:4810/npm/\" # swarmdex
unsafeHttpWhitelist: # swarmdex
  - \"127.0.0.1\" # swarmdex
npmMinimalAgeGate: 0 # swarmdex
npmRegistries: # swarmdex
  \"http://127.0.0.1:4810/npm/\": # swarmdex
    npmAuthToken: \"word\" # swarmdex
";
        assert_eq!(text, expected);
    }

    #[test]
    fn where_reading_needs_a_token_yarn_says_it_always() {
        let closed = |client| RegistrySettings {
            closed: true,
            ..wanted(client, &["team"], false, false)
        };
        assert!(
            closed(NpmClient::Yarn)
                .text()
                .unwrap()
                .contains("\n    npmAlwaysAuth: true # swarmdex\n")
        );
        assert!(
            !wanted(NpmClient::Yarn, &["team"], false, false)
                .text()
                .unwrap()
                .contains("npmAlwaysAuth")
        );
        assert!(
            closed(NpmClient::Npm)
                .text()
                .unwrap()
                .contains("always-auth=true beside it")
        );
    }

    #[test]
    fn what_was_set_up_before_goes_on_at_the_new_address() {
        for (client, theirs) in [
            (NpmClient::Yarn, "nodeLinker: pnp\n"),
            (NpmClient::Pnpm, "# mine\n"),
        ] {
            let first = wanted(client, &["team", "other"], true, true);
            let added = first.add(theirs).unwrap();
            assert_eq!(first.add(&added).unwrap(), added, "it can be repeated");
            let moved = RegistrySettings {
                registry: "http://127.0.0.1:4811/npm/".to_owned(),
                ..wanted(client, &["@third"], false, false)
            };
            let added = moved.add(&added).unwrap();
            let all = RegistrySettings {
                registry: moved.registry.clone(),
                ..wanted(client, &["other", "team", "third"], true, true)
            };
            assert_eq!(added, all.add(theirs).unwrap(), "{added}");
            assert_eq!(clean(client, &added), theirs);
        }
    }
}
