//! Making, changing and listing endpoints: the settings side. Delivering is [`crate::Deliverer`]'s.

use audit_journal::{Bounds, Control, Journal, Offset, ReadError, SettingsChange, Topic, WriteError};
use audit_record::{Author, Violation};
use audit_secret::{Keyring, SealError};
use reqwest::Url;
use secrecy::SecretString;

use super::at_rest::{Locked, is_outdated};
use super::input::Choices;
use super::{
    Endpoint, EndpointId, EndpointTls, EndpointUpdate, EndpointView, KIND, NewEndpoint, Start, StoredError,
};
use crate::operational;
use crate::send::{ClientError, Egress, Refusal};

/// Why an endpoint was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Every field that is wrong, by name.
    #[error("not a valid endpoint: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// There is no endpoint of that id.
    #[error("there is no endpoint {0}")]
    Unknown(EndpointId),
    /// Another has the name.
    #[error("there is already an endpoint named {0:?}: choose another name, or change that one")]
    NameTaken(String),
    /// It stands in a configuration, which alone changes it.
    #[error("the endpoint {name:?} is declared in {file}: change it there, and restart")]
    Declared {
        /// Its name.
        name: String,
        /// The file.
        file: String,
    },
    /// Somebody else changed it first.
    #[error("the endpoint was changed meanwhile: read it again and repeat the change")]
    Conflict,
    /// It was written by a later release, is broken, or has secrets that don't open.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// There is no key to seal its secrets with.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its start, or what is to be replayed, could not be found out.
    #[error("where to start could not be found out: {0}")]
    Start(#[from] ReadError),
    /// The replay can't be had.
    #[error("no replay: {0}")]
    Replay(String),
    /// Not written, or not known whether it was.
    #[error(transparent)]
    Write(WriteError),
    /// Nothing can be sent from this process.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No request can be made of the record.
    #[error("no request can be made: {0}")]
    NoRequest(String),
}

/// An endpoint that was just made.
#[derive(Debug)]
pub struct Created {
    /// How it looks from now on.
    pub view: EndpointView,
    /// Its signing secrets, shown this once.
    pub secrets: Vec<SecretString>,
}

/// What an endpoint has from being made.
pub(super) struct Made {
    pub(super) id: EndpointId,
    pub(super) incarnation: u64,
    pub(super) declared_in: Option<String>,
}

/// The endpoints among the settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub(super) journal: Journal,
    control: Control,
    pub(super) egress: Egress,
    keyring: Keyring,
}

impl Endpoints {
    /// Over a log and its settings; URLs are checked against `egress`, secrets sealed with `keyring`.
    pub fn new(journal: Journal, control: Control, egress: Egress, keyring: Keyring) -> Self {
        Self { journal, control, egress, keyring }
    }

    /// All endpoints that this release can read, by id.
    pub fn list(&self) -> Vec<EndpointView> {
        let entities = self.control.list(KIND);
        let read = |entity: &audit_journal::Entity| {
            let (endpoint, locked) = Endpoint::read(entity, &self.keyring).ok()?;
            Some(EndpointView::new(&endpoint, entity.version).with_locked(&locked))
        };
        entities.iter().filter_map(|entity| read(entity)).collect()
    }

    /// One endpoint.
    pub fn get(&self, id: &EndpointId) -> Result<EndpointView, EndpointError> {
        let (endpoint, locked, version) = self.look_up(id)?;
        Ok(EndpointView::new(&endpoint, version).with_locked(&locked))
    }

    /// Makes an endpoint: resolves its start to an offset for every partition, and writes it together with
    /// the record that tells of it.
    pub async fn create(&self, new: NewEndpoint, author: Author) -> Result<Created, EndpointError> {
        let made = Made { id: EndpointId::generate(), incarnation: 1, declared_in: None };
        self.make(made, new, author).await
    }

    pub(super) async fn make(
        &self,
        made: Made,
        new: NewEndpoint,
        author: Author,
    ) -> Result<Created, EndpointError> {
        let start = new.start.unwrap_or_default();
        let choices = new.filled_in().check(&self.egress).map_err(EndpointError::Invalid)?;
        self.check_destination(&choices.url).await?;
        self.check_name(&choices.name, None)?;
        let starts = self.resolve(start).await?;
        let endpoint = Endpoint {
            id: made.id,
            incarnation: made.incarnation,
            declared_in: made.declared_in,
            ..Endpoint::of(choices, start, starts, self.journal.identity().epoch)
        };
        let secrets = endpoint.secrets.iter().map(super::SigningSecret::reveal).collect();
        let view = self.write(&endpoint, 0, "created", author).await?;
        Ok(Created { view, secrets })
    }

