//! How endpoints stand: over all processes, from this machine's archive; without one, as this process knows.

use std::collections::BTreeMap;

use audit_archive::{Behind, ProgressRow, QueryError, Reader};
use audit_journal::{Bounds, Offset, Partition, ProgressDocument, Topic};
use audit_record::Timestamp;
use audit_webhook::{
    AttemptEntry, AttemptFailure, EndpointState, EndpointStatus, EndpointView, Figures, FiguresSummary,
    GROUP, Lag, PartitionStanding,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::clock::now;
use crate::problem::{Kind, Problem};
use crate::routes::records::ask_archive;

/// The window of rates and percentiles.
const WINDOW_MS: i64 = 3_600_000;

/// How many attempts are looked at for the figures of all endpoints that are asked for, a partition.
const ATTEMPTS_LOOKED_AT_MAX: usize = 10_000;

/// How an endpoint stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StatusAnswer {
    /// `caught_up`, `catching_up`, `paused`, `circuit_open`, `disabled` or `unknown`.
    #[schema(value_type = String)]
    pub(crate) state: EndpointState,
    /// Until when it is left alone but for probes, by its latest attempt or in the process that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) circuit_open_until: Option<String>,
    /// Why it is disabled, where Flagtrail did that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) because: Option<String>,
    /// What lies between it and the end of the log, as far as the archive has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) behind: Option<Lag>,
    /// Deliveries that wait to be tried again.
    pub(crate) pending: u64,
    /// When the first of them is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_due: Option<String>,
    /// Since when every attempt has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failing_since: Option<String>,
    /// Deliveries in flight in the process that answers; absent where that process does not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<u64>,
    /// Records that were not sent, for its format has no word for them: since it was made or last moved, by all processes;
    /// without an archive, by the process that answers since that began, and absent where that does not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<u64>,
    /// Its limits as they hold in the process that answers, which has a share of them as of the partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<LimitsAnswer>,
    /// What its attempts add up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<WindowAnswer>,
    /// The last failure, if no success came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) last_error: Option<AttemptFailure>,
    /// The last success among the attempts that were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_success_at: Option<String>,
    /// Who tells: `deployment` (all processes, by the archive) or `process` (the one that answers).
    pub(crate) scope: &'static str,
    /// The moment of which this tells: now, or when the archive last heard of its progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) as_of: Option<String>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_seconds: Option<u64>,
}

/// What one process allows an endpoint.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct LimitsAnswer {
    /// Deliveries in flight.
    in_flight: u32,
    /// Deliveries begun in a second; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    /// The partitions that the process owns.
    partitions: u32,
}

/// Attempts over a window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WindowAnswer {
    /// How long it is.
    seconds: u64,
    /// Whether every attempt in it was looked at; otherwise only the latest were.
    complete: bool,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    figures: FiguresSummary,
}

/// How these endpoints stand, in their order.
pub(crate) async fn statuses(app: &App, endpoints: &[EndpointView]) -> Result<Vec<StatusAnswer>, Problem> {
    let here = match app.deliverer() {
        Some(deliverer) => deliverer.status().await,
        None => Vec::new(),
    };
    if app.archive().is_err() || endpoints.is_empty() {
        return Ok(endpoints.iter().map(|endpoint| of_process(endpoint, &here)).collect());
    }
    // Read before the archive: what it says is then at least as late as these ends.
    let ends = app.journal().bounds(Topic::Progress).await.ok();
    let partitions = app.journal().identity().partitions;
    let asked = endpoints.to_vec();
    let told = ask_archive(app, move |reader| of_deployment(reader, &asked, partitions, ends)).await;
    match told {
        Ok(mut told) => {
            for (endpoint, status) in endpoints.iter().zip(&mut told) {
                if let Some(here) = here.iter().find(|here| here.id.as_str() == endpoint.id) {
                    status.add_what_is_known_here(here);
                    status.close_circuit_if_closed_here(here, partitions);
                }
            }
            Ok(told)
        }
        // An archive that does not answer leaves what this process knows.
        Err(problem) if matches!(problem.kind(), Kind::Unavailable | Kind::Busy) => {
            Ok(endpoints.iter().map(|endpoint| of_process(endpoint, &here)).collect())
        }
        Err(problem) => Err(problem),
    }
}

impl StatusAnswer {
    /// What only the process that delivers knows.
    fn add_what_is_known_here(&mut self, here: &EndpointStatus) {
        self.in_flight = Some(here.in_flight);
        self.limits = Some(LimitsAnswer {
            in_flight: here.in_flight_share,
            per_second: here.rate_share_per_second,
            partitions: here.partitions,
        });
        if here.state == EndpointState::CircuitOpen {
            self.state = EndpointState::CircuitOpen;
            self.circuit_open_until = here.circuit_open_until.clone();
        }
    }

