//! The tree by properties, most of them against another implementation.

use audit_proof::{
    Frontier, ProofError, Prover, TILE_WIDTH, Tile, TileId, TileTree, Unproven, leaf_hash, node_hash,
    verify_consistency, verify_inclusion,
};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;

use crate::sample::{Kept, entry, leaves};

/// Large enough for three levels of tiles to begin.
const LEAVES_MAX: u64 = 70_000;

fn other(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|n| tree.push(entry(n)));
    tree
}

fn bytes_of(hashes: &[audit_proof::NodeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[test]
fn roots_and_proofs_of_a_tree_of_three_levels_are_another_implementations() {
    let kept = Kept::of(leaves(0..LEAVES_MAX));
    let other = other(LEAVES_MAX);
    let root = kept.tree.root();
    assert_eq!(root.as_bytes()[..], other.root().as_bytes()[..]);
    let mut prover = Prover::new(&kept, LEAVES_MAX);
    for index in [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 69_887, 69_888, LEAVES_MAX - 1] {
        let proof = prover.inclusion(index).expect("a proof");
        assert_eq!(bytes_of(&proof), other.prove_inclusion(index as usize).as_bytes(), "leaf {index}");
        assert_eq!(verify_inclusion(&leaf_hash(&entry(index)), index, LEAVES_MAX, &proof, &root), Ok(()));
    }
    for older in [1, 2, 255, 256, 257, 32_768, 65_535, 65_536, 65_537, LEAVES_MAX - 1] {
        let proof = prover.consistency(older).expect("a proof");
        let theirs = other.prove_consistency((LEAVES_MAX - older) as usize);
        assert_eq!(bytes_of(&proof), theirs.as_bytes(), "of {older} leaves");
    }
    assert_eq!(prover.root().expect("a root"), root);
}

/// Of trees, mostly small ones: now and then one that begins its third level of tiles soon.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![15 => 0_u64..1_500, 1 => 65_000_u64..66_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_tree_proves_what_another_implementation_proves((size, index, older) in
        (1_u64..700).prop_flat_map(|size| (Just(size), 0..size, 1..=size)))
    {
        let kept = Kept::of(leaves(0..size));
        let theirs = other(size);
        prop_assert!(kept.tree.root().as_bytes()[..] == theirs.root().as_bytes()[..]);
        let mut prover = Prover::new(&kept, size);
        let inclusion = prover.inclusion(index).expect("a proof");
        let proof = theirs.prove_inclusion(index as usize);
        prop_assert_eq!(bytes_of(&inclusion), proof.as_bytes());
        let consistency = prover.consistency(older).expect("a proof");
        if older < size {
            let theirs = theirs.prove_consistency((size - older) as usize);
            prop_assert_eq!(bytes_of(&consistency), theirs.as_bytes());
        }
        let older_root = Kept::of(leaves(0..older)).tree.root();
        let root = kept.tree.root();
        prop_assert_eq!(verify_consistency(older, size, &consistency, &older_root, &root), Ok(()));
    }

    #[test]
    fn a_proof_with_anything_changed_proves_nothing((size, index, older) in
        (2_u64..400).prop_flat_map(|size| (Just(size), 0..size, 1..size)), flip in any::<prop::sample::Index>())
    {
        let kept = Kept::of(leaves(0..size));
        let root = kept.tree.root();
        let leaf = leaf_hash(&entry(index));
        let mut prover = Prover::new(&kept, size);

        let proof = prover.inclusion(index).expect("a proof");
        prop_assert!(verify_inclusion(&leaf_hash(b"another"), index, size, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, (index + 1) % size, size, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
        let mut longer = proof.clone();
        longer.push(leaf);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(Unproven::Length(longer.len())));
        let mut altered = proof;
        let place = flip.index(altered.len());
        altered[place] = node_hash(&altered[place], &leaf);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &altered, &root), Err(Unproven::OtherRoot));

        let older_root = Kept::of(leaves(0..older)).tree.root();
        let another = leaf_hash(b"another");
        let mut proof = prover.consistency(older).expect("a proof");
        prop_assert_eq!(verify_consistency(older, size, &proof, &older_root, &another), Err(Unproven::OtherRoot));
        prop_assert_eq!(verify_consistency(older, size, &proof, &another, &root), Err(Unproven::OtherRoot));
        let place = flip.index(proof.len());
        proof[place] = node_hash(&proof[place], &leaf);
        prop_assert_eq!(verify_consistency(older, size, &proof, &older_root, &root), Err(Unproven::OtherRoot));
        prop_assert!(verify_consistency(older, size, &proof[1..], &older_root, &root).is_err());
    }

    #[test]
    fn a_tree_that_was_put_away_and_taken_up_again_goes_on_as_it_was(
        size in sizes(), more in 0_u64..600)
    {
        let mut kept = Kept::of(leaves(0..size));
        let frontier = kept.tree.frontier();
        let again = Frontier::from_peaks(size, frontier.peaks().to_vec()).expect("a frontier");
        let filling: Vec<Tile> = TileTree::filling_widths(size)
            .map(|(id, width)| {
                let tile = kept.tree.filling(id.level).expect("a tile");
                assert_eq!(tile.width(), width);
                Tile::from_bytes(0, &tile.to_bytes()).expect("a tile")
            })
            .collect();
        let tree = TileTree::from_parts(again, filling).expect("a tree");
        prop_assert_eq!(&tree, &kept.tree);
        let mut taken_up = Kept { tree, full: kept.full.clone() };
        kept.append(leaves(size..size + more));
        taken_up.append(leaves(size..size + more));
        prop_assert_eq!(taken_up.tiles(), kept.tiles());
    }

    #[test]
    fn a_tree_taken_up_at_its_edge_has_the_same_roots_and_proves_all_that_came_after((size, more, index, older) in
        (sizes(), 1_u64..700).prop_flat_map(|(size, more)| (Just(size), Just(more), 0..more, 0..=more)))
    {
        let whole = Kept::of(leaves(0..size));
        let base = whole.tree.frontier().clone();
        let mut later = Kept { tree: TileTree::resume(base.clone()), full: Default::default() };
        later.append(leaves(size..size + more));
        let mut whole = whole;
        whole.append(leaves(size..size + more));
        let end = size + more;
        prop_assert_eq!(later.tree.root(), whole.tree.root());

        let mut prover = Prover::above(base, &later, end);
        let (index, older) = (size + index, size + older);
        let mut of_whole = Prover::new(&whole, end);
        prop_assert_eq!(prover.root().expect("a root"), whole.tree.root());
        prop_assert_eq!(prover.inclusion(index).expect("a proof"), of_whole.inclusion(index).expect("a proof"));
        prop_assert_eq!(prover.consistency(older).expect("a proof"), of_whole.consistency(older).expect("a proof"));
        if size > 1 {
            let refused = prover.inclusion(0);
            prop_assert!(matches!(refused, Err(ProofError::NotKept { .. })), "{:?}", refused);
        }
    }

    #[test]
    fn a_tiles_path_leads_back_to_it(level in 0_u8..8, index in any::<u64>(), width in 1_usize..=256) {
        let id = TileId { level, index };
        prop_assert_eq!(TileId::parse(&id.path(width)), Ok((id, width)));
    }
}

