//! Where segments and exports go, and what is true of it and of the log in the end.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use audit_export::{SealKeys, SegmentManifest};
use audit_journal::{Journal, Message, ReadLimit, SALT_HEADER, TAGS_HEADER, Topic};
use audit_proof::{Checkpoint, Cut, Frontier, Leaf, NodeHash, NoteVerifier, Sealed, SignedNote, origin};
use flagtrail_testkit::wait;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::LIMIT;

pub(super) const PARTITIONS: u32 = 2;

/// How much of the log is read at a time.
const READ: ReadLimit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };

/// A directory as a destination, and the keys that vouch for what stands there.
pub(super) struct Vault {
    there: PathBuf,
    key_file: PathBuf,
    keys: SealKeys,
}

impl Vault {
    /// Makes the keys; the directory is made when something is put there.
    pub(super) fn new(root: &Path) -> Self {
        let (there, key_file) = (root.join("there"), root.join("log.keys"));
        let keys = SealKeys::generate();
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&key_file).unwrap();
        file.write_all(keys.to_text().as_bytes()).unwrap();
        Self { there, key_file, keys }
    }

    /// Of every process that seals: checkpoints and segments as often as a sealer looks.
    pub(super) fn settings(&self) -> String {
        format!(
            "[seal]\ninterval = \"100ms\"\nkey_file = {:?}\n[segments]\ndestination = \"vault\"\ninterval = \"500ms\"\n\
             [destination.vault]\nkind = \"directory\"\npath = {:?}\n",
            self.key_file, self.there
        )
    }

    /// Where the bag of an export is.
    pub(super) fn bag(&self, id: &str) -> PathBuf {
        self.there.join("exports").join(id)
    }

    /// How many messages of a partition are in segments.
    pub(super) fn covered(&self, deployment: &Uuid, partition: u32) -> u64 {
        self.manifests(deployment, partition).last().map_or(0, |file| read(file).cut.end.seq)
    }

    /// Waits until everything that was on the log then is in segments.
    pub(super) async fn covers(&self, length: &Length) {
        wait::until(LIMIT, "everything is in segments", || async {
            let mut partitions = (0..PARTITIONS).zip(&length.messages);
            partitions.all(|(partition, messages)| self.covered(&length.deployment, partition) >= *messages)
        })
        .await;
    }

    /// Every checkpoint is the beginning of the next; no segment is missing, doubled or overlapping, and each is what the log holds.
    pub(super) async fn check(&self, journal: &Journal) {
        let deployment = journal.identity().deployment;
        let mut rows = BTreeSet::new();
        for partition in 0..PARTITIONS {
            let origin = origin(&deployment, partition, 0);
            let known = self.keys.verifiers(&origin, &deployment).unwrap();
            let leaves = leaves(journal, partition).await;
            let sealed = messages(journal, Topic::Checkpoints, partition).await;
            is_one_history(&sealed, &leaves, &origin, &known);
            let mut before: Option<Cut> = None;
            for file in self.manifests(&deployment, partition) {
                let manifest = read(&file);
                let (cut, note, signed, mut edge) = Cut::read(&manifest.cut.to_json()).unwrap();
                assert!(cut.follows(before.as_ref().map(Cut::name).as_ref()), "{cut:?} after {before:?}");
                assert_eq!(cut.start.seq, before.as_ref().map_or(0, |before| before.end.seq));
                Checkpoint::open(&note, &origin, &known).unwrap();
                let signature = SignedNote::parse(manifest.signature.as_bytes()).unwrap();
                assert_eq!(signature.text(), manifest.signed_text());
                assert!(!signature.verify(&known).unwrap().is_empty());
                let own = &leaves[cut.start.seq as usize..cut.end.seq as usize];
                let files = manifest.files.iter().map(|file| {
                    let bytes = std::fs::read(self.there.join(&file.path)).unwrap();
                    assert_eq!(hex::encode(Sha256::digest(&bytes)), file.sha256, "{}", file.path);
                    bytes
                });
                match &files.collect::<Vec<_>>()[..] {
                    [] => assert!(own.is_empty(), "{cut:?} has no rows"),
                    [_, hashes] => {
                        assert!(hashes.chunks(32).eq(own.iter().map(|leaf| &leaf.as_bytes()[..])));
                        rows.insert(self.there.join(&manifest.files[0].path));
                    }
                    files => panic!("{} files of {cut:?}", files.len()),
                }
                own.iter().for_each(|leaf| edge.append(*leaf, |_, _| {}));
                assert_eq!((edge.size(), edge.root()), (signed.size, signed.root));
                before = Some(cut);
            }
        }
        assert_eq!(
            files_below(&self.there.join("segments/records")),
            rows,
            "and nothing else is among the rows"
        );
    }

    /// The manifests of a partition's segments, in order.
    fn manifests(&self, deployment: &Uuid, partition: u32) -> Vec<PathBuf> {
        let proofs = self.there.join("segments/proofs").join(deployment.to_string());
        let files = files_below(&proofs.join(format!("p{partition:05}")));
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "json")).collect()
    }
}

