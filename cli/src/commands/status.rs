//! `terrace status`: whether the edge, the node and the database are up.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{api::Api, connection::Connection, failure::Failure, figures, output::Output, progress, table::tame};

/// A part that takes longer is not up.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(connection: Connection, output: Output) -> Result<(), Failure> {
    let url = connection.url.clone();
    let api = Api::new(connection, PATIENCE);
    let status = progress::waiting("Asking", || look(&api, &url))?;
    let is_up = ["edge", "node", "database"]
        .iter()
        .all(|part| status[part]["state"] != "down");
    if output.json {
        output.json(&status)?;
    } else {
        output.text(&page(&status, output))?;
    }
    if is_up { Ok(()) } else { Err(Failure::Down) }
}

/// Asks for one thing of each part: a page of the edge, the contract of the node, which needs no
/// database, and the clusters.
fn look(api: &Api, url: &str) -> Result<Value, Failure> {
    let edge = match api.get("/") {
        Ok(_) => json!({ "state": "up", "url": url }),
        Err(Failure::Unreachable { cause, .. }) => {
            let unknown = json!({ "state": "unknown", "detail": "it is behind the edge" });
            let edge = json!({ "state": "down", "url": url, "detail": cause });
            return Ok(json!({ "edge": edge, "node": unknown, "database": unknown }));
        }
        // The node itself serves no page: then there is no edge at this address, which is no fault.
        Err(Failure::Problem(_)) => json!({ "state": "unknown", "url": url, "detail": "this address serves no site" }),
        Err(other) => return Err(other),
    };
    let node = match api.get("/api/control/openapi.json") {
        Ok(contract) => json!({ "state": "up", "version": contract["info"]["version"] }),
        Err(Failure::Problem(problem)) => json!({ "state": "down", "detail": problem.title, "code": problem.code }),
        Err(Failure::Unreachable { cause, .. }) => json!({ "state": "down", "detail": cause }),
        Err(other) => return Err(other),
    };
    let database = if node["state"] == "up" {
        database(api)?
    } else {
        json!({ "state": "unknown", "detail": "only the node can tell" })
    };
    Ok(json!({ "edge": edge, "node": node, "database": database }))
}

fn database(api: &Api) -> Result<Value, Failure> {
    match api.list("/api/control/clusters") {
        Ok(list) => {
            let clusters = list["items"].as_array().cloned().unwrap_or_default();
            let is_up = clusters.iter().all(|cluster| cluster["state"] == "up");
            Ok(json!({ "state": if is_up { "up" } else { "down" }, "clusters": clusters }))
        }
        Err(Failure::Problem(problem)) if matches!(problem.status, 401 | 403) => {
            Ok(json!({ "state": "unknown", "detail": "sign in with `terrace login` to see it" }))
        }
        Err(Failure::Problem(problem)) => Ok(json!({ "state": "down", "detail": problem.title, "code": problem.code })),
        Err(other) => Err(other),
    }
}

fn page(status: &Value, output: Output) -> String {
    let text = |value: &Value| value.as_str().map(tame).unwrap_or_default();
    let mut page = String::new();
    let mut line = |part: &str, state: &Value, rest: String| {
        let state = text(state);
        let padding = " ".repeat(9_usize.saturating_sub(state.len()));
        page.push_str(format!("{part:<10}{}{padding}{rest}", output.style.state(&state)).trim_end());
        page.push('\n');
    };
    let edge = &status["edge"];
    line(
        "edge",
        &edge["state"],
        [text(&edge["url"]), text(&edge["detail"])].join("  "),
    );
    let node = &status["node"];
    let version = node["version"]
        .as_str()
        .map(|version| format!("version {}", tame(version)));
    line("node", &node["state"], version.unwrap_or_else(|| text(&node["detail"])));
    let database = &status["database"];
    for cluster in database["clusters"].as_array().into_iter().flatten() {
        line("database", &cluster["state"], of_cluster(cluster));
    }
    if database.get("clusters").is_none() {
        line("database", &database["state"], text(&database["detail"]));
    }
    page
}

fn of_cluster(cluster: &Value) -> String {
    let mut parts = vec![cluster["name"].as_str().map(tame).unwrap_or_default()];
    if let Some(version) = cluster["version"].as_str() {
        parts.push(format!("PostgreSQL {}", tame(version)));
    }
    parts.push(format!("{} tenants on {} lanes", cluster["tenants"], cluster["lanes"]));
    if let Some(bytes) = cluster["size_bytes"].as_u64() {
        parts.push(figures::size(bytes));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_line() {
        let cluster = json!({ "name": "main", "state": "up", "version": "17.6", "tenants": 2, "lanes": 1, "size_bytes": 12_582_912 });
        let status = json!({
            "edge": { "state": "up", "url": "http://127.0.0.1:8080" },
            "node": { "state": "up", "version": "0.1.0" },
            "database": { "state": "up", "clusters": [cluster] },
        });
        let expected = "\
edge      up       http://127.0.0.1:8080
node      up       version 0.1.0
database  up       main, PostgreSQL 17.6, 2 tenants on 1 lanes, 12.0 MiB
";
        assert_eq!(
            page(
                &status,
                Output {
                    json: false,
                    style: crate::output::Style::plain()
                }
            ),
            expected
        );
        let status = json!({
            "edge": { "state": "down", "url": "http://a", "detail": "connection refused" },
            "node": { "state": "unknown", "detail": "it is behind the edge" },
            "database": { "state": "unknown", "detail": "it is behind the edge" },
        });
        let expected = "\
edge      down     http://a  connection refused
node      unknown  it is behind the edge
database  unknown  it is behind the edge
";
        assert_eq!(
            page(
                &status,
                Output {
                    json: false,
                    style: crate::output::Style::plain()
                }
            ),
            expected
        );
    }
}
