//! `/v1/sources`: installations of platforms.

use audit_dialect::Platform;
use audit_journal::{Entity, SettingsChange};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::settings::change::{Told, write};
use crate::settings::etag::{etag, if_match};
use crate::settings::named::Named;
use crate::settings::source::{KIND, SECRET_BYTES_MAX, SECRETS_MAX, SigningSecret, Source, name_problem};

/// Most sources; each is a path and a set of counters.
const SOURCES_MAX: usize = 1_000;

/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1_000;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_sources)).routes(routes!(get_source))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_source))
        .routes(routes!(change_source, delete_source))
        .routes(routes!(rotate_source_url))
}

/// A source to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSource {
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
    /// What the platform signs with. Not shown again.
    #[serde(default)]
    #[schema(write_only)]
    secrets: Vec<String>,
}

/// What to change (JSON Merge Patch): a field that is absent stays, `null` removes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SourcePatch {
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

/// What a source has been up to, in this process, since it started.
#[derive(Serialize, ToSchema)]
struct SourceStatus {
    /// When it last sent anything under its token.
    last_received_at: Option<String>,
    /// Requests under its token.
    received: u64,
    /// Of these, those that are durable as records.
    accepted: u64,
    /// Of these, those kept in `rejected`.
    rejected: u64,
    /// Of these, those whose signature was missing or wrong.
    bad_signatures: u64,
}

