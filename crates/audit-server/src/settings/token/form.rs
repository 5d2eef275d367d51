//! What people write to make a token, and its validation.

use audit_record::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::clock::now;
use crate::problem::Problem;
use crate::settings::named::Named;
use crate::settings::secret::TokenHash;
use crate::settings::source::name_problem;
use crate::settings::token::{MadeToken, Scope, Token, VERSION, make_up_token};

/// Most projects that a token may be limited to.
const PROJECTS_MAX: usize = 1_000;

/// Longest id, key or name of one of them, in bytes: the record that tells of a token holds them all.
const PROJECT_BYTES_MAX: usize = 200;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What people call it: `[a-z0-9][a-z0-9._-]*`.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// The organisation of records that it writes; that of the asking token by default.
    organisation: Option<Named>,
    /// The source name of records that it writes; its own name by default.
    source: Option<String>,
    /// The projects that it may read and write, by id, key or name; all by default.
    projects: Option<Vec<String>>,
    /// When it stops working, RFC 3339; never by default.
    expires_at: Option<String>,
}

impl NewToken {
    /// Checks every field; the token itself is made up here and not known again.
    pub(crate) fn make(self, organisation_default: &Named) -> Result<MadeToken, Problem> {
        let (id, shown) = make_up_token();
        let token = self.declare(organisation_default, &shown)?;
        if token.is_expired(now()) {
            return Err(Problem::field("expires_at", "must lie in the future"));
        }
        Ok(MadeToken { id, token, shown })
    }

    /// Checks every field. `shown` is the token; one that is past its end is valid and of no use.
    pub(crate) fn declare(
        self,
        organisation_default: &Named,
        shown: &SecretString,
    ) -> Result<Token, Problem> {
        if let Some(problem) = name_problem(&self.name) {
            return Err(Problem::field("name", problem));
        }
        let source = self.source.unwrap_or_else(|| self.name.clone());
        if let Some(problem) = name_problem(&source) {
            return Err(Problem::field("source", problem));
        }
        if self.scopes.is_empty() {
            return Err(Problem::field(
                "scopes",
                "must name one at least: records:write, records:read, settings:read, settings:write, exports or admin",
            ));
        }
        let organisation = self.organisation.unwrap_or_else(|| organisation_default.clone());
        if let Some(problem) = organisation.problem() {
            return Err(Problem::field("organisation", problem));
        }
        if self.projects.as_ref().is_some_and(|own| own.is_empty() || own.len() > PROJECTS_MAX) {
            let problem = format!("must be 1 to {PROJECTS_MAX}, or be left out for all");
            return Err(Problem::field("projects", problem));
        }
        let is_none = |project: &String| {
            project.is_empty() || project.len() > PROJECT_BYTES_MAX || project.chars().any(char::is_control)
        };
        if self.projects.iter().flatten().any(is_none) {
            let problem =
                format!("must have 1 to {PROJECT_BYTES_MAX} bytes each, and no control characters in them");
            return Err(Problem::field("projects", problem));
        }
        let too_wide = |scope: &&Scope| self.projects.is_some() && !scope.fits_projects();
        if let Some(scope) = self.scopes.iter().find(too_wide) {
            let problem = format!("must not hold {scope} where projects are given: it reaches all projects");
            return Err(Problem::field("scopes", problem));
        }
        let expires_at = self.expires_at.as_deref().map(Timestamp::parse).transpose();
        let expires_at = expires_at.map_err(|error| Problem::field("expires_at", error.to_string()))?;
        Ok(Token {
            v: VERSION,
            name: self.name,
            scopes: self.scopes,
            organisation,
            source,
            projects: self.projects,
            expires_at: expires_at.map(|at| at.to_string()),
            declared_in: None,
            created_at: now().to_string(),
            hash: TokenHash::of(shown.expose_secret()),
        })
    }
}
