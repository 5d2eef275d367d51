//! A finished bag on its way to a destination, file by file.
//!
//! The file that vouches for all others goes last: a bag whose `tagmanifest-sha256.txt` is there is there whole. If we crash on
//! the way, the same job begins again and finds what it had put.

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::destination::{Content, Destination, PutError};
use crate::error::ExportError;

/// The file that vouches for the others.
const LAST: &str = "tagmanifest-sha256.txt";

/// Where bags are put, below the destination's prefix: each in a folder that is named by its export's id.
const FOLDER: &str = "exports";

/// Puts the bag of export `id` at `destination`.
pub(crate) async fn send_bag(
    destination: &Destination,
    id: &str,
    bag: &Path,
    stop: &CancellationToken,
) -> Result<(), ExportError> {
    let root = bag.to_owned();
    let files = tokio::task::spawn_blocking(move || files_of(&root)).await.map_err(io::Error::other)??;
    for file in files {
        let path = format!("{FOLDER}/{id}/{file}");
        destination.put(&path, &Content::File(bag.join(&file)), stop).await.map_err(|error| match error {
            PutError::Stopped => ExportError::Stopped,
            error => ExportError::Destination(error),
        })?;
    }
    Ok(())
}

/// The paths of all files in a bag, in the order in which they are put.
fn files_of(bag: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(bag.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                let path = path.into_os_string().into_string();
                files.push(path.map_err(|path| io::Error::other(format!("{} is no text", path.display())))?);
            }
        }
    }
    files.sort_by_key(|path| (path == LAST, path.clone()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Directory;

    #[tokio::test]
    async fn a_bag_arrives_whole_with_the_file_that_vouches_for_it_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let bag = dir.path().join("bag");
        std::fs::create_dir_all(bag.join("data/proofs")).expect("made");
        for file in ["bagit.txt", "data/records-00001.csv", "data/proofs/1.json", LAST, "zzz.note"] {
            std::fs::write(bag.join(file), file).expect("written");
        }
        let order = files_of(&bag).expect("read");
        assert_eq!(order.last().map(String::as_str), Some(LAST));
        assert_eq!(order.len(), 5);

        let there = dir.path().join("there");
        let destination = Destination::new("vault", "audit", Directory::new(&there));
        for _ in 0..2 {
            // The second time, the answer to the first was lost.
            send_bag(&destination, "7", &bag, &CancellationToken::new()).await.expect("sent");
        }
        for file in &order {
            let text = std::fs::read_to_string(there.join("audit/exports/7").join(file)).expect("there");
            assert_eq!(&text, file);
        }
        std::fs::write(there.join("audit/exports/7/bagit.txt"), "tampered").expect("written");
        let refused =
            send_bag(&destination, "7", &bag, &CancellationToken::new()).await.expect_err("another");
        assert!(refused.to_string().contains("audit/exports/7/bagit.txt"), "{refused}");
    }
}
