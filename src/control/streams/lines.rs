//! Lines out of a body that arrives in pieces.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Longest line that is taken: a batch with ten thousand peers in it has a quarter of that.
const MOST: usize = 64 << 20;

pub struct Lines {
    body: Incoming,
    held: Vec<u8>,
    /// Bytes of `held` that have no end of a line in them.
    seen: usize,
}

impl Lines {
    pub fn new(body: Incoming) -> Self {
        Self {
            body,
            held: Vec::new(),
            seen: 0,
        }
    }

    /// The next line without its end; `None` when the body has ended, with or without an end to its
    /// last line.
    ///
    /// # Errors
    /// A sentence when the connection breaks, or a line is longer than what any node sends.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(end) = self
                .held
                .iter()
                .skip(self.seen)
                .position(|byte| *byte == b'\n')
            {
                let rest = self.held.split_off(self.seen + end + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                line.pop();
                self.seen = 0;
                return Ok(Some(line));
            }
            self.seen = self.held.len();
            match self.body.frame().await {
                Some(Ok(frame)) => self.held.extend(frame.into_data().unwrap_or(Bytes::new())),
                Some(Err(error)) => return Err(format!("broke off: {error}")),
                None => return Ok(None),
            }
            if self.held.len() > MOST {
                return Err(format!("sent a line of more than {MOST} bytes"));
            }
        }
    }
}
