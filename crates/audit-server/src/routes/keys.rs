//! `/v1/keys`: which keys secrets are sealed with, and sealing all of them with the current one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use audit_archive::QueryError;
use audit_journal::AppendOutcome;
use audit_record::{Filter, RoutingKey};
use audit_secret::Sealed;
use audit_webhook::EndpointId;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{ErrorItem, Kind, Problem, ProblemBody};
use crate::routes::records::ask_archive;
use crate::routes::{endpoints, sources};
use crate::settings::change::{Told, author_of};

/// Most settings that one request seals anew: each is a transaction on the log, and a request has its time.
const RESEALED_MAX: usize = 50;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_keys))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reseal)).routes(routes!(disclose))
}

/// Most scopes whose keys one request discloses.
const DISCLOSED_MAX: usize = 100;

/// Most scopes that the sentence of a refusal names; its list of errors has all of them.
const NAMED_MAX: usize = 10;

/// How long one request looks for them: shorter than a request may take.
const DISCLOSED_LOOK_MAX: Duration = Duration::from_secs(20);

/// A key by its name, which tells nothing of the key.
#[derive(Serialize, ToSchema)]
struct KeyView {
    /// Its name.
    key: String,
    /// `current`: it seals. `former`: it still opens. `missing`: this process does not have it.
    role: &'static str,
    /// The settings that have a secret sealed with it, such as `source shop`.
    settings: Vec<String>,
}

/// Every key that is there or needed.
#[derive(Serialize, ToSchema)]
struct KeyList {
    /// The current one first, then the former ones, then those that are missing.
    keys: Vec<KeyView>,
    /// The settings that have a secret which is not sealed with the current key.
    outdated: Vec<String>,
}

/// What sealing anew came to.
#[derive(Serialize, ToSchema)]
struct Resealed {
    /// The current key.
    key: String,
    /// The settings whose secrets were sealed with it now.
    resealed: Vec<String>,
    /// Those that could not be, and why.
    failed: Vec<NotResealed>,
    /// How many are left to another request.
    remaining: usize,
}

/// A setting whose secrets were not sealed anew.
#[derive(Serialize, ToSchema)]
struct NotResealed {
    /// Such as `source shop`.
    setting: String,
    /// Why, and the mend.
    problem: String,
}

/// A setting that has secrets.
enum Setting {
    Source(String),
    Endpoint(EndpointId),
}

impl Setting {
    /// Those that have a secret which is not sealed with the current key.
    fn outdated(app: &App) -> Vec<Self> {
        let sources = sources::outdated(app).into_iter().map(Self::Source);
        sources.chain(app.endpoints().outdated().into_iter().map(Self::Endpoint)).collect()
    }

    async fn reseal(&self, app: &App, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::Source(name) => sources::reseal(app, caller, name).await,
            Self::Endpoint(id) => match app.endpoints().reseal(id, author_of(Some(caller))).await {
                Ok(_) => Ok(()),
                Err(error) => Err(endpoints::refused(error)),
            },
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Source(name) => format!("source {name}"),
            Self::Endpoint(id) => format!("endpoint {id}"),
        }
    }
}

/// List keys
///
/// By names; the keys themselves are nowhere to be had.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, body = KeyList)))]
async fn list_keys(State(app): State<App>) -> Json<KeyList> {
    let mut settings: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for entity in app.control().all() {
        for key in Sealed::keys_in(&entity.value) {
            settings.entry(key).or_default().push(format!("{} {}", entity.kind, entity.id));
        }
    }
    let current = app.keyring().current().map(|key| (key, "current"));
    let former = app.keyring().former().into_iter().map(|key| (key, "former"));
    let mut keys: Vec<KeyView> = Vec::new();
    for (key, role) in current.into_iter().chain(former) {
        keys.push(KeyView {
            key: key.to_string(),
            role,
            settings: settings.remove(&key).unwrap_or_default(),
        });
    }
    let missing = settings.into_iter();
    keys.extend(missing.map(|(key, settings)| KeyView { key: key.to_string(), role: "missing", settings }));
    let outdated = Setting::outdated(&app).iter().map(Setting::in_words).collect();
    Json(KeyList { keys, outdated })
}

/// Whose tags are to be recomputed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ScopeRequest {
    /// Projects, by id, key or name.
    project: Vec<String>,
    /// Of these sources only.
    #[serde(default)]
    source: Vec<String>,
    /// Of these organisations only.
    #[serde(default)]
    organisation: Vec<String>,
    /// Of the scopes that these words lead to, only those named here, as an answer 409 names them.
    #[serde(default)]
    scope: Vec<String>,
    /// Disclose the keys of all scopes that the words lead to, however many.
    #[serde(default)]
    all: bool,
}

/// A scope and its key.
#[derive(Serialize, ToSchema)]
struct DisclosedScope {
    /// Organisation, source and project, as the log routes by them.
    scope: String,
    /// The scope's own tag, in hex: leaves that carry it are of this scope.
    tag: String,
    /// The key under which tags of this scope are made, in base64.
    key: String,
}