#[test]
fn a_path_that_is_written_otherwise_is_no_tiles() {
    for path in [
        "",
        "0",
        "0/",
        "0/1",
        "0/0001",
        "00/001",
        "+1/001",
        "8/000",
        "0/x000/001",
        "0/001/001",
        "0/x001",
        "0/001.p/0",
        "0/001.p/256",
        "0/001.p/017",
        "0/001.p/",
        "0/001/",
        "0/-01",
        "0/x18/446",
        "0/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(TileId::parse(path).is_err(), "{path}");
    }
}

#[test]
fn what_a_tree_does_not_have_is_refused_by_name() {
    let kept = Kept::of(leaves(0..5));
    let mut prover = Prover::new(&kept, 5);
    assert!(matches!(prover.inclusion(5), Err(ProofError::NotInTree { size: 5, asked: 5 })));
    assert!(matches!(prover.consistency(6), Err(ProofError::NotInTree { size: 5, asked: 6 })));
    assert!(matches!(prover.inclusion(u64::MAX), Err(ProofError::NotInTree { .. })));
    let root = kept.tree.root();
    assert_eq!(verify_inclusion(&root, 5, 5, &[], &root), Err(Unproven::NoSuchLeaf { size: 5, index: 5 }));
    assert_eq!(verify_consistency(6, 5, &[], &root, &root), Err(Unproven::Shrunk { older: 6, newer: 5 }));
}

#[test]
fn parts_that_do_not_belong_together_make_no_tree() {
    assert!(Frontier::from_peaks(3, vec![leaf_hash(b"one")]).is_err());
    let frontier = || Kept::of(leaves(0..300)).tree.frontier().clone();
    let filling = Kept::of(leaves(0..300)).tree;
    let tiles: Vec<Tile> = (0..2).map(|level| filling.filling(level).expect("a tile").clone()).collect();
    assert!(TileTree::from_parts(frontier(), tiles.clone()).is_ok());
    assert!(TileTree::from_parts(frontier(), tiles[..1].to_vec()).is_err());
    assert!(TileTree::from_parts(frontier(), vec![tiles[1].clone(), tiles[0].clone()]).is_err());
    assert!(TileTree::from_parts(frontier(), [&tiles[..], &tiles[..1]].concat()).is_err());
    assert!(Tile::from_bytes(0, &[0; 33]).is_err());
    assert!(Tile::from_bytes(1, &[0; 32 * TILE_WIDTH]).is_err());
}
