//! What a query asks for, as parameters.

use std::fmt::Display;
use std::str::FromStr;

use audit_archive::{Cursor, Order, Query};
use audit_record::{ActionPattern, Filter, Period, Timestamp, parse_moment};

use crate::auth::Caller;
use crate::problem::{Kind, Problem};

/// Rows of a page unless told otherwise.
const LIMIT_DEFAULT: usize = 100;

/// Most rows of a page.
pub(crate) const LIMIT_MAX: usize = 1_000;

/// Most values of one filter.
const VALUES_MAX: usize = 100;

/// Longest text to search for, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// Reads parameters one by one; what nobody asked for is an error that names it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) filter: Filter,
    pub(crate) period: Period,
    text: Option<String>,
    order: Order,
    limit: Option<usize>,
    cursor: Option<Cursor>,
}

/// The names of parameters that choose records; they may be repeated, and then one must fit.
const FILTERS: &str =
    "organisation, project, environment, flag, author, action, related_object_type, object, source";

impl Asked {
    /// The parameters of a page.
    pub(crate) fn page(pairs: Vec<(String, String)>, now: Timestamp) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            if asked.take_filter(&name, &value)? {
                continue;
            }
            match name.as_str() {
                "from" => asked.period.from = Some(moment("from", &value, now)?),
                "to" => asked.period.to = Some(moment("to", &value, now)?),
                "text" if value.len() > TEXT_BYTES_MAX => {
                    return Err(Problem::field("text", format!("may have {TEXT_BYTES_MAX} bytes")));
                }
                "text" => asked.text = Some(value),
                "order" => asked.order = order(&value)?,
                "limit" => asked.limit = Some(limit(&value, LIMIT_MAX)?),
                "cursor" => asked.cursor = Some(cursor(&value)?),
                other => {
                    return Err(Problem::field(other, "is no parameter here")
                        .hint(format!("there are {FILTERS}, from, to, text, order, limit, cursor")));
                }
            }
        }
        Ok(asked)
    }

    /// The parameters of a stream.
    pub(crate) fn stream(pairs: Vec<(String, String)>) -> Result<(Self, Option<String>), Problem> {
        let (mut asked, mut from) = (Self::default(), None);
        for (name, value) in pairs {
            if asked.take_filter(&name, &value)? {
                continue;
            }
            match name.as_str() {
                "from" => from = Some(value),
                other => {
                    return Err(Problem::field(other, "is no parameter here")
                        .hint(format!("there are {FILTERS} and from")));
                }
            }
        }
        Ok((asked, from))
    }

    fn take_filter(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        let filter = &mut self.filter;
        let values = match name {
            "organisation" => &mut filter.organisation,
            "project" => &mut filter.project,
            "environment" => &mut filter.environment,
            "flag" => &mut filter.flag,
            "author" => &mut filter.author,
            "related_object_type" => &mut filter.related_object_type,
            "object" => &mut filter.object,
            "source" => &mut filter.source,
            "action" => {
                let pattern =
                    ActionPattern::try_new(value).map_err(|e| Problem::field("action", e.to_string()))?;
                return bounded(name, &mut filter.action, pattern).map(|()| true);
            }
            _ => return Ok(false),
        };
        take_one_of(name, values, value.to_owned()).map(|()| true)
    }

    /// The archive's question, within what the caller may see.
    pub(crate) fn into_query(mut self, caller: &Caller) -> Result<Query, Problem> {
        narrow(&mut self.filter, caller)?;
        Ok(Query {
            filter: self.filter,
            period: self.period,
            text: self.text,
            order: self.order,
            limit: self.limit.unwrap_or(LIMIT_DEFAULT),
            cursor: self.cursor,
        })
    }
}

/// Adds one of the values of a condition.
pub(crate) fn take_one_of(name: &str, values: &mut Vec<String>, value: String) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(Problem::field(name, "must not be empty"));
    }
    bounded(name, values, value)
}

/// Holds a filter to the caller's projects.
pub(crate) fn narrow(filter: &mut Filter, caller: &Caller) -> Result<(), Problem> {
    narrow_projects(&mut filter.project, caller)
}

/// Holds a list of projects, of which none means all, to the caller's.
pub(crate) fn narrow_projects(asked: &mut Vec<String>, caller: &Caller) -> Result<(), Problem> {
    let Some(projects) = caller.projects() else { return Ok(()) };
    if asked.is_empty() {
        *asked = projects.to_vec();
        return Ok(());
    }
    match asked.iter().find(|project| !projects.contains(project)) {
        None => Ok(()),
        Some(other) => {
            Err(Problem::new(Kind::Forbidden, format!("the token may not read the project {other:?}"))
                .hint(format!("it may read {}", projects.join(", "))))
        }
    }
}

fn bounded<T>(name: &str, values: &mut Vec<T>, value: T) -> Result<(), Problem> {
    if values.len() >= VALUES_MAX {
        return Err(Problem::field(name, format!("may be given {VALUES_MAX} times")));
    }
    values.push(value);
    Ok(())
}

fn order(value: &str) -> Result<Order, Problem> {
    match value {
        "newest" => Ok(Order::Newest),
        "oldest" => Ok(Order::Oldest),
        _ => Err(Problem::field("order", "must be newest or oldest")),
    }
}

/// How many rows of a page, `most` at most.
pub(crate) fn limit(value: &str, most: usize) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Problem::field("limit", format!("must be a whole number from 1 to {most}")))
}

/// Where a page begins.
pub(crate) fn cursor<C: FromStr<Err: Display>>(value: &str) -> Result<C, Problem> {
    value.parse().map_err(|error: C::Err| Problem::field("cursor", error.to_string()))
}

/// A moment: RFC 3339, a day, or a duration back from now.
pub(crate) fn moment(field: &str, value: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    parse_moment(value, now).map_err(|error| Problem::field(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_parameter_is_named() {
        let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        let asked = Asked::page(vec![("fl_ag".to_owned(), "x".to_owned())], now);
        assert!(asked.unwrap_err().detail().contains("fl_ag"));
    }
}
