//! A destination that fails as it is told to: what no real store can be made to show at will.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use audit_export::{Content, Directory, Store, StoreError};
use bytes::Bytes;
use tokio::sync::Notify;

/// What happens at a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is written, and an error comes.
    NotWritten,
    /// It is written, and an error comes.
    AnswerLost,
    /// Nothing is written, and nothing comes.
    HangsBefore,
    /// It is written, and nothing comes.
    HangsAfter,
}

/// A directory with faults. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    inner: Directory,
    /// By which put from the start, of all writers.
    faults: Arc<Mutex<BTreeMap<usize, Fault>>>,
    puts: Arc<AtomicUsize>,
    hangs: Arc<Notify>,
    /// Manifests that another writer is sooner with.
    rivals: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn new(root: impl Into<PathBuf>, faults: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        Self {
            inner: Directory::new(root),
            faults: Arc::new(Mutex::new(faults.into_iter().collect())),
            puts: Arc::default(),
            hangs: Arc::default(),
            rivals: Arc::default(),
        }
    }

    /// Before each of the next `count` manifests of segments another writer puts his own, of the same cut.
    pub(crate) fn rivals(&self, count: usize) {
        self.rivals.store(count, Ordering::SeqCst);
    }

    /// How many such manifests are still to come.
    pub(crate) fn rivals_left(&self) -> usize {
        self.rivals.load(Ordering::SeqCst)
    }

    async fn be_sooner(&self, path: &str, content: &Content) {
        let Content::Bytes(bytes) = content else { return };
        let one_less = |count: usize| count.checked_sub(1);
        let is_manifest = path.contains("/proofs/") && path.ends_with(".json");
        if is_manifest && self.rivals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let theirs = text.replacen("\"written_by\": \"", "\"written_by\": \"another, ", 1);
            assert_ne!(theirs, text);
            self.inner.put_new(path, &Content::Bytes(theirs.into())).await.unwrap();
        }
    }

    /// How many faults have not come to pass.
    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    /// Comes when a put hangs, once for each that does.
    pub(crate) async fn hung(&self) {
        self.hangs.notified().await;
    }
}

#[async_trait]
impl Store for Faulty {
    async fn put_new(&self, path: &str, content: &Content) -> Result<(), StoreError> {
        self.be_sooner(path, content).await;
        let put = self.puts.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().remove(&put);
        let answer = match fault {
            Some(Fault::NotWritten | Fault::HangsBefore) => Ok(()),
            None | Some(Fault::AnswerLost | Fault::HangsAfter) => self.inner.put_new(path, content).await,
        };
        match fault {
            None => answer,
            Some(Fault::NotWritten | Fault::AnswerLost) => {
                Err(StoreError::Failed("the connection was reset".to_owned()))
            }
            Some(Fault::HangsBefore | Fault::HangsAfter) => {
                self.hangs.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn sha256(&self, path: &str) -> Result<Option<[u8; 32]>, StoreError> {
        self.inner.sha256(path).await
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.inner.read(path, bytes_max).await
    }
}
