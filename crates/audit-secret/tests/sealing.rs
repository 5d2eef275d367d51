//! What a keyring seals, opens and refuses.

use audit_secret::{FORMER_KEYS_MAX, Keyring, OpenError, Place, SealError, Sealed, SealedField, SecretKey};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const PLACE: Place<'static> = Place { kind: "source", id: "shop", field: "secrets" };

fn keyring() -> Keyring {
    Keyring::new(SecretKey::generate(), Vec::new()).unwrap()
}

fn opened(keyring: &Keyring, place: Place<'_>, sealed: &Sealed) -> Result<String, OpenError> {
    keyring.open_text(place, sealed).map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn a_value_that_libsodium_sealed_by_the_documented_form_opens() {
    let key: SecretKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
    let stored = json!({
        "v": 1, "key": "5675f0723c7e924d", "nonce": "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7",
        "ciphertext": "FAaXxJpcu/UgRXsgdrz+OCqviFr1QXI=",
    });
    let sealed = Sealed::read(stored.clone()).unwrap();
    assert_eq!(opened(&Keyring::new(key, Vec::new()).unwrap(), PLACE, &sealed).unwrap(), "hunter2");
    assert_eq!(serde_json::to_value(&sealed).unwrap(), stored);
}

#[test]
fn a_sealed_value_moved_to_any_other_place_does_not_open() {
    let keyring = keyring();
    let sealed = keyring.seal(PLACE, b"hunter2").unwrap();
    let elsewhere = [
        Place { id: "other", ..PLACE },
        Place { kind: "endpoint", ..PLACE },
        Place { field: "headers.authorization", ..PLACE },
    ];
    for place in elsewhere {
        let refused = opened(&keyring, place, &sealed).unwrap_err();
        assert!(matches!(refused, OpenError::Forged { .. }), "{refused}");
        assert!(refused.to_string().contains(&place.to_string()), "{refused}");
    }
    assert_eq!(opened(&keyring, PLACE, &sealed).unwrap(), "hunter2");
}

#[test]
fn after_a_rotation_old_values_open_and_new_ones_have_the_new_key() {
    let (old, new) = (SecretKey::generate(), SecretKey::generate());
    let keyring = Keyring::new(old.clone(), Vec::new()).unwrap();
    let before = keyring.seal(PLACE, b"hunter2").unwrap();
    let clone = keyring.clone();
    assert!(keyring.replace(new.clone(), vec![old.clone()]).unwrap());
    assert!(!keyring.replace(new.clone(), vec![old.clone()]).unwrap(), "the same keys are no change");
    assert_eq!(opened(&clone, PLACE, &before).unwrap(), "hunter2");
    let after = clone.seal(PLACE, b"hunter2").unwrap();
    assert_eq!((before.key(), after.key()), (old.id(), new.id()));
    let field = SealedField::Sealed(before);
    assert!(field.is_outdated(&keyring));
    let resealed = field.resealed(&keyring, PLACE).unwrap();
    assert!(!resealed.is_outdated(&keyring));
    let resealed_twice = resealed.resealed(&keyring, PLACE).unwrap();
    assert_eq!(resealed_twice.as_sealed(), resealed.as_sealed(), "what is current already stays as it is");
    keyring.replace(new, Vec::new()).unwrap();
    assert_eq!(resealed.open(&keyring, PLACE).unwrap().expose_secret(), "hunter2");
}

#[test]
fn a_missing_key_is_named_with_its_mend() {
    let sealed = keyring().seal(PLACE, b"hunter2").unwrap();
    let without = opened(&Keyring::empty(), PLACE, &sealed).unwrap_err().to_string();
    let with_another = opened(&keyring(), PLACE, &sealed).unwrap_err().to_string();
    for (text, mend) in [(without, "secrets.key_file"), (with_another, "secrets.former_key_files")] {
        assert!(text.contains(&sealed.key().to_string()) && text.contains(mend), "{text}");
        assert!(text.contains("secrets of source \"shop\""), "{text}");
    }
    let refused = Keyring::empty().seal(PLACE, b"hunter2").unwrap_err();
    assert!(matches!(&refused, SealError::NoKey { .. }));
    assert!(refused.to_string().contains("secrets.key_file"), "{refused}");
}

#[test]
fn a_value_of_a_later_release_is_left_alone_and_a_damaged_one_is_named() {
    let mut stored = serde_json::to_value(keyring().seal(PLACE, b"hunter2").unwrap()).unwrap();
    for field in ["key", "nonce", "ciphertext"] {
        let mut damaged = stored.clone();
        damaged[field] = json!("!");
        assert!(Sealed::read(damaged).unwrap_err().to_string().contains("damaged"), "{field}");
    }
    stored["v"] = json!(2);
    stored["nonce"] = json!({"of": "another form"});
    let newer = serde_json::from_value::<SealedField>(stored).unwrap_err().to_string();
    assert!(newer.contains("later release"), "{newer}");
    assert!(serde_json::from_value::<SealedField>(json!(7)).is_err());
}

#[test]
fn what_stands_in_clear_is_read_and_never_written() {
    let keyring = keyring();
    let field: SealedField = serde_json::from_value(json!("hunter2")).unwrap();
    assert_eq!(field.open(&Keyring::empty(), PLACE).unwrap().expose_secret(), "hunter2");
    assert!(field.is_outdated(&keyring));
    assert!(serde_json::to_value(&field).is_err());
    let stored = serde_json::to_string(&field.resealed(&keyring, PLACE).unwrap()).unwrap();
    assert!(!stored.contains("hunter2"), "{stored}");
    assert!(field.resealed(&Keyring::empty(), PLACE).is_err());
    assert_eq!(format!("{field:?}"), "[REDACTED]");
}

#[test]
fn debug_of_a_keyring_shows_names_of_keys_alone() {
    let key = SecretKey::generate();
    let text = format!("{:?}", Keyring::new(key.clone(), vec![SecretKey::generate()]).unwrap());
    assert!(text.contains(&key.id().to_string()));
    assert!(!text.contains(key.to_text().expose_secret()));
}

#[test]
fn every_key_that_a_document_needs_is_found_wherever_it_stands() {
    let (one, other) = (keyring(), keyring());
    let sealed = |keyring: &Keyring| serde_json::to_value(keyring.seal(PLACE, b"hunter2").unwrap()).unwrap();
    let document = json!({
        "secrets": [sealed(&one), sealed(&one)], "headers": {"authorization": sealed(&other)},
        "key": one.current().unwrap(), "v": 1,
    });
    let found: Vec<_> = Sealed::keys_in(&document).into_iter().collect();
    let mut expected = vec![one.current().unwrap(), other.current().unwrap()];
    expected.sort();
    assert_eq!(found, expected);
    assert!(Sealed::keys_in(&json!({"secrets": ["in clear"]})).is_empty());
}

#[test]
fn there_is_a_bound_on_former_keys() {
    let former = vec![SecretKey::generate(); FORMER_KEYS_MAX + 1];
    assert!(Keyring::new(SecretKey::generate(), former).is_err());
}

#[tokio::test]
async fn who_waits_for_other_keys_hears_of_them() {
    let keyring = keyring();
    let mut changes = keyring.changes();
    keyring.replace(SecretKey::generate(), Vec::new()).unwrap();
    changes.changed().await;
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back_and_no_changed_byte_is_taken_for_it(
        secret in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        flip in 1u8..,
    ) {
        let keyring = keyring();
        let sealed = keyring.seal(PLACE, &secret).unwrap();
        let opened = keyring.open(PLACE, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), &secret[..]);
        prop_assert_ne!(&keyring.seal(PLACE, &secret).unwrap(), &sealed, "every value has a nonce of its own");
        let mut stored: Value = serde_json::to_value(&sealed).unwrap();
        for field in ["nonce", "ciphertext"] {
            let text = stored[field].as_str().unwrap().to_owned();
            let changed = change(&text, at, flip);
            stored[field] = json!(changed);
            prop_assert!(keyring.open(PLACE, &Sealed::read(stored.clone()).unwrap()).is_err());
            stored[field] = json!(text);
        }
    }
}

/// The base64 of the same bytes with one of them changed.
fn change(base64: &str, at: proptest::sample::Index, flip: u8) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut bytes = STANDARD.decode(base64).unwrap();
    let at = at.index(bytes.len());
    bytes[at] ^= flip;
    STANDARD.encode(bytes)
}