    /// What the latest attempt tells of is over where the endpoint was changed or its process started again. A
    /// process that owns every partition knows that.
    fn close_circuit_if_closed_here(&mut self, here: &EndpointStatus, partitions: u32) {
        let is_closed = here.partitions >= partitions && here.state != EndpointState::CircuitOpen;
        if is_closed && self.state == EndpointState::CircuitOpen {
            self.state = here.state;
            self.circuit_open_until = None;
        }
    }
}

fn time(millis: i64) -> Option<String> {
    Timestamp::from_micros(millis.saturating_mul(1_000)).ok().map(|time| time.to_string())
}

fn of_process(endpoint: &EndpointView, here: &[EndpointStatus]) -> StatusAnswer {
    let here = here.iter().find(|here| here.id.as_str() == endpoint.id);
    let mut status = StatusAnswer {
        state: by_settings(endpoint).or(here.map(|here| here.state)).unwrap_or(EndpointState::Unknown),
        circuit_open_until: None,
        limits: None,
        because: endpoint.disabled_because.clone(),
        behind: None,
        pending: here.map_or(0, |here| here.pending),
        next_due: None,
        failing_since: here.and_then(|here| here.failing_since.clone()),
        in_flight: None,
        skipped: here.map(|here| here.totals.skipped.values().sum()),
        window: None,
        last_error: None,
        last_success_at: None,
        scope: "process",
        as_of: Some(now().to_string()),
        age_seconds: Some(0),
    };
    if let Some(here) = here {
        status.add_what_is_known_here(here);
    }
    status
}

/// The state that the settings give it, whatever it has done.
fn by_settings(endpoint: &EndpointView) -> Option<EndpointState> {
    match endpoint {
        EndpointView { enabled: false, .. } => Some(EndpointState::Disabled),
        EndpointView { paused: true, .. } => Some(EndpointState::Paused),
        _ => None,
    }
}

/// The moment of which an archive tells.
#[derive(Clone, Copy)]
struct Moment {
    at_ms: Option<i64>,
    now_ms: i64,
}

impl Moment {
    /// Where the archive has everything that `progress` holds, it tells of now; otherwise of when the log took the
    /// latest document that it has.
    fn of(
        reader: &Reader,
        partitions: u32,
        ends: Option<&[Bounds]>,
        now_ms: i64,
    ) -> Result<Self, QueryError> {
        let folded = reader.progress_ends()?;
        let mut at_ms = (folded.len() >= partitions as usize).then_some(now_ms);
        for fold in folded {
            let end = ends.and_then(|ends| ends.iter().find(|end| end.partition == fold.partition));
            let is_level = end.is_some_and(|end| fold.next >= end.end || end.end <= end.start);
            if !is_level {
                at_ms = at_ms.and_then(|at_ms| Some(at_ms.min(fold.latest_ms?)));
            }
        }
        Ok(Self { at_ms, now_ms })
    }
}

fn of_deployment(
    reader: &Reader,
    endpoints: &[EndpointView],
    partitions: u32,
    ends: Option<Vec<Bounds>>,
) -> Result<Vec<StatusAnswer>, QueryError> {
    let now_ms = now().micros().div_euclid(1_000);
    let moment = Moment::of(reader, partitions, ends.as_deref(), now_ms)?;
    let standings = standings(reader, endpoints, partitions)?;
    let rows_max = ATTEMPTS_LOOKED_AT_MAX / endpoints.len().max(1);
    let mut known = BTreeMap::new();
    let mut told = Vec::with_capacity(endpoints.len());
    for (endpoint, standings) in endpoints.iter().zip(&standings) {
        let lag = lag(reader, standings, now_ms, &mut known)?;
        let (figures, complete) = figures(reader, endpoint, now_ms, rows_max)?;
        told.push(one(endpoint, standings, lag, (figures, complete), moment));
    }
    Ok(told)
}

fn one(
    endpoint: &EndpointView,
    standings: &[PartitionStanding],
    lag: Lag,
    (figures, complete): (Figures, bool),
    moment: Moment,
) -> StatusAnswer {
    let is_known = moment.at_ms.is_some();
    // RFC 3339 with a fixed number of digits: text order is time order.
    let now = time(moment.now_ms).unwrap_or_default();
    let open_until = figures.circuit_open_until().filter(|until| **until > *now).map(str::to_owned);
    let settled = by_settings(endpoint);
    StatusAnswer {
        circuit_open_until: open_until.clone().filter(|_| settled.is_none()),
        state: match settled {
            Some(state) => state,
            None if open_until.is_some() => EndpointState::CircuitOpen,
            None if is_known => lag.state(),
            None => EndpointState::Unknown,
        },
        limits: None,
        because: endpoint.disabled_because.clone(),
        behind: is_known.then_some(lag),
        pending: standings.iter().map(|standing| standing.pending).sum(),
        next_due: standings.iter().filter_map(|standing| standing.next_due_ms).min().and_then(time),
        failing_since: standings.iter().filter_map(|standing| standing.failing_since_ms).min().and_then(time),
        in_flight: None,
        skipped: Some(standings.iter().map(|standing| standing.skipped).sum()),
        last_error: figures.last_error().cloned(),
        last_success_at: figures.last_success_at().map(str::to_owned),
        window: Some(WindowAnswer {
            seconds: WINDOW_MS.unsigned_abs() / 1_000,
            complete,
            figures: figures.summary(),
        }),
        scope: "deployment",
        as_of: moment.at_ms.and_then(time),
        age_seconds: moment.at_ms.map(|at| moment.now_ms.saturating_sub(at).max(0).unsigned_abs() / 1_000),
    }
}

