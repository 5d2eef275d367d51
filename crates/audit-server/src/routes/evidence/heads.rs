//! The signed heads of a partition's tree that are at hand, and which of them is shown.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use audit_journal::{Partition, ReadLimit, Topic};
use audit_proof::{Checkpoint, Sealed, SignedNote};

use crate::app::App;
use crate::problem::{Kind, Problem};

/// How far back from a partition's end a checkpoint is looked for, in offsets: transactions leave holes.
const LOOK_BACK_OFFSETS: u64 = 256;

/// Most bytes of checkpoints read at a time.
const LOOK_BACK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The latest signed heads of a partition's tree that are still at hand, the best first ([`rank`]).
pub(super) async fn sealed_heads(
    app: &App,
    partition: Partition,
) -> Result<Vec<(Checkpoint, SignedNote)>, Problem> {
    let gone = |error: audit_journal::ReadError| {
        Problem::new(Kind::Unavailable, "the checkpoints can't be read from the log").cause(error)
    };
    let journal = app.journal();
    let bounds = journal.bounds(Topic::Checkpoints).await.map_err(gone)?;
    let Some(bounds) = bounds.into_iter().find(|bounds| bounds.partition == partition) else {
        return Err(Problem::new(Kind::NotFound, format!("there is no partition {partition}")));
    };
    let mut heads = Vec::new();
    let mut from = bounds.start.max(bounds.end.saturating_sub(LOOK_BACK_OFFSETS));
    while from < bounds.end {
        let limit = ReadLimit { messages: LOOK_BACK_OFFSETS as usize, bytes: LOOK_BACK_BYTES_MAX };
        let range = journal.read(Topic::Checkpoints, partition, from, limit).await.map_err(gone)?;
        for message in &range.messages {
            // What can't be read is of a later release, or not of ours.
            if let Ok((_, note, checkpoint, _)) = Sealed::read(message.value.as_deref().unwrap_or_default()) {
                heads.push((checkpoint, note));
            }
        }
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    heads.reverse();
    rank(&mut heads);
    Ok(heads)
}

/// Puts heads, the newest of which is the first, in the order in which they are shown.
///
/// Those of the tree that grows come before those of former ones, and of them the largest, which need not be the newest: a
/// checkpoint that witnesses cosigned is published once more, when a larger one may be there. Of several of one size one
/// comes first that every key has signed with which the log signs now: while keys are exchanged, nothing else shows that the
/// new one is in use. Then the one with the most signatures, for a witness cosigns a size once and the sealer signs it every hour.
fn rank(heads: &mut [(Checkpoint, SignedNote)]) {
    let Some((newest, note)) = heads.first() else { return };
    let origin = newest.origin.clone();
    let keys = keys_of(&origin, note);
    heads.sort_by_cached_key(|(checkpoint, note)| {
        if checkpoint.origin != origin {
            return (true, Reverse((0, false, 0)));
        }
        let is_by_all = keys.is_subset(&keys_of(&origin, note));
        (false, Reverse((checkpoint.size, is_by_all, note.signatures().len())))
    });
}

/// With which of its keys the log has signed.
fn keys_of(origin: &str, note: &SignedNote) -> BTreeSet<[u8; 4]> {
    let by_log = note.signatures().iter().filter(|signature| signature.name == origin);
    by_log.map(|signature| signature.key_id).collect()
}

#[cfg(test)]
mod tests {
    use audit_proof::{Cosigner, NodeHash, NoteSigner};

    use super::*;

    const ORIGIN: &str = "flagtrail/d/records/0/0";

    /// A head of that many leaves, signed with the log's keys of these numbers, then by the log's clock and these witnesses.
    fn head(size: u64, keys: &[u8], witnesses: &[&str]) -> (Checkpoint, SignedNote) {
        let root = NodeHash::from_bytes([7; 32]);
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
        let mut note = checkpoint.to_note().expect("a note");
        for key in keys {
            note.sign(&NoteSigner::new(ORIGIN, &[*key; 32]).expect("a key"));
        }
        for name in ["flagtrail/d/clock"].iter().chain(witnesses) {
            let cosigner = Cosigner::new(name, &[9; 32]).expect("a key");
            note.add(cosigner.cosign(note.text(), 1));
        }
        (checkpoint, note)
    }

    /// The head that is shown, of these with the newest first.
    fn shown(mut heads: Vec<(Checkpoint, SignedNote)>) -> (Checkpoint, SignedNote) {
        rank(&mut heads);
        heads.swap_remove(0)
    }

    #[test]
    fn while_keys_are_exchanged_the_head_that_both_signed_is_shown_though_more_witnesses_cosigned_the_former()
    {
        let both = ["one.example/w", "two.example/w"];
        let former = || [head(5, &[1], &both), head(5, &[1], &[])];
        let with =
            |newer: &[(Checkpoint, SignedNote)]| shown(newer.iter().cloned().chain(former()).collect());
        let sealed_again = head(5, &[1, 2], &[]);
        assert_eq!(with(std::slice::from_ref(&sealed_again)), sealed_again);
        // Once it is cosigned, too, it stays in front of those that the sealer signs every hour, and once the exchange is over.
        let cosigned = head(5, &[1, 2], &both);
        assert_eq!(with(&[cosigned.clone(), sealed_again.clone()]), cosigned);
        let finished = head(5, &[2], &[]);
        assert_eq!(with(&[finished, sealed_again, cosigned.clone()]), cosigned);
    }

    #[test]
    fn the_largest_head_is_shown_and_of_one_size_the_one_that_more_have_signed() {
        let larger = head(6, &[1], &[]);
        let cosigned = head(5, &[1], &["one.example/w"]);
        assert_eq!(shown(vec![cosigned.clone(), larger.clone(), head(5, &[1], &[])]), larger);
        assert_eq!(shown(vec![head(5, &[1], &[]), cosigned.clone()]), cosigned);
        let mut replaced = head(9, &[1], &[]);
        replaced.0.origin = "flagtrail/d/records/0/1".to_owned();
        assert_eq!(shown(vec![cosigned.clone(), replaced]), cosigned, "of the newest one's tree");
    }
}
