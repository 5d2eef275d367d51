//! The command line's way to a running server: its admin listener, over HTTP.

use std::path::PathBuf;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::exit::{Exit, Stop};
use crate::sample::Sample;

/// Most bytes of one answer that are read; streams are read piece by piece and have no such bound.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most wrong lines of a file that are shown.
const LINES_SHOWN_MAX: usize = 20;

/// Where the server is, as flags or variables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The admin listener of a running server
    #[arg(
        long,
        env = "FLAGTRAIL_SERVER",
        default_value = "http://127.0.0.1:8481",
        global = true,
        help_heading = "Server"
    )]
    pub(crate) server: String,
    /// File with the token to use; the data directory's admin.token by default
    #[arg(long, env = "FLAGTRAIL_TOKEN_FILE", global = true, help_heading = "Server")]
    pub(crate) token_file: Option<PathBuf>,
    /// The token itself; a file keeps it out of the process list
    #[arg(long, env = "FLAGTRAIL_TOKEN", hide_env_values = true, global = true, help_heading = "Server")]
    pub(crate) token: Option<String>,
}

/// Calls one server with one token.
pub(crate) struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    server: String,
    token: String,
}

impl Client {
    /// Finds the token; `default_token_file` is the data directory's.
    pub(crate) fn new(args: &ServerArgs, default_token_file: PathBuf) -> Result<Self> {
        let server = args.server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") {
            let problem = format!(
                "--server {server} must begin with http://; to a server elsewhere open a tunnel (ssh -L 8481:localhost:8481 …)"
            );
            return Err(Stop::error(Exit::Usage, problem));
        }
        let token = match &args.token {
            Some(token) => token.clone(),
            None => {
                let file = args.token_file.clone().unwrap_or(default_token_file);
                std::fs::read_to_string(&file).map_err(|error| {
                    let file = file.display();
                    Stop::error(Exit::Usage, format!("no token: {file} can't be read ({error}); run it in the server's folder, or give --data-dir, --token-file or FLAGTRAIL_TOKEN"))
                })?
            }
        };
        let http = HyperClient::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Self { http, server, token: token.trim().to_owned() })
    }

    /// A client without a token, for what needs none.
    pub(crate) fn anonymous(args: &ServerArgs) -> Self {
        let http = HyperClient::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { http, server: args.server.trim_end_matches('/').to_owned(), token: String::new() }
    }

    /// Whether `path` answers with success; an error that says what it answers instead.
    pub(crate) async fn probe(&self, path: &str) -> Result<()> {
        let response = self.call(self.request(Method::GET, path).body(Full::default())?).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response).await?) }
    }

    /// Plays a platform: sends a webhook to its URL, without a token.
    pub(crate) async fn hook(&self, url: &str, sample: &Sample) -> Result<Value> {
        let mut request = Request::post(url).header(CONTENT_TYPE, sample.content_type);
        if let Some((name, value)) = &sample.signature {
            request = request.header(*name, value);
        }
        answer(self.call(request.body(Full::new(sample.body.clone().into()))?).await?).await
    }

    /// Reads JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, None, None).await
    }

    /// Reads what is no JSON.
    pub(crate) async fn get_bytes(&self, path: &str) -> Result<Bytes> {
        let response = self.call(self.request(Method::GET, path).body(Full::default())?).await?;
        if response.status().is_success() { whole(response).await } else { Err(refused(response).await?) }
    }

    /// Sends JSON.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.json(method, path, Some(body), None).await
    }

    /// Sends JSON that replaces the version `etag`.
    pub(crate) async fn replace(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: &str,
    ) -> Result<Value> {
        self.json(method, path, body, Some(etag)).await
    }

    /// Deletes what has no versions.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.json(Method::DELETE, path, None, None).await.map(drop)
    }

    /// Sends a body as it is.
    pub(crate) async fn send_bytes(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Value> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, content_type);
        answer(self.call(request.body(Full::new(body.into()))?).await?).await
    }

    /// Opens a stream; the caller reads it.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming> {
        let response = self.call(self.request(Method::GET, path).body(Full::default())?).await?;
        if response.status().is_success() { Ok(response.into_body()) } else { Err(refused(response).await?) }
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Value> {
        let mut request = self.request(method, path);
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let request = match body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(serde_json::to_vec(body)?.into()))?,
            None => request.body(Full::default())?,
        };
        answer(self.call(request).await?).await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.http.request(request).await.map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let problem = format!(
                "no server answers at {}{cause}; start one with `flagtrail up`, or name it with --server",
                self.server
            );
            Stop::error(Exit::Unavailable, problem)
        })
    }
}

async fn answer(response: Response<Incoming>) -> Result<Value> {
    if !response.status().is_success() {
        return Err(refused(response).await?);
    }
    let body = whole(response).await?;
    if body.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&body).context("the server's answer is no JSON")
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("the server's answer can't be read: {error}"))?.to_bytes())
}

/// Turns a problem+json answer into the sentence that it holds.
async fn refused(response: Response<Incoming>) -> Result<anyhow::Error> {
    let status = response.status();
    let body = whole(response).await?;
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = problem["detail"]
        .as_str()
        .or(problem["title"].as_str())
        .unwrap_or("the server gave no reason")
        .to_owned();
    let hint = problem["hint"].as_str().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotPermitted,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Exit::Unavailable,
        _ => Exit::Failed,
    };
    Ok(Stop::error(exit, format!("{said}{hint} [{status}]{}", each_line(&problem))))
}

/// What is wrong with each line of a file, where the server says so; the sentence above has it of a single one.
fn each_line(problem: &Value) -> String {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_lines = errors.iter().filter(|error| error["line"].is_u64()).take(LINES_SHOWN_MAX);
    let shown = of_lines.map(|error| {
        let field = error["field"].as_str().map(|field| format!(" {field}")).unwrap_or_default();
        let problem = crate::print::visible(error["problem"].as_str().unwrap_or_default());
        format!("\n  line {}:{field} {problem}", error["line"])
    });
    shown.collect()
}
