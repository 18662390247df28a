//! One operation of the contract as one method of the client.

use serde_json::Value;

use crate::{Error, camel, comment, schema, shape};

/// Media types that are no text.
const FILES: [&str; 2] = ["application/octet-stream", "application/zstd"];

/// What its method needs to know.
pub(crate) struct Operation {
    /// The service, in camelCase: `tasks`.
    pub(crate) group: String,
    /// `createTask`
    pub(crate) name: String,
    method: String,
    path: String,
    summary: String,
    public: bool,
    idempotent: bool,
    /// Name, type and whether it is required, of parameters in the path and the query.
    parameters: Vec<(String, String, bool)>,
    query: Vec<String>,
    body: Option<String>,
    answer: String,
    /// True when it answers with server-sent events.
    pub(crate) is_stream: bool,
}

/// Every operation of a document, but for those that carry a file: a browser moves one with a form or a
/// link, and no method of a typed client is of use there.
pub(crate) fn all(document: &Value) -> Result<Vec<Operation>, Error> {
    let paths = document
        .get("paths")
        .and_then(Value::as_object)
        .ok_or_else(|| shape("/paths", "an object"))?;
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if operation.get("operationId").is_some() && !is_file(operation) {
                operations.push(read(path, method, operation)?);
            }
        }
    }
    Ok(operations)
}

/// Whether its body, or its answer, is bytes.
fn is_file(operation: &Value) -> bool {
    let sent = operation.get("requestBody").into_iter();
    let answered = operation.get("responses").and_then(Value::as_object);
    sent.chain(answered.into_iter().flat_map(serde_json::Map::values))
        .filter_map(|message| message.get("content")?.as_object())
        .any(|content| content.keys().any(|kind| FILES.contains(&kind.as_str())))
}

fn read(path: &str, method: &str, operation: &Value) -> Result<Operation, Error> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let id = text("operationId").unwrap_or_default();
    // The service is in the address; tags are for readers.
    let service = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next());
    let service = service.ok_or_else(|| shape(id, "a path of the form /api/<service>/..."))?;
    let prefix = format!("{}_", service.replace('-', "_"));
    let name = id
        .strip_prefix(&prefix)
        .ok_or_else(|| shape(id, format!("an operationId that begins with {prefix}")))?;
    let mut parameters = Vec::new();
    let mut query = Vec::new();
    let mut idempotent = false;
    for parameter in operation
        .get("parameters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let place = parameter.get("in").and_then(Value::as_str).unwrap_or_default();
        let required = parameter.get("required").and_then(Value::as_bool).unwrap_or_default();
        match place {
            "path" | "query" => {
                let kind = schema::expression(id, parameter.get("schema").unwrap_or(&Value::Null))?;
                parameters.push((name.to_owned(), kind, required));
                if place == "query" {
                    query.push(name.to_owned());
                }
            }
            // Headers are the core's work: it makes the key, and takes the version as an option.
            "header" if name.eq_ignore_ascii_case("idempotency-key") => idempotent = true,
            _ => {}
        }
    }
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    let responses = operation.get("responses").and_then(Value::as_object);
    let success = responses
        .into_iter()
        .flatten()
        .find(|(status, _)| status.starts_with('2'));
    let is_stream = success.is_some_and(|(_, response)| response.pointer("/content/text~1event-stream").is_some());
    let answer = success.and_then(|(_, response)| response.pointer("/content/application~1json/schema"));
    Ok(Operation {
        group: camel(service),
        name: camel(name),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text("summary").unwrap_or_default().to_owned(),
        public: operation
            .get("security")
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty),
        idempotent,
        parameters,
        query,
        body: body.map(|body| schema::expression(id, body)).transpose()?,
        is_stream,
        answer: answer.map_or(Ok("void".to_owned()), |answer| schema::expression(id, answer))?,
    })
}

impl Operation {
    /// The method's text, at so many spaces.
    pub(crate) fn method(&self, indent: usize) -> String {
        let mut arguments = Vec::new();
        if !self.parameters.is_empty() {
            let fields: Vec<String> = self
                .parameters
                .iter()
                .map(|(name, kind, required)| {
                    format!("{}{}: {kind}", schema::key(name), if *required { "" } else { "?" })
                })
                .collect();
            let optional = !self.parameters.iter().any(|(_, _, required)| *required) && self.body.is_none();
            let default = if optional { " = {}" } else { "" };
            arguments.push(format!("params: {{ {} }}{default}", fields.join("; ")));
        }
        if let Some(body) = &self.body {
            arguments.push(format!("body: {body}"));
        }
        arguments.push("options: RequestOptions = {}".to_owned());
        let mut request = vec![
            format!("method: \"{}\"", self.method),
            format!("path: \"{}\"", self.path),
        ];
        if self.public {
            request.push("public: true".to_owned());
        }
        if self.idempotent {
            request.push("idempotent: true".to_owned());
        }
        if !self.parameters.is_empty() {
            request.push("params".to_owned());
        }
        if !self.query.is_empty() {
            let names: Vec<String> = self.query.iter().map(|name| format!("\"{name}\"")).collect();
            request.push(format!("query: [{}]", names.join(", ")));
        }
        if self.body.is_some() {
            request.push("body".to_owned());
        }
        let doc = comment(Some(&self.summary), indent);
        let (name, answer, space) = (&self.name, &self.answer, " ".repeat(indent));
        format!(
            "{doc}{space}{name}: ({}): Promise<{answer}> =>\n{space}  core.request<{answer}>({{ {} }}, options),\n",
            arguments.join(", "),
            request.join(", ")
        )
    }
}
