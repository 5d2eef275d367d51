//! A source as people see it: without its secrets, and with its URL only once.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::settings::named::Named;
use crate::settings::source::Source;
use crate::settings::stored::Stored;

/// What a source has been up to, in this process, since it started.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceStatus {
    /// When it last sent anything under its token.
    pub(super) last_received_at: Option<String>,
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
    /// How many secrets it has; they are not shown.
    pub(super) secret_count: usize,
    /// Why signatures can't be checked: a secret of it is sealed with a key that this process does not have. What comes in
    /// meanwhile is kept in `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) locked: Option<String>,
    /// Whether its webhooks are taken.
    pub(super) enabled: bool,
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

/// The view; with the URL where its `token` is known.
pub(super) fn view(app: &App, stored: Stored<Source>, token: Option<&SecretString>) -> SourceView {
    let Stored { version, setting: source, .. } = stored;
    let counts = app.activity().counts(&source.name);
    let base = app.config().hooks_public_url.trim_end_matches('/');
    let url = token.map(|token| format!("{base}/v1/hooks/{}/{}", source.name, token.expose_secret()));
    SourceView {
        platform: source.platform().as_str().to_owned(),
        secret_count: source.secrets.len(),
        locked: source.open_secrets(app.keyring()).err().map(|error| error.to_string()),
        name: source.name,
        description: source.description,
        organisation: source.organisation,
        project: source.project,
        environment: source.environment,
        enabled: source.enabled,
        created_at: source.created_at,
        version,
        status: SourceStatus {
            last_received_at: counts.last_received.map(|at| at.to_string()),
            received: counts.received,
            accepted: counts.accepted,
            rejected: counts.rejected,
            bad_signatures: counts.bad_signatures,
        },
        url,
    }
}
