//! Measures the cost of the explorer: `cargo bench --bench explorer`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    io::Read,
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, NativePtySystem, PtySize, PtySystem};

/// Timed frames.
const FRAMES: usize = 500;
/// Timed starts.
const STARTS: usize = 10;

/// Keys pressed under load.
const KEYS: usize = 300;
/// Peer changes per second under load.
const FLOOD: usize = 100_000;

#[track_caller]
fn p99(mut values: Vec<f64>) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() * 99 / 100]
}

#[track_caller]
fn median(mut values: Vec<f64>) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Starts the explorer in a terminal of 200x60, and calls `then` with its process after the first
/// frame.
fn started<T>(then: impl FnOnce(u32, Duration) -> T) -> T {
    let size = PtySize {
        rows: 60,
        cols: 200,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pair = NativePtySystem::default().openpty(size).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarmdex"));
    command.args(["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
    command.env_clear();
    command.env("HOME", home.path());
    command.env("TERM", "xterm-256color");
    let mut reader = pair.master.try_clone_reader().unwrap();
    let begun = Instant::now();
    let mut child = pair.slave.spawn_command(command).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 65_536];
    while !seen.windows(8).any(|window| window == b"BROWSING") {
        let read = reader.read(&mut buffer).unwrap();
        seen.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    let first = begun.elapsed();
    std::thread::spawn(move || while matches!(reader.read(&mut buffer), Ok(read) if read > 0) {});
    let result = then(child.process_id().unwrap(), first);
    let _ = std::process::Command::new("kill")
        .args(["-TERM", &child.process_id().unwrap().to_string()])
        .status();
    let _ = child.wait();
    result
}

fn cpu_seconds(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    fields.sum::<f64>() / 100.0
}

fn main() {
    // `cargo test` runs it without `--bench`; then it does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let first: Vec<f64> = (0..STARTS)
        .map(|_| started(|_, first| first.as_secs_f64() * 1_000.0))
        .collect();
    println!(
        "first frame, median of {STARTS} starts: {:.1} ms (goal 150)",
        median(first)
    );

    let idle = started(|process, _| {
        const MEASURE: Duration = Duration::from_secs(10);
        std::thread::sleep(Duration::from_secs(3));
        let before = cpu_seconds(process);
        std::thread::sleep(MEASURE);
        (cpu_seconds(process) - before) / MEASURE.as_secs_f64() * 100.0
    });
    println!("nothing happening: {idle:.2} % of a core, node and explorer together (goal 1)");

    for peers in [200, 10_000] {
        let frames = swarmdex::ui::time_frames(200, 60, peers, FRAMES).unwrap();
        println!(
            "frame at 200x60 with {peers} peers, 100 of them changed: median {:.2} ms, p99 {:.2} \
             (goal 4)",
            median(frames.clone()),
            p99(frames)
        );
    }

    for peers in [100, 1_000] {
        let frames = swarmdex::ui::time_map_frames(200, 60, peers, FRAMES).unwrap();
        println!(
            "map at 200x60 with {peers} peers and a line to each: median {:.2} ms, p99 {:.2} \
             (goal 4)",
            median(frames.clone()),
            p99(frames)
        );
    }

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = runtime
        .block_on(swarmdex::ui::time_keys(KEYS, FLOOD))
        .unwrap();
    println!(
        "key to frame under a flood of {FLOOD} changes a second, {} keys: median {:.1} ms, p99 \
         {:.1} (goal 16)",
        keys.len(),
        median(keys.clone()),
        p99(keys)
    );

    let with = demo(&[
        "demo",
        "--peers",
        "24",
        "--catalogue",
        "embedded",
        "--seed",
        "7",
    ]);
    let without = demo(&[
        "demo",
        "--peers",
        "24",
        "--catalogue",
        "embedded",
        "--seed",
        "7",
        "--headless",
        "--for",
        "60s",
    ]);
    println!(
        "a demo of 24 nodes: {with:.1} % of a core with the explorer, {without:.1} % without: \
         {:.1} more (goal 5)",
        with - without
    );
}

/// Returns the processor time of a demo in a terminal once it has settled, in per cent of a core.
fn demo(arguments: &[&str]) -> f64 {
    const SETTLE: Duration = Duration::from_secs(15);
    const MEASURE: Duration = Duration::from_secs(20);
    let size = PtySize {
        rows: 60,
        cols: 200,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pair = NativePtySystem::default().openpty(size).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarmdex"));
    command.args(arguments);
    command.env_clear();
    command.env("HOME", home.path());
    command.env("TERM", "xterm-256color");
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut child = pair.slave.spawn_command(command).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while matches!(reader.read(&mut buffer), Ok(read) if read > 0) {}
    });
    let process = child.process_id().unwrap();
    std::thread::sleep(SETTLE);
    let before = cpu_seconds(process);
    std::thread::sleep(MEASURE);
    let used = (cpu_seconds(process) - before) / MEASURE.as_secs_f64() * 100.0;
    let _ = std::process::Command::new("kill")
        .args(["-TERM", &process.to_string()])
        .status();
    let _ = child.wait();
    used
}
