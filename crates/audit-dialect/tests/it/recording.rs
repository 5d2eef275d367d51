//! The recorded requests under `tests/fixtures`, byte for byte as the platforms sent them.

use std::path::{Path, PathBuf};

use audit_dialect::Platform;
use audit_record::{Ref, Timestamp};
use serde_json::Value;

use crate::harness::Hook;

/// One recorded request.
pub(crate) struct Recording {
    /// The file's name without `.json`.
    pub(crate) name: String,
    pub(crate) platform: Platform,
    /// Which webhook sent it.
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) received_at: Timestamp,
}

impl Recording {
    /// The request, to a source of the organisation `acme`. The hints are those that the webhook's URL
    /// would carry: the platform's bodies don't say it all.
    pub(crate) fn hook(&self) -> Hook {
        let mut hook = Hook::post(self.platform, self.body.clone());
        hook.method = self.method.clone();
        hook.headers = self.headers.clone();
        hook.received_at = self.received_at;
        match self.path.as_str() {
            "/flagsmith/env-ver-signed" => hook
                .with_query("project", "1")
                .with_query("project_name", "Main Project")
                .with_query("environment", "5")
                .with_query("environment_name", "Versioned"),
            "/unleash/env-filter" => {
                hook.project = Some(Ref::by_id("default"));
                hook
            }
            _ => hook,
        }
    }

    /// The secret of the webhook that sent it, where it has one.
    pub(crate) fn secret(&self) -> Option<&'static str> {
        let webhook = self.path.strip_prefix("/flagsmith/")?;
        match webhook.split('/').next()? {
            "org-signed" => Some("org-secret-1"),
            "env-dev-signed" => Some("env-dev-sécret-✓"),
            "env-ver-signed" => Some("env-ver-secret"),
            "status" | "slow" | "late" => Some("retry-secret"),
            "test-org" | "test-env" => Some("test-secret"),
            _ => None,
        }
    }
}

/// Every recorded request of `platform`, in order of arrival.
pub(crate) fn all(platform: Platform) -> Vec<Recording> {
    files(platform).iter().map(|path| read(platform, path)).collect()
}

/// The recording whose name begins with `number`.
pub(crate) fn numbered(platform: Platform, number: &str) -> Recording {
    let files = files(platform);
    let file = files.iter().find(|path| file_stem(path).split('-').next() == Some(number));
    read(platform, file.unwrap_or_else(|| panic!("no recording {number} of {platform}")))
}

fn files(platform: Platform) -> Vec<PathBuf> {
    let directory = directory(platform);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| !file_stem(path).starts_with("rest-"))
        .collect();
    files.sort();
    assert!(files.len() > 50, "the recordings of {platform} are there");
    files
}

fn directory(platform: Platform) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(platform.as_str())
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn read(platform: Platform, path: &Path) -> Recording {
    let recording: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |field: &str| recording[field].as_str().unwrap_or_default().to_owned();
    let headers = recording["headers"].as_array().unwrap().iter().map(|header| {
        let part = |index: usize| header[index].as_str().unwrap().to_owned();
        (part(0), part(1).into_bytes())
    });
    Recording {
        name: file_stem(path),
        platform,
        path: text("path"),
        method: text("method"),
        headers: headers.collect(),
        body: text("body").into_bytes(),
        received_at: Timestamp::parse(&text("received_at")).unwrap(),
    }
}
