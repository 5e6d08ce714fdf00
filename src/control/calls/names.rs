//! The calls about bare names and their publishers.

use super::{
    super::{Local, Remote, wire::Done},
    Control, calls,
};
use crate::{
    RegistryError, Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{NameBlock, NameDecision, NamePattern},
        version::VersionText,
    },
    registry::{NameTable, Names},
};

calls! {
    impl Names for Remote {}

    /// Returns the `rules` for bare names, the `trusted` keys, the `blocks`, and the publishers
    /// from which names were first `served`.
    GET "/v1/names":
    Table = table() -> NameTable
        |local| local.names().table().await;

    /// Returns `meaning`: `owner` with the reason, `several`, `nobody` or `blocked`; and
    /// `passed_over`, other trusted keys that have the name.
    POST "/v1/names/why" r#"{"name": "cargo:serde"}"#:
    Why = why(name: &PackageName as PackageName) -> NameDecision
        |local| local.names().why(&name).await;

    /// Returns the same as `/v1/names/why`, but asks no peer.
    POST "/v1/names/known" r#"{"name": "cargo:serde"}"#:
    Known = known(name: &PackageName as PackageName) -> NameDecision
        |local| local.names().known(&name).await;

    /// Returns the same as `/v1/names/why`, and records the publisher from which the name is
    /// served.
    POST "/v1/names/serve" r#"{"name": "cargo:serde"}"#, changes "serving a name":
    Serve = serve(name: &PackageName as PackageName) -> NameDecision
        |local| local.names().serve(&name).await;

    /// Assigns a name, or all names that match a pattern, to a key.
    POST "/v1/names/set" r#"{"pattern": "cargo:serde", "owner": "12D3KooW…"}"#,
        changes "setting a name":
    SetName = set_name(pattern: NamePattern, owner: PublisherId as Option<PublisherId>) -> ()
        |local| {
            let nobody = || RegistryError::Usage("say whose the name is to be".to_owned());
            local.names().set_name(pattern, owner.ok_or_else(nobody)?).await
        };

    /// Removes an assignment; false if there was none.
    POST "/v1/names/unset" r#"{"pattern": "cargo:serde"}"#, changes "unsetting a name":
    UnsetName = unset_name(pattern: NamePattern) -> bool as Done
        |local| local.names().unset_name(pattern).await;

    /// Trusts a key for these names, so that package managers get its packages. `/v1/distrust`
    /// undoes it.
    POST "/v1/names/trust" r#"{"publisher": "12D3KooW…", "names": ["*"]}"#, changes "trusting":
    TrustForNames = trust_for_names(publisher: PublisherId, names: Vec<NamePattern>) -> ()
        |local| local.names().trust_for_names(publisher, names).await;

    /// Blocks a name for package managers: without `version` every version, with `file` only that
    /// file of the version.
    POST "/v1/names/block" r#"{"name": "cargo:serde", "version": "1.0.0", "why": "…"}"#,
        changes "blocking":
    Block = block(
        name: PackageName,
        #[serde(default)] version: Option<VersionText>,
        #[serde(default)] file: Option<String>,
        #[serde(default)] why: String,
    ) -> ()
        |local| local.names().block(name, version, file, why).await;

    /// Removes a block, and the blocks of that version's files; false if there was none.
    POST "/v1/names/unblock" r#"{"name": "cargo:serde", "version": "1.0.0"}"#,
        changes "unblocking":
    Unblock = unblock(
        name: PackageName,
        #[serde(default)] version: Option<VersionText>,
    ) -> bool as Done
        |local| local.names().unblock(name, version).await;

    /// Returns the blocks of a name.
    POST "/v1/names/blocks" r#"{"name": "cargo:serde"}"#:
    Blocks = blocks(name: &PackageName as PackageName) -> Vec<NameBlock>
        |local| local.names().blocks(&name).await;
}
