//! The user and password in a URL, as HTTP's Basic scheme sends them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::SecretString;

/// The header's value; `None` where the URL has neither.
pub(super) fn basic(url: &Url) -> Option<SecretString> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let credentials = [plain(url.username()), b":".to_vec(), plain(url.password().unwrap_or_default())];
    Some(format!("Basic {}", STANDARD.encode(credentials.concat())).into())
}
