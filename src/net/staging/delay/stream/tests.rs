use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures::{AsyncReadExt, AsyncWriteExt};
use proptest::prelude::*;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::sleep,
};

use super::*;

/// One end of a pipe in memory, and the number of reads from it.
struct Pipe(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Relaxed);
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0)
            .poll_read(cx, &mut buf)
            .map_ok(|()| buf.filled().len())
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Returns bytes, then an error.
struct Broken(bool);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buf[..3].copy_from_slice(b"abc");
        Poll::Ready(Ok(3))
    }
}

const PIPE: usize = 64 << 10;

fn pace(ms: u64, jitter: f64, state: u64) -> StreamDelay {
    StreamDelay {
        one_way: Duration::from_millis(ms),
        jitter,
        state,
        last: None,
    }
}

struct Pair {
    near: Pipe,
    far: Delayed<Pipe>,
    pump: JoinHandle<()>,
    asked: Arc<AtomicUsize>,
}

fn pair(pace: StreamDelay) -> Pair {
    let (near, far) = duplex(PIPE);
    let asked = Arc::new(AtomicUsize::new(0));
    let (far, pump) = Delayed::new(Pipe(far, asked.clone()), pace);
    Pair {
        near: Pipe(near, Arc::default()),
        far,
        pump: tokio::spawn(pump),
        asked,
    }
}

/// Runs a test in paused time, which advances only while all tasks sleep.
fn with_still_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_come_unchanged_in_order_and_none_before_its_time(
        ms in 0u64..150,
        jitter in 0.0..0.5f64,
        state in any::<u64>(),
        writes in prop::collection::vec((1usize..30_000, 0u64..40), 1..20),
        reads in prop::collection::vec((1usize..20_000, 0u64..20), 1..20),
    ) {
        with_still_time(async {
            let Pair { mut near, mut far, pump, .. } = pair(pace(ms, jitter, state));
            let writing = tokio::spawn(async move {
                let (mut at, mut stamps) = (0_usize, Vec::new());
                for (size, pause) in writes {
                    sleep(Duration::from_millis(pause)).await;
                    let bytes: Vec<u8> = (at..at + size).map(|n| (n % 251) as u8).collect();
                    near.write_all(&bytes).await.unwrap();
                    at += size;
                    stamps.push((at, Instant::now()));
                }
                near.close().await.unwrap();
                stamps
            });
            let mut read: Vec<(usize, Instant)> = Vec::new();
            let mut at = 0;
            'reading: loop {
                for (size, pause) in &reads {
                    let mut piece = vec![0; *size];
                    let n = far.read(&mut piece).await.unwrap();
                    if n == 0 {
                        break 'reading;
                    }
                    for byte in &piece[..n] {
                        assert_eq!(*byte, (at % 251) as u8);
                        at += 1;
                    }
                    read.push((at, Instant::now()));
                    sleep(Duration::from_millis(*pause)).await;
                }
            }
            let ended = Instant::now();
            let least = Duration::from_millis(ms).mul_f64(1.0 - jitter);
            let mut read = read.into_iter().peekable();
            let stamps = writing.await.unwrap();
            assert_eq!(at, stamps.last().unwrap().0, "all of it");
            // The last byte of each write arrives at the time of the write at the earliest.
            for (last, written) in stamps {
                while read.peek().is_some_and(|(to, _)| *to < last) {
                    read.next();
                }
                assert!(read.peek().unwrap().1 >= written + least);
                assert!(ended >= written + least, "the end comes after the bytes");
            }
            pump.await.unwrap();
        });
    }
}

#[test]
fn who_writes_to_one_that_does_not_read_has_to_wait() {
    with_still_time(async {
        let Pair {
            mut near, mut far, ..
        } = pair(pace(20, 0.0, 1));
        let written = Arc::new(AtomicUsize::new(0));
        let counted = written.clone();
        let writing = tokio::spawn(async move {
            let piece = [7; 1_000];
            for _ in 0..10_000 {
                near.write_all(&piece).await.unwrap();
                counted.fetch_add(piece.len(), Relaxed);
            }
        });
        sleep(Duration::from_secs(1)).await;
        let most = window(Duration::from_millis(20));
        let held = written.load(Relaxed);
        assert!(held <= most + PIECE + OVERHEAD + PIPE, "{held} of {most}");
        assert!(
            held >= most / 2,
            "what is on its way has room: {held} of {most}"
        );
        let mut rest = vec![0; 10_000_000];
        far.read_exact(&mut rest).await.unwrap();
        assert!(rest.iter().all(|byte| *byte == 7));
        writing.await.unwrap();
    });
}

#[test]
fn a_delay_is_no_limit_to_what_passes() {
    with_still_time(async {
        let Pair {
            mut near, mut far, ..
        } = pair(pace(100, 0.1, 2));
        let size = 64 << 20;
        let began = Instant::now();
        let writing = tokio::spawn(async move {
            let piece = vec![7; 1 << 20];
            for _ in 0..64 {
                near.write_all(&piece).await.unwrap();
            }
        });
        let mut bytes = vec![0; size];
        far.read_exact(&mut bytes).await.unwrap();
        writing.await.unwrap();
        // Measured on the paused clock, which counts only the waits for data in transit.
        assert!(
            began.elapsed() < Duration::from_millis(1_300),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn bytes_are_on_their_way_before_anybody_reads() {
    with_still_time(async {
        let Pair {
            mut near, mut far, ..
        } = pair(pace(50, 0.0, 3));
        near.write_all(b"abc").await.unwrap();
        sleep(Duration::from_millis(60)).await;
        let began = Instant::now();
        let mut bytes = [0; 3];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    });
}

#[test]
fn errors_come_after_the_bytes_before_them() {
    with_still_time(async {
        let (mut far, pump) = Delayed::new(Broken(false), pace(30, 0.0, 4));
        tokio::spawn(pump);
        let mut bytes = [0; 3];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"abc");
        assert_eq!(
            far.read(&mut bytes).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_stream_that_is_dropped_is_gone_for_the_other_side_too() {
    with_still_time(async {
        let Pair {
            mut near,
            far,
            pump,
            ..
        } = pair(pace(30, 0.0, 5));
        drop(far);
        assert_eq!(near.read(&mut [0; 3]).await.unwrap(), 0);
        pump.await.unwrap();
    });
}

#[test]
fn idle_costs_nothing() {
    with_still_time(async {
        let Pair {
            mut near,
            mut far,
            asked,
            ..
        } = pair(pace(30, 0.0, 6));
        near.write_all(b"ping").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        let before = asked.load(Relaxed);
        sleep(Duration::from_secs(3_600)).await;
        assert_eq!(asked.load(Relaxed), before);
        assert!(before <= 6, "one message, asked {before} times");
    });
}
