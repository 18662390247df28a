//! One test for each way in which a contract can break a client, and for each in which it cannot.

use serde_json::{Value, json};
use terrace_contracts_openapi::Contract;

use crate::diff;

fn contract(paths: &Value, schemas: &Value) -> Contract {
    let document = json!({ "openapi": "3.1.0", "paths": paths, "components": { "schemas": schemas } });
    Contract::parse(document.to_string().as_bytes()).unwrap()
}

/// A contract of one POST with this body and this answer.
fn post(body: &Value, answer: &Value) -> Contract {
    let operation = json!({
        "operationId": "notes_add",
        "security": [{ "session": [] }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": { "200": { "content": { "application/json": { "schema": answer } } } },
    });
    contract(
        &json!({ "/api/notes/{id}": { "post": operation } }),
        &json!({ "Note": { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } } }),
    )
}

fn details(before: &Contract, after: &Contract, breaking: bool) -> Vec<String> {
    let changes = diff(before, after).into_iter();
    changes
        .filter(|change| change.breaking == breaking)
        .map(|change| change.detail)
        .collect()
}

fn object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// (before, after, breaks when the client sends it, breaks when the client gets it)
fn schemas() -> Vec<(Value, Value, bool, bool)> {
    let text = json!({ "type": "string" });
    vec![
        // A field that goes.
        (object(&[], &json!({ "a": text })), object(&[], &json!({})), false, true),
        // A field that comes, optional and required.
        (
            object(&[], &json!({})),
            object(&[], &json!({ "a": text })),
            false,
            false,
        ),
        (
            object(&[], &json!({})),
            object(&["a"], &json!({ "a": text })),
            true,
            false,
        ),
        // Required from optional, and back.
        (
            object(&[], &json!({ "a": text })),
            object(&["a"], &json!({ "a": text })),
            true,
            false,
        ),
        (
            object(&["a"], &json!({ "a": text })),
            object(&[], &json!({ "a": text })),
            false,
            true,
        ),
        // Types: wider, narrower, other.
        (json!({ "type": "integer" }), json!({ "type": "number" }), false, true),
        (json!({ "type": "number" }), json!({ "type": "integer" }), true, false),
        (json!({ "type": "integer" }), json!({ "type": "string" }), true, true),
        // Null comes and goes, in both spellings.
        (text.clone(), json!({ "type": ["string", "null"] }), false, true),
        (json!({ "type": ["string", "null"] }), text.clone(), true, false),
        (
            json!({ "type": ["string", "null"] }),
            json!({ "oneOf": [{ "type": "null" }, text] }),
            false,
            false,
        ),
        // Values of a list.
        (
            json!({ "type": "string", "enum": ["a"] }),
            json!({ "type": "string", "enum": ["a", "b"] }),
            false,
            true,
        ),
        (
            json!({ "type": "string", "enum": ["a", "b"] }),
            json!({ "type": "string", "enum": ["a"] }),
            true,
            false,
        ),
        // Bounds.
        (
            json!({ "type": "string", "maxLength": 9 }),
            json!({ "type": "string", "maxLength": 5 }),
            true,
            false,
        ),
        (
            json!({ "type": "string", "maxLength": 5 }),
            json!({ "type": "string", "maxLength": 9 }),
            false,
            false,
        ),
        // Formats.
        (text.clone(), json!({ "type": "string", "format": "uuid" }), true, false),
        (json!({ "type": "string", "format": "uuid" }), text.clone(), false, true),
        // Inside of lists and references.
        (
            json!({ "type": "array", "items": text }),
            json!({ "type": "array", "items": { "type": "integer" } }),
            true,
            true,
        ),
        (
            json!({ "$ref": "#/components/schemas/Note" }),
            object(&["id"], &json!({ "id": { "type": "integer" } })),
            false,
            false,
        ),
        (
            json!({ "$ref": "#/components/schemas/Note" }),
            object(&["id"], &json!({ "id": text })),
            true,
            true,
        ),
        // Words for people are nothing.
        (
            text,
            json!({ "type": "string", "description": "better said" }),
            false,
            false,
        ),
        // Closing an object refuses what was ignored.
        (
            object(&[], &json!({})),
            json!({ "type": "object", "properties": {}, "additionalProperties": false }),
            true,
            false,
        ),
    ]
}

