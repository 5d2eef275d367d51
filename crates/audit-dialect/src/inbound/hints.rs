//! What a body lacks: hints in the webhook's URL (`?project=…&project_name=…&environment=…&
//! environment_name=…`), then the source's defaults.

use audit_record::Ref;

/// The query parameters of one thing.
pub(crate) struct HintNames {
    /// Its stable id or key: what routing goes by.
    pub(crate) handle: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
}

/// `?project=…&project_name=…`.
pub(crate) const PROJECT: HintNames = HintNames { handle: "project", name: "project_name" };
/// `?environment=…&environment_name=…`.
pub(crate) const ENVIRONMENT: HintNames = HintNames { handle: "environment", name: "environment_name" };

/// Whether the platform's hints are stable ids or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleIs {
    /// `?project=12` is the id 12.
    Id,
    /// `?project=web` is the key `web`.
    Key,
}

/// Reads a hint out of the URL's query; the first of several wins.
fn from_query(query: &[(String, String)], names: &HintNames, handle_is: HandleIs) -> Option<Ref> {
    let find = |name| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
    let handle = find(names.handle);
    let (id, key) = match handle_is {
        HandleIs::Id => (handle, None),
        HandleIs::Key => (None, handle),
    };
    Some(Ref { id, key, name: find(names.name), ..Ref::default() }).filter(|hint| !hint.is_empty())
}

/// The body's word counts before the URL's, the URL's before the source's default. A lower one only adds
/// what a higher one left out about the same thing: one that shares an id, key or name with it.
pub(crate) fn settle(
    body: Option<Ref>,
    query: &[(String, String)],
    names: &HintNames,
    handle_is: HandleIs,
    default: Option<&Ref>,
) -> Option<Ref> {
    let hint = from_query(query, names, handle_is);
    let mut ranked = [body, hint, default.cloned()].into_iter().flatten().filter(|r| !r.is_empty());
    let first = ranked.next()?;
    Some(ranked.fold(first, complete))
}

fn complete(mut known: Ref, more: Ref) -> Ref {
    let agrees = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    if agrees(&known.id, &more.id) || agrees(&known.key, &more.key) || agrees(&known.name, &more.name) {
        known.id = known.id.or(more.id);
        known.key = known.key.or(more.key);
        known.name = known.name.or(more.name);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_body_counts_before_the_url_before_the_default() {
        let url = query(&[("project", "2")]);
        let default = Ref::by_id("3");
        let settled = |body, url: &[(String, String)], default| {
            settle(body, url, &PROJECT, HandleIs::Id, default).and_then(|p| p.id)
        };
        assert_eq!(settled(Some(Ref::by_id("1")), &url, Some(&default)).as_deref(), Some("1"));
        assert_eq!(settled(None, &url, Some(&default)).as_deref(), Some("2"));
        assert_eq!(settled(None, &[], Some(&default)).as_deref(), Some("3"));
        assert_eq!(settled(None, &[], None), None);
        assert_eq!(settled(None, &query(&[("project", "")]), None), None);
    }

    #[test]
    fn a_hint_adds_the_name_of_the_same_project_but_not_of_another() {
        let url = query(&[("project", "1"), ("project_name", "Main")]);
        let same = settle(Some(Ref::by_id("1")), &url, &PROJECT, HandleIs::Id, None);
        assert_eq!(same, Some(Ref::by_id("1").named("Main")));
        let other = settle(Some(Ref::by_id("2")), &url, &PROJECT, HandleIs::Id, None);
        assert_eq!(other, Some(Ref::by_id("2")));
    }
}
