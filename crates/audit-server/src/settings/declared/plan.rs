//! What is to be done for the settings to be as a configuration declares them.

use audit_export::Schedule;
use audit_journal::Control;
use audit_record::{FieldChange, field_diff};
use audit_secret::Keyring;
use audit_webhook::{Declared, EndpointId, Endpoints, NewEndpoint};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::settings::declared::Declarable;
use crate::settings::declared::tables::Checked;
use crate::settings::source::Source;
use crate::settings::stored::Stored;
use crate::settings::token::Token;

/// What stands in place of a secret that differs.
const MASK: &str = "***";

/// What is done to one setting.
pub(crate) enum Deed {
    Source(Box<SettingDeed<Source>>),
    Token(Box<SettingDeed<Token>>),
    Schedule(Box<SettingDeed<Schedule>>),
    DeclareEndpoint(Box<NewEndpoint>),
    ReleaseEndpoint(EndpointId),
    DeleteEndpoint(EndpointId),
}

/// The same, of a kind that is kept here.
pub(crate) enum SettingDeed<S> {
    Make { id: String, setting: S },
    Change { stored: Stored<S>, to: S },
    Release { stored: Stored<S> },
    Delete { stored: Stored<S> },
}

/// How a setting would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// It is declared and does not exist.
    Created,
    /// It is declared otherwise.
    Changed,
    /// It is no longer declared: it stays, and the API may change it again.
    Released,
    /// It is no longer declared, and goes.
    Deleted,
}

/// One setting that would change.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PlannedChange {
    /// `source`, `endpoint`, `token` or `schedule`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// How it would change.
    pub(crate) change: Change,
    /// What would differ. Of a secret, only that it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<PlannedField>,
}

/// One field that would differ.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PlannedField {
    /// Its dotted path.
    field: String,
    /// As it is.
    #[schema(value_type = Object)]
    before: Value,
    /// As it would be.
    #[schema(value_type = Object)]
    after: Value,
}

impl From<FieldChange> for PlannedField {
    fn from(change: FieldChange) -> Self {
        Self { field: change.field, before: change.before, after: change.after }
    }
}

impl PlannedField {
    fn secret(field: &str) -> Self {
        Self { field: field.to_owned(), before: MASK.into(), after: MASK.into() }
    }
}

/// Everything that is to be done, in the order in which it is: nothing is taken away before what replaces it is there.
pub(crate) fn plan(
    control: &Control,
    keyring: &Keyring,
    endpoints: &Endpoints,
    checked: Checked,
) -> Result<Vec<(PlannedChange, Deed)>, Problem> {
    let Checked { file, prune, sources, tokens, schedules, endpoints: new_endpoints } = checked;
    let mut deeds = Vec::new();
    settings((control, keyring), (&file, prune), sources, Deed::Source, &mut deeds);
    settings((control, keyring), (&file, prune), tokens, Deed::Token, &mut deeds);
    settings((control, keyring), (&file, prune), schedules, Deed::Schedule, &mut deeds);
    let mut kept = Vec::new();
    for new in new_endpoints {
        let name = new.name.clone();
        let planned = |change, fields| PlannedChange { kind: ENDPOINT, name, change, fields };
        match endpoints.compare(&new, &file)? {
            Declared::New => {
                deeds.push((planned(Change::Created, Vec::new()), Deed::DeclareEndpoint(Box::new(new))));
            }
            Declared::Same(id) => kept.push(id),
            Declared::Other { id, fields, secret_fields } => {
                let secret = secret_fields.into_iter().map(PlannedField::secret);
                let fields = fields.into_iter().map(PlannedField::from).chain(secret).collect();
                kept.push(id);
                deeds.push((planned(Change::Changed, fields), Deed::DeclareEndpoint(Box::new(new))));
            }
        }
    }
    for view in endpoints.list() {
        let id = EndpointId::from(view.id.as_str());
        if view.declared_in.as_deref() != Some(&file) || kept.contains(&id) {
            continue;
        }
        let (change, deed) = match prune {
            true => (Change::Deleted, Deed::DeleteEndpoint(id)),
            false => (Change::Released, Deed::ReleaseEndpoint(id)),
        };
        deeds.push((PlannedChange { kind: ENDPOINT, name: view.name, change, fields: Vec::new() }, deed));
    }
    Ok(deeds)
}

const ENDPOINT: &str = "endpoint";

fn settings<S: Declarable>(
    (control, keyring): (&Control, &Keyring),
    (file, prune): (&str, bool),
    declared: Vec<(String, S)>,
    deed: impl Fn(Box<SettingDeed<S>>) -> Deed,
    deeds: &mut Vec<(PlannedChange, Deed)>,
) {
    let planned =
        |name: &str, change, fields| PlannedChange { kind: S::KIND, name: name.to_owned(), change, fields };
    let mut stored = Stored::<S>::list(control);
    let mut names = Vec::new();
    for (id, setting) in declared {
        names.push(setting.name().to_owned());
        let Some(place) = stored.iter().position(|stored| stored.id == id) else {
            let planned = planned(setting.name(), Change::Created, Vec::new());
            deeds.push((planned, deed(Box::new(SettingDeed::Make { id, setting }))));
            continue;
        };
        let stored = stored.swap_remove(place);
        let to = setting.over(&stored.setting);
        let differ = field_diff(&stored.setting.told(), &to.told()).into_iter().map(PlannedField::from);
        let secret = to.secret_differences(&stored.setting, keyring).into_iter().map(PlannedField::secret);
        let fields: Vec<PlannedField> = differ.chain(secret).collect();
        if !fields.is_empty() {
            let planned = planned(to.name(), Change::Changed, fields);
            deeds.push((planned, deed(Box::new(SettingDeed::Change { stored, to }))));
        }
    }
    for stored in stored.into_iter().filter(|stored| stored.setting.declared_in() == Some(file)) {
        // A token whose text was replaced is another one by the same name: the old text must stop working.
        let replaced = names.iter().any(|name| name == stored.setting.name());
        let name = stored.setting.name().to_owned();
        let (change, what) = match prune || replaced {
            true => (Change::Deleted, SettingDeed::Delete { stored }),
            false => (Change::Released, SettingDeed::Release { stored }),
        };
        deeds.push((planned(&name, change, Vec::new()), deed(Box::new(what))));
    }
}
