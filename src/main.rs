//! The `riverrun` command line.

fn main() -> std::process::ExitCode {
    riverrun::cli::main()
}
