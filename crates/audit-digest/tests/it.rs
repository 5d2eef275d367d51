//! Both against an implementation that is not ring's.

use audit_digest::{MacKey, Sha256};
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::Digest as _;

proptest! {
    #[test]
    fn a_hash_is_the_same_by_another_implementation_however_it_is_divided(
        parts in vec(vec(any::<u8>(), 0..200), 0..6),
    ) {
        let whole = parts.concat();
        let other: [u8; 32] = sha2::Sha256::digest(&whole).into();
        prop_assert_eq!(Sha256::digest(&whole), other);
        let divided = parts.iter().fold(Sha256::new(), |sum, part| sum.chain_update(part));
        prop_assert_eq!(divided.clone().finalize(), other);
        prop_assert_eq!(divided.finalize(), other);
    }

    #[test]
    fn a_mac_is_the_same_by_another_implementation_and_no_other_is_vouched_for(
        key in vec(any::<u8>(), 0..150),
        parts in vec(vec(any::<u8>(), 0..200), 0..6),
        flipped in 0..256_usize,
        kept in 0..32_usize,
    ) {
        let mut other = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        parts.iter().for_each(|part| other.update(part));
        let other: [u8; 32] = other.finalize().into_bytes().into();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let key = MacKey::new(&key);
        prop_assert_eq!(key.mac(&parts), other);
        prop_assert!(key.vouches(&parts, &other));
        let mut forged = other;
        forged[flipped / 8] ^= 1 << (flipped % 8);
        prop_assert!(!key.vouches(&parts, &forged));
        prop_assert!(!key.vouches(&parts, &other[..kept]), "a part of it");
    }
}

#[test]
fn a_key_shows_nothing_of_itself() {
    assert_eq!(format!("{:?}", MacKey::new(b"hunter2")), "MacKey([REDACTED])");
}
