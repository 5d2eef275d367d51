//! Where exports and segments go: a directory, or a bucket of any S3-compatible store.
//!
//! A thing is put once, whole, under a name that is its alone, and only where nothing stands yet: nothing here replaces or
//! deletes. So whoever finds its name taken either finds its own bytes, because an answer was lost or a process was
//! killed after the write, and goes on; or finds other bytes, and says so.

mod directory;
mod http;
mod s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use audit_digest::Sha256;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

pub use directory::Directory;
pub use s3::{InvalidS3, LockMode, ObjectLock, S3, S3Config, S3Credentials};

/// Pauses between the tries of one put, over and above what a store's client does by itself. After the last, the put has
/// failed; whoever wanted it asks again later.
const TRY_AGAIN_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// How much of a file is read at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// What is put.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// What is in this file, which nobody changes meanwhile.
    File(PathBuf),
}

/// Why a store did not take or give something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Something stands there already. Nothing was changed.
    #[error("something stands there already")]
    Occupied,
    /// It is not known whether it was written, or it was not.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// What is larger than it should be.
    fn too_large(bytes_max: usize) -> Self {
        Self::Failed(format!("it has more than {bytes_max} bytes"))
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Something that keeps objects by their paths: a directory, a bucket. Paths are relative, their parts separated by `/`.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Puts an object where there is none. When it returns `Ok`, the object is durable, whole, and seen by everybody;
    /// [`StoreError::Occupied`] says the same of what stands there. If it fails otherwise, it is there whole or not at all,
    /// and which of the two is not known.
    async fn put_new(&self, path: &str, content: &Content) -> Result<(), StoreError>;

    /// The SHA-256 of the object at `path`; `None` where there is none.
    async fn sha256(&self, path: &str) -> Result<Option<[u8; 32]>, StoreError>;

    /// The object at `path`, which has at most `bytes_max` bytes; `None` where there is none. What is returned is durable.
    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, StoreError>;
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was written now.
    Written,
    /// The same bytes stood there: an earlier try whose answer was lost.
    WasThere,
}

/// Why something is not at its destination.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Other bytes stand under its name.
    #[error(
        "{path} at destination {destination} holds something else already: move it away, and whoever put it there to a prefix of its own"
    )]
    Different {
        /// The destination's name.
        destination: String,
        /// Where.
        path: String,
    },
    /// It was not written, or nobody answered whether it was.
    #[error("{path} can't be written to destination {destination}: {reason}")]
    NotWritten {
        /// The destination's name.
        destination: String,
        /// Where.
        path: String,
        /// Why, as the store says it.
        reason: String,
    },
    /// It can't be read back.
    #[error("{path} can't be read at destination {destination}: {reason}")]
    NotRead {
        /// The destination's name.
        destination: String,
        /// Where.
        path: String,
        /// Why, as the store says it.
        reason: String,
    },
    /// What is to be put can't be read.
    #[error("{file} can't be read: {error}")]
    Source {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It was told to stop; whether it was written is not known.
    #[error("it was stopped")]
    Stopped,
}

/// A store with the name that the operator gave it, and the prefix under which everything goes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Destination {
    name: Arc<str>,
    prefix: Arc<str>,
    store: Arc<dyn Store>,
}

