//! What the journal logs: an alarm is only that.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Every line of the process, from the first call on.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<u8>>>);

/// Begins to listen. To be called before what is to be heard.
pub(crate) fn listen() -> Heard {
    static HEARD: OnceLock<Heard> = OnceLock::new();
    let begin = || {
        let heard = Heard::default();
        let lines = heard.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || lines.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
        heard
    };
    HEARD.get_or_init(begin).clone()
}

impl Heard {
    /// Whether one line has all of these words.
    pub(crate) fn has(&self, words: &[&str]) -> bool {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = String::from_utf8_lossy(&lines);
        lines.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
