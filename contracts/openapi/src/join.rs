//! One document of several contracts.

use serde_json::{Map, Value, json};
use terrace_ground_ids::ServiceName;

use crate::Contract;

/// The contracts as one document. Paths cannot clash: each begins with its service's name. A schema
/// that two services call the same and mean differently keeps its name in the first, and gets its
/// service's name in front in the second (`BillingPlan`).
pub fn join(contracts: &[(ServiceName, Contract)]) -> Value {
    let mut sorted: Vec<_> = contracts.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut paths = Map::new();
    let mut schemas: Map<String, Value> = Map::new();
    let mut security = Map::new();
    for (service, contract) in sorted {
        let mut document = contract.document().clone();
        for name in clashes(&document, &schemas) {
            rename(
                &mut document,
                &name,
                &format!("{}{name}", capitalised(service.as_str())),
            );
        }
        move_into(&mut document, "/paths", &mut paths);
        move_into(&mut document, "/components/schemas", &mut schemas);
        move_into(&mut document, "/components/securitySchemes", &mut security);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Terrace", "description": "Every service of this installation.", "version": "0" },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security },
    })
}

fn move_into(document: &mut Value, pointer: &str, all: &mut Map<String, Value>) {
    if let Some(Value::Object(part)) = document.pointer_mut(pointer).map(Value::take) {
        all.extend(part);
    }
}

fn clashes(document: &Value, schemas: &Map<String, Value>) -> Vec<String> {
    let Some(own) = document.pointer("/components/schemas").and_then(Value::as_object) else {
        return Vec::new();
    };
    let clash = |(name, schema): &(&String, &Value)| schemas.get(*name).is_some_and(|other| other != *schema);
    own.iter().filter(clash).map(|(name, _)| name.clone()).collect()
}

fn rename(document: &mut Value, from: &str, to: &str) {
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
        && let Some(schema) = schemas.remove(from)
    {
        schemas.insert(to.to_owned(), schema);
    }
    point(
        document,
        &format!("#/components/schemas/{from}"),
        &format!("#/components/schemas/{to}"),
    );
}

fn point(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                match inner {
                    Value::String(target) if key == "$ref" && target == from => to.clone_into(target),
                    inner => point(inner, from, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point(item, from, to)),
        _ => {}
    }
}

fn capitalised(name: &str) -> String {
    name.split('-')
        .map(|word| word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(service: &str, kind: &str) -> (ServiceName, Contract) {
        let document = json!({
            "openapi": "3.1.0",
            "paths": { format!("/api/{service}/x"): { "get": {
                "operationId": format!("{service}_get_x"),
                "responses": { "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Plan" } } } } },
            } } },
            "components": { "schemas": { "Plan": { "type": kind }, "Problem": { "type": "object" } } },
        });
        (
            service.parse().unwrap(),
            Contract::parse(document.to_string().as_bytes()).unwrap(),
        )
    }

    #[test]
    fn two_meanings_of_a_name_stay_two_schemas() {
        let joined = join(&[contract("tasks", "string"), contract("billing", "object")]);
        let schemas = joined.pointer("/components/schemas").unwrap().as_object().unwrap();
        assert_eq!(schemas["Plan"]["type"], "object");
        assert_eq!(schemas["TasksPlan"]["type"], "string");
        assert_eq!(schemas.len(), 3);
        let target = joined.pointer("/paths/~1api~1tasks~1x/get/responses/200/content/application~1json/schema/$ref");
        assert_eq!(target.unwrap(), "#/components/schemas/TasksPlan");
    }

    #[test]
    fn the_order_of_services_does_not_matter() {
        let (a, b) = (contract("tasks", "string"), contract("billing", "object"));
        assert_eq!(join(&[a.clone(), b.clone()]), join(&[b, a]));
    }
}
