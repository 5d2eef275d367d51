//! A source as people see it: without its secrets, and with its URL only once.

use std::collections::BTreeMap;

use audit_archive::SourceHeard;
use audit_record::Timestamp;
use audit_webhook::Span;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::clock::now;
use crate::routes::records::ask_archive;
use crate::settings::named::Named;
use crate::settings::source::Source;
use crate::settings::stored::Stored;

/// What a source has been up to. Webhooks are counted by each process that takes them in, from when its data directory
/// was made; a crash may lose the last seconds of a count. Records are counted by the archive: all of them, once each.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceStatus {
    /// When it last sent anything, as far as this process and its archive know.
    pub(super) last_received_at: Option<String>,
    /// Since when it has been silent for longer than `silent_after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) silent_since: Option<String>,
    /// Records in the archive; absent where the process that answers has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<u64>,
    /// Requests under its token.
    pub(super) received: u64,
    /// Of these, those that are durable as records.
    pub(super) accepted: u64,
    /// Of these, those kept in `rejected`.
    pub(super) rejected: u64,
    /// Of these, those whose signature was missing or wrong.
    pub(super) bad_signatures: u64,
}

/// A source.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceView {
    /// Its name.
    pub(super) name: String,
    /// Its platform.
    pub(super) platform: String,
    /// What it is for.
    pub(super) description: Option<String>,
    /// The organisation of its records.
    pub(super) organisation: Named,
    /// The project where neither the body nor the URL names one.
    pub(super) project: Option<Named>,
    /// The environment where neither the body nor the URL names one.
    pub(super) environment: Option<Named>,
    /// After how long without a sign of it it counts as silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) silent_after: Option<Span>,
    /// How many secrets it has; they are not shown.
    pub(super) secret_count: usize,
    /// Why signatures can't be checked: a secret of it is sealed with a key that this process does not have. What comes in
    /// meanwhile is kept in `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) locked: Option<String>,
    /// Whether its webhooks are taken.
    pub(super) enabled: bool,
    /// The configuration that it stands in. Then only that changes it; switching it on and off is left to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) declared_in: Option<String>,
    /// When it was made.
    pub(super) created_at: String,
    /// Rises with every change; also the `ETag`.
    pub(super) version: u64,
    /// What it has been up to.
    pub(super) status: SourceStatus,
    /// The URL to paste into the platform. Shown only when it is made or its token is rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
}

/// Every source.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceList {
    /// By name.
    pub(super) sources: Vec<SourceView>,
}

/// What the archive here has of each source; `None` where there is none, or it does not answer.
pub(super) async fn archived(app: &App) -> Option<BTreeMap<String, SourceHeard>> {
    ask_archive(app, |reader| reader.sources()).await.ok()
}

/// The view; with the URL where its `token` is known.
pub(super) fn view(
    app: &App,
    stored: Stored<Source>,
    archived: Option<&BTreeMap<String, SourceHeard>>,
    token: Option<&SecretString>,
) -> SourceView {
    let Stored { version, setting: source, .. } = stored;
    let base = app.config().hooks_public_url.trim_end_matches('/');
    let url = token.map(|token| format!("{base}/v1/hooks/{}/{}", source.name, token.expose_secret()));
    SourceView {
        platform: source.platform().as_str().to_owned(),
        secret_count: source.secrets.len(),
        locked: source.open_secrets(app.keyring()).err().map(|error| error.to_string()),
        status: status(app, &source, archived),
        name: source.name,
        description: source.description,
        organisation: source.organisation,
        project: source.project,
        environment: source.environment,
        silent_after: source.silent_after,
        enabled: source.enabled,
        declared_in: source.declared_in,
        created_at: source.created_at,
        version,
        url,
    }
}

fn status(app: &App, source: &Source, archived: Option<&BTreeMap<String, SourceHeard>>) -> SourceStatus {
    let counts = app.activity().counts(&source.name);
    let heard = archived.and_then(|archived| archived.get(&source.name));
    let last_archived =
        heard.and_then(|heard| Timestamp::from_micros(heard.last_appended_at_ms * 1_000).ok());
    let last_received = counts.last_received.max(last_archived);
    // One that never sent anything is awaited since it was made.
    let awaited_since = last_received.or_else(|| Timestamp::parse(&source.created_at).ok());
    let is_over =
        |(since, after): &(Timestamp, Span)| (now().micros() - since.micros()) / 1_000 > after.as_millis();
    let silent = awaited_since.zip(source.silent_after).filter(|_| source.enabled).filter(is_over);
    SourceStatus {
        last_received_at: last_received.map(|at| at.to_string()),
        silent_since: silent.map(|(since, _)| since.to_string()),
        records: archived.map(|_| heard.map_or(0, |heard| heard.records)),
        received: counts.received,
        accepted: counts.accepted,
        rejected: counts.rejected,
        bad_signatures: counts.bad_signatures,
    }
}