/// How long the log was at a time.
pub(super) struct Length {
    deployment: Uuid,
    /// Of each partition.
    messages: Vec<u64>,
}

impl Length {
    pub(super) async fn of(journal: &Journal) -> Self {
        let mut lengths = Vec::new();
        for partition in 0..PARTITIONS {
            lengths.push(messages(journal, Topic::Records, partition).await.len() as u64);
        }
        Self { deployment: journal.identity().deployment, messages: lengths }
    }

    /// Of all partitions.
    pub(super) fn messages(&self) -> usize {
        self.messages.iter().sum::<u64>() as usize
    }
}

/// Everything of one partition of a topic.
async fn messages(journal: &Journal, topic: Topic, partition: u32) -> Vec<Message> {
    let bounds = journal.bounds(topic).await.unwrap();
    let bounds = bounds.into_iter().find(|bounds| bounds.partition == partition).unwrap();
    let (mut from, mut found) = (bounds.start, Vec::new());
    while from < bounds.end {
        let range = journal.read(topic, partition, from, READ).await.unwrap();
        assert!(range.next > from, "partition {partition} can't be read beyond {from} of {}", bounds.end);
        from = range.next;
        found.extend(range.messages);
    }
    found
}

/// The leaves of a partition, from the log itself.
async fn leaves(journal: &Journal, partition: u32) -> Vec<NodeHash> {
    let records = messages(journal, Topic::Records, partition).await;
    let leaf = |(seq, message): (u64, &Message)| {
        let header = |name: &str| message.header(name).map(|value| &value[..]);
        let leaf = Leaf::of(seq, header(SALT_HEADER), header(TAGS_HEADER), message.value.as_deref());
        leaf.hash(&mut Vec::new())
    };
    (0..).zip(&records).map(leaf).collect()
}

/// Each checkpoint is signed, and of the tree that the log itself makes; none is of a smaller one than the one before.
fn is_one_history(sealed: &[Message], leaves: &[NodeHash], origin: &str, known: &[NoteVerifier]) {
    let mut tree = Frontier::new();
    for message in sealed {
        let value = message.value.as_deref().unwrap();
        if Cut::is_one(value) {
            continue;
        }
        let (_, note, checkpoint, _) = Sealed::read(value).unwrap();
        Checkpoint::open(&note, origin, known).unwrap();
        assert!(checkpoint.size >= tree.size(), "{} after {}", checkpoint.size, tree.size());
        for leaf in &leaves[tree.size() as usize..checkpoint.size as usize] {
            tree.append(*leaf, |_, _| {});
        }
        assert_eq!(checkpoint.root, tree.root(), "of {} leaves", checkpoint.size);
    }
    assert!(tree.size() > 0, "nothing is signed");
}

fn read(manifest: &Path) -> SegmentManifest {
    serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap()
}

/// Everything below a folder; nothing where there is none.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let mut files = BTreeSet::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.append(&mut files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}
