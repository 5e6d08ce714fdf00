//! The table of calls: each call to a node stands in one place, as a row of [`calls!`].
//!
//! A row has the sentence for people, the HTTP method, the route, an example of the body, and then
//! the type of the request, the method that callers use, and what the node does:
//!
//! ```text
//! /// Ends the connection with a peer; false when there was none.
//! POST "/v1/disconnect" r#"{"peer": "12D3KooW…"}"#, changes "disconnecting":
//! Disconnect = disconnect(peer: PeerId) -> bool as Done
//!     |local| local.node.disconnect(peer).await;
//! ```
//!
//! From it come `Control::disconnect` for every kind of node, the request `Disconnect` with its
//! [`Call`], the server's route, and the line in `docs/control.md`. `as` names the type in JSON
//! where that is not the one in Rust; a field of such a type says with [`Field`] how it is made.
//! `changes` marks what a person who may only look is refused, and names it; `endless` marks a call
//! without a limit on its time, and says why. A call without a body has its fields in the query,
//! and its example begins with `?` if there are any.
//!
//! Callers use the traits (`Watch`, [`Control`], `Registry`, `Contents`, `Names`), and get the
//! answer of the call that they made. Only a macro can make methods of a trait from a table;
//! [`Call`] and [`Reach`] are plain code. Streams of bytes, lines and events, and text that is no
//! JSON, fit no row: [`streams`](super::streams) and [`probes`](super::probes) have them, with rows
//! made by hand for the router and the page.

mod contents;
mod names;
mod node;
mod registry;
mod watch;

pub use node::Control;

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, Query, Request, State},
    http::Method,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use libp2p::Multiaddr;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Local, Remote,
    answer::{Node, Shared, answer, read},
    probes, streams,
    wire::{Batch, ImportAs},
};
use crate::{Result, domain::name::PackageRef, registry::Bundle};

/// A call to a node: its request, and everything that is to be known about it.
pub(in crate::control) trait Call:
    Serialize + DeserializeOwned + Send + 'static
{
    /// The answer that callers get.
    type Answer: Send;
    /// The answer in JSON.
    type Json: Serialize + DeserializeOwned + From<Self::Answer> + Into<Self::Answer> + Send;

    const METHOD: Method;
    const FILTER: MethodFilter;
    const ROUTE: &'static str;
    /// An example of the body. Without one the fields are in the query.
    const EXAMPLE: &'static str;
    /// The words of a change, for a person who may only look.
    const CHANGES: Option<&'static str>;
    /// The call takes as long as it takes.
    const ENDLESS: bool;

    /// Answers in the node's own process.
    fn run(self, node: &Local) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// True if the fields of a call are in its body.
pub(in crate::control) fn has_body<C: Call>() -> bool {
    C::EXAMPLE.starts_with('{')
}

/// A field of a request, made from the argument of a method.
pub(in crate::control) trait Field<A> {
    fn of(argument: A) -> Self;
}

impl<T> Field<T> for T {
    fn of(argument: T) -> T {
        argument
    }
}

impl<T: Clone> Field<&T> for T {
    fn of(argument: &T) -> T {
        argument.clone()
    }
}

impl<T> Field<T> for Option<T> {
    fn of(argument: T) -> Self {
        Some(argument)
    }
}

impl<T: Clone> Field<&T> for Option<T> {
    fn of(argument: &T) -> Self {
        Some(argument.clone())
    }
}

impl<T: Clone> Field<Option<&T>> for Option<T> {
    fn of(argument: Option<&T>) -> Self {
        argument.cloned()
    }
}

impl Field<&str> for String {
    fn of(argument: &str) -> Self {
        argument.to_owned()
    }
}

impl Field<&PackageRef> for String {
    fn of(argument: &PackageRef) -> Self {
        argument.to_string()
    }
}

impl Field<&Multiaddr> for String {
    fn of(argument: &Multiaddr) -> Self {
        argument.to_string()
    }
}

impl Field<Vec<Bundle>> for Batch {
    fn of(argument: Vec<Bundle>) -> Self {
        Self {
            batch: argument,
            how: ImportAs::Sign,
        }
    }
}

/// The way to a node: the only two there are.
pub enum Reach<'a> {
    /// It is in this process.
    Here(&'a Local),
    /// It is behind its control socket.
    Socket(&'a Remote),
}

impl Reach<'_> {
    /// Makes a call, whichever way the node is reached.
    pub(in crate::control) async fn call<C: Call>(self, call: C) -> Result<C::Answer> {
        match self {
            Self::Here(node) => call.run(node).await,
            Self::Socket(node) => node.call(call).await,
        }
    }
}

/// A call as the router and the page of the documentation see it.
#[derive(Clone, Copy)]
pub(in crate::control) struct Row {
    pub method: &'static str,
    pub route: &'static str,
    /// Markdown, or an example in JSON, or of a query.
    pub body: &'static str,
    /// The lines of its doc comment. Those from the first empty one on are for Rust alone.
    pub told: &'static [&'static str],
    pub endless: bool,
    pub serve: fn() -> MethodRouter<Arc<Shared>>,
    /// Reads an example of the body.
    #[cfg(test)]
    reads: Option<fn(&str) -> serde_json::Result<()>>,
}

