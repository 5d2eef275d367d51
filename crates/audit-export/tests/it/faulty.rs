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
}

impl Faulty {
    pub(crate) fn new(root: impl Into<PathBuf>, faults: impl IntoIterator<Item = (usize, Fault)>) -> Self {
        Self {
            inner: Directory::new(root),
            faults: Arc::new(Mutex::new(faults.into_iter().collect())),
            puts: Arc::default(),
            hangs: Arc::default(),
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
