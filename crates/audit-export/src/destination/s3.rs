//! A bucket of an S3-compatible store.
//!
//! Single puts carry `If-None-Match: *`, so that of two writers one is refused, and their SHA-256, which the store checks
//! before it takes them. What is larger than one put should be goes in parts; the store then knows no condition that all
//! stores keep, so it is looked for first: only bags of exports are put so, and each has one writer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use audit_digest::Sha256;
use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use futures_util::TryStreamExt;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, Checksum, S3ConditionalPut};
use object_store::client::CredentialProvider;
use object_store::multipart::MultipartStore;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;

use super::http::Http;
use super::{Content, Store, StoreError};

/// Most bytes of a single put, all of which are held in memory: a segment, or a payload file of an export, is smaller.
const SINGLE_BYTES_MAX: u64 = 80 * 1024 * 1024;

/// How much of a larger file is in one part, in bytes. S3 takes 10,000 parts.
pub(super) const PART_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often the store's client repeats a request that the store did not take (it was busy, or not reached).
const RETRIES_MAX: usize = 4;

/// How long it may take over that.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Its first pause, which doubles.
const RETRY_FIRST: Duration = Duration::from_millis(200);

/// Its longest pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The longest retention that an object can be put with: what S3 takes.
const RETAIN_DAYS_MAX: u64 = 36_500;

/// How a bucket is reached.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Such as `https://s3.example.com`; Amazon's for the region where there is none.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Whether the bucket is part of the host's name (`https://bucket.s3.example.com`) instead of the path.
    pub virtual_hosted: bool,
    /// Whether requests may go out in clear, where the endpoint says `http://`.
    pub allow_http: bool,
    /// Who asks.
    pub credentials: S3Credentials,
    /// The lock that every object is put with.
    pub lock: Option<ObjectLock>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct S3Credentials {
    /// The key's id, which is no secret.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// With temporary keys, what proves them.
    pub session_token: Option<SecretString>,
}

/// S3 Object Lock: until then nobody, or only a few, can delete or replace an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Whether anybody can lift it.
    pub mode: LockMode,
    /// For how long from the put on.
    pub retain: Duration,
}

/// Who can lift a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has the permission for that.
    Governance,
    /// Nobody, the owner of the account included.
    Compliance,
}

/// Why a bucket can't be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidS3 {
    /// No bucket.
    #[error("bucket is empty: name one")]
    Bucket,
    /// It is neither https nor, where that is allowed, http.
    #[error("endpoint {0:?} must begin with https://, or with http:// where allow_http = true")]
    Endpoint(String),
    /// No credentials.
    #[error("access_key_id and secret_access_key (or secret_access_key_file) belong together: give both")]
    Credentials,
    /// It can't be locked for so long.
    #[error("lock_for must be from 1 to {RETAIN_DAYS_MAX} days")]
    Retain,
    /// What the client says.
    #[error("the bucket can't be used: {0}")]
    Client(#[from] Error),
    /// What rustls says.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A bucket. Cheap to clone; clones share connections and credentials.
#[derive(Clone, Debug)]
pub struct S3 {
    builder: AmazonS3Builder,
    /// Without a lock: reads, and the parts of a larger object.
    plain: AmazonS3,
    lock: Option<ObjectLock>,
    credentials: Arc<Credentials>,
}

impl S3 {
    /// Checks the configuration. Nothing is sent.
    pub fn new(config: S3Config) -> Result<Self, InvalidS3> {
        if config.bucket.is_empty() {
            return Err(InvalidS3::Bucket);
        }
        if let Some(endpoint) = &config.endpoint {
            let is_allowed =
                endpoint.starts_with("https://") || config.allow_http && endpoint.starts_with("http://");
            if !is_allowed {
                return Err(InvalidS3::Endpoint(endpoint.clone()));
            }
        }
        if config
            .lock
            .is_some_and(|lock| !(86_400..=RETAIN_DAYS_MAX * 86_400).contains(&lock.retain.as_secs()))
        {
            return Err(InvalidS3::Retain);
        }
        let credentials = Arc::new(Credentials::new(&config.credentials)?);
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Http::new(config.allow_http)?)
            .with_credentials(Arc::clone(&credentials) as _)
            .with_region(config.region)
            .with_bucket_name(config.bucket)
            .with_virtual_hosted_style_request(config.virtual_hosted)
            .with_allow_http(config.allow_http)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retries());
        if let Some(endpoint) = config.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        let plain = builder.clone().build()?;
        Ok(Self { builder, plain, lock: config.lock, credentials })
    }

    /// Asks with these from now on.
    pub fn replace_credentials(&self, credentials: &S3Credentials) -> Result<(), InvalidS3> {
        let credential = to_credential(credentials)?;
        *self.credentials.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credential);
        Ok(())
    }

    /// What puts an object locked from now on. The client signs the headers that it is built with, so it is built anew with
    /// the end of the retention; connections are shared.
    fn locking(&self) -> Result<AmazonS3, StoreError> {
        let Some(lock) = self.lock else { return Ok(self.plain.clone()) };
        let until = Utc::now() + lock.retain;
        let until = HeaderValue::try_from(until.to_rfc3339_opts(SecondsFormat::Secs, true));
        let mode = match lock.mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        };
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-amz-object-lock-mode"), HeaderValue::from_static(mode)),
            (
                HeaderName::from_static("x-amz-object-lock-retain-until-date"),
                until.map_err(StoreError::failed)?,
            ),
        ]);
        let options = ClientOptions::new().with_default_headers(headers);
        self.builder.clone().with_client_options(options).build().map_err(StoreError::failed)
    }

    async fn put_single(&self, path: &ObjectPath, bytes: Bytes) -> Result<(), StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.locking()?.put_opts(path, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. }) => Err(StoreError::Occupied),
            Err(error) => Err(StoreError::failed(told(&error))),
        }
    }

    async fn put_in_parts(&self, path: &ObjectPath, file: &std::path::Path) -> Result<(), StoreError> {
        match self.plain.head(path).await {
            Ok(_) => return Err(StoreError::Occupied),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(StoreError::failed(told(&error))),
        }
        let upload = self.locking()?.create_multipart(path).await;
        let upload = upload.map_err(|error| StoreError::failed(told(&error)))?;
        let put = async {
            let mut file = tokio::fs::File::open(file).await.map_err(StoreError::failed)?;
            let mut parts = Vec::new();
            loop {
                let mut part = Vec::new();
                let mut limited = (&mut file).take(PART_BYTES_MAX as u64);
                if limited.read_to_end(&mut part).await.map_err(StoreError::failed)? == 0 {
                    break;
                }
                let put = self.plain.put_part(path, &upload, parts.len(), PutPayload::from(part)).await;
                parts.push(put.map_err(|error| StoreError::failed(told(&error)))?);
            }
            let whole = self.plain.complete_multipart(path, &upload, parts).await;
            whole.map(drop).map_err(|error| StoreError::failed(told(&error)))
        };
        let put = put.await;
        if put.is_err() {
            // Parts that belong to nothing cost money; a store's lifecycle rule removes what a crash leaves.
            drop(self.plain.abort_multipart(path, &upload).await);
        }
        put
    }
}