    /// Changes an endpoint, if it still is at `version`. With a start it is moved: its progress so far no
    /// longer counts, and records it had may come again. One whose secrets don't open must be given others with it.
    pub async fn update(
        &self,
        id: &EndpointId,
        version: u64,
        update: EndpointUpdate,
        author: Author,
    ) -> Result<EndpointView, EndpointError> {
        let (mut endpoint, locked, current) = self.look_up(id)?;
        if current != version {
            return Err(EndpointError::Conflict);
        }
        if update.is_configuration() {
            endpoint.must_not_be_declared()?;
        }
        locked.after(&update).check()?;
        let start = update.start;
        let choices = update.over(&endpoint).check(&self.egress).map_err(EndpointError::Invalid)?;
        if choices.url != endpoint.url {
            self.check_destination(&choices.url).await?;
        }
        self.check_name(&choices.name, Some(id))?;
        if let Some(start) = start {
            endpoint.start = start;
            endpoint.starts = self.resolve(start).await?;
            endpoint.epoch = self.journal.identity().epoch;
            endpoint.incarnation += 1;
            // Replays of the life before end with it.
            endpoint.replays.clear();
        }
        if choices.enabled && !endpoint.enabled {
            // Whoever delivers next, though nobody does now, reads what failed before.
            endpoint.enabled_at = Some(operational::now());
        }
        endpoint.disabled_because = endpoint.disabled_because.filter(|_| !choices.enabled);
        self.write(&endpoint.with(choices), version, "updated", author).await
    }

    /// Deletes an endpoint, if it still is at `version`. What was not delivered to it never will be.
    pub async fn delete(&self, id: &EndpointId, version: u64, author: Author) -> Result<(), EndpointError> {
        let (endpoint, ..) = self.look_up(id)?;
        endpoint.must_not_be_declared()?;
        self.remove(&endpoint, version, author).await
    }

    pub(super) async fn remove(
        &self,
        endpoint: &Endpoint,
        version: u64,
        author: Author,
    ) -> Result<(), EndpointError> {
        let record = operational::endpoint_changed(endpoint, "deleted", author);
        let (kind, id) = (KIND.to_owned(), endpoint.id.to_string());
        let change = SettingsChange { kind, id, base_version: version, value: None };
        self.control.write(change, Some(&record)).await.map_err(refused)?;
        Ok(())
    }

    /// The endpoint that `new` would make; nothing is written.
    pub(crate) fn draft(&self, new: NewEndpoint) -> Result<Endpoint, EndpointError> {
        let choices = new.filled_in().check(&self.egress).map_err(EndpointError::Invalid)?;
        Ok(Endpoint::of(choices, Start::Now, Vec::new(), self.journal.identity().epoch))
    }

    /// The endpoint as `update` would make it; nothing is written.
    pub(crate) fn changed(&self, id: &EndpointId, update: EndpointUpdate) -> Result<Endpoint, EndpointError> {
        let (endpoint, _) = self.find(id)?;
        let choices = update.over(&endpoint).check(&self.egress).map_err(EndpointError::Invalid)?;
        Ok(endpoint.with(choices))
    }

    /// Where deliveries may go.
    pub(crate) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Whether the name in a URL leads, at this moment, to where deliveries may go. Each send checks again.
    pub(super) async fn check_destination(&self, url: &Url) -> Result<(), EndpointError> {
        let refused =
            |refusal: Refusal| EndpointError::Invalid(vec![Violation::new("url", refusal.to_string())]);
        self.egress.check_resolved_url(url).await.map_err(refused)
    }

    /// The endpoints that have a secret in clear, or sealed with another key than the current one, by id. Those of a
    /// later release are not among them.
    pub fn outdated(&self) -> Vec<EndpointId> {
        let entities = self.control.list(KIND);
        let outdated = entities.iter().filter(|entity| is_outdated(entity, &self.keyring));
        outdated.map(|entity| EndpointId::from(entity.id.as_str())).collect()
    }

    /// Seals the secrets of an endpoint with the current key: a change of settings like any other, of nothing else. If
    /// somebody changes the endpoint meanwhile, theirs counts: its secrets are sealed with the current key by that.
    pub async fn reseal(&self, id: &EndpointId, author: Author) -> Result<EndpointView, EndpointError> {
        let (endpoint, version) = self.find(id)?;
        self.write(&endpoint, version, "updated", author).await
    }

    /// An endpoint that opens, and its version.
    pub(crate) fn find(&self, id: &EndpointId) -> Result<(Endpoint, u64), EndpointError> {
        let (endpoint, locked, version) = self.look_up(id)?;
        locked.check()?;
        Ok((endpoint, version))
    }

    /// An endpoint, whether its secrets open or not, and its version.
    pub(super) fn look_up(&self, id: &EndpointId) -> Result<(Endpoint, Locked, u64), EndpointError> {
        let entity = self.control.get(KIND, id.as_str()).ok_or_else(|| EndpointError::Unknown(id.clone()))?;
        let (endpoint, locked) = Endpoint::read(&entity, &self.keyring)?;
        Ok((endpoint, locked, entity.version))
    }

