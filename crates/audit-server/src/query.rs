//! Query strings, decoded strictly: what is no UTF-8 is an error, not a replacement character.

use percent_encoding::percent_decode;

use crate::problem::{Kind, Problem};

/// Most parameters of one request.
const PARAMETERS_MAX: usize = 200;

/// The parameters of a query string, in order, repeated ones included.
pub(crate) fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() >= PARAMETERS_MAX {
            return Err(Problem::new(
                Kind::BadRequest,
                format!("the query may have {PARAMETERS_MAX} parameters"),
            ));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(name)?, decode(value)?));
    }
    Ok(pairs)
}

fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    match percent_decode(text.as_bytes()).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::new(Kind::BadRequest, "the query is not UTF-8 once decoded")
            .hint("percent-encode text as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded_and_repeats_are_kept_in_order() {
        let found = pairs(Some("flag=a%20b&flag=c+d&json=%7B%22x%22%3A1%7D&bare")).unwrap();
        let expected = [("flag", "a b"), ("flag", "c d"), ("json", "{\"x\":1}"), ("bare", "")];
        assert!(found.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(expected));
    }

    #[test]
    fn what_is_no_utf8_is_an_error() {
        assert_eq!(pairs(Some("a=%FF")).unwrap_err().kind(), Kind::BadRequest);
    }
}
