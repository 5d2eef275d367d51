//! X-Flagsmith-Signature.

use audit_dialect::{Platform, SignatureCheck, check_signature};

use crate::harness::Hook;
use crate::recording;

#[test]
fn every_recorded_signature_fits_its_webhooks_secret_and_no_other() {
    let mut signed = 0;
    for recording in recording::all(Platform::Flagsmith) {
        let hook = recording.hook();
        let check = |secrets: &[&[u8]]| check_signature(Platform::Flagsmith, secrets, &hook.request());
        match recording.secret() {
            Some(secret) => {
                assert_eq!(check(&[secret.as_bytes()]), SignatureCheck::Valid, "{}", recording.name);
                assert_eq!(check(&[b"old", secret.as_bytes()]), SignatureCheck::Valid, "{}", recording.name);
                assert_eq!(check(&[b"wrong"]), SignatureCheck::Wrong, "{}", recording.name);
                signed += 1;
            }
            None => assert_eq!(check(&[b"any"]), SignatureCheck::Missing, "{}", recording.name),
        }
        assert_eq!(check(&[]), SignatureCheck::NotExpected);
        assert_eq!(check(&[b""]), SignatureCheck::NotExpected, "anyone could sign with an empty secret");
    }
    assert!(signed > 100);
}

/// Made with the same algorithm by another implementation.
#[test]
fn the_golden_vector_fits() {
    let body = include_bytes!("golden-audit.json");
    let signed = |body: &[u8], signature: &str| {
        let mut hook = Hook::post(Platform::Flagsmith, body);
        hook.headers.push(("x-flagsmith-signature".to_owned(), signature.as_bytes().to_vec()));
        check_signature(Platform::Flagsmith, &[b"s3cret"], &hook.request())
    };
    let signature = "0805a2307a1ac62bbfc6b57092d596919c9011b021fe0dcf0853c62a5694d4a4";
    assert_eq!(signed(body, signature), SignatureCheck::Valid);
    assert_eq!(signed(&body[1..], signature), SignatureCheck::Wrong);
    assert_eq!(signed(body, &signature[..62]), SignatureCheck::Wrong);
    assert_eq!(signed(body, "sha256=oops"), SignatureCheck::Wrong);
    assert_eq!(signed(body, ""), SignatureCheck::Wrong);
}

#[test]
fn of_two_signatures_neither_counts() {
    let recording = recording::numbered(Platform::Flagsmith, "005");
    let mut hook = recording.hook();
    hook.headers.push(("X-Flagsmith-Signature".to_owned(), b"00".to_vec()));
    let secret = recording.secret().unwrap().as_bytes();
    assert_eq!(check_signature(Platform::Flagsmith, &[secret], &hook.request()), SignatureCheck::Wrong);
}

#[test]
fn platforms_that_do_not_sign_are_not_asked_to() {
    for platform in Platform::ALL.into_iter().filter(|platform| *platform != Platform::Flagsmith) {
        let hook = Hook::post(platform, "{}");
        assert_eq!(check_signature(platform, &[b"secret"], &hook.request()), SignatureCheck::NotExpected);
    }
}
