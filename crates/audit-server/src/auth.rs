//! Who calls the administration, and what they may do there.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::clock::now;
use crate::problem::{Kind, Problem};
use crate::settings::secret::TokenHash;
use crate::settings::stored::Setting;
use crate::settings::token::{self, Scope, Token};

/// The id of the admin token that the process was given, in records of what is done with it.
const ADMIN_ID: &str = "admin";

/// An authenticated client.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    id: Arc<str>,
    token: Arc<Token>,
}

impl Caller {
    /// The token's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The token's name.
    pub(crate) fn name(&self) -> &str {
        &self.token.name
    }

    /// The token's settings.
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// Refuses a token without this scope.
    pub(crate) fn must_have(&self, scope: Scope) -> Result<(), Problem> {
        if self.token.allows(scope) {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, format!("the token {:?} lacks the scope {scope}", self.name()))
            .hint(format!("use a token with the scope {scope} or admin")))
    }

    /// The projects that it is limited to; `None` for all.
    pub(crate) fn projects(&self) -> Option<&[String]> {
        self.token.projects.as_deref()
    }
}

/// Lets through whoever holds a token with the scope; every route of the administration but the health
/// checks stands behind it.
pub(crate) async fn authorise(
    State((app, scope)): State<(App, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = authenticate(&app, request.headers())?;
    caller.must_have(scope)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let refused = |detail| {
        Problem::new(Kind::Unauthenticated, detail)
            .hint("send Authorization: Bearer with a token; flagtrail token create makes one")
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refused("there is no Authorization header"));
    };
    let shown = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, shown)| shown.trim())
        .ok_or_else(|| refused("the Authorization header holds no bearer token"))?;
    if let Some(admin) = app.admin_token().filter(|admin| admin.fits(shown)) {
        return Ok(Caller { id: ADMIN_ID.into(), token: admin });
    }
    let declared = || token::declared_id(app.journal().identity().namespace, shown).into();
    let id: Arc<str> = token::id_of(shown).map_or_else(declared, Into::into);
    let entity = app.control().get(Token::KIND, &id);
    let Some(token) = entity.as_deref().and_then(Token::read) else {
        // As long as with a token that exists.
        let _ = TokenHash::of_nothing().fits(shown);
        return Err(refused("the token is not known"));
    };
    if !token.fits(shown) {
        return Err(refused("the token is not known"));
    }
    if token.is_expired(now()) {
        return Err(refused("the token has expired"));
    }
    Ok(Caller { id, token: Arc::new(token) })
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::new(Kind::Internal, "the request was not authenticated")
                .cause("a route that needs a caller stands outside `authorise`")
        })
    }
}
