//! Taking an audit message apart again: Flagsmith puts names into a sentence without marking where they
//! begin and end, and the sentence is all that tells one kind of entry from another.
//!
//! A template is the sentence with holes, such as `Remote config value updated for feature: {flag}`. A name
//! may hold anything, so its end can't be seen; a template is matched from both ends inwards, and of
//! several places where a name could end the first counts: flags come first in these sentences, and their
//! names are the plainest. Where there was such a choice, the match says so.

/// Most places tried for the end of a name.
const SPLITS_MAX: usize = 16;

/// Longest text in a hole that is no name, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// The holes that hold no name but something short of a known form; all others hold names.
const VERB: &str = "verb";
const WORDS: &[&str] = &[VERB, "scheduled_for", "from", "to", "status"];

/// A template's holes, filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled<'t> {
    holes: Vec<(&'static str, &'t str)>,
    /// Whether a name could have ended elsewhere.
    pub(super) ambiguous: bool,
}

impl<'t> Filled<'t> {
    /// What stood in `hole`; none where it was empty.
    pub(super) fn get(&self, hole: &str) -> Option<&'t str> {
        self.holes
            .iter()
            .find(|(name, _)| *name == hole)
            .map(|(_, text)| *text)
            .filter(|text| !text.is_empty())
    }

    /// How many holes were filled.
    pub(super) fn len(&self) -> usize {
        self.holes.len()
    }

    /// How many names were found: the more, the more a template explains of the text.
    pub(super) fn names(&self) -> usize {
        self.holes.iter().filter(|(hole, _)| !WORDS.contains(hole)).count()
    }
}

/// Fills the holes of `template` from `text`, or finds that it does not fit.
pub(super) fn fill<'t>(template: &'static str, text: &'t str) -> Option<Filled<'t>> {
    let (first, holes) = parts(template);
    let text = text.strip_prefix(first)?;
    let Some((_, last_literal)) = holes.last() else {
        return text.is_empty().then(Filled::default);
    };
    let text = text.strip_suffix(last_literal)?;
    let mut filled = Filled::default();
    between(&holes, text, &mut filled).then_some(filled)
}

/// Fills `holes` from the whole of `text`; the literal after the last hole is off already.
fn between<'t>(holes: &[(&'static str, &'static str)], text: &'t str, filled: &mut Filled<'t>) -> bool {
    let [(hole, literal), rest @ ..] = holes else { return false };
    if rest.is_empty() {
        return take(hole, text, filled);
    }
    // A word at the right end is found from there: the name before it may hold anything.
    if let [(last, _)] = rest
        && WORDS.contains(last)
        && !WORDS.contains(hole)
    {
        return text
            .rsplit_once(literal)
            .is_some_and(|(name, word)| take(hole, name, filled) && take(last, word, filled));
    }
    for (at, _) in text.match_indices(literal).take(SPLITS_MAX) {
        let (value, remainder) = (&text[..at], &text[at + literal.len()..]);
        let known = filled.clone();
        if take(hole, value, filled) && between(rest, remainder, filled) {
            // A name that could have ended later, with everything after it fitting all the same.
            filled.ambiguous |= !WORDS.contains(hole)
                && remainder.match_indices(literal).take(SPLITS_MAX).any(|(later, _)| {
                    between(rest, &remainder[later + literal.len()..], &mut Filled::default())
                });
            return true;
        }
        *filled = known;
    }
    false
}

fn take<'t>(hole: &'static str, text: &'t str, filled: &mut Filled<'t>) -> bool {
    let fits = if hole == VERB {
        !text.is_empty()
            && text.len() <= WORD_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b" _-".contains(&b))
    } else if WORDS.contains(&hole) {
        !text.is_empty() && text.len() <= WORD_BYTES_MAX && !text.contains(['\'', '\n'])
    } else {
        true
    };
    if fits {
        filled.holes.push((hole, text));
    }
    fits
}

/// The literal before the first hole, and each hole with the literal after it.
fn parts(template: &'static str) -> (&'static str, Vec<(&'static str, &'static str)>) {
    let mut pieces = template.split('{');
    let first = pieces.next().unwrap_or_default();
    (first, pieces.filter_map(|piece| piece.split_once('}')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERRIDE: &str = "updated for feature '{flag}' and segment '{segment}'";

    #[test]
    fn names_may_hold_quotes_and_newlines() {
        let filled = fill(OVERRIDE, "updated for feature 'a 'b\n' and segment ''x''").unwrap();
        assert_eq!((filled.get("flag"), filled.get("segment")), (Some("a 'b\n"), Some("'x'")));
        assert!(!filled.ambiguous);
    }

    #[test]
    fn of_several_ends_of_a_flags_name_the_first_counts_and_the_choice_is_marked() {
        let filled = fill(OVERRIDE, "updated for feature 'a' and segment 'b' and segment 'c'").unwrap();
        assert_eq!((filled.get("flag"), filled.get("segment")), (Some("a"), Some("b' and segment 'c")));
        assert!(filled.ambiguous);
    }

    #[test]
    fn a_word_at_the_end_is_found_from_the_end() {
        let template = "Change Request '{change_request}' at {scheduled_for}.";
        let filled = fill(template, "Change Request 'meet' at 9' at 2026-01-02 03:04:05.").unwrap();
        assert_eq!(filled.get("change_request"), Some("meet' at 9"));
        assert_eq!(filled.get("scheduled_for"), Some("2026-01-02 03:04:05"));
    }

    #[test]
    fn another_sentence_does_not_fit() {
        assert_eq!(fill(OVERRIDE, "updated for feature 'a' and identity 'b'"), None);
        assert_eq!(fill("Metric '{name}' {verb}", "Metric 'x' "), None);
        assert_eq!(fill("done", "done!"), None);
    }
}
