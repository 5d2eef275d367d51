//! The rows, one a file: named as in the table of what Flagtrail must reach.

pub(crate) mod archive;
pub(crate) mod archive_large;
pub(crate) mod arrival;
pub(crate) mod arrival_flood;
pub(crate) mod backlog_memory;
pub(crate) mod catching_up;
pub(crate) mod embedded_journal;
pub(crate) mod export;
pub(crate) mod ingest_ndjson;
pub(crate) mod ingest_single;
pub(crate) mod many_endpoints;
pub(crate) mod proof;
pub(crate) mod query_page;
pub(crate) mod sealing;
pub(crate) mod startup;
pub(crate) mod verification;
pub(crate) mod webhook_backlog;

/// A benchmark by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Row {
    /// 64 writers on the embedded journal, every append fsynced
    EmbeddedJournal,
    /// `flagtrail up` on the embedded journal: start to ready, memory
    Startup,
    /// Kafka to SQLite archive, a million records
    Archive,
    /// An export of a million records
    Export,
    /// Verification of an export of a million records
    Verification,
    /// What sealing costs the processor, beside what archiving does
    Sealing,
    /// A page of 100 from an archive of ten million: makes that archive (see --keep-archive)
    QueryPage,
    /// The proof of one record among ten million: of the same archive
    Proof,
    /// Kafka into an archive that holds ten million: into the same archive
    ArchiveLarge,
    /// POST /v1/records as NDJSON, 1,000 a request, to Kafka
    IngestNdjson,
    /// POST /v1/records, one record a request, 64 connections
    IngestSingle,
    /// POST a record until it arrives at an endpoint, 200 a second
    Arrival,
    /// POST records as fast as they are answered until all have arrived at an endpoint
    ArrivalFlood,
    /// A backlog on Kafka drained to one webhook endpoint
    WebhookBacklog,
    /// 200 records a second to 1,000 endpoints, 20 of them bad
    ManyEndpoints,
    /// A backlog that drains beside live traffic
    CatchingUp,
    /// Memory with ten million records waiting for an endpoint: fills a topic of 8 GB
    BacklogMemory,
}

impl Row {
    /// Every row.
    pub(crate) const ALL: &[Self] = &[
        Self::EmbeddedJournal,
        Self::Startup,
        Self::Archive,
        Self::Export,
        Self::Verification,
        Self::Sealing,
        // These three share an archive; the last one adds to it.
        Self::QueryPage,
        Self::Proof,
        Self::ArchiveLarge,
        Self::IngestNdjson,
        Self::IngestSingle,
        Self::Arrival,
        Self::ArrivalFlood,
        Self::WebhookBacklog,
        Self::ManyEndpoints,
        Self::CatchingUp,
        Self::BacklogMemory,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
