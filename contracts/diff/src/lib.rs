//! What changes for a client between two contracts of a service, and what of it breaks a client that
//! was made from the older one. The control plane asks at each deploy.
//!
//! It judges what is on the wire, not names in generated code. The rule is one: what a client may send
//! must still be taken, and what it may get must be what it was promised. Two crates do something of
//! the kind (`schemadoc-diff`, `anicca`); both read OpenAPI 3.0, of 2023, and know neither lists of
//! types nor `oneOf` with null, which is how 3.1 writes every optional field.

mod schema;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use terrace_contracts_openapi::Contract;

use schema::{Direction, Schemas};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whether a client of the older contract can fail on it.
    pub breaking: bool,
    /// The operation: `GET /api/tasks/boards`.
    pub place: String,
    /// What is different, in a few words: "response 200: the field `title` is gone".
    pub detail: String,
}

/// Every difference, operation by operation, breaking ones first within each.
pub fn diff(before: &Contract, after: &Contract) -> Vec<Change> {
    let (old, new) = (operations(before), operations(after));
    let schemas = Schemas::new(before.document(), after.document());
    let mut changes = Vec::new();
    for (key, operation) in &old {
        let mut notes = Notes::default();
        match new.get(key) {
            None => notes.breaks("the operation is gone"),
            Some(follower) => compare(&schemas, operation, follower, &mut notes),
        }
        changes.extend(notes.at(&operation.place));
    }
    for (key, operation) in &new {
        if !old.contains_key(key) {
            changes.push(Change {
                breaking: false,
                place: operation.place.clone(),
                detail: "a new operation".to_owned(),
            });
        }
    }
    changes
}

/// The differences of one operation.
#[derive(Default)]
pub(crate) struct Notes {
    changes: Vec<(bool, String)>,
}

impl Notes {
    pub(crate) fn breaks(&mut self, detail: impl Into<String>) {
        self.changes.push((true, detail.into()));
    }

    pub(crate) fn note(&mut self, detail: impl Into<String>) {
        self.changes.push((false, detail.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn at(mut self, place: &str) -> impl Iterator<Item = Change> {
        self.changes.sort_by_key(|(breaking, _)| !breaking);
        // One schema can be reached twice, by two names of the same field.
        self.changes.dedup();
        self.changes.into_iter().map(move |(breaking, detail)| Change {
            breaking,
            place: place.to_owned(),
            detail,
        })
    }
}

struct Operation<'a> {
    place: String,
    public: bool,
    body: &'a Map<String, Value>,
}

/// By method and path. The name of a path's parameter is nothing that a client sends.
fn operations(contract: &Contract) -> BTreeMap<(String, String), Operation<'_>> {
    let mut found = BTreeMap::new();
    for route in contract.routes() {
        let item = contract
            .document()
            .get("paths")
            .and_then(|paths| paths.get(&route.path));
        let body = item.and_then(|item| item.get(route.method.to_ascii_lowercase())?.as_object());
        let Some(body) = body else { continue };
        let operation = Operation {
            place: format!("{} {}", route.method, route.path),
            public: route.public,
            body,
        };
        found.insert((unnamed(&route.path), route.method.clone()), operation);
    }
    found
}

fn unnamed(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn compare(schemas: &Schemas<'_>, old: &Operation<'_>, new: &Operation<'_>, notes: &mut Notes) {
    match (old.public, new.public) {
        (true, false) => notes.breaks("it needs a session now"),
        (false, true) => notes.note("it needs no session any more"),
        _ => {}
    }
    parameters(schemas, old.body, new.body, notes);
    request_body(schemas, old.body, new.body, notes);
    responses(schemas, old.body, new.body, notes);
}

fn parameters(schemas: &Schemas<'_>, old: &Map<String, Value>, new: &Map<String, Value>, notes: &mut Notes) {
    let (old, new) = (named(old), named(new));
    for ((place, name), parameter) in &new {
        let is_required = flag(parameter, "required");
        match old.get(&(place, name)) {
            // Part of the path, which is the operation's identity.
            None if *place == "path" => {}
            None if is_required => notes.breaks(format!("the {place} parameter `{name}` is required now")),
            None => notes.note(format!("the {place} parameter `{name}` is new")),
            Some(before) => {
                if is_required && !flag(before, "required") {
                    notes.breaks(format!("the {place} parameter `{name}` is required now"));
                }
                let at = format!("the {place} parameter `{name}`");
                schemas.compare(
                    before.get("schema"),
                    parameter.get("schema"),
                    Direction::Sent,
                    &at,
                    notes,
                );
            }
        }
    }
    for (place, name) in old.keys().filter(|key| key.0 != "path" && !new.contains_key(*key)) {
        notes.note(format!("the {place} parameter `{name}` is not looked at any more"));
    }
}

fn named(operation: &Map<String, Value>) -> BTreeMap<(&str, &str), &Value> {
    let list = operation.get("parameters").and_then(Value::as_array);
    let mut found = BTreeMap::new();
    for parameter in list.into_iter().flatten() {
        if let (Some(place), Some(name)) = (text(parameter, "in"), text(parameter, "name")) {
            found.insert((place, name), parameter);
        }
    }
    found
}

fn request_body(schemas: &Schemas<'_>, old: &Map<String, Value>, new: &Map<String, Value>, notes: &mut Notes) {
    match (old.get("requestBody"), new.get("requestBody")) {
        (None, Some(body)) if flag(body, "required") => notes.breaks("it needs a body now"),
        (None, Some(_)) => notes.note("it takes a body now"),
        (Some(_), None) => notes.note("it takes no body any more"),
        (Some(before), Some(after)) => {
            if flag(after, "required") && !flag(before, "required") {
                notes.breaks("it needs a body now");
            }
            for (kind, schema) in contents(before) {
                match contents(after).find(|(other, _)| *other == kind) {
                    None => notes.breaks(format!("it takes no {kind} any more")),
                    Some((_, follower)) => schemas.compare(schema, follower, Direction::Sent, "the body", notes),
                }
            }
        }
        (None, None) => {}
    }
}

fn responses(schemas: &Schemas<'_>, old: &Map<String, Value>, new: &Map<String, Value>, notes: &mut Notes) {
    let empty = Map::new();
    let of = |operation: &'_ Map<String, Value>| operation.get("responses").and_then(Value::as_object).cloned();
    let (old, new) = (of(old).unwrap_or_else(|| empty.clone()), of(new).unwrap_or(empty));
    // What is no success is a problem document everywhere, and its codes are no part of the contract.
    let success = |status: &&String| status.starts_with('2');
    for status in old.keys().filter(success) {
        let at = format!("response {status}");
        let (Some(before), Some(after)) = (old.get(status), new.get(status)) else {
            notes.breaks(format!("{at} is gone"));
            continue;
        };
        for (kind, schema) in contents(before) {
            match contents(after).find(|(other, _)| *other == kind) {
                None => notes.breaks(format!("{at} is not {kind} any more")),
                Some((_, follower)) => schemas.compare(schema, follower, Direction::Received, &at, notes),
            }
        }
    }
    for status in new.keys().filter(success).filter(|status| !old.contains_key(*status)) {
        notes.note(format!("response {status} is new"));
    }
}

fn contents(value: &Value) -> impl Iterator<Item = (&String, Option<&Value>)> {
    let kinds = value.get("content").and_then(Value::as_object);
    kinds
        .into_iter()
        .flatten()
        .map(|(kind, media)| (kind, media.get("schema")))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests;
