//! Two schemas, compared in the direction in which the value travels.
//!
//! A schema is first taken apart into its variants (`oneOf`, `anyOf`, a list of types), with
//! references followed and `allOf` merged; equal variants are paired, and what is left over is the
//! difference.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::Notes;

/// Who writes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The client: what was taken before must still be taken.
    Sent,
    /// The service: what comes now must be what was promised before.
    Received,
}

/// The schemas of both documents.
pub(crate) struct Schemas<'a> {
    before: &'a Value,
    after: &'a Value,
    /// Pairs that are being compared: a schema may hold itself.
    open: RefCell<Vec<(Value, Value)>>,
}

/// Nesting beyond this is not followed; no API that people read comes near.
const DEPTH_MAX: usize = 32;

impl<'a> Schemas<'a> {
    pub(crate) fn new(before: &'a Value, after: &'a Value) -> Self {
        Self {
            before,
            after,
            open: RefCell::default(),
        }
    }

    /// Adds to `notes` what is different. `at` says where: "the body", "response 200".
    pub(crate) fn compare(
        &self,
        before: Option<&Value>,
        after: Option<&Value>,
        direction: Direction,
        at: &str,
        notes: &mut Notes,
    ) {
        let anything = Value::Bool(true);
        let (before, after) = (before.unwrap_or(&anything), after.unwrap_or(&anything));
        let pair = (before.clone(), after.clone());
        if self.open.borrow().contains(&pair) || self.open.borrow().len() >= DEPTH_MAX {
            return;
        }
        self.open.borrow_mut().push(pair);
        let (mut old, mut new) = (variants(self.before, before), variants(self.after, after));
        self.pair(&mut old, &mut new, direction);
        match (&old[..], &new[..]) {
            ([one], [other]) => self.one(one, other, direction, at, notes),
            _ => left_over(&old, &new, direction, at, notes),
        }
        self.open.borrow_mut().pop();
    }

    /// Takes out the variants of either side that the other side covers as far as clients care.
    fn pair(&self, old: &mut Vec<Map<String, Value>>, new: &mut Vec<Map<String, Value>>, direction: Direction) {
        let multiple = old.len() > 1 || new.len() > 1;
        old.retain(|one| {
            let same = new.iter().position(|other| {
                let mut silent = Notes::default();
                let kinds = kind(one) == kind(other);
                if multiple && kinds {
                    self.one(one, other, direction, "", &mut silent);
                }
                one == other || (multiple && kinds && silent.is_empty())
            });
            same.is_none_or(|at| {
                new.remove(at);
                false
            })
        });
    }

    fn one(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        direction: Direction,
        at: &str,
        notes: &mut Notes,
    ) {
        let (was, is) = (kind(old), kind(new));
        if was != is {
            let fits = match direction {
                Direction::Sent => is == "anything" || (was == "integer" && is == "number"),
                Direction::Received => was == "anything" || (was == "number" && is == "integer"),
            };
            let detail = format!("{at} was {was} and is {is}");
            if fits {
                notes.note(detail);
            } else {
                notes.breaks(detail);
            }
            return;
        }
        self.values(old, new, direction, at, notes);
        bounds(old, new, direction, at, notes);
        match was {
            "object" => self.fields(old, new, direction, at, notes),
            "array" => {
                let inner = format!("{at}, each item");
                self.compare(old.get("items"), new.get("items"), direction, &inner, notes);
            }
            _ => {}
        }
    }

    fn fields(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        direction: Direction,
        at: &str,
        notes: &mut Notes,
    ) {
        let empty = Map::new();
        let properties = |schema: &'_ Map<String, Value>| schema.get("properties").and_then(Value::as_object).cloned();
        let (was, is) = (
            properties(old).unwrap_or_else(|| empty.clone()),
            properties(new).unwrap_or(empty),
        );
        for (name, schema) in &was {
            let (required, requires) = (demands(old, name), demands(new, name));
            match (is.get(name), direction) {
                (None, Direction::Received) => notes.breaks(format!("{at}: the field `{name}` is gone")),
                (None, Direction::Sent) if is_closed(new) => {
                    notes.breaks(format!("{at}: the field `{name}` is refused now"))
                }
                (None, Direction::Sent) => notes.note(format!("{at}: the field `{name}` is not looked at any more")),
                (Some(follower), _) => {
                    match direction {
                        Direction::Sent if requires && !required => {
                            notes.breaks(format!("{at}: the field `{name}` is required now"));
                        }
                        Direction::Received if required && !requires => {
                            notes.breaks(format!("{at}: the field `{name}` may be missing now"));
                        }
                        _ => {}
                    }
                    let inner = format!("{at}: the field `{name}`");
                    self.compare(Some(schema), Some(follower), direction, &inner, notes);
                }
            }
        }
        for name in is.keys().filter(|name| !was.contains_key(*name)) {
            match direction {
                Direction::Sent if demands(new, name) => {
                    notes.breaks(format!("{at}: the field `{name}` is new and required"));
                }
                _ => notes.note(format!("{at}: the field `{name}` is new")),
            }
        }
        let rest = (old.get("additionalProperties"), new.get("additionalProperties"));
        match rest {
            (Some(Value::Object(_)), Some(Value::Object(_))) => {
                self.compare(rest.0, rest.1, direction, &format!("{at}, each value"), notes);
            }
            _ if direction == Direction::Sent && is_closed(new) && !is_closed(old) => {
                notes.breaks(format!("{at}: unknown fields are refused now"));
            }
            _ => {}
        }
    }