#[test]
fn each_change_of_a_schema_breaks_in_the_direction_in_which_it_breaks() {
    for (before, after, sent, received) in schemas() {
        let nothing = json!({});
        let seen = details(&post(&before, &nothing), &post(&after, &nothing), true);
        assert_eq!(!seen.is_empty(), sent, "sent: {before} -> {after}: {seen:?}");
        let seen = details(&post(&nothing, &before), &post(&nothing, &after), true);
        assert_eq!(!seen.is_empty(), received, "received: {before} -> {after}: {seen:?}");
    }
}

#[test]
fn the_detail_says_where_and_what() {
    let before = post(
        &json!({}),
        &object(&["a"], &json!({ "a": { "type": "string" }, "b": { "type": "string" } })),
    );
    let after = post(&json!({}), &object(&[], &json!({ "a": { "type": "string" } })));
    let expected = [
        "response 200: the field `a` may be missing now",
        "response 200: the field `b` is gone",
    ];
    assert_eq!(details(&before, &after, true), expected);
    assert_eq!(diff(&before, &after)[0].place, "POST /api/notes/{id}");
}

#[test]
fn an_operation_that_goes_or_wants_a_session_or_a_parameter_breaks() {
    let with = |operation: Value| contract(&json!({ "/api/notes": { "get": operation } }), &json!({}));
    let open = json!({ "operationId": "notes_list", "security": [], "responses": { "200": {} } });
    let before = with(open.clone());
    let none = contract(&json!({}), &json!({}));
    assert_eq!(details(&before, &none, true), ["the operation is gone"]);
    assert_eq!(details(&none, &before, false), ["a new operation"]);
    let mut closed = open.clone();
    closed["security"] = json!([{ "session": [] }]);
    assert_eq!(details(&before, &with(closed), true), ["it needs a session now"]);
    let mut asking = open.clone();
    asking["parameters"] =
        json!([{ "in": "query", "name": "since", "required": true, "schema": { "type": "string" } }]);
    assert_eq!(
        details(&before, &with(asking), true),
        ["the query parameter `since` is required now"]
    );
    let mut moved = open;
    moved["responses"] = json!({ "201": {} });
    assert_eq!(details(&before, &with(moved), true), ["response 200 is gone"]);
}

#[test]
fn a_parameter_of_the_path_may_be_called_something_else() {
    let with = |path: &str| {
        contract(
            &json!({ path: { "get": { "operationId": "a", "responses": {} } } }),
            &json!({}),
        )
    };
    assert_eq!(diff(&with("/api/notes/{id}"), &with("/api/notes/{note}")), []);
}

#[test]
fn a_schema_that_holds_itself_comes_to_an_end() {
    let tree = |leaf: &str| {
        contract(
            &json!({ "/api/notes": { "get": { "operationId": "a", "responses": { "200": { "content": {
                "application/json": { "schema": { "$ref": "#/components/schemas/Tree" } } } } } } } }),
            &json!({ "Tree": { "type": "object", "properties": {
                "leaf": { "type": leaf },
                "left": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Tree" }] } } } }),
        )
    };
    assert_eq!(diff(&tree("string"), &tree("string")), []);
    let changes = diff(&tree("string"), &tree("integer"));
    assert!(changes.iter().any(|change| change.breaking), "{changes:?}");
}

#[test]
fn a_contract_of_the_product_does_not_differ_from_itself() {
    for name in ["billing", "control", "identity", "tasks"] {
        let path = format!("{}/../openapi/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let contract = Contract::parse(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(diff(&contract, &contract), []);
    }
}