    /// Names are unique as far as this process has heard; two processes may race, and then both names stand.
    fn check_name(&self, name: &str, except: Option<&EndpointId>) -> Result<(), EndpointError> {
        let taken = self.control.list(KIND).iter().any(|entity| {
            except.is_none_or(|id| id.as_str() != entity.id)
                && entity.value.get("name").and_then(|value| value.as_str()) == Some(name)
        });
        if taken { Err(EndpointError::NameTaken(name.to_owned())) } else { Ok(()) }
    }

    /// The offset in every partition that `start` means now.
    pub(super) async fn resolve(&self, start: Start) -> Result<Vec<Offset>, ReadError> {
        let bounds = || self.journal.bounds(Topic::Records);
        let mut starts = match start {
            Start::Now => by_partition(bounds().await?.iter().map(|b: &Bounds| (b.partition, b.end))),
            Start::Earliest => by_partition(bounds().await?.iter().map(|b: &Bounds| (b.partition, b.start))),
            Start::At(time) => {
                let positions = self.journal.offsets_at(Topic::Records, time).await?;
                by_partition(positions.iter().map(|p| (p.partition, p.offset)))
            }
        };
        starts.truncate(self.journal.identity().partitions as usize);
        Ok(starts)
    }

    pub(super) async fn write(
        &self,
        endpoint: &Endpoint,
        base_version: u64,
        what: &str,
        author: Author,
    ) -> Result<EndpointView, EndpointError> {
        let record = operational::endpoint_changed(endpoint, what, author);
        let change = SettingsChange {
            kind: KIND.to_owned(),
            id: endpoint.id.to_string(),
            base_version,
            value: Some(endpoint.to_stored(&self.keyring)?),
        };
        // If we crash here, nothing was made. After the write returns, every process that delivers hears
        // of it through `control`, and begins at the start vector that stands in it.
        let written = self.control.write(change, Some(&record)).await.map_err(refused)?;
        let version = written.map_or(base_version + 1, |entity| entity.version);
        Ok(EndpointView::new(endpoint, version))
    }
}

impl Endpoint {
    /// A new one that begins at `starts`, which is what `start` means in this epoch of the log.
    fn of(choices: Choices, start: Start, starts: Vec<Offset>, epoch: u32) -> Self {
        let endpoint = Self {
            id: EndpointId::generate(),
            name: String::new(),
            description: String::new(),
            url: choices.url.clone(),
            method: choices.method,
            headers: Vec::new(),
            events: Vec::new(),
            filter: audit_record::Filter::default(),
            secrets: Vec::new(),
            tls: EndpointTls::default(),
            preset: None,
            format: choices.format.clone(),
            ordered: false,
            collapse: None,
            max_age: None,
            rate_limit_per_second: None,
            max_in_flight: 1,
            timeout: choices.timeout.to_duration(),
            enabled: true,
            paused: false,
            disabled_because: None,
            enabled_at: None,
            start,
            incarnation: 1,
            starts,
            epoch,
            replays: Vec::new(),
            last_replay: 0,
            declared_in: None,
            created_at: operational::now(),
        };
        endpoint.with(choices)
    }

    pub(super) fn must_not_be_declared(&self) -> Result<(), EndpointError> {
        let declared =
            |file: &String| EndpointError::Declared { name: self.name.clone(), file: file.clone() };
        self.declared_in.as_ref().map(declared).map_or(Ok(()), Err)
    }

    pub(super) fn with(self, choices: Choices) -> Self {
        Self {
            name: choices.name,
            description: choices.description,
            url: choices.url,
            method: choices.method,
            headers: choices.headers,
            events: choices.events,
            filter: choices.filter,
            secrets: choices.secrets,
            tls: choices.tls,
            preset: choices.preset,
            format: choices.format,
            ordered: choices.ordered,
            collapse: choices.collapse,
            max_age: choices.max_age,
            rate_limit_per_second: choices.rate_limit_per_second,
            max_in_flight: choices.max_in_flight,
            timeout: choices.timeout.to_duration(),
            enabled: choices.enabled,
            paused: choices.paused,
            ..self
        }
    }
}

fn refused(error: WriteError) -> EndpointError {
    match error {
        WriteError::Conflict(_) => EndpointError::Conflict,
        other => EndpointError::Write(other),
    }
}

pub(super) fn by_partition(positions: impl Iterator<Item = (u32, Offset)>) -> Vec<Offset> {
    let mut starts = Vec::new();
    for (partition, offset) in positions {
        let index = partition as usize;
        if starts.len() <= index {
            starts.resize(index + 1, 0);
        }
        starts[index] = offset;
    }
    starts
}