/// Where each endpoint is in each partition.
fn standings(
    reader: &Reader,
    endpoints: &[EndpointView],
    partitions: u32,
) -> Result<Vec<Vec<PartitionStanding>>, QueryError> {
    let watermark_key = ProgressDocument::watermark_key(GROUP);
    let watermark_key = String::from_utf8_lossy(&watermark_key).into_owned();
    let mut watermarks: BTreeMap<Partition, Offset> = BTreeMap::new();
    reader.progress(Some(&watermark_key), |row| {
        let document = ProgressDocument::read(GROUP, row.key.as_bytes(), row.json.as_bytes());
        if let Some(ProgressDocument::Watermark(Some(next))) = document {
            watermarks.insert(row.partition, next);
        }
    })?;
    // One document at a time: that of an endpoint that fails for days is half a megabyte.
    let mut found: BTreeMap<(usize, Partition), PartitionStanding> = BTreeMap::new();
    let by_id: BTreeMap<&str, usize> =
        endpoints.iter().enumerate().map(|(index, endpoint)| (endpoint.id.as_str(), index)).collect();
    let mut take = |row: ProgressRow| {
        let Some(ProgressDocument::Own(id)) =
            ProgressDocument::read(GROUP, row.key.as_bytes(), row.json.as_bytes())
        else {
            return;
        };
        let Some(index) = std::str::from_utf8(id).ok().and_then(|id| by_id.get(id)) else { return };
        let watermark = watermarks.get(&row.partition).copied();
        let document = Some(row.json.as_bytes());
        match PartitionStanding::read(&endpoints[*index], row.partition, document, watermark) {
            Ok(standing) => drop(found.insert((*index, row.partition), standing)),
            Err(error) => tracing::debug!(%error, "an endpoint's progress is left out of its status"),
        }
    };
    match endpoints {
        [one] => {
            let key = ProgressDocument::own_key(GROUP, one.id.as_bytes());
            reader.progress(Some(&String::from_utf8_lossy(&key)), &mut take)?;
        }
        _ => reader.progress(None, &mut take)?,
    }
    let mut of = |(index, endpoint): (usize, &EndpointView)| {
        let mut standing = |partition| {
            found.remove(&(index, partition)).or_else(|| {
                // Nobody has delivered from there yet: it is at its start.
                PartitionStanding::read(endpoint, partition, None, None).ok()
            })
        };
        (0..partitions).filter_map(&mut standing).collect()
    };
    Ok(endpoints.iter().enumerate().map(&mut of).collect())
}

/// What lies behind the positions of one endpoint; most endpoints are at the same ones.
fn lag(
    reader: &Reader,
    standings: &[PartitionStanding],
    now_ms: i64,
    known: &mut BTreeMap<(Partition, Offset), Behind>,
) -> Result<Lag, QueryError> {
    let unknown: Vec<(Partition, Offset)> = standings
        .iter()
        .map(|standing| (standing.partition, standing.next))
        .filter(|place| !known.contains_key(place))
        .collect();
    if !unknown.is_empty() {
        let next: BTreeMap<Partition, Offset> = unknown.iter().copied().collect();
        for (partition, behind) in reader.behind(&unknown)? {
            known.extend(next.get(&partition).map(|next| ((partition, *next), behind)));
        }
    }
    let mut lag = Lag::default();
    for standing in standings {
        if let Some(behind) = known.get(&(standing.partition, standing.next)) {
            lag.add(standing, behind.messages, behind.first_appended_at_ms, now_ms);
        }
    }
    Ok(lag)
}

fn figures(
    reader: &Reader,
    endpoint: &EndpointView,
    now_ms: i64,
    rows_max: usize,
) -> Result<(Figures, bool), QueryError> {
    let since_ms = now_ms - WINDOW_MS;
    let mut figures = Figures::default();
    let complete = reader.latest_attempts(endpoint.id.as_str(), since_ms, rows_max, |row| {
        if let Ok(entry) = serde_json::from_str::<AttemptEntry>(&row.json) {
            figures.add(&entry, row.appended_at_ms >= since_ms);
        }
    })?;
    Ok((figures, complete))
}
