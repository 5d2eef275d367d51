//! Destinations against a real S3-compatible store (Versity S3 Gateway), asked afterwards by Amazon's own client. It is built from
//! source by Go, needs no container, and has what this is about: signatures, conditional writes, checksums and object lock.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use audit_export::{
    Content, Destination, LockMode, ObjectLock, Put, PutError, S3, S3Config, S3Credentials, Store,
    StoreError, run_export_to,
};
use audit_verify::verify_export_with;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::process::Process;
use flagtrail_testkit::{ports, wait};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::evidence::{Sealed, everything, says, trust};
use crate::harness::Bench;

/// How long anything here may take, on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

const BUCKET: &str = "evidence";
const KEY: (&str, &str) = ("AKIATEST", "not-a-secret");

/// A running store with an empty bucket that has object lock.
struct Running {
    clients: Clients,
    endpoint: String,
    _process: Process,
    _dir: TempDir,
}

impl Running {
    async fn start() -> Option<Self> {
        let clients = Clients::available()?;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let address = ports::free(1).unwrap().remove(0).local_addr().unwrap();
        let mut command = with_key(clients.s3()?);
        command.arg("serve").arg(address.to_string()).arg(dir.path()).arg(BUCKET);
        let process = Process::start("the S3 store", &command, &log).unwrap();
        let is_ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.lines().any(|l| l == "ready"));
        wait::until(WITHIN, "the store serves", || async { is_ready() }).await;
        let endpoint = format!("http://{address}");
        Some(Self { clients, endpoint, _process: process, _dir: dir })
    }

    fn config(&self) -> S3Config {
        S3Config {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            virtual_hosted: false,
            allow_http: true,
            credentials: credentials(KEY.1),
            lock: None,
        }
    }

    /// What Amazon's client does with an object.
    fn client(&self, command: &str, key: &str) -> std::process::Output {
        let mut client = with_key(self.clients.s3().unwrap());
        client.args([command, &self.endpoint, BUCKET, key]).output().unwrap()
    }

    fn head(&self, key: &str) -> Value {
        let output = self.client("head", key);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Has Amazon's client write everything below `prefix` to a folder.
    fn fetch(&self, prefix: &str, to: &Path) {
        let mut client = with_key(self.clients.s3().unwrap());
        client.args(["fetch", &self.endpoint, BUCKET, prefix]).current_dir(to);
        let output = client.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn with_key(mut command: Command) -> Command {
    command.env("S3_ACCESS_KEY", KEY.0).env("S3_SECRET_KEY", KEY.1);
    command
}

fn credentials(secret: &str) -> S3Credentials {
    S3Credentials { access_key_id: KEY.0.to_owned(), secret_access_key: secret.into(), session_token: None }
}

fn base64(digest: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_put_once_with_its_checksum_and_found_again_after_a_lost_answer() {
    let Some(store) = Running::start().await else { return };
    let destination = Destination::new("vault", "audit", S3::new(store.config()).unwrap());
    let put = async |text: &'static str| {
        let path = "log=a b/date=2026-11-21/one.json";
        destination.put(path, &Content::Bytes(text.into()), &CancellationToken::new()).await
    };
    assert_eq!(put("first").await.unwrap(), Put::Written);
    assert_eq!(put("first").await.unwrap(), Put::WasThere);
    assert!(matches!(put("second").await, Err(PutError::Different { .. })));
    let found = store.head("audit/log=a b/date=2026-11-21/one.json");
    assert_eq!(found["bytes"], 5);
    assert_eq!(found["sha256"], base64(Sha256::digest("first")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_at_once_the_store_lets_one_through() {
    let Some(store) = Running::start().await else { return };
    let bucket = S3::new(store.config()).unwrap();
    let puts: Vec<_> = (0..8)
        .map(|writer| {
            let bucket = bucket.clone();
            let content = Content::Bytes(format!("writer {writer}").into());
            tokio::spawn(async move { bucket.put_new("one", &content).await })
        })
        .collect();
    let mut written = 0;
    for put in puts {
        written += u32::from(put.await.unwrap().is_ok());
    }
    assert_eq!(written, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_object_says_until_when_and_stays() {
    let Some(store) = Running::start().await else { return };
    let retain = Duration::from_secs(10 * 86_400);
    let lock = Some(ObjectLock { mode: LockMode::Compliance, retain });
    let bucket = S3::new(S3Config { lock, ..store.config() }).unwrap();
    bucket.put_new("locked", &Content::Bytes("evidence".into())).await.unwrap();
    let found = store.head("locked");
    assert_eq!(found["lock"], "COMPLIANCE");
    let until = chrono::DateTime::parse_from_rfc3339(found["retain_until"].as_str().unwrap()).unwrap();
    let left = (until.to_utc() - chrono::Utc::now()).to_std().unwrap();
    assert!(left <= retain && left > retain - 2 * WITHIN, "{found}");
    assert!(!store.client("delete", "locked").status.success());
    assert_eq!(bucket.sha256("locked").await, Ok(Some(Sha256::digest("evidence").into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_one_put_goes_in_parts() {
    let Some(store) = Running::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large");
    let bytes: Vec<u8> = (0_u32..21 * 1024 * 1024).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &bytes).unwrap();
    let bucket = S3::new(store.config()).unwrap();
    bucket.put_new("large", &Content::File(file.clone())).await.unwrap();
    assert_eq!(bucket.sha256("large").await, Ok(Some(Sha256::digest(&bytes).into())));
    assert_eq!(bucket.put_new("large", &Content::File(file)).await, Err(StoreError::Occupied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_the_key_is_told_of_and_another_key_is_taken_while_it_runs() {
    let Some(store) = Running::start().await else { return };
    let bucket = S3::new(S3Config { credentials: credentials("wrong"), ..store.config() }).unwrap();
    let content = Content::Bytes("x".into());
    let Err(StoreError::Failed(reason)) = bucket.put_new("x", &content).await else { panic!("refused") };
    assert!(reason.contains("SignatureDoesNotMatch") && !reason.contains("wrong"), "{reason}");
    bucket.replace_credentials(&credentials(KEY.1)).unwrap();
    bucket.put_new("x", &content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_was_brought_to_a_bucket_is_fetched_by_another_client_and_proves_itself() {
    let Some(store) = Running::start().await else { return };
    let sealed = Sealed::new().await;
    sealed.bench.append(0..300).await;
    let job = everything(&sealed.bench, "to-a-bucket");
    let vault = Destination::new("vault", "audit", S3::new(store.config()).unwrap());
    let make = async || {
        let Bench { journal, reader, .. } = &sealed.bench;
        let (vouching, stop) = (sealed.vouching(), CancellationToken::new());
        run_export_to(journal, reader, &job, &vouching, Some(&vault), |_| {}, stop).await.unwrap()
    };
    let manifest = make().await;
    assert_eq!(make().await, manifest, "the second time, the answer to the first was lost");

    let fetched = tempfile::tempdir().unwrap();
    store.fetch(&format!("audit/exports/{}/", job.id), fetched.path());
    let report = verify_export_with(fetched.path(), &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    // The record that asks for the export among them.
    assert!(says(&report.proven, "301 records is, byte for byte"), "{:#?}", report.proven);
    sealed.end().await;
}
