//! Contracts as data: reading a release's OpenAPI document, its routes, its conventions, and joining
//! several into one.
//!
//! The gateway routes by what [`Contract::routes`] says and nothing else; the control plane refuses a
//! release whose contract does not [parse](Contract::parse) or breaks a [convention](Contract::check).

mod conventions;
mod join;

use serde_json::{Map, Value};

pub use join::join;

/// Why a document is no contract.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON.
    #[error("the contract is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It has another shape than OpenAPI 3.1.
    #[error("the contract {place}: {expected}")]
    Shape {
        /// Where, as a JSON pointer or an operation.
        place: String,
        /// What should be there.
        expected: String,
    },
}

/// The OpenAPI 3.1 document of one service.
#[derive(Debug, Clone)]
pub struct Contract {
    document: Value,
    routes: Vec<Route>,
}

/// One operation's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// In capitals: `GET`.
    pub method: String,
    /// With parameters in braces: `/api/tasks/boards/{board}`.
    pub path: String,
    /// `tasks_get_board`
    pub operation_id: String,
    /// True when nobody needs to be signed in: `security: []`.
    pub public: bool,
}

/// The methods that an OpenAPI path may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Contract {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Json`], and [`Error::Shape`] for what is not OpenAPI 3.1 with an id on each operation.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document: Value = serde_json::from_slice(bytes)?;
        let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        if !version.starts_with("3.1") {
            return Err(shape("/openapi", "must be 3.1"));
        }
        let mut routes = Vec::new();
        for operation in operations(&document)? {
            let operation_id = operation.body.get("operationId").and_then(Value::as_str);
            let operation_id = operation_id.ok_or_else(|| shape(operation.place(), "an operationId"))?;
            let security = operation
                .body
                .get("security")
                .or_else(|| document.get("security"))
                .and_then(Value::as_array);
            routes.push(Route {
                method: operation.method.to_ascii_uppercase(),
                path: operation.path.to_owned(),
                operation_id: operation_id.to_owned(),
                // Only a stated empty list makes an operation public; nothing stated means a session.
                public: security.is_some_and(Vec::is_empty),
            });
        }
        Ok(Self { document, routes })
    }

    /// Every operation's address, in the order of the document.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// What breaks the platform's conventions, as sentences. Empty when nothing does. `service` is
    /// the name that paths and operation ids must begin with.
    pub fn check(&self, service: &str) -> Vec<String> {
        match operations(&self.document) {
            Ok(operations) => operations
                .iter()
                .flat_map(|operation| conventions::check(operation, service))
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

/// One operation, where it is.
pub(crate) struct Operation<'a> {
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) body: &'a Map<String, Value>,
}

impl Operation<'_> {
    fn place(&self) -> String {
        format!("{} {}", self.method.to_ascii_uppercase(), self.path)
    }
}

fn operations(document: &Value) -> Result<Vec<Operation<'_>>, Error> {
    let paths = document
        .get("paths")
        .and_then(Value::as_object)
        .ok_or_else(|| shape("/paths", "an object"))?;
    let mut operations = Vec::new();
    for (path, item) in paths {
        if !path.starts_with('/') {
            return Err(shape(path, "a path that begins with `/`"));
        }
        let item = item.as_object().ok_or_else(|| shape(path, "an object of methods"))?;
        for (method, body) in item {
            if METHODS.contains(&method.as_str()) {
                let body = body
                    .as_object()
                    .ok_or_else(|| shape(format!("{method} {path}"), "an object"))?;
                operations.push(Operation { path, method, body });
            }
        }
    }
    Ok(operations)
}

fn shape(place: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::Shape {
        place: place.into(),
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(security: &str) -> Vec<u8> {
        format!(
            r#"{{"openapi":"3.1.0","info":{{"title":"t","version":"1"}},"paths":{{"/api/tasks/boards/{{board}}":{{
                "summary":"not a method",
                "get":{{"operationId":"tasks_get_board"{security},"responses":{{}}}}}}}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn an_operation_is_public_only_when_it_says_so() {
        for (security, public) in [
            ("", false),
            (r#","security":[]"#, true),
            (r#","security":[{"session":[]}]"#, false),
            (r#","security":[{}]"#, false),
        ] {
            let contract = Contract::parse(&document(security)).unwrap();
            let route = &contract.routes()[0];
            assert_eq!(route.public, public, "{security}");
            assert_eq!(
                (route.method.as_str(), route.path.as_str()),
                ("GET", "/api/tasks/boards/{board}")
            );
        }
    }

    #[test]
    fn what_is_no_contract_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"openapi":"3.0.3","paths":{}}"#,
            r#"{"openapi":"3.1.0"}"#,
            r#"{"openapi":"3.1.0","paths":{"/a":{"get":{}}}}"#,
            r#"{"openapi":"3.1.0","paths":{"a":{}}}"#,
        ] {
            assert!(Contract::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_broken_convention_is_named_with_its_operation() {
        let broken = Contract::parse(&document("")).unwrap().check("billing");
        for expected in ["operationId", "path", "security", "2xx", "problem"] {
            assert!(
                broken.iter().any(|one| one.contains(expected)),
                "{expected}: {broken:?}"
            );
        }
    }
}
