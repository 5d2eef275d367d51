//! Another signing secret in the place of those there are, which sign beside it for a while.

use audit_record::{Author, Timestamp, Violation};
use secrecy::SecretString;
use serde::Deserialize;

use super::input::SECRETS_MAX;
use super::{EndpointError, EndpointId, EndpointView, Endpoints, SigningSecret, Span};
use crate::operational;

/// How long the old secrets sign unless told otherwise.
const GRACE_DEFAULT: Span = Span::from_secs(24 * 3_600);

/// Longest time for which they may: what signs for ever is not being rotated.
const GRACE_MAX: Span = Span::from_secs(30 * 24 * 3_600);

/// How often a rotation is written anew because the endpoint was changed meanwhile.
const WRITES_MAX: usize = 4;

/// A rotation as people ask for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// How long the old secrets sign beside the new one; a day when left out, `0s` for not at all.
    pub grace: Option<Span>,
    /// The new secret; one of the same kind as the present one is made up when left out.
    pub secret: Option<SigningSecret>,
}

/// A secret that has just taken its place.
#[derive(Debug)]
pub struct Rotated {
    /// The endpoint from now on.
    pub view: EndpointView,
    /// The new secret, shown this once.
    pub secret: SecretString,
    /// What receivers verify with, where the secret is asymmetric.
    pub public_key: Option<String>,
}

impl Endpoints {
    /// Signs with another secret from now on, and with those there are for the grace period, so that a receiver
    /// may change over at any moment of it. Durable when it returns.
    pub async fn rotate_secret(
        &self,
        id: &EndpointId,
        rotation: Rotation,
        author: Author,
    ) -> Result<Rotated, EndpointError> {
        let grace = rotation.grace.unwrap_or(GRACE_DEFAULT);
        if grace > GRACE_MAX {
            let problem = format!("must be at most {GRACE_MAX}");
            return Err(EndpointError::Invalid(vec![Violation::new("grace", problem)]));
        }
        for _ in 0..WRITES_MAX {
            let (mut endpoint, version) = self.find(id)?;
            endpoint.must_not_be_declared()?;
            let new = match (&rotation.secret, endpoint.secrets.first()) {
                (Some(given), _) => given.clone(),
                (None, Some(present)) => present.generate_like(),
                (None, None) => SigningSecret::generate(),
            };
            let kept = retiring(endpoint.secrets, operational::now(), grace);
            if kept.len() >= SECRETS_MAX {
                return Err(EndpointError::Invalid(vec![Violation::new(
                    "grace",
                    format!(
                        "{} old secrets sign already: rotate with grace 0s to end them, or wait until one has ended",
                        kept.len()
                    ),
                )]));
            }
            endpoint.secrets = [vec![new.clone()], kept].concat();
            match self.write(&endpoint, version, "updated", author.clone()).await {
                Err(EndpointError::Conflict) => {}
                outcome => {
                    let public_key = new.public_key();
                    return Ok(Rotated { view: outcome?, secret: new.reveal(), public_key });
                }
            }
        }
        Err(EndpointError::Conflict)
    }
}

/// What of the present secrets goes on signing, and until when: an end that was set before stays.
fn retiring(secrets: Vec<SigningSecret>, now: Timestamp, grace: Span) -> Vec<SigningSecret> {
    if grace.as_millis() == 0 {
        return Vec::new();
    }
    let end = Timestamp::from_micros(now.micros().saturating_add(grace.as_millis() * 1_000)).unwrap_or(now);
    let kept = secrets.into_iter().filter(|secret| secret.until().is_none_or(|until| until > now));
    kept.map(|secret| {
        let until = secret.until().map_or(end, |until| until.min(end));
        secret.retiring(Some(until))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{Span, Timestamp, retiring};
    use crate::endpoint::SigningSecret;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("a time")
    }

    #[test]
    fn old_secrets_sign_to_the_end_of_the_grace_and_never_longer_than_was_said_before() {
        let secrets = vec![
            SigningSecret::generate(),
            SigningSecret::generate().retiring(Some(at(1_060))),
            SigningSecret::generate().retiring(Some(at(999))),
        ];
        let ends = |grace| -> Vec<_> {
            retiring(secrets.clone(), at(1_000), grace).iter().map(SigningSecret::until).collect()
        };
        assert_eq!(ends(Span::from_secs(3_600)), [Some(at(4_600)), Some(at(1_060))]);
        assert_eq!(ends(Span::from_secs(10)), [Some(at(1_010)), Some(at(1_010))]);
        assert_eq!(ends(Span::from_secs(0)), []);
    }
}