    fn values(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        direction: Direction,
        at: &str,
        notes: &mut Notes,
    ) {
        match (allowed(old), allowed(new)) {
            (Some(was), Some(is)) => {
                for gone in was.iter().filter(|value| !is.contains(value)) {
                    match direction {
                        Direction::Sent => notes.breaks(format!("{at} may not be {gone} any more")),
                        Direction::Received => notes.note(format!("{at} is never {gone} any more")),
                    }
                }
                for new in is.iter().filter(|value| !was.contains(value)) {
                    match direction {
                        Direction::Sent => notes.note(format!("{at} may be {new}")),
                        // A client that was made from the older contract has no case for it.
                        Direction::Received => notes.breaks(format!("{at} can be {new} now")),
                    }
                }
            }
            (None, Some(_)) if direction == Direction::Sent => {
                notes.breaks(format!("{at} takes listed values only now"))
            }
            (Some(_), None) if direction == Direction::Received => notes.breaks(format!("{at} can have any value now")),
            _ => {}
        }
        let (was, is) = (old.get("format"), new.get("format"));
        let matters = match direction {
            Direction::Sent => is.is_some(),
            Direction::Received => was.is_some(),
        };
        // `int32` and `int64` are the width of a number, which `bounds` does not know.
        if was != is && matters && kind(old) == "string" {
            notes.breaks(format!("{at} has another format: {}, before {}", shown(is), shown(was)));
        }
    }
}

/// Variants that have no partner on the other side.
fn left_over(
    old: &[Map<String, Value>],
    new: &[Map<String, Value>],
    direction: Direction,
    at: &str,
    notes: &mut Notes,
) {
    for gone in old {
        match direction {
            Direction::Sent => notes.breaks(format!("{at} may not be {} any more", described(gone))),
            Direction::Received => notes.note(format!("{at} is never {} any more", described(gone))),
        }
    }
    for more in new {
        match direction {
            Direction::Sent => notes.note(format!("{at} may be {}", described(more))),
            Direction::Received => notes.breaks(format!("{at} can be {} now", described(more))),
        }
    }
}

/// Bounds matter for what is sent: a tighter one refuses what was taken.
fn bounds(old: &Map<String, Value>, new: &Map<String, Value>, direction: Direction, at: &str, notes: &mut Notes) {
    if direction == Direction::Received {
        return;
    }
    let number = |schema: &Map<String, Value>, key: &str| schema.get(key).and_then(Value::as_f64);
    for (key, upper) in [
        ("maximum", true),
        ("exclusiveMaximum", true),
        ("maxLength", true),
        ("maxItems", true),
        ("maxProperties", true),
        ("minimum", false),
        ("exclusiveMinimum", false),
        ("minLength", false),
        ("minItems", false),
        ("minProperties", false),
    ] {
        let tighter = match (number(old, key), number(new, key)) {
            (None, Some(_)) => true,
            (Some(was), Some(is)) => (upper && is < was) || (!upper && is > was),
            _ => false,
        };
        // utoipa writes the lower bound of every unsigned number; a client of one never sent less.
        if tighter && !(key == "minimum" && number(new, key) == Some(0.0) && number(old, key).is_none()) {
            notes.breaks(format!("{at} has a tighter bound: {key} {}", shown(new.get(key))));
        }
    }
    if let Some(pattern) = new.get("pattern")
        && old.get("pattern") != Some(pattern)
    {
        notes.breaks(format!("{at} must match {pattern} now"));
    }
}

/// What a schema can be, one by one: references followed, `allOf` merged, lists of types taken apart.
fn variants(document: &Value, schema: &Value) -> Vec<Map<String, Value>> {
    let mut found = Vec::new();
    collect(document, schema, DEPTH_MAX, &mut found);
    found
}

fn collect(document: &Value, schema: &Value, depth: usize, found: &mut Vec<Map<String, Value>>) {
    let Some(schema) = resolved(document, schema, depth) else {
        found.push(Map::new());
        return;
    };
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(choices)) = schema.get(key) {
            let next = depth.saturating_sub(1);
            choices.iter().for_each(|choice| collect(document, choice, next, found));
            return;
        }
    }
    match schema.get("type") {
        Some(Value::Array(types)) => {
            for kind in types {
                let mut one = schema.clone();
                one.insert("type".to_owned(), kind.clone());
                if kind == "null" {
                    one.retain(|key, _| key == "type");
                }
                found.push(one);
            }
        }
        _ => found.push(schema),
    }
}

/// None for what says nothing, or refers to nothing.
fn resolved(document: &Value, schema: &Value, depth: usize) -> Option<Map<String, Value>> {
    let mut schema = schema.as_object()?.clone();
    // Words for people.
    for key in ["description", "title", "example", "examples", "deprecated", "default"] {
        schema.remove(key);
    }
    if depth == 0 {
        return Some(schema);
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return resolved(document, document.pointer(target.strip_prefix('#')?)?, depth - 1);
    }
    if let Some(Value::Array(parts)) = schema.remove("allOf") {
        for part in &parts {
            merge(&mut schema, resolved(document, part, depth - 1).unwrap_or_default());
        }
    }
    Some(schema)
}

fn merge(into: &mut Map<String, Value>, part: Map<String, Value>) {
    for (key, value) in part {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (Some(Value::Array(there)), Value::Array(more)) if key == "required" => there.extend(more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None if schema.contains_key("properties") => "object",
        None if allowed(schema).is_some() => "one of a list",
        None => "anything",
    }
}

fn allowed(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) => Some(values.clone()),
        (_, Some(value)) => Some(vec![value.clone()]),
        _ => None,
    }
}

fn demands(schema: &Map<String, Value>, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|one| one == name))
}

fn is_closed(schema: &Map<String, Value>) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
}

fn described(schema: &Map<String, Value>) -> String {
    match allowed(schema) {
        Some(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        None => kind(schema).to_owned(),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    )
}
