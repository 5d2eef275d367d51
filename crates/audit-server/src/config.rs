//! Every bound of the HTTP side, with its default and the reason for it.
//!
//! Nothing here reads the environment: the binary fills these in from its configuration.

use std::path::PathBuf;
use std::time::Duration;

use audit_report::Compliance;
use secrecy::SecretString;

use crate::settings::named::Named;

/// Largest webhook body. A platform's largest known body is some 100 KiB; what is refused is kept whole in
/// `rejected`, whose messages hold up to this much.
pub const HOOK_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Largest body of `POST /v1/records`: several thousand records of common size in one request.
pub const INGEST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body of every other request: settings are small.
pub const SETTINGS_BODY_BYTES_MAX: usize = 256 * 1024;

/// Most records of one `POST /v1/records`.
pub const INGEST_RECORDS_MAX: usize = 20_000;

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at a time; more wait in the kernel's backlog.
    pub connections_max: usize,
    /// Most bytes of a request line and its headers; more is answered 431.
    pub header_bytes_max: usize,
    /// Most headers of a request; more is answered 431.
    pub header_count_max: usize,
    /// How long a client may take for the TLS handshake, where the listener speaks TLS.
    pub tls_handshake_timeout: Duration,
    /// How long a client may take to send a request's headers, and how long a kept-alive connection may
    /// idle between requests.
    pub header_read_timeout: Duration,
    /// How long a client may take nothing of an answer that waits for it; then its connection is cut.
    pub write_stall_timeout: Duration,
    /// How long the drain may take once the listener is told to stop; then connections are cut.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            header_bytes_max: 32 * 1024,
            header_count_max: 100,
            tls_handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The admin token that a process is given, beside those in the settings: with it the first settings are made.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// The token as clients send it.
    pub shown: SecretString,
    /// The organisation of records that are appended with it.
    pub organisation: Named,
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// What platforms reach the hooks listener by, such as `https://flags.example.com`; begins the URLs that
    /// are shown when a source is created.
    pub hooks_public_url: String,
    /// The admin token of this process, if it has one.
    pub admin_token: Option<AdminToken>,
    /// How long one request may take, its body's arrival included; then it is answered 408.
    pub request_timeout: Duration,
    /// How long a hook waits for the log before its records go to the spool. Platforms give up after 10 s
    /// and hardly retry.
    pub hook_acknowledge_timeout: Duration,
    /// Most bytes of `POST /v1/records` bodies that are read, checked or waited for at a time; what goes
    /// beyond is answered 429. A body without a declared length counts as the largest.
    pub ingest_bytes_in_flight_max: usize,
    /// The same for hooks; they wait a few seconds for room, then are answered 503.
    pub hook_bytes_in_flight_max: usize,
    /// Most queries at a time; more are answered 429.
    pub queries_in_flight_max: usize,
    /// How long one request for an erasure reads the archive, within what it may take as a whole; what is left then is
    /// for the next request. Something is always read.
    pub erasure_read_max: Duration,
    /// Most followers of `/v1/records/stream` at a time; more are answered 429.
    pub streams_max: usize,
    /// Most badly signed bodies kept in `rejected`, a source and minute; the others are only counted.
    pub bad_signatures_kept_per_minute: u32,
    /// Where the counters of sources are kept over a restart; nowhere where absent.
    pub counters_file: Option<PathBuf>,
    /// How often it is looked whether sources have fallen silent.
    pub silence_check_interval: Duration,
    /// Whether `/metrics` asks for a token with the scope `settings:read`.
    pub metrics_need_token: bool,
    /// Names of fields that dialects redact and that are to be kept.
    pub redact_keep: Vec<String>,
    /// Whether who reads the log is put on the record.
    pub record_reads: bool,
    /// What reports call production, privileged and so on.
    pub compliance: Compliance,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            hooks_public_url: "http://127.0.0.1:8480".to_owned(),
            admin_token: None,
            request_timeout: Duration::from_secs(30),
            hook_acknowledge_timeout: Duration::from_secs(2),
            ingest_bytes_in_flight_max: 64 * 1024 * 1024,
            hook_bytes_in_flight_max: 32 * 1024 * 1024,
            queries_in_flight_max: 32,
            erasure_read_max: Duration::from_secs(10),
            streams_max: 64,
            bad_signatures_kept_per_minute: 10,
            counters_file: None,
            silence_check_interval: Duration::from_secs(30),
            metrics_need_token: false,
            redact_keep: Vec::new(),
            record_reads: true,
            compliance: Compliance::default(),
        }
    }
}