impl Row {
    const fn of<C: Call>(method: &'static str, told: &'static [&'static str]) -> Self {
        Self {
            method,
            route: C::ROUTE,
            body: C::EXAMPLE,
            told,
            endless: C::ENDLESS,
            serve: || on(C::FILTER, answered::<C>),
            #[cfg(test)]
            reads: Some(|text| serde_json::from_str::<C>(text).map(drop)),
        }
    }

    /// A row of a call that has a handler of its own.
    pub const fn by_hand(
        method: &'static str,
        route: &'static str,
        body: &'static str,
        told: &'static [&'static str],
        serve: fn() -> MethodRouter<Arc<Shared>>,
    ) -> Self {
        Self {
            method,
            route,
            body,
            told,
            endless: false,
            serve,
            #[cfg(test)]
            reads: None,
        }
    }

    /// The row of a call that takes as long as it takes.
    pub const fn endless(self) -> Self {
        Self {
            endless: true,
            ..self
        }
    }

    fn markdown(&self) -> String {
        let (query, body) = match self.body {
            body if body.starts_with('{') => ("", format!("`{body}`")),
            query if query.starts_with('?') => (query, String::new()),
            body => ("", body.to_owned()),
        };
        let sentence: Vec<&str> = self
            .told
            .iter()
            .map(|line| line.trim())
            .take_while(|line| !line.is_empty())
            .collect();
        let (method, route) = (self.method, self.route);
        let sentence = sentence.join(" ");
        format!("| `{method} {route}{query}` | {body} | {sentence} |\n")
    }
}

/// Every call, by subject.
pub(in crate::control) fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [
        watch::ROWS,
        node::ROWS,
        registry::ROWS,
        names::ROWS,
        contents::ROWS,
        streams::ROWS,
        probes::ROWS,
    ];
    tables.into_iter().flatten()
}

/// Returns the table of calls as Markdown, for the documentation.
pub fn markdown() -> String {
    let head = "| Request | Body | Answer |\n|---|---|---|\n".to_owned();
    rows().fold(head, |page, row| page + &row.markdown())
}

/// The server's side of every call.
async fn answered<C: Call>(State(it): Node, request: Request) -> Response {
    let given = if has_body::<C>() {
        read(Json::from_request(request, &()).await)
    } else {
        Query::try_from_uri(request.uri())
            .map(|Query(call)| call)
            .map_err(IntoResponse::into_response)
    };
    let call: C = match given {
        Ok(call) => call,
        Err(response) => return response,
    };
    answer(call.run(&it.node).await.map(C::Json::from))
}

/// The last of one or two types.
macro_rules! last {
    ($one:ty) => {
        $one
    };
    ($one:ty, $two:ty) => {
        $two
    };
}

