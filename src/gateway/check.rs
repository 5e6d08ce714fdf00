//! Checks that a gateway belongs to this node, because another program may have its port.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use libp2p::PeerId;
use tokio::{net::TcpStream, time::timeout};

use crate::domain::proof::Proof;

/// Time for the whole check: the gateway is on this machine.
const MOST: Duration = Duration::from_secs(5);
/// Most bytes of a proof, which has about 500.
const PROOF: usize = 4_096;
/// The user agent of the check.
const AGENT: &str = concat!("swarmdex/", env!("CARGO_PKG_VERSION"));
/// Random bytes in a nonce.
const NONCE: usize = 16;

/// Checks that this node answers at a URL.
///
/// # Errors
/// The end of a sentence that says what answers instead, such as "nothing answers there: Connection
/// refused".
pub async fn check(url: &str, node: &PeerId) -> Result<(), String> {
    let nonce = data_encoding::HEXLOWER.encode(&rand::random::<[u8; NONCE]>());
    let answered = timeout(MOST, proof(url, &nonce)).await;
    let proof = answered.map_err(|_| {
        format!(
            "the server there did not answer within {} s",
            MOST.as_secs()
        )
    })??;
    match proof.is_of(node, &nonce) {
        true => Ok(()),
        false => Err(format!("another node answers there: {}", proof.node)),
    }
}

async fn proof(url: &str, nonce: &str) -> Result<Proof, String> {
    let authority = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    let nothing = |error: &dyn std::fmt::Display| format!("nothing answers there: {error}");
    let stranger =
        |error: &dyn std::fmt::Display| format!("the server there is no gateway: {error}");
    let stream = TcpStream::connect(authority)
        .await
        .map_err(|error| nothing(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| stranger(&error))?;
    let request = Request::get(format!("/?nonce={nonce}"))
        .header(header::HOST, authority)
        .header(header::USER_AGENT, AGENT)
        .body(Body::empty());
    let request = request.map_err(|error| stranger(&error))?;
    let asking = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| stranger(&error))?;
        let body = Limited::new(answer.into_body(), PROOF)
            .collect()
            .await
            .map_err(|error| stranger(&error))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| stranger(&error))
    };
    // Drive the connection only until the answer is there.
    tokio::select! {
        proof = asking => proof,
        ended = connection => Err(match ended {
            Ok(()) => stranger(&"it closed the connection"),
            Err(error) => stranger(&error),
        }),
    }
}
