//! What every operation of the platform has in common.

use serde_json::Value;

use crate::Operation;

/// What breaks a convention, as sentences that begin with the operation.
pub(crate) fn check(operation: &Operation<'_>, service: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |kept: bool, sentence: &str| {
        if !kept {
            broken.push(format!("{}: {sentence}", operation.place()));
        }
    };
    let id = operation
        .body
        .get("operationId")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let prefix = format!("{}_", service.replace('-', "_"));
    rule(
        id.starts_with(&prefix) && snake_case(id),
        "its operationId must be the service's name and a verb and a noun, in snake_case",
    );
    rule(
        operation.path.starts_with(&format!("/api/{service}/")),
        "its path must begin with /api/ and the service's name",
    );
    rule(
        operation.body.get("security").is_some_and(Value::is_array),
        "it must state its security: [] when it is public",
    );
    let empty = serde_json::Map::new();
    let responses = operation
        .body
        .get("responses")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let success = responses.iter().find(|(status, _)| status.starts_with('2'));
    let bodied = success.is_some_and(|(status, response)| status == "204" || response.get("content").is_some());
    rule(bodied, "it must have a 2xx response with a schema, or 204");
    let problem = responses
        .get("default")
        .is_some_and(|response| response.pointer("/content/application~1problem+json").is_some());
    rule(problem, "its default response must be a problem document");
    broken
}

fn snake_case(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
