//! A link of limited rate in front of a server, shared by all of its connections.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes that pass at once.
const PIECE: usize = 64 << 10;
/// After being idle, a link lets at most this long's worth of bytes pass at once.
const BURST: Duration = Duration::from_millis(20);

/// A link. Its threads end with the connections.
pub struct Throttle {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Bytes per second that the server may send.
    rate: f64,
    /// The time at which the bytes that have passed are paid for.
    paid: Mutex<Instant>,
    passed: AtomicU64,
}

impl Shared {
    /// Waits until this many more bytes may pass.
    fn pay(&self, bytes: usize) {
        let due = {
            let mut paid = self.paid.lock().unwrap();
            let begun = (*paid).max(Instant::now().checked_sub(BURST).unwrap());
            *paid = begun + Duration::from_secs_f64(bytes as f64 / self.rate);
            *paid
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Throttle {
    /// Puts a link in front of this address.
    pub fn before(server: SocketAddr, bytes_a_second: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            rate: bytes_a_second as f64,
            paid: Mutex::new(Instant::now()),
            passed: AtomicU64::new(0),
        });
        let of_all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let shared = of_all.clone();
                thread::spawn(move || pass(up, server, |_| {}));
                thread::spawn(move || pass(down, client, |bytes| shared.pay(bytes)));
            }
        });
        Self { address, shared }
    }

    /// Returns the bytes that the server has sent over it.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }
}

/// Copies until one of the two ends.
fn pass(mut from: TcpStream, mut to: TcpStream, pay: impl Fn(usize)) {
    let mut piece = vec![0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        pay(read);
        if to.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}