/// Which of the scopes that were found are disclosed: the only one, those that are named, or all where that is asked for.
fn meant(found: BTreeSet<RoutingKey>, named: &[String], all: bool) -> Result<Vec<RoutingKey>, Problem> {
    // Our own records of a project stand among those of all others: that key would tell of these, too.
    let of_projects = found.into_iter().filter(|scope| *scope != RoutingKey::own());
    let mut scopes: Vec<RoutingKey> = of_projects.collect();
    if scopes.is_empty() {
        return Err(Problem::new(Kind::NotFound, "no record of such a project is archived here"));
    }
    if let Some(other) = named.iter().find(|name| scopes.iter().all(|scope| scope.as_str() != **name)) {
        return Err(Problem::new(Kind::NotFound, format!("the project has no scope {other:?} here"))
            .hint("without `scope` those that it has are named, if there is more than one"));
    }
    if !named.is_empty() {
        scopes.retain(|scope| named.iter().any(|name| name == scope.as_str()));
    }
    if scopes.len() > DISCLOSED_MAX {
        return Err(Problem::new(Kind::Conflict, "these are more scopes than one request discloses")
            .hint("name the source, or one project at a time"));
    }
    if scopes.len() > 1 && named.is_empty() && !all {
        let each = scopes.iter().map(|scope| ErrorItem {
            line: None,
            field: Some("scope".to_owned()),
            problem: format!("{scope} may be meant"),
        });
        let in_words = scopes.iter().take(NAMED_MAX).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let more = if scopes.len() > NAMED_MAX { ", …" } else { "" };
        let detail = format!("it is more than one scope: {in_words}{more}; no key was disclosed");
        return Err(Problem::new(Kind::Conflict, detail)
            .with_errors(each.collect())
            .hint("name the source, the organisation or the scope that is meant, or ask for all of them"));
    }
    Ok(scopes)
}

/// Disclose the keys of a project's tags
///
/// For those who audit the project: with a scope's key they recompute which leaves are of it, and which of its environments,
/// flags and authors each concerns. It tells nothing of other projects, and can't be taken back. That it was disclosed, and
/// by whom, is on the record before it is answered.
///
/// A word may lead to several scopes: platforms count their projects from 1, and a name may have been another project's
/// before. So where there is more than one, nothing is disclosed: 409 names them, and the request is made again with the
/// source, the organisation or the `scope` that is meant, or with `all`.
#[utoipa::path(
    post, path = "/v1/keys/scopes", tag = "keys", request_body = ScopeRequest,
    responses(
        (status = 200, body = Vec<DisclosedScope>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No record of such a project is archived here", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is more than one scope: `errors` names each", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn disclose(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ScopeRequest>,
) -> Result<Json<Vec<DisclosedScope>>, Problem> {
    if request.project.is_empty() {
        return Err(Problem::field("project", "is empty: name at least one"));
    }
    let ScopeRequest { project, source, organisation, scope, all } = request;
    let filter = Filter { project, source, organisation, ..Filter::default() };
    let named = ask_archive(&app, move |reader| {
        let until = Instant::now() + DISCLOSED_LOOK_MAX;
        reader.named(&filter, &|| Instant::now() > until)?.ok_or(QueryError::TooLong)
    })
    .await?;
    let scopes = meant(named.scopes.unwrap_or_default(), &scope, all)?;
    let told = |scope: &RoutingKey| {
        let told = Told {
            action: "flagtrail.key.disclosed",
            object_type: "FLAGTRAIL_KEY",
            id: scope.as_str(),
            name: "",
            log: format!("The key of the tags of {scope} was disclosed"),
            before: None,
            after: None,
        };
        told.into_record(Some(&caller), now())
    };
    let records: Vec<_> = scopes.iter().map(told).collect();
    let appended = app.journal().append_records(&records).await;
    if !appended.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))) {
        return Err(Problem::new(
            Kind::Unavailable,
            "nothing is disclosed that is not on the record, and the log does not take it now",
        )
        .retry_after_s(2));
    }
    let identity = app.journal().identity();
    let disclosed = scopes.iter().map(|scope| {
        let key = identity.scope_key(scope);
        let tag = hex::encode(key.scope_tag(scope).as_bytes());
        DisclosedScope { scope: scope.to_string(), tag, key: STANDARD.encode(key.as_bytes()) }
    });
    Ok(Json(disclosed.collect()))
}

/// Seal secrets with the current key
///
/// Every setting that has a secret in clear, or sealed with a former key, is written anew; nothing else of it changes. At
/// most fifty a request: ask again while any remain. Those that fail are named, and stay as they are.
#[utoipa::path(
    post, path = "/v1/keys/reseal", tag = "keys",
    responses(
        (status = 200, body = Resealed),
        (status = 409, description = "There is no key", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn reseal(State(app): State<App>, caller: Caller) -> Result<Json<Resealed>, Problem> {
    let key = app.keyring().current().ok_or_else(|| {
        Problem::new(Kind::Conflict, "there is no key to seal with")
            .hint("name a key's file in secrets.key_file; `flagtrail keys new FILE` makes one")
    })?;
    let mut outdated = Setting::outdated(&app).into_iter();
    let (mut resealed, mut failed) = (Vec::new(), Vec::new());
    // If we crash here, some settings have the new key and the others the former one, which still opens them: the next
    // request goes on with those.
    for setting in outdated.by_ref() {
        match setting.reseal(&app, &caller).await {
            Ok(()) => resealed.push(setting.in_words()),
            // Nor would the others be written.
            Err(problem) if problem.kind() == Kind::Unavailable && resealed.is_empty() => {
                return Err(problem);
            }
            Err(problem) => {
                failed
                    .push(NotResealed { setting: setting.in_words(), problem: problem.detail().to_owned() });
                if problem.kind() == Kind::Unavailable {
                    break;
                }
            }
        }
        if resealed.len() >= RESEALED_MAX {
            break;
        }
    }
    let remaining = outdated.count();
    tracing::info!(
        %key, resealed = resealed.len(), failed = failed.len(), remaining, token = caller.name(),
        "secrets were sealed anew"
    );
    Ok(Json(Resealed { key: key.to_string(), resealed, failed, remaining }))
}
