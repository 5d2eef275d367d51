//! The one binary: subcommands, configuration, tracing, signals.

mod cli;
mod client;
mod command;
mod config;
mod exit;
mod key_file;
mod keyring;
mod log;
mod print;
mod reload;
mod sample;
mod secret_file;
mod signal;
mod system;
mod telemetry;
mod token_file;
mod witnesses;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::Exit;

/// Records are many small values made and dropped on every thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            let _ = message.print();
            return if message.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the process can't start its threads: {error}");
            return Exit::Failed.into();
        }
    };
    let outcome = runtime.block_on(command::run(cli));
    // Threads that wait for a broker or a file don't keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::of(&error).into()
        }
    }
}
