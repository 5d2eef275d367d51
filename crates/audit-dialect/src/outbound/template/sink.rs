//! Where a template's output goes: it counts, and where JSON is made it knows whether the next byte stands
//! inside a string.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr};

/// Most bytes that the filters of one rendering handle: eight times the largest record.
const FILTER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How far a rendering is. The context of a template holds it under a name that no template can write, so that the
/// formatter and the filters, which the engine calls, can ask.
#[derive(Debug, Default)]
pub(super) struct Progress {
    in_string: AtomicBool,
    filter_bytes: AtomicUsize,
}

impl Object for Progress {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Progress {
    /// Whether the next byte stands inside a JSON string of the template.
    pub(super) fn is_in_string(&self) -> bool {
        self.in_string.load(Ordering::Relaxed)
    }

    /// Counts what a filter handles; false once it was too much.
    pub(super) fn may_handle(&self, bytes: usize) -> bool {
        self.filter_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= FILTER_BYTES_MAX
    }
}

/// The sink took all it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// How much that is.
    pub(super) bytes: usize,
}

/// The output of one rendering.
#[derive(Debug)]
pub(super) struct Sink {
    out: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
    after_backslash: bool,
    progress: Arc<Progress>,
}

impl Sink {
    /// Takes up to `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { out: Vec::new(), bytes_max, is_full: false, after_backslash: false, progress: Arc::default() }
    }

    /// What the formatter and the filters ask.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Whether something did not fit.
    pub(super) fn full(&self) -> Option<Full> {
        self.is_full.then_some(Full { bytes: self.bytes_max })
    }

    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.bytes_max {
            self.is_full = true;
            return Err(io::Error::other("the template makes too much"));
        }
        let mut in_string = self.progress.is_in_string();
        for byte in bytes {
            match byte {
                _ if self.after_backslash => self.after_backslash = false,
                b'\\' if in_string => self.after_backslash = true,
                b'"' => in_string = !in_string,
                _ => {}
            }
        }
        self.progress.in_string.store(in_string, Ordering::Relaxed);
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
