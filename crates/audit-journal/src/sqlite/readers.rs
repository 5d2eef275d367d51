//! The bounded pool of connections that can't write, shared by every read and every follower.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::file;
use crate::read::ReadError;

/// Most reads at a time; more wait their turn.
const READERS_MAX: usize = 4;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    /// Connections that are not in use. One is opened when there is none.
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), turns: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// Reads on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let unavailable = |text: String| ReadError::Unavailable(text);
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|e| unavailable(e.to_string()))?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => file::open_reader(&readers.path).map_err(|e| unavailable(e.to_string()))?,
            };
            let result = work(&connection);
            // One that failed is not kept: a fresh one may do better once the cause is mended.
            if !matches!(result, Err(ReadError::Unavailable(_))) {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            drop(turn);
            result
        });
        reading.await.map_err(|e| unavailable(e.to_string()))?
    }
}