impl Destination {
    /// Everything goes under `prefix`, which may be empty, of `store`.
    pub fn new(name: &str, prefix: &str, store: impl Store) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { name: name.into(), prefix: prefix.into(), store: Arc::new(store) }
    }

    /// What the operator calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts `content` at `path`, unless its bytes stand there already. Tries a few times; stops when told to, in the middle
    /// of a try, too.
    ///
    /// If we crash before the store has taken it, or stop, it is not there, and the next try writes it. If we do so after
    /// that, or the answer is lost, the next try finds its own bytes.
    pub async fn put(
        &self,
        path: &str,
        content: &Content,
        stop: &CancellationToken,
    ) -> Result<Put, PutError> {
        let path = self.below_prefix(path);
        let mut pauses = TRY_AGAIN_AFTER.iter();
        loop {
            let Some(tried) = stop.run_until_cancelled(self.try_put(&path, content)).await else {
                return Err(PutError::Stopped);
            };
            let reason = match tried? {
                Ok(put) => return Ok(put),
                Err(reason) => reason,
            };
            let Some(pause) = pauses.next() else {
                return Err(PutError::NotWritten { destination: self.name.to_string(), path, reason });
            };
            if stop.run_until_cancelled(tokio::time::sleep(*pause)).await.is_none() {
                return Err(PutError::Stopped);
            }
        }
    }

    /// What stands at `path`, if it has at most `bytes_max` bytes; `None` where nothing does.
    pub async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, PutError> {
        let path = self.below_prefix(path);
        self.store.read(&path, bytes_max).await.map_err(|error| PutError::NotRead {
            destination: self.name.to_string(),
            path,
            reason: error.to_string(),
        })
    }

    fn below_prefix(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    /// The inner error is one that may pass.
    async fn try_put(&self, path: &str, content: &Content) -> Result<Result<Put, String>, PutError> {
        match self.store.put_new(path, content).await {
            Ok(()) => return Ok(Ok(Put::Written)),
            Err(StoreError::Failed(reason)) => return Ok(Err(reason)),
            Err(StoreError::Occupied) => {}
        }
        match self.store.sha256(path).await {
            Ok(Some(there)) if there == digest(content).await? => Ok(Ok(Put::WasThere)),
            Ok(Some(_)) => {
                Err(PutError::Different { destination: self.name.to_string(), path: path.to_owned() })
            }
            Ok(None) => Ok(Err("what stood there a moment ago is gone".to_owned())),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// The SHA-256 of what is to be put.
async fn digest(content: &Content) -> Result<[u8; 32], PutError> {
    match content {
        Content::Bytes(bytes) => Ok(Sha256::digest(bytes)),
        Content::File(file) => digest_file(file)
            .await
            .map_err(|error| PutError::Source { file: file.display().to_string(), error }),
    }
}

async fn digest_file(file: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = tokio::fs::File::open(file).await?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&buffer[..read]);
    }
}

/// The destinations that the operator has configured, by name: whoever asks for an export chooses one of them, and can
/// name no path or address.
#[derive(Clone, Debug, Default)]
pub struct Destinations(Arc<BTreeMap<String, Destination>>);

impl Destinations {
    /// These.
    pub fn new(all: impl IntoIterator<Item = Destination>) -> Self {
        Self(Arc::new(all.into_iter().map(|one| (one.name().to_owned(), one)).collect()))
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Destination> {
        self.0.get(name)
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    /// What goes wrong with the next put.
    #[derive(Clone, Copy, Debug)]
    enum Fault {
        NotWritten,
        AnswerLost,
        NoAnswer,
    }

    /// A store that fails as it is told to.
    #[derive(Debug, Default)]
    struct Faulty {
        objects: Mutex<HashMap<String, Bytes>>,
        faults: Mutex<Vec<Fault>>,
    }

    #[async_trait]
    impl Store for Arc<Faulty> {
        async fn put_new(&self, path: &str, content: &Content) -> Result<(), StoreError> {
            let Content::Bytes(bytes) = content else { panic!("tests put bytes") };
            let fault = self.faults.lock().expect("no panic").pop();
            if matches!(fault, Some(Fault::NotWritten)) {
                return Err(StoreError::failed("no route to host"));
            }
            if matches!(fault, Some(Fault::NoAnswer)) {
                std::future::pending::<()>().await;
            }
            let mut objects = self.objects.lock().expect("no panic");
            if objects.contains_key(path) {
                return Err(StoreError::Occupied);
            }
            objects.insert(path.to_owned(), bytes.clone());
            match fault {
                Some(Fault::AnswerLost) => Err(StoreError::failed("the connection was reset")),
                _ => Ok(()),
            }
        }

        async fn sha256(&self, path: &str) -> Result<Option<[u8; 32]>, StoreError> {
            let objects = self.objects.lock().expect("no panic");
            Ok(objects.get(path).map(Sha256::digest))
        }

        async fn read(&self, path: &str, _: usize) -> Result<Option<Bytes>, StoreError> {
            Ok(self.objects.lock().expect("no panic").get(path).cloned())
        }
    }

    async fn put(store: &Arc<Faulty>, faults: &[Fault], bytes: &'static str) -> Result<Put, PutError> {
        *store.faults.lock().expect("no panic") = faults.iter().rev().copied().collect();
        let destination = Destination::new("vault", "/audit/", Arc::clone(store));
        let content = Content::Bytes(Bytes::from_static(bytes.as_bytes()));
        destination.put("a/b", &content, &CancellationToken::new()).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_written_is_written_by_the_next_try() {
        let store = Arc::default();
        assert_eq!(
            put(&store, &[Fault::NotWritten, Fault::NotWritten], "x").await.expect("put"),
            Put::Written
        );
        assert!(store.objects.lock().expect("no panic").contains_key("audit/a/b"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_and_not_answered_is_found_by_the_next_try() {
        let store = Arc::default();
        assert_eq!(put(&store, &[Fault::AnswerLost], "x").await.expect("put"), Put::WasThere);
        assert_eq!(put(&store, &[], "x").await.expect("put"), Put::WasThere);
    }

    #[tokio::test(start_paused = true)]
    async fn other_bytes_under_the_same_name_are_neither_replaced_nor_taken_for_ours() {
        let store = Arc::default();
        put(&store, &[], "theirs").await.expect("put");
        let refused = put(&store, &[], "ours").await.expect_err("another's");
        assert!(matches!(refused, PutError::Different { .. }), "{refused}");
        assert_eq!(store.objects.lock().expect("no panic")["audit/a/b"], "theirs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_is_given_up_and_named() {
        let store = Arc::default();
        let refused = put(&store, &[Fault::NotWritten; 9], "x").await.expect_err("away").to_string();
        assert!(refused.contains("vault") && refused.contains("no route to host"), "{refused}");
        let stopped = CancellationToken::new();
        stopped.cancel();
        *store.faults.lock().expect("no panic") = vec![Fault::NotWritten];
        let destination = Destination::new("vault", "", Arc::clone(&store));
        let put = destination.put("b", &Content::Bytes(Bytes::new()), &stopped).await;
        assert!(matches!(put, Err(PutError::Stopped)), "{put:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_told_to_stop_does_not_wait_for_a_store_that_never_answers() {
        let store: Arc<Faulty> = Arc::default();
        *store.faults.lock().expect("no panic") = vec![Fault::NoAnswer];
        let (destination, stop) =
            (Destination::new("vault", "", Arc::clone(&store)), CancellationToken::new());
        let content = Content::Bytes(Bytes::new());
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            stop.cancel();
        };
        let (put, ()) = tokio::join!(destination.put("a", &content, &stop), stopping);
        assert!(matches!(put, Err(PutError::Stopped)), "{put:?}");
    }
}
