//! Takes a JSON object apart field by field, remembering every problem with its path.

use serde_json::Value;

use crate::Map;
use crate::timestamp::Timestamp;
use crate::violation::Violation;

/// One object under reading. Each `take_…` removes its key; what remains is unknown and is kept.
pub(crate) struct Reader<'a> {
    path: String,
    map: Map,
    problems: &'a mut Vec<Violation>,
}

impl<'a> Reader<'a> {
    /// Starts at `path` (empty at the root); a value that is no object is a problem and reads as empty.
    pub(crate) fn new(path: String, value: Value, problems: &'a mut Vec<Violation>) -> Self {
        let map = match value {
            Value::Object(map) => map,
            other => {
                problems.push(Violation::new(
                    if path.is_empty() { "record" } else { &path },
                    expected("an object", &other),
                ));
                Map::new()
            }
        };
        Self { path, map, problems }
    }

    /// The path of `field` from the record's root.
    pub(crate) fn at(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Remembers a problem with `field`.
    pub(crate) fn problem(&mut self, field: &str, problem: impl Into<String>) {
        let path = self.at(field);
        self.problems.push(Violation::new(path, problem));
    }

    /// Any value; `null` counts as absent.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field).filter(|value| !value.is_null())
    }

    /// Any value, `null` included.
    pub(crate) fn take_any(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field)
    }

    /// A string; the empty one counts as absent.
    pub(crate) fn take_string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            other => {
                self.problem(field, expected("a string", &other));
                None
            }
        }
    }

    /// An RFC 3339 time.
    pub(crate) fn take_time(&mut self, field: &str) -> Option<Timestamp> {
        let text = self.take_string(field)?;
        Timestamp::parse(&text).map_err(|error| self.problem(field, error.to_string())).ok()
    }

    /// A boolean.
    pub(crate) fn take_bool(&mut self, field: &str) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(value) => Some(value),
            other => {
                self.problem(field, expected("true or false", &other));
                None
            }
        }
    }

    /// One of the words that `parse` knows.
    pub(crate) fn take_word<T>(
        &mut self,
        field: &str,
        words: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take_string(field)?;
        let word = parse(&text);
        if word.is_none() {
            self.problem(field, format!("must be one of {words}, not {text:?}"));
        }
        word
    }

    /// A string that must be there; what it is goes into the problem.
    pub(crate) fn require_string(&mut self, field: &str, what: &str) -> String {
        self.require(field, ("", what), Self::take_string).unwrap_or_default()
    }

    /// A time that must be there.
    pub(crate) fn require_time(&mut self, field: &str, what: &str) -> Option<Timestamp> {
        self.require(field, ("", what), Self::take_time)
    }

    /// A word that must be there.
    pub(crate) fn require_word<T>(
        &mut self,
        field: &str,
        words: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.require(field, ("one of ", words), |reader, field| reader.take_word(field, words, parse))
    }

    fn require<T>(
        &mut self,
        field: &str,
        (lead, what): (&str, &str),
        take: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> Option<T> {
        let before = self.problems.len();
        let taken = take(self, field);
        // A wrong one has been named already.
        if taken.is_none() && self.problems.len() == before {
            self.problem(field, format!("is missing: {lead}{what}"));
        }
        taken
    }

    /// A nested object, read by `read` with a reader of its own.
    pub(crate) fn take_object<T>(&mut self, field: &str, read: impl FnOnce(Reader<'_>) -> T) -> Option<T> {
        let value = self.take(field)?;
        let path = self.at(field);
        Some(read(Reader::new(path, value, self.problems)))
    }

    /// A list of objects, each read by `read`.
    pub(crate) fn take_list<T>(&mut self, field: &str, read: impl Fn(Reader<'_>) -> T) -> Vec<T> {
        match self.take(field) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let path = self.at(field);
                let item =
                    |(index, value)| read(Reader::new(format!("{path}[{index}]"), value, self.problems));
                items.into_iter().enumerate().map(item).collect()
            }
            Some(other) => {
                self.problem(field, expected("a list", &other));
                Vec::new()
            }
        }
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Map {
        self.map
    }
}

fn expected(what: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("must be {what}, not {found}")
}
