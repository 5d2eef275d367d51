//! What people write to make or change a source, and its validation.

use audit_dialect::Platform;
use audit_secret::SealedField;
use audit_webhook::Span;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::clock::now;
use crate::problem::Problem;
use crate::settings::named::Named;
use crate::settings::source::{SECRET_BYTES_MAX, SECRETS_MAX, Source, name_problem};

/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_000;

/// Shortest and longest time after which a source counts as silent: as long as rejected requests are kept, at most.
const SILENT_AFTER_MIN: Span = Span::from_secs(1);
const SILENT_AFTER_MAX: Span = Span::from_secs(400 * 86_400);

/// A source to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSource {
    /// Its name: `[a-z0-9][a-z0-9._-]*`. It becomes part of every record and never changes.
    name: String,
    /// `flagsmith`, `zenmanage`, `abtasty`, `mozhno`, `unleash`, `cloudevents` or `native`.
    platform: String,
    /// What it is for.
    description: Option<String>,
    /// The organisation of its records.
    organisation: Named,
    /// The project where neither the body nor the URL names one.
    project: Option<Named>,
    /// The environment where neither the body nor the URL names one.
    environment: Option<Named>,
    /// After how long without a sign of it the source counts as silent, such as `12h` or `7d`; never by default.
    #[schema(value_type = Option<String>)]
    silent_after: Option<Span>,
    /// What the platform signs with. Not shown again.
    #[serde(default)]
    #[schema(write_only)]
    secrets: Vec<String>,
}

/// What to change (JSON Merge Patch): a field that is absent stays, `null` removes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourcePatch {
    /// What it is for.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// The organisation of its records from now on.
    organisation: Option<Named>,
    /// The project where neither the body nor the URL names one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Named>)]
    project: Option<Option<Named>>,
    /// The environment where neither the body nor the URL names one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Named>)]
    environment: Option<Option<Named>>,
    /// After how long without a sign of it the source counts as silent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    silent_after: Option<Option<Span>>,
    /// All secrets, in place of those there are.
    #[schema(write_only)]
    secrets: Option<Vec<String>>,
    /// Whether its webhooks are taken.
    enabled: Option<bool>,
}

/// Tells a field that is `null` from one that is absent.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl NewSource {
    /// Checks every field; the source's URL token is made up here and not known again.
    pub(crate) fn make(self) -> Result<(Source, SecretString), Problem> {
        if let Some(problem) = name_problem(&self.name) {
            return Err(Problem::field("name", problem));
        }
        let Some(platform) = Platform::parse(&self.platform) else {
            let known: Vec<&str> = Platform::ALL.iter().map(|platform| platform.as_str()).collect();
            let problem = format!("must be one of {}", known.join(", "));
            return Err(Problem::field("platform", problem));
        };
        named("organisation", Some(&self.organisation))?;
        named("project", self.project.as_ref())?;
        named("environment", self.environment.as_ref())?;
        described(self.description.as_ref())?;
        let (mut source, token) = Source::make(self.name, platform, self.organisation, now());
        source.description = self.description;
        source.project = self.project;
        source.environment = self.environment;
        source.silent_after = waiting(self.silent_after)?;
        source.secrets = signing_secrets(self.secrets)?;
        Ok((source, token))
    }
}

impl SourcePatch {
    /// Whether it changes what a configuration declares, and not only whether webhooks are taken.
    pub(crate) fn is_configuration(&self) -> bool {
        let Self { description, organisation, project, environment, silent_after, secrets, enabled: _ } =
            self;
        let places = organisation.is_some() || project.is_some() || environment.is_some();
        places || description.is_some() || silent_after.is_some() || secrets.is_some()
    }

    /// The source with what is given changed.
    pub(crate) fn apply(self, source: &Source) -> Result<Source, Problem> {
        let mut changed = source.clone();
        if let Some(description) = self.description {
            described(description.as_ref())?;
            changed.description = description;
        }
        if let Some(organisation) = self.organisation {
            named("organisation", Some(&organisation))?;
            changed.organisation = organisation;
        }
        if let Some(project) = self.project {
            named("project", project.as_ref())?;
            changed.project = project;
        }
        if let Some(environment) = self.environment {
            named("environment", environment.as_ref())?;
            changed.environment = environment;
        }
        if let Some(silent_after) = self.silent_after {
            changed.silent_after = waiting(silent_after)?;
        }
        if let Some(secrets) = self.secrets {
            changed.secrets = signing_secrets(secrets)?;
        }
        changed.enabled = self.enabled.unwrap_or(changed.enabled);
        Ok(changed)
    }
}

fn named(field: &str, thing: Option<&Named>) -> Result<(), Problem> {
    thing.and_then(Named::problem).map_or(Ok(()), |problem| Err(Problem::field(field, problem)))
}

fn described(text: Option<&String>) -> Result<(), Problem> {
    if text.is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
        return Err(Problem::field("description", format!("may have {DESCRIPTION_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn waiting(silent_after: Option<Span>) -> Result<Option<Span>, Problem> {
    if silent_after.is_some_and(|after| !(SILENT_AFTER_MIN..=SILENT_AFTER_MAX).contains(&after)) {
        let problem = format!("must be {SILENT_AFTER_MIN} to {SILENT_AFTER_MAX}");
        return Err(Problem::field("silent_after", problem));
    }
    Ok(silent_after)
}

/// In clear as they came; they are sealed when they are written.
fn signing_secrets(secrets: Vec<String>) -> Result<Vec<SealedField>, Problem> {
    if secrets.len() > SECRETS_MAX {
        return Err(Problem::field("secrets", format!("may be {SECRETS_MAX} at most")));
    }
    let wrong = secrets.iter().any(|secret| secret.is_empty() || secret.len() > SECRET_BYTES_MAX);
    if wrong {
        return Err(Problem::field("secrets", format!("must have 1 to {SECRET_BYTES_MAX} bytes each")));
    }
    Ok(secrets.into_iter().map(|secret| SealedField::Clear(secret.into())).collect())
}
