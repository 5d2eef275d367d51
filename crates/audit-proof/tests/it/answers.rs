//! Known answers: from certificate-transparency's test data, which every implementation of RFC 6962 is held to,
//! and from the C2SP specifications.

use audit_proof::{
    Checkpoint, Frontier, InvalidNote, NoteVerifier, Prover, SignatureKind, SignedNote, TileId, Unverified,
    empty_root, leaf_hash, verify_consistency, verify_inclusion,
};

use crate::sample::Kept;

/// The eight entries of the test data, in hex.
const ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots of the trees of the first 0, 1, … 8 of them.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn tree(size: usize) -> Kept {
    Kept::of(ENTRIES[..size].iter().map(|entry| leaf_hash(&hex::decode(entry).expect("hex"))))
}

fn hexed(hashes: &[audit_proof::NodeHash]) -> Vec<String> {
    hashes.iter().map(|hash| hex::encode(hash.as_bytes())).collect()
}

#[test]
fn roots_are_those_of_the_test_data() {
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(hex::encode(tree(size).tree.root().as_bytes()), *root, "{size} leaves");
    }
    assert_eq!(Frontier::new().root(), empty_root());
}

#[test]
fn inclusion_proofs_are_those_of_the_test_data() {
    let cases: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    for (index, size, wanted) in cases {
        let kept = tree(size as usize);
        let proof = Prover::new(&kept, size).inclusion(index).expect("a proof");
        assert_eq!(hexed(&proof), wanted, "leaf {index} of {size}");
        let leaf = leaf_hash(&hex::decode(ENTRIES[index as usize]).expect("hex"));
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &kept.tree.root()), Ok(()));
    }
}

#[test]
fn consistency_proofs_are_those_of_the_test_data() {
    let cases: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (older, newer, wanted) in cases {
        let kept = tree(newer as usize);
        let proof = Prover::new(&kept, newer).consistency(older).expect("a proof");
        assert_eq!(hexed(&proof), wanted, "{older} leaves of {newer}");
        let (old, new) = (tree(older as usize).tree.root(), kept.tree.root());
        assert_eq!(verify_consistency(older, newer, &proof, &old, &new), Ok(()));
    }
}

const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

#[test]
fn the_specifications_example_note_is_verified_by_its_key() {
    let key = NoteVerifier::parse(VKEY).expect("a key");
    assert_eq!(
        (key.name(), key.kind(), key.to_string().as_str()),
        ("example.com/foo", SignatureKind::Ed25519, VKEY)
    );
    let note = SignedNote::parse(NOTE.as_bytes()).expect("a note");
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.to_string(), NOTE);
    assert_eq!(note.verify(std::slice::from_ref(&key)).expect("verified")[0].verifier, 0);

    let altered = SignedNote::parse(NOTE.replace("an example", "no example").as_bytes()).expect("a note");
    assert_eq!(altered.verify(&[key]), Err(Unverified::Wrong("example.com/foo".to_owned())));
    assert_eq!(note.verify(&[]), Err(Unverified::Unknown("example.com/foo".to_owned())));
}

#[test]
fn the_specifications_example_checkpoint_is_read_with_all_its_signatures() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = SignedNote::parse(text.as_bytes()).expect("a note");
    assert_eq!(note.to_string(), text);
    let names: Vec<&str> = note.signatures().iter().map(|signature| signature.name.as_str()).collect();
    assert_eq!(names, ["example.com/behind-the-sofa", "witness.example.com/w1"]);
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_string(), note.text());
}

#[test]
fn tiles_are_named_and_sized_as_in_the_specification() {
    assert_eq!(TileId { level: 0, index: 1_234_067 }.path(256), "0/x001/x234/067");
    assert_eq!(TileId { level: 1, index: 0 }.path(17), "1/000.p/17");
    // The specification's tree of 70,000 leaves.
    let width = |level, index| TileId { level, index }.width(70_000);
    assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (256, 112, 0));
    assert_eq!((width(1, 0), width(1, 1), width(1, 2)), (256, 17, 0));
    assert_eq!((width(2, 0), width(3, 0)), (1, 0));
    assert_eq!(TileId { level: 1, index: 0 }.width(256), 1);
}

#[test]
fn a_note_that_is_none_is_refused_for_what_it_lacks() {
    for (bytes, problem) in [
        (&b""[..], InvalidNote::Form),
        (b"text\n", InvalidNote::Form),
        (b"text\n\n", InvalidNote::Form),
        (b"text\n\nno signature\n", InvalidNote::Form),
        (NOTE.trim_end().as_bytes(), InvalidNote::Form),
        (b"te\x07xt\n\n", InvalidNote::Characters),
        (b"\xff\n\n", InvalidNote::Characters),
    ] {
        assert_eq!(SignedNote::parse(bytes), Err(problem), "{bytes:?}");
    }
}
