//! Start-up only; see [`swarmdex::cli`].

fn main() -> std::process::ExitCode {
    swarmdex::cli::main()
}
