//! `flagtrail keys show`: the verifier keys of a deployment's checkpoints and exports, each with what it signs.

use anyhow::{Context as _, Result};
use audit_export::{PublicKeys, SealKeys};
use audit_proof::{NoteVerifier, SignatureKind, clock_name, origin};
use serde_json::{Value, json};

use crate::command::Context;
use crate::{key_file, print};

/// Most partitions that are shown at once: far more than logs have.
const PARTITIONS_MAX: u32 = 4_096;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's deployment
    #[arg(long)]
    deployment: String,
    /// A partition; may be given several times
    #[arg(long, required_unless_present = "partitions")]
    partition: Vec<u32>,
    /// How many partitions the log has: shows the keys of all of them
    #[arg(
        long, value_name = "COUNT", conflicts_with = "partition",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTITIONS_MAX))
    )]
    partitions: Option<u32>,
    /// An epoch of the log; may be given several times
    #[arg(long, default_values_t = [0_u32])]
    epoch: Vec<u32>,
}

impl Args {
    /// The names of the trees that are asked for.
    fn origins(&self) -> Vec<String> {
        let partitions: Vec<u32> = match self.partitions {
            Some(count) => (0..count).collect(),
            None => self.partition.clone(),
        };
        let mut origins = Vec::new();
        for epoch in &self.epoch {
            origins.extend(partitions.iter().map(|partition| origin(&self.deployment, *partition, *epoch)));
        }
        origins
    }
}

/// A verifier key.
#[derive(Debug)]
struct Shown {
    verifier: NoteVerifier,
    /// `checkpoints`, `time` or `exports`.
    signs: &'static str,
    /// `current`; while keys are exchanged, `incoming` and `outgoing`; or `former`.
    state: &'static str,
}

impl Shown {
    fn in_words(&self) -> String {
        let Self { verifier, signs, state } = self;
        match *signs {
            "checkpoints" => format!("# checkpoints of {}: {state} key", verifier.name()),
            "time" => format!("# the time of checkpoints: {state} key of the log's cosigner"),
            _ => format!("# {signs}: {state} key"),
        }
    }

    fn to_json(&self) -> Value {
        let Self { verifier, signs, state } = self;
        json!({"verifier_key": verifier.to_string(), "name": verifier.name(), "signs": signs, "state": state})
    }
}

/// Shows them.
pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let mut shown = shown(&key_file::read(&context.config.seal_key_file())?, args)?;
    let exports = context.config.export_key_file();
    if exports.exists() {
        let signer = key_file::read_export(&exports)?.signer(&args.deployment).context("the key's name")?;
        shown.push(Shown { verifier: signer.verifier().clone(), signs: "exports", state: "current" });
    }
    if context.json {
        let keys: Vec<Value> = shown.iter().map(Shown::to_json).collect();
        let verifiers: Vec<String> = shown.iter().map(|shown| shown.verifier.to_string()).collect();
        return print::json(&json!({"keys": keys, "verifier_keys": verifiers}));
    }
    shown.iter().try_for_each(|shown| {
        print::line(&shown.in_words())?;
        print::line(&shown.verifier.to_string())
    })
}

/// The keys of the log that its file names, in every tree that is asked for; then those of its cosigner, which are the same in
/// all of them.
fn shown(keys: &SealKeys, args: &Args) -> Result<Vec<Shown>> {
    let signing = keys.signing();
    let states: &[&'static str] = if signing.len() > 1 { &["incoming", "outgoing"] } else { &["current"] };
    let former = keys.former().iter().map(|key| ("former", *key));
    let known: Vec<(&'static str, PublicKeys)> = states.iter().copied().zip(signing).chain(former).collect();
    let verifier = |name: &str, kind, key: &[u8; 32]| {
        NoteVerifier::of_key(name, kind, key).with_context(|| format!("the name {name}"))
    };
    let mut shown = Vec::new();
    for origin in args.origins() {
        for &(state, key) in &known {
            let verifier = verifier(&origin, SignatureKind::Ed25519, &key.log)?;
            shown.push(Shown { verifier, signs: "checkpoints", state });
        }
    }
    let clock = clock_name(&args.deployment);
    for &(state, key) in &known {
        let verifier = verifier(&clock, SignatureKind::Cosignature, &key.clock)?;
        shown.push(Shown { verifier, signs: "time", state });
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use audit_proof::{Checkpoint, NodeHash};
    use audit_verify::Trust;

    use super::*;

    #[test]
    fn what_any_key_of_the_file_signed_in_any_tree_is_checked_by_the_keys_that_are_shown() {
        let first = SealKeys::generate();
        let exchanging = first.rotated().unwrap();
        let second = exchanging.without_former().unwrap();
        let now = second.rotated().unwrap();
        let args = Args {
            deployment: "d".to_owned(),
            partition: Vec::new(),
            partitions: Some(2),
            epoch: vec![0, 1],
        };
        let shown = shown(&now, &args).unwrap();
        // As it is printed, it is a file for --key.
        let lines: Vec<String> =
            shown.iter().map(|shown| format!("{}\n{}\n", shown.in_words(), shown.verifier)).collect();
        let mut trust = Trust::default();
        trust.add_keys(&lines.concat()).unwrap();
        assert_eq!(trust.keys.len(), shown.len());
        for origin in args.origins() {
            for keys in [&first, &exchanging, &second, &now] {
                let root = NodeHash::from_bytes([7; 32]);
                let checkpoint = Checkpoint { origin: origin.clone(), size: 3, root };
                let mut note = checkpoint.to_note().unwrap();
                keys.signers(&origin).unwrap().iter().for_each(|signer| note.sign(signer));
                note.add(keys.cosigner(&"d").unwrap().cosign(note.text(), 12));
                let opened = Checkpoint::open(&note, &origin, &trust.keys).unwrap();
                assert_eq!(opened, (checkpoint, Some(12)));
            }
        }
        let states = |name: &str| -> Vec<&'static str> {
            shown.iter().filter(|shown| shown.verifier.name() == name).map(|shown| shown.state).collect()
        };
        for name in args.origins().iter().chain([&clock_name(&"d")]) {
            assert_eq!(states(name), ["incoming", "outgoing", "former"], "{name}");
        }
    }

    #[test]
    fn every_partition_and_epoch_that_is_asked_for_has_its_own_names() {
        let args =
            Args { deployment: "d".to_owned(), partition: vec![3, 5], partitions: None, epoch: vec![0, 2] };
        let names = ["d/records/3/0", "d/records/5/0", "d/records/3/2", "d/records/5/2"];
        assert_eq!(args.origins(), names.map(|name| format!("flagtrail/{name}")));
    }
}
