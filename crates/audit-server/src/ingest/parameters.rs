//! The query string of `POST /v1/records`.

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};
use crate::query;
use crate::settings::source::Source;
use crate::settings::stored::Setting;
use crate::settings::token::{Scope, Token};

/// What it may hold. Anything else is refused: a misspelt `dry_run` would append.
const KNOWN: &str = "dry_run and source";

/// What it asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Everything but the append.
    pub(super) dry_run: bool,
    /// The source in whose name the records are appended, where it is not the token's.
    pub(super) source: Option<String>,
}

impl Parameters {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut parameters = Self::default();
        for (name, value) in query::pairs(query)? {
            match name.as_str() {
                "dry_run" => {
                    let asked = value.parse().map_err(|_| Problem::field(&name, "must be true or false"));
                    parameters.dry_run = asked?;
                }
                "source" => parameters.source = Some(value),
                _ => {
                    return Err(
                        Problem::field(&name, "is no parameter here").hint(format!("there are {KNOWN}"))
                    );
                }
            }
        }
        Ok(parameters)
    }

    /// The token by which records are made: the caller's, in the name of the source that is asked for. A token with the scope admin
    /// could make one that writes for any source; here it need not.
    pub(super) fn token(&self, app: &App, caller: &Caller) -> Result<Token, Problem> {
        let own = caller.token();
        let Some(name) = self.source.as_ref().filter(|name| **name != own.source) else {
            return Ok(own.clone());
        };
        if !own.allows(Scope::Admin) {
            let detail = format!("the token {:?} may not write for the source {name:?}", caller.name());
            return Err(Problem::new(Kind::Forbidden, detail)
                .hint("leave source out, or use a token with the scope admin"));
        }
        let entity = app.control().get(Source::KIND, name);
        let source = entity.as_deref().and_then(Source::read).ok_or_else(|| {
            Problem::field("source", format!("{name:?} is no source")).hint(
                "`flagtrail source list` lists them; records of one's own come under the token's source",
            )
        })?;
        let mut token = own.clone();
        (token.source, token.organisation) = (source.name, source.organisation);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_and_truth_values_are_taken() {
        let read = |query: &str| Parameters::read(Some(query));
        assert_eq!(Parameters::read(None).unwrap(), Parameters::default());
        assert!(read("dry_run=true").unwrap().dry_run && !read("dry_run=false").unwrap().dry_run);
        assert_eq!(read("source=main").unwrap().source.as_deref(), Some("main"));
        for wrong in ["dryrun=true", "dry_run", "dry_run=1", "dry_run=true&x=y"] {
            assert_eq!(read(wrong).unwrap_err().kind(), Kind::BadRequest, "{wrong}");
        }
    }
}
