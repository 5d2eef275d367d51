//! The first admin token, which `flagtrail up` writes to a file.

use audit_journal::{SettingsChange, WriteError};
use secrecy::SecretString;

use crate::app::App;
use crate::clock::now;
use crate::settings::change::Told;
use crate::settings::named::Named;
use crate::settings::token::{self, Scope, Token};

/// The name of the first token, and of the source of records that it writes.
const NAME: &str = "bootstrap";

/// Why the first token could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the first admin token could not be written: {0}")]
pub struct BootstrapError(#[from] WriteError);

impl App {
    /// Makes a token with every scope and returns it: it is not shown again. `None` where there is a token
    /// already. Of two processes that do this at once, both make one; nothing breaks.
    ///
    /// If we crash before the caller has kept it, the token is lost; `remake` then makes another.
    pub async fn bootstrap_admin_token(
        &self,
        organisation: Named,
        remake: bool,
    ) -> Result<Option<SecretString>, BootstrapError> {
        if !remake && !self.control().list(token::KIND).is_empty() {
            return Ok(None);
        }
        let made = Token::make(
            NAME.to_owned(),
            vec![Scope::Admin],
            organisation,
            NAME.to_owned(),
            None,
            None,
            now(),
        );
        let told = Told {
            action: "flagtrail.token.created",
            object_type: "FLAGTRAIL_TOKEN",
            id: &made.id,
            name: NAME,
            log: "The first admin token was made".to_owned(),
            before: None,
            after: Some(made.token.told()),
        };
        let change = SettingsChange {
            kind: token::KIND.to_owned(),
            id: made.id.clone(),
            base_version: 0,
            value: Some(made.token.document()),
        };
        self.control().write(change, Some(&told.into_record(None, now()))).await?;
        Ok(Some(made.shown))
    }
}
