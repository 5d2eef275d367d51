//! What a log says to a witness and is told by it (C2SP tlog-witness), as bodies of HTTP requests and answers.

use crate::hash::NodeHash;
use crate::note::{NoteSignature, NoteVerifier, SignedNote};

/// Most hashes of a consistency proof that a witness takes.
const PROOF_HASHES_MAX: usize = 63;

/// Most lines of an answer that are read.
const LINES_MAX: usize = 32;

/// The body of `POST …/add-checkpoint`: the size of the checkpoint that the witness cosigned before (0: none), the proof
/// that the new one extends it, and the new one. `None` where the proof is longer than any is.
pub fn add_checkpoint(old: u64, proof: &[NodeHash], checkpoint: &SignedNote) -> Option<String> {
    if proof.len() > PROOF_HASHES_MAX {
        return None;
    }
    let hashes: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
    Some(format!("old {old}\n{hashes}\n{checkpoint}"))
}

/// The cosignatures in a witness's answer that are this witness's, of this checkpoint. Lines of others, such as of a key
/// that it will use later, are passed over.
pub fn cosignatures(answer: &str, witness: &NoteVerifier, checkpoint: &SignedNote) -> Vec<NoteSignature> {
    let lines = answer.lines().take(LINES_MAX).filter_map(NoteSignature::parse);
    lines
        .filter(|line| witness.made(line))
        .filter(|line| witness.verify(checkpoint.text(), line).is_some_and(|at_s| at_s.is_some()))
        .collect()
}

/// The size in a witness's answer 409: that of the checkpoint which it cosigned last.
pub fn cosigned_size(answer: &str) -> Option<u64> {
    let line = answer.strip_suffix('\n').unwrap_or(answer);
    let size: u64 = line.parse().ok()?;
    (size.to_string() == line).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Cosigner, NoteSigner};

    #[test]
    fn a_request_has_the_form_of_the_specification_and_only_the_witness_s_own_cosignature_counts() {
        let log = NoteSigner::new("log.example/1", &[1; 32]).unwrap();
        let checkpoint =
            Checkpoint { origin: "log.example/1".to_owned(), size: 7, root: NodeHash::from_bytes([3; 32]) };
        let mut note = checkpoint.to_note().unwrap();
        note.sign(&log);
        let hash = NodeHash::from_bytes([4; 32]);
        let body = add_checkpoint(5, &[hash], &note).unwrap();
        assert_eq!(body, format!("old 5\n{hash}\n\n{note}"));
        assert!(add_checkpoint(0, &[], &note).unwrap().starts_with("old 0\n\nlog.example/1\n7\n"));
        assert_eq!(add_checkpoint(5, &[hash; 64], &note), None);

        let witness = Cosigner::new("witness.example/w", &[2; 32]).unwrap();
        let stranger = Cosigner::new("witness.example/w", &[5; 32]).unwrap();
        let good = witness.cosign(note.text(), 9);
        let of_another = witness.cosign("another text\n", 9);
        let answer = format!("{}\n{of_another}\n{good}\nnonsense\n", stranger.cosign(note.text(), 9));
        assert_eq!(cosignatures(&answer, witness.verifier(), &note), [good]);
        for (text, size) in
            [("12\n", Some(12)), ("12", Some(12)), ("012\n", None), ("old 12\n", None), ("", None)]
        {
            assert_eq!(cosigned_size(text), size, "{text:?}");
        }
    }
}
