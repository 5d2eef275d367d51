//! Named benchmarks, each beside the raw limit measured in the same run: on a noisy machine the ratio is what
//! counts. They drive the shipped binary where there is one to drive.

mod archiving;
mod figure;
mod large;
mod live;
mod load;
mod product;
mod raw;
mod row;
mod sample;
mod sink;
mod topic;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::figure::Figure;
use crate::large::LargeArchive;
use crate::row::Row;

/// Runs benchmarks and prints one table.
#[derive(Debug, Parser)]
#[command(name = "flagtrail-bench", version)]
struct Cli {
    /// Which rows; all when absent
    rows: Vec<Row>,
    /// A tenth of the usual work: to see that a benchmark runs, not what it measures
    #[arg(long)]
    quick: bool,
    /// Records, instead of one or ten million, where a row goes by them (archive, export, verification, sealing, query-page, proof,
    /// archive-large, which adds a tenth of them)
    #[arg(long, value_name = "N")]
    records: Option<usize>,
    /// Where the archive of ten million lies, so that the next run finds it; it needs tens of gigabytes. Made anew in a temporary
    /// directory, and removed, when absent
    #[arg(long, value_name = "DIR")]
    keep_archive: Option<PathBuf>,
    /// Print JSON lines instead of a table
    #[arg(long)]
    json: bool,
}

/// How much work a row does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    divisor: usize,
    records: Option<usize>,
}

impl Scale {
    /// `usual` units of work, or a tenth of them.
    pub(crate) fn of(self, usual: usize) -> usize {
        usual.div_ceil(self.divisor)
    }

    /// As many records as were asked for; else as [`Scale::of`].
    pub(crate) fn records(self, usual: usize) -> usize {
        self.records.unwrap_or_else(|| self.of(usual))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // The product chooses its TLS provider itself; so does whoever uses the same client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rows = if cli.rows.is_empty() { Row::ALL.to_vec() } else { cli.rows.clone() };
    let scale = Scale { divisor: if cli.quick { 10 } else { 1 }, records: cli.records };
    let large = match LargeArchive::new(cli.keep_archive) {
        Ok(large) => large,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut figures: Vec<Figure> = Vec::new();
    let mut failed = false;
    for row in rows {
        eprintln!("measuring {} …", row.name());
        match run(row, scale, &large).await {
            Ok(measured) => figures.extend(measured),
            Err(error) => {
                eprintln!("{}: {error:#}", row.name());
                failed = true;
            }
        }
    }
    figure::print(&figures, cli.json);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn run(row: Row, scale: Scale, large: &LargeArchive) -> Result<Vec<Figure>> {
    match row {
        Row::EmbeddedJournal => row::embedded_journal::measure(scale).await,
        Row::Startup => row::startup::measure(scale).await,
        Row::Export => row::export::measure(scale).await,
        Row::Verification => row::verification::measure(scale).await,
        Row::Sealing => row::sealing::measure(scale).await,
        Row::QueryPage => row::query_page::measure(scale, large).await,
        Row::Proof => row::proof::measure(scale, large).await,
        Row::ArchiveLarge => row::archive_large::measure(scale, large).await,
        Row::Archive => row::archive::measure(scale).await,
        Row::IngestNdjson => row::ingest_ndjson::measure(scale).await,
        Row::IngestSingle => row::ingest_single::measure(scale).await,
        Row::Arrival => row::arrival::measure(scale).await,
        Row::ArrivalFlood => row::arrival_flood::measure(scale).await,
        Row::WebhookBacklog => row::webhook_backlog::measure(scale).await,
        Row::ManyEndpoints => row::many_endpoints::measure(scale).await,
        Row::CatchingUp => row::catching_up::measure(scale).await,
        Row::BacklogMemory => row::backlog_memory::measure(scale).await,
    }
}
