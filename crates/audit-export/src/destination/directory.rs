//! A directory as a store: on this machine, or mounted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use super::{Content, Store, StoreError, digest_file};
use crate::durable::sync_folder;

/// The folder under the root in which files lie until they are whole: not beside their places, for a bag has nothing in it but its
/// own. What a crash leaves there is nobody's, and may be deleted while nobody writes.
const UNFINISHED: &str = ".unfinished";

/// Objects are files under a root. What is not of this machine alone may not mean it by `fsync`: that is the mount's to keep.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Everything goes under `root`, which is made when something does.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl Store for Directory {
    async fn put_new(&self, path: &str, content: &Content) -> Result<(), StoreError> {
        let (root, place, content) = (self.root.clone(), self.root.join(path), content.clone());
        let written = tokio::task::spawn_blocking(move || put_new(&root, &place, &content)).await;
        match written.map_err(StoreError::failed)? {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::Occupied),
            written => written.map_err(StoreError::failed),
        }
    }

    async fn sha256(&self, path: &str) -> Result<Option<[u8; 32]>, StoreError> {
        match digest_file(&self.root.join(path)).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::failed(error)),
        }
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        let place = self.root.join(path);
        let file = match tokio::fs::File::open(&place).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(StoreError::failed)?,
        };
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await.map_err(StoreError::failed)?;
        let synced = tokio::task::spawn_blocking(move || sync_folder(&place)).await;
        synced.map_err(StoreError::failed)?.map_err(StoreError::failed)?;
        if bytes.len() > bytes_max { Err(StoreError::too_large(bytes_max)) } else { Ok(Some(bytes.into())) }
    }
}

/// Writes elsewhere under the root, fsyncs, and links it to its place, which fails where something stands. If we crash before the
/// link, the file is not there; after it, it is, whole.
fn put_new(root: &Path, place: &Path, content: &Content) -> io::Result<()> {
    let folder = place.parent().unwrap_or(root);
    make_folders(root, folder)?;
    // Sooner than the copy: whoever comes again after a lost answer has nothing to write.
    if place.symlink_metadata().is_ok() {
        // Whoever linked it may have died before that was durable.
        sync_folder(place)?;
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let unfinished = root.join(UNFINISHED);
    make_folders(root, &unfinished)?;
    let whole = unfinished.join(Uuid::new_v4().to_string());
    let linked = copy(&whole, content).and_then(|()| fs::hard_link(&whole, place));
    let removed = fs::remove_file(&whole);
    // Another's link, too, where that was sooner.
    sync_folder(place)?;
    linked?;
    removed
}

fn copy(to: &Path, content: &Content) -> io::Result<()> {
    let mut file = File::create_new(to)?;
    match content {
        Content::Bytes(bytes) => io::Write::write_all(&mut file, bytes)?,
        Content::File(from) => drop(io::copy(&mut File::open(from)?, &mut file)?),
    }
    file.sync_all()
}

/// Makes the folders from `root` down to `folder`, each durable in its own.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder == root {
        fs::create_dir_all(root)?;
        return sync_folder(root);
    }
    if let Some(above) = folder.parent() {
        make_folders(root, above)?;
    }
    match fs::create_dir(folder) {
        // Another's, at the same moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| sync_folder(folder)),
    }
}

#[cfg(test)]
mod tests {
    use audit_digest::Sha256;

    use super::*;

    #[tokio::test]
    async fn a_file_is_there_whole_under_its_name_alone_and_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Directory::new(dir.path().join("made/when/needed"));
        let bytes = |text: &'static str| Content::Bytes(text.into());
        assert_eq!(store.sha256("a/b=c/d").await, Ok(None));
        store.put_new("a/b=c/d", &bytes("first")).await.expect("put");
        assert_eq!(store.put_new("a/b=c/d", &bytes("second")).await, Err(StoreError::Occupied));
        assert_eq!(store.sha256("a/b=c/d").await, Ok(Some(Sha256::digest("first"))));
        assert_eq!(store.read("a/b=c/d", 5).await, Ok(Some("first".into())));
        assert!(store.read("a/b=c/d", 4).await.is_err() && store.read("a/b=c/e", 4).await == Ok(None));

        let source = dir.path().join("source");
        fs::write(&source, "from a file").expect("written");
        store.put_new("a/b=c/e", &Content::File(source)).await.expect("put");
        assert_eq!(store.sha256("a/b=c/e").await, Ok(Some(Sha256::digest("from a file"))));
        let names = |folder: &str| {
            let entries = fs::read_dir(dir.path().join("made/when/needed").join(folder)).expect("read");
            let mut names: Vec<_> = entries.map(|entry| entry.expect("read").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("a/b=c"), ["d", "e"]);
        assert!(names(UNFINISHED).is_empty());
    }

    #[tokio::test]
    async fn of_many_at_once_one_puts_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Directory::new(dir.path());
        let puts = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.put_new("new/one", &Content::Bytes("x".into())).await })
        });
        let mut written = 0;
        for put in puts.collect::<Vec<_>>() {
            match put.await.expect("no panic") {
                Ok(()) => written += 1,
                Err(error) => assert_eq!(error, StoreError::Occupied),
            }
        }
        assert_eq!(written, 1);
    }
}