#[async_trait]
impl Store for S3 {
    async fn put_new(&self, path: &str, content: &Content) -> Result<(), StoreError> {
        let path = ObjectPath::parse(path).map_err(StoreError::failed)?;
        match content {
            Content::Bytes(bytes) => self.put_single(&path, bytes.clone()).await,
            Content::File(file) => {
                let length = tokio::fs::metadata(file).await.map_err(StoreError::failed)?.len();
                if length > SINGLE_BYTES_MAX {
                    return self.put_in_parts(&path, file).await;
                }
                let bytes = tokio::fs::read(file).await.map_err(StoreError::failed)?;
                self.put_single(&path, bytes.into()).await
            }
        }
    }

    async fn sha256(&self, path: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let path = ObjectPath::parse(path).map_err(StoreError::failed)?;
        let found = match self.plain.get(&path).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| StoreError::failed(told(&error)))?,
        };
        let mut hasher = Sha256::new();
        let mut chunks = found.into_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(|error| StoreError::failed(told(&error)))? {
            hasher.update(&chunk);
        }
        Ok(Some(hasher.finalize()))
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        let path = ObjectPath::parse(path).map_err(StoreError::failed)?;
        let found = match self.plain.get(&path).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|error| StoreError::failed(told(&error)))?,
        };
        if found.meta.size > bytes_max as u64 {
            return Err(StoreError::too_large(bytes_max));
        }
        found.bytes().await.map(Some).map_err(|error| StoreError::failed(told(&error)))
    }
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: RETRY_FIRST, max_backoff: RETRY_PAUSE_MAX, base: 2.0 };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_MAX }
}

/// The error and what is behind it. No request of ours has a secret in its address.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Who asks, until somebody else does.
#[derive(Debug)]
struct Credentials(RwLock<Arc<AwsCredential>>);

impl Credentials {
    fn new(credentials: &S3Credentials) -> Result<Self, InvalidS3> {
        Ok(Self(RwLock::new(Arc::new(to_credential(credentials)?))))
    }
}

fn to_credential(credentials: &S3Credentials) -> Result<AwsCredential, InvalidS3> {
    let secret_key = credentials.secret_access_key.expose_secret();
    if credentials.access_key_id.is_empty() || secret_key.is_empty() {
        return Err(InvalidS3::Credentials);
    }
    Ok(AwsCredential {
        key_id: credentials.access_key_id.clone(),
        secret_key: secret_key.to_owned(),
        token: credentials.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
    })
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        Ok(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> S3Config {
        S3Config {
            endpoint: Some("https://s3.example.com".to_owned()),
            region: "eu-central-1".to_owned(),
            bucket: "evidence".to_owned(),
            virtual_hosted: false,
            allow_http: false,
            credentials: S3Credentials {
                access_key_id: "AKIA1".to_owned(),
                secret_access_key: "hunter2".into(),
                session_token: None,
            },
            lock: None,
        }
    }

    #[test]
    fn nothing_goes_out_in_clear_unless_that_is_said() {
        let endpoint = Some("http://10.0.0.7:9000".to_owned());
        let refused = S3::new(S3Config { endpoint: endpoint.clone(), ..config() }).expect_err("in clear");
        assert!(refused.to_string().contains("allow_http"), "{refused}");
        assert!(S3::new(S3Config { endpoint, allow_http: true, ..config() }).is_ok());
        assert!(S3::new(S3Config { endpoint: Some("s3.example.com".to_owned()), ..config() }).is_err());
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is_shown() {
        let refused = S3::new(S3Config { bucket: String::new(), ..config() }).expect_err("no bucket");
        assert!(refused.to_string().contains("bucket"), "{refused}");
        let credentials = S3Credentials { access_key_id: String::new(), ..config().credentials };
        let refused = S3::new(S3Config { credentials, ..config() }).expect_err("nobody");
        assert!(refused.to_string().contains("access_key_id"), "{refused}");
        let minute = ObjectLock { mode: LockMode::Compliance, retain: Duration::from_secs(60) };
        assert!(S3::new(S3Config { lock: Some(minute), ..config() }).is_err());
        let shown = format!("{:?} {:?}", config(), S3::new(config()).expect("a bucket"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
