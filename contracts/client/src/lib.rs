//! Generates the TypeScript client from the joined contract: types, and one function for each
//! operation. What the functions have in common is written by hand, in `contracts/typescript/src/core.ts`.

mod operation;
mod schema;

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use terrace_ground_error::Code;

use operation::Operation;

/// Why there is no client for a contract.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document has a shape that no type can be made of.
    #[error("{place}: {expected}")]
    Shape {
        /// A schema or an operation.
        place: String,
        /// What should be there.
        expected: String,
    },
}

pub(crate) fn shape(place: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::Shape {
        place: place.into(),
        expected: expected.into(),
    }
}

/// `index.ts` of the client package: one group of functions for each service of the joined document.
/// The same document always gives the same text.
///
/// # Errors
/// [`Error::Shape`].
pub fn services(document: &Value) -> Result<String, Error> {
    let mut text = String::from(
        "// The typed client of every service. Generated from contracts/openapi: do not edit.\n\n\
         import { Core, type ClientOptions, type RequestOptions } from \"./core\";\n\
         import { openEvents, openStream, type EventsOptions, type StreamOptions, type Subscription } from \"./live\";\n\n\
         export * from \"./core\";\n\
         export * from \"./live\";\n\n",
    );
    text.push_str(&hash(document));
    codes(&mut text);
    schemas(document, &mut text)?;
    let mut groups: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for operation in operation::all(document)? {
        groups.entry(operation.group.clone()).or_default().push(operation);
    }
    text.push_str(
        "/** A client of this origin, or of `baseUrl`. */\n\
         export function createClient(options: ClientOptions = {}) {\n\
        \x20 const core = new Core(options);\n\
        \x20 return {\n",
    );
    for (group, operations) in groups {
        let _ = writeln!(text, "    {group}: {{");
        methods(operations, 6, &mut text);
        text.push_str("    },\n");
    }
    text.push_str(
        "    /** What happens in this workspace, as it happens. */\n\
        \x20   events: (options: EventsOptions): Subscription => openEvents(core, options),\n\
        \x20   /** Any other stream of server-sent events. */\n\
        \x20   stream: (options: StreamOptions): Subscription => openStream(core, options),\n\
        \x20 };\n\
         }\n\n\
         export type Client = ReturnType<typeof createClient>;\n",
    );
    Ok(text)
}

/// `control.ts` of the client package: the functions of the control plane. A file of its own, because
/// what operators read and what members read is never on the same page.
///
/// # Errors
/// [`Error::Shape`].
pub fn control(document: &Value) -> Result<String, Error> {
    let mut text = String::from(
        "// The typed client of the control plane. Generated from contracts/openapi/control.json: do not edit.\n\n\
         import { Core, type ClientOptions, type RequestOptions } from \"./core\";\n\
         import { openStream, type StreamOptions, type Subscription } from \"./live\";\n\n",
    );
    text.push_str(&hash(document));
    schemas(document, &mut text)?;
    text.push_str(
        "/** A client of the control plane at this origin, or at `baseUrl`. An operator's session is not renewed. */\n\
         export function createControlClient(options: ClientOptions = {}) {\n\
        \x20 const core = new Core({ ...options, refresh: null });\n\
        \x20 return {\n",
    );
    methods(operation::all(document)?, 4, &mut text);
    text.push_str(
        "    /** A stream of server-sent events. */\n\
        \x20   stream: (options: StreamOptions): Subscription => openStream(core, options),\n\
        \x20 };\n\
         }\n\n\
         export type ControlClient = ReturnType<typeof createControlClient>;\n",
    );
    Ok(text)
}

fn methods(mut operations: Vec<Operation>, indent: usize, text: &mut String) {
    operations.sort_by(|a, b| a.name.cmp(&b.name));
    // A stream never ends: it is opened by its path.
    for operation in operations.iter().filter(|operation| !operation.is_stream) {
        text.push_str(&operation.method(indent));
    }
}

/// The first 16 hexadecimal digits of the document's SHA-256, as a constant.
fn hash(document: &Value) -> String {
    let digest = Sha256::digest(document.to_string().as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "/** Of the contract that this client was made from: a build records it. */\n\
         export const CONTRACT_HASH = \"{digits}\";\n\n"
    )
}

