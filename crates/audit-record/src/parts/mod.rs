//! The objects inside a record, one a file. Each keeps the fields it does not know in `extra`; a key there
//! that names a known field is not written.

mod access;
mod approval;
mod author;
mod change;
mod reference;
mod request;
mod source;
mod words;

pub use access::{Access, AccessScope, Effect, Subject};
pub use approval::Approval;
pub use author::{Author, AuthorKind};
pub use change::{Change, FieldChange};
pub use reference::{ObjectRef, Ref, Target};
pub use request::RequestInfo;
pub use source::{Authenticated, Source};

/// The empty text counts as absent, as it does for the reader.
pub(crate) fn drop_blank<const N: usize>(texts: [&mut Option<String>; N]) {
    for text in texts {
        if text.as_deref() == Some("") {
            *text = None;
        }
    }
}
