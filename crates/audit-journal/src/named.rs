//! Appending under a name that outlives the process: for who must know, after a crash, what its predecessor
//! got onto the log.

#[cfg(feature = "kafka")]
use std::sync::{Arc, OnceLock};

use crate::append::AppendError;
use crate::journal::{Backend, Journal};
#[cfg(feature = "kafka")]
use crate::kafka::Together;
use crate::message::NewMessage;
use crate::position::Position;
use crate::topic::Topic;

/// Appends under one name. On Kafka it is a transactional id, and the brokers let in one process at a time:
/// the last that called [`NamedAppender::settle`]. The embedded log is of one process anyway.
///
/// Costs a connection to the brokers from the first call until it is dropped.
pub struct NamedAppender {
    journal: Journal,
    #[cfg(feature = "kafka")]
    name: String,
    #[cfg(feature = "kafka")]
    together: OnceLock<Arc<Together>>,
}

impl std::fmt::Debug for NamedAppender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedAppender").finish_non_exhaustive()
    }
}

impl NamedAppender {
    #[cfg_attr(not(feature = "kafka"), expect(unused_variables, reason = "the embedded log needs no name"))]
    pub(crate) fn new(journal: Journal, name: &str) -> Self {
        Self {
            journal,
            #[cfg(feature = "kafka")]
            name: name.to_owned(),
            #[cfg(feature = "kafka")]
            together: OnceLock::new(),
        }
    }

    /// Ends what was appended under this name, by this process or a predecessor, and is still under way. When
    /// it returns `Ok`, whatever was ever appended under the name can be read, or never will be on the log; and
    /// a predecessor that still lives appends nothing more.
    pub async fn settle(&self) -> Result<(), AppendError> {
        match self.journal.reached_backend()? {
            // One process, and what it appends is done or not when it is answered or gone.
            Backend::Embedded(_) => Ok(()),
            #[cfg(feature = "kafka")]
            Backend::Kafka(kafka) => self.together(kafka)?.settle().await,
        }
    }

    /// Appends messages of several topics together or not at all. After [`AppendError::Unknown`],
    /// [`NamedAppender::settle`] and a look at the log tell what became of them.
    pub async fn append_together(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        match self.journal.reached_backend()? {
            Backend::Embedded(embedded) => embedded.append_together(messages).await,
            #[cfg(feature = "kafka")]
            Backend::Kafka(kafka) => self.together(kafka)?.append(messages).await,
        }
    }

    #[cfg(feature = "kafka")]
    fn together(&self, kafka: &crate::kafka::Kafka) -> Result<&Together, AppendError> {
        if kafka.is_closed() {
            return Err(AppendError::NotAppended("the journal is closed".to_owned()));
        }
        Ok(self.together.get_or_init(|| Arc::new(kafka.together_as(&self.name))))
    }
}
