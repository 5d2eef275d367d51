//! Files of an earlier release: moved aside, and removed where the log still has all that stood in them.
//!
//! A later release fills its files anew from the log. What a retention has removed from the log since, or what stood in a
//! log that was replaced, only the former file has: that one is kept, and whoever runs the archive decides about it.

use std::path::{Path, PathBuf};

use audit_journal::{Journal, Partition, Topic};

use crate::layout::side_files;
use crate::store::remove;

/// What of the log an archive keeps, and a retention may remove from the log.
const KEPT: [Topic; 3] = [Topic::Records, Topic::Deliveries, Topic::Checkpoints];

/// Moves a file aside, with what SQLite left beside it; returns where it is. If we crash in between, what was left beside it
/// waits there for the file, which comes under the same name.
pub(crate) fn move_aside(file: &Path, version: i64) -> std::io::Result<PathBuf> {
    let named = |suffix: String| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut aside = named(format!(".v{version}"));
    let mut number = 1_u32;
    while aside.exists() {
        number += 1;
        aside = named(format!(".v{version}-{number}"));
    }
    for (from, to) in side_files(file).iter().zip(side_files(&aside)) {
        if from.exists() {
            std::fs::rename(from, to)?;
        }
    }
    std::fs::rename(file, &aside)?;
    Ok(aside)
}

/// Removes a file that was moved aside, if the log has everything from the start on; says that it stays, if not. If we
/// crash before, it stays too.
pub(crate) async fn let_go(journal: &Journal, partition: Partition, former: &Path) {
    let file = former.display();
    if !has_everything(journal, partition).await {
        tracing::warn!(
            %file,
            "archive: a file of an earlier release was moved aside and stays: it may hold what the log no longer has"
        );
    } else if let Err(error) = remove(former) {
        tracing::warn!(%file, ?error, "archive: a file of an earlier release can't be removed");
    } else {
        tracing::info!(%file, "archive: a file of an earlier release was removed: it is made anew from the log");
    }
}

/// Whether the log has kept all that it ever had of a partition.
async fn has_everything(journal: &Journal, partition: Partition) -> bool {
    // A log in a later epoch may have replaced another.
    if journal.identity().epoch > 0 {
        return false;
    }
    for topic in KEPT {
        if !journal.bounds_of(topic, partition).await.is_ok_and(|bounds| bounds.start == 0) {
            return false;
        }
    }
    true
}
