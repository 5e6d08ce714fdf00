//! What the explorer costs: `cargo bench --bench explorer`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::Read,
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, NativePtySystem, PtySize, PtySystem};

/// Frames that are timed.
const FRAMES: usize = 500;
/// Starts that are timed.
const STARTS: usize = 10;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Starts the explorer in a terminal of 200x60; calls `then` with its process once the first frame is there.
fn started<T>(then: impl FnOnce(u32, Duration) -> T) -> T {
    let size = PtySize { rows: 60, cols: 200, pixel_width: 0, pixel_height: 0 };
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
    let _ = std::process::Command::new("kill").args(["-TERM", &child.process_id().unwrap().to_string()]).status();
    let _ = child.wait();
    result
}

fn cpu_seconds(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    fields.sum::<f64>() / 100.0
}

fn main() {
    // Run by `cargo test` it has nothing to say.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let first: Vec<f64> = (0..STARTS).map(|_| started(|_, first| first.as_secs_f64() * 1_000.0)).collect();
    println!("first frame, median of {STARTS} starts: {:.1} ms (goal 150)", median(first));

    let idle = started(|process, _| {
        const MEASURE: Duration = Duration::from_secs(10);
        std::thread::sleep(Duration::from_secs(3));
        let before = cpu_seconds(process);
        std::thread::sleep(MEASURE);
        (cpu_seconds(process) - before) / MEASURE.as_secs_f64() * 100.0
    });
    println!("nothing happening: {idle:.2} % of a core, node and explorer together (goal 1)");

    let frames = swarmdex::ui::time_frames(200, 60, 200, FRAMES);
    println!("frame at 200x60 with 200 peers, median of {FRAMES}: {:.2} ms (goal 4)", median(frames));
}
