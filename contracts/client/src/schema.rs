//! JSON Schema as TypeScript types.

use serde_json::Value;

use crate::{Error, comment, shape};

/// `export interface` for an object, `export type` for everything else.
pub(crate) fn declaration(name: &str, schema: &Value) -> Result<String, Error> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(shape(name, "a schema name of letters, digits and underscores"));
    }
    let doc = comment(schema.get("description").and_then(Value::as_str), 0);
    if schema.get("properties").is_some() {
        Ok(format!("{doc}export interface {name} {}\n\n", object(name, schema, 0)?))
    } else {
        Ok(format!("{doc}export type {name} = {};\n\n", expression(name, schema)?))
    }
}

/// A type as it stands inside another.
pub(crate) fn expression(place: &str, schema: &Value) -> Result<String, Error> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target
            .strip_prefix("#/components/schemas/")
            .ok_or_else(|| shape(place, "a reference to a schema"))?;
        return Ok(name.to_owned());
    }
    if let Some(value) = schema.get("const") {
        return Ok(value.to_string());
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Ok(values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | "));
    }
    for (keyword, separator) in [("oneOf", " | "), ("anyOf", " | "), ("allOf", " & ")] {
        if let Some(parts) = schema.get(keyword).and_then(Value::as_array) {
            let parts: Result<Vec<String>, Error> = parts.iter().map(|part| expression(place, part)).collect();
            return Ok(parts?.join(separator));
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => simple(place, kind, schema),
        Some(Value::Array(kinds)) => {
            let kinds = kinds
                .iter()
                .map(|kind| simple(place, kind.as_str().unwrap_or_default(), schema));
            Ok(kinds.collect::<Result<Vec<String>, Error>>()?.join(" | "))
        }
        // JSON Schema without a type means anything.
        _ => Ok("unknown".to_owned()),
    }
}

fn simple(place: &str, kind: &str, schema: &Value) -> Result<String, Error> {
    Ok(match kind {
        "string" => "string".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "boolean".to_owned(),
        "null" => "null".to_owned(),
        "array" => {
            let items = schema
                .get("items")
                .map_or(Ok("unknown".to_owned()), |items| expression(place, items))?;
            if items.contains(' ') {
                format!("({items})[]")
            } else {
                format!("{items}[]")
            }
        }
        "object" if schema.get("properties").is_some() => object(place, schema, 2)?,
        "object" => match schema.get("additionalProperties") {
            Some(inner @ Value::Object(_)) => format!("Record<string, {}>", expression(place, inner)?),
            _ => "Record<string, unknown>".to_owned(),
        },
        other => return Err(shape(place, format!("a JSON type, not `{other}`"))),
    })
}

fn object(place: &str, schema: &Value, indent: usize) -> Result<String, Error> {
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .ok_or_else(|| shape(place, "properties"))?;
    let required = schema.get("required").and_then(Value::as_array);
    let mut sorted: Vec<_> = properties.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let space = " ".repeat(indent + 2);
    let mut text = String::from("{\n");
    for (name, property) in sorted {
        let optional = if required.is_some_and(|names| names.iter().any(|one| one == name)) {
            ""
        } else {
            "?"
        };
        let written = expression(&format!("{place}.{name}"), property)?;
        text.push_str(&comment(
            property.get("description").and_then(Value::as_str),
            indent + 2,
        ));
        text.push_str(&format!("{space}{}{optional}: {written};\n", key(name)));
    }
    text.push_str(&" ".repeat(indent));
    text.push('}');
    Ok(text)
}

/// A property's name, in quotes when it needs them.
pub(crate) fn key(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.bytes().next().is_some_and(|first| first.is_ascii_digit());
    if plain {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}