fn codes(text: &mut String) {
    text.push_str("/** Why a request failed, in a word that never changes. */\nexport type ProblemCode =\n");
    for (index, code) in Code::ALL.iter().enumerate() {
        let end = if index + 1 == Code::ALL.len() { ";\n\n" } else { "\n" };
        let _ = write!(text, "  | \"{}\"{end}", code.as_str());
    }
}

fn schemas(document: &Value, text: &mut String) -> Result<(), Error> {
    let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) else {
        return Ok(());
    };
    let mut sorted: Vec<_> = schemas.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    for (name, schema) in sorted {
        text.push_str(&schema::declaration(name, schema)?);
    }
    Ok(())
}

/// `create_task` as `createTask`.
pub(crate) fn camel(snake: &str) -> String {
    let mut words = snake.split(['_', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        name + &word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default()
    })
}

/// A comment of one or more lines, at so many spaces.
pub(crate) fn comment(description: Option<&str>, indent: usize) -> String {
    let Some(description) = description.map(str::trim).filter(|text| !text.is_empty()) else {
        return String::new();
    };
    let space = " ".repeat(indent);
    // A comment of ours must not be able to end early.
    let description = description.replace("*/", "* /");
    let lines: Vec<&str> = description.lines().collect();
    match lines.as_slice() {
        [line] => format!("{space}/** {line} */\n"),
        lines => {
            let body: String = lines
                .iter()
                .map(|line| format!("{space} * {line}\n").replace(" \n", "\n"))
                .collect();
            format!("{space}/**\n{body}{space} */\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "paths": { "/api/tasks/boards/{board}/tasks": {
                "post": {
                    "tags": ["tasks"], "operationId": "tasks_create_task", "summary": "Makes a task.", "security": [{"session": []}],
                    "parameters": [
                        { "name": "board", "in": "path", "required": true, "schema": { "type": "integer" } },
                        { "name": "Idempotency-Key", "in": "header", "schema": { "type": ["string", "null"] } },
                    ],
                    "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/NewTask" } } } },
                    "responses": { "201": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Task" } } } } },
                },
                "get": {
                    "tags": ["tasks"], "operationId": "tasks_list_tasks", "security": [],
                    "parameters": [
                        { "name": "board", "in": "path", "required": true, "schema": { "type": "integer" } },
                        { "name": "page_size", "in": "query", "schema": { "type": ["integer", "null"] } },
                    ],
                    "responses": { "204": {} },
                },
            } },
            "components": { "schemas": {
                "NewTask": { "type": "object", "required": ["title"], "properties": { "title": { "type": "string" }, "column": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Column" }] } } },
                "Task": { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" }, "tags": { "type": "array", "items": { "type": ["string", "null"] } } } },
                "Column": { "type": "string", "enum": ["todo", "done"], "description": "A column." },
            } },
        })
    }

    #[test]
    fn an_operation_becomes_a_method_of_its_service() {
        let text = services(&document()).unwrap();
        assert!(
            text.contains(
                "createTask: (params: { board: number }, body: NewTask, options: RequestOptions = {}): Promise<Task> =>"
            ),
            "{text}"
        );
        assert!(text.contains("listTasks: (params: { board: number; page_size?: number | null }, options: RequestOptions = {}): Promise<void> =>"), "{text}");
        assert!(text.contains("public: true"), "{text}");
        assert!(text.contains("idempotent: true"), "{text}");
    }

    #[test]
    fn a_schema_becomes_a_type_of_the_same_name() {
        let text = services(&document()).unwrap();
        assert!(
            text.contains("/** A column. */\nexport type Column = \"todo\" | \"done\";"),
            "{text}"
        );
        assert!(text.contains("  column?: null | Column;\n  title: string;"), "{text}");
        assert!(text.contains("  tags?: (string | null)[];"), "{text}");
    }

    #[test]
    fn a_description_cannot_end_its_comment() {
        assert_eq!(comment(Some("a */ alert() /*"), 0).matches("*/").count(), 1);
    }
}
