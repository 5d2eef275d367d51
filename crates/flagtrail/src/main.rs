//! The one binary: subcommands, configuration, tracing, signals.
fn main() {}