/// Makes calls from rows, and with them a trait or `Remote`'s implementation of one, whose other
/// members come first.
macro_rules! calls {
    ($(#[$about:meta])* pub trait $trait:ident: $super:ident { $($own:tt)* } $($rows:tt)*) => {
        $crate::control::calls::calls! { @rows [$(#[$about])* pub trait $trait: $super] [$($own)*] $($rows)* }
    };
    (impl $trait:ident for $who:ident { $($own:tt)* } $($rows:tt)*) => {
        $crate::control::calls::calls! { @rows [impl $trait for $who] [$($own)*] $($rows)* }
    };
    (@rows [$($head:tt)*] [$($own:tt)*] $(
        $(#[doc = $doc:literal])*
        $method:ident $route:literal $($example:literal)?
            $(, changes $change:literal)? $(, endless $reason:literal)?:
        $(#[$attr:meta])*
        $name:ident = $call:ident(
            $($(#[$field:meta])* $arg:ident: $type:ty $(as $json:ty)?),* $(,)?
        ) -> $answer:ty $(as $sent:ty)?
            |$node:ident| $run:expr;
    )*) => {
        $(
            #[derive(Debug, serde::Serialize, serde::Deserialize)]
            $(#[$attr])*
            struct $name {
                $($(#[$field])* $arg: $crate::control::calls::last!($type $(, $json)?)),*
            }

            impl $crate::control::calls::Call for $name {
                type Answer = $answer;
                type Json = $crate::control::calls::last!($answer $(, $sent)?);

                const METHOD: axum::http::Method = axum::http::Method::$method;
                const FILTER: axum::routing::MethodFilter =
                    axum::routing::MethodFilter::$method;
                const ROUTE: &'static str = $route;
                const EXAMPLE: &'static str = concat!($($example)?);
                const CHANGES: Option<&'static str> = [$(Some($change),)? None][0];
                const ENDLESS: bool = !concat!($($reason)?).is_empty();

                async fn run(self, $node: &Local) -> Result<$answer> {
                    let Self { $($arg),* } = self;
                    $run
                }
            }
        )*

        #[async_trait::async_trait]
        $($head)* {
            $($own)*

            $(
                $(#[doc = $doc])*
                ///
                /// # Errors
                /// Those of every call.
                async fn $call(&self, $($arg: $type),*) -> Result<$answer> {
                    self.reach()
                        .call($name { $($arg: $crate::control::calls::Field::of($arg)),* })
                        .await
                }
            )*
        }

        pub(super) const ROWS: &[$crate::control::calls::Row] = &[$(
            $crate::control::calls::Row::of::<$name>(stringify!($method), &[$($doc),*])
        ),*];
    };
}

use {calls, last};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::hash::ContentRoot;

    const PEER: &str = "12D3KooWQwK7E5ngNcQsz2qvQRu67JGsRZVQQECYqJGLXKK5RWCe";

    #[test]
    fn a_call_is_there_once_and_reads_the_example_of_its_body() {
        let mut seen = BTreeSet::new();
        let root = ContentRoot::of(b"content").to_string();
        for row in rows() {
            assert!(seen.insert((row.method, row.route)), "{}", row.route);
            assert!(!row.told.is_empty(), "{}", row.route);
            let Some(reads) = row.reads else {
                continue;
            };
            let in_body = row.body.starts_with('{');
            assert_eq!(row.body.starts_with('?'), !in_body && !row.body.is_empty());
            assert!(!in_body || row.method != "GET", "{}", row.route);
            // Without an example there is nothing that has to be said.
            let example = if in_body { row.body } else { "{}" };
            let text = example
                .replace("12D3KooW…", PEER)
                .replace("bafk…", &root)
                .replace("HASH", &"0a".repeat(32));
            reads(&text).unwrap_or_else(|error| panic!("{}: {text}: {error}", row.route));
        }
        assert!(seen.len() > 60, "{}", seen.len());
    }
}