/// A source.
#[derive(Serialize, ToSchema)]
struct SourceView {
    /// Its name.
    name: String,
    /// Its platform.
    platform: String,
    /// What it is for.
    description: Option<String>,
    /// The organisation of its records.
    organisation: Named,
    /// The project where neither the body nor the URL names one.
    project: Option<Named>,
    /// The environment where neither the body nor the URL names one.
    environment: Option<Named>,
    /// How many secrets it has; they are not shown.
    secret_count: usize,
    /// Whether its webhooks are taken.
    enabled: bool,
    /// When it was made.
    created_at: String,
    /// Rises with every change; also the `ETag`.
    version: u64,
    /// What it has been up to.
    status: SourceStatus,
    /// The URL to paste into the platform. Shown only when it is made or its token is rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Every source.
#[derive(Serialize, ToSchema)]
struct SourceList {
    /// By name.
    sources: Vec<SourceView>,
}

fn view(app: &App, entity: &Entity, source: Source, token: Option<&SecretString>) -> SourceView {
    let counts = app.activity().counts(&source.name);
    let base = app.config().hooks_public_url.trim_end_matches('/');
    let url = token.map(|token| format!("{base}/v1/hooks/{}/{}", source.name, token.expose_secret()));
    SourceView {
        platform: source.platform().as_str().to_owned(),
        secret_count: source.secrets.len(),
        name: source.name,
        description: source.description,
        organisation: source.organisation,
        project: source.project,
        environment: source.environment,
        enabled: source.enabled,
        created_at: source.created_at,
        version: entity.version,
        status: SourceStatus {
            last_received_at: counts.last_received.map(|at| at.to_string()),
            received: counts.received,
            accepted: counts.accepted,
            rejected: counts.rejected,
            bad_signatures: counts.bad_signatures,
        },
        url,
    }
}

fn find(app: &App, name: &str) -> Result<(std::sync::Arc<Entity>, Source), Problem> {
    let entity = app
        .control()
        .get(KIND, name)
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no source {name:?}")))?;
    let source = Source::read(&entity).ok_or_else(|| newer(name))?;
    Ok((entity, source))
}

fn newer(name: &str) -> Problem {
    Problem::new(Kind::Conflict, format!("the source {name:?} was written by a later release"))
        .hint("use that release")
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

fn signing_secrets(secrets: Vec<String>) -> Result<Vec<SigningSecret>, Problem> {
    if secrets.len() > SECRETS_MAX {
        return Err(Problem::field("secrets", format!("may be {SECRETS_MAX} at most")));
    }
    let wrong = secrets.iter().any(|secret| secret.is_empty() || secret.len() > SECRET_BYTES_MAX);
    if wrong {
        return Err(Problem::field("secrets", format!("must have 1 to {SECRET_BYTES_MAX} bytes each")));
    }
    Ok(secrets.into_iter().map(SigningSecret::new).collect())
}

/// List sources
#[utoipa::path(get, path = "/v1/sources", tag = "sources", responses((status = 200, body = SourceList)))]
async fn list_sources(State(app): State<App>) -> Json<SourceList> {
    let entities = app.control().list(KIND);
    let views = entities.iter().filter_map(|entity| Some(view(&app, entity, Source::read(entity)?, None)));
    Json(SourceList { sources: views.collect() })
}

/// One source
#[utoipa::path(
    get, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_source(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    Ok(([(header::ETAG, etag(entity.version))], Json(view(&app, &entity, source, None))).into_response())
}

/// Make a source
///
/// The answer holds the URL to paste into the platform, once.
#[utoipa::path(
    post, path = "/v1/sources", tag = "sources",
    request_body = NewSource,
    responses(
        (status = 201, body = SourceView, headers(("ETag" = String), ("Location" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_source(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewSource>,
) -> Result<Response, Problem> {
    if let Some(problem) = name_problem(&new.name) {
        return Err(Problem::field("name", problem));
    }
    let Some(platform) = Platform::parse(&new.platform) else {
        let known: Vec<&str> = Platform::ALL.iter().map(|platform| platform.as_str()).collect();
        let problem = format!("must be one of {}", known.join(", "));
        return Err(Problem::field("platform", problem));
    };
    named("organisation", Some(&new.organisation))?;
    named("project", new.project.as_ref())?;
    named("environment", new.environment.as_ref())?;
    described(new.description.as_ref())?;
    if app.control().list(KIND).len() >= SOURCES_MAX {
        return Err(Problem::new(Kind::Conflict, format!("there may be {SOURCES_MAX} sources"))
            .hint("several webhooks of one installation may share a source"));
    }
    let (mut source, token) = Source::make(new.name, platform, new.organisation, now());
    source.description = new.description;
    source.project = new.project;
    source.environment = new.environment;
    source.secrets = signing_secrets(new.secrets)?;
    let log = format!("Source {} was created", source.name);
    let entity = save(&app, &caller, None, &source, "flagtrail.source.created", log).await?;
    let location = format!("/v1/sources/{}", source.name);
    let headers = [
        (header::ETAG, etag(entity.version)),
        (header::LOCATION, location.parse().expect("a name is a header value")),
    ];
    Ok((StatusCode::CREATED, headers, Json(view(&app, &entity, source, Some(&token)))).into_response())
}

/// Change a source
#[utoipa::path(
    patch, path = "/v1/sources/{name}", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to change, or *"),
    ),
    request_body(content = SourcePatch, content_type = "application/json"),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it at the same moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It was changed since", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "There is no If-Match", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn change_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<SourcePatch>,
) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    if_match(&headers, entity.version)?;
    let mut changed = source.clone();
    if let Some(description) = patch.description {
        described(description.as_ref())?;
        changed.description = description;
    }
    if let Some(organisation) = patch.organisation {
        named("organisation", Some(&organisation))?;
        changed.organisation = organisation;
    }
    if let Some(project) = patch.project {
        named("project", project.as_ref())?;
        changed.project = project;
    }
    if let Some(environment) = patch.environment {
        named("environment", environment.as_ref())?;
        changed.environment = environment;
    }
    if let Some(secrets) = patch.secrets {
        changed.secrets = signing_secrets(secrets)?;
    }
    changed.enabled = patch.enabled.unwrap_or(changed.enabled);
    let log = format!("Source {name} was updated");
    let entity =
        save(&app, &caller, Some((&entity, &source)), &changed, "flagtrail.source.updated", log).await?;
    Ok(([(header::ETAG, etag(entity.version))], Json(view(&app, &entity, changed, None))).into_response())
}

/// Give a source a new URL
///
/// The old URL stops working at once.
#[utoipa::path(
    post, path = "/v1/sources/{name}/rotate", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to change; whichever there is by default"),
    ),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn rotate_source_url(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    if headers.contains_key(header::IF_MATCH) {
        if_match(&headers, entity.version)?;
    }
    let mut changed = source.clone();
    let token = changed.rotate_token();
    let log = format!("Source {name} was given a new URL");
    let entity =
        save(&app, &caller, Some((&entity, &source)), &changed, "flagtrail.source.updated", log).await?;
    let view = view(&app, &entity, changed, Some(&token));
    Ok(([(header::ETAG, etag(entity.version))], Json(view)).into_response())
}

/// Delete a source
///
/// Its records stay; its URL stops working.
#[utoipa::path(
    delete, path = "/v1/sources/{name}", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to delete, or *"),
    ),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn delete_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (entity, source) = find(&app, &name)?;
    let base_version = if_match(&headers, entity.version)?;
    let change = SettingsChange { kind: KIND.to_owned(), id: name.clone(), base_version, value: None };
    let told = Told {
        action: "flagtrail.source.deleted",
        object_type: "FLAGTRAIL_SOURCE",
        id: &name,
        name: &name,
        log: format!("Source {name} was deleted"),
        before: Some(source.told()),
        after: None,
    };
    write(app.control(), change, told, Some(&caller)).await?;
    app.activity().forget(&name);
    Ok(StatusCode::NO_CONTENT)
}

async fn save(
    app: &App,
    caller: &Caller,
    before: Option<(&Entity, &Source)>,
    after: &Source,
    action: &'static str,
    log: String,
) -> Result<std::sync::Arc<Entity>, Problem> {
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: after.name.clone(),
        base_version: before.map_or(0, |(entity, _)| entity.version),
        value: Some(after.document()),
    };
    let told = Told {
        action,
        object_type: "FLAGTRAIL_SOURCE",
        id: &after.name,
        name: &after.name,
        log,
        before: before.map(|(_, source)| source.told()),
        after: Some(after.told()),
    };
    let entity = write(app.control(), change, told, Some(caller)).await?;
    entity.ok_or_else(|| Problem::new(Kind::Conflict, "it was deleted meanwhile"))
}
