//! The demo: two customers who must never see each other, made by the public API like any other.

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Place, client::Client, say};

/// Everybody's password in the demo. It is printed at each start and guards nothing.
pub(crate) const PASSWORD: &str = "terrace-demo-2026";
/// Who may use the console.
pub(crate) const OPERATOR: &str = "operator@terrace.example";

/// A demo customer.
pub(crate) struct Tenant {
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    pub(crate) owner_email: &'static str,
    owner_name: &'static str,
    member: Option<(&'static str, &'static str)>,
    board: (&'static str, &'static [(&'static str, &'static str)]),
}

pub(crate) const TENANTS: [Tenant; 2] = [
    Tenant {
        slug: "acme",
        name: "Acme",
        owner_email: "ada@acme.example",
        owner_name: "Ada Lovelace",
        member: Some(("bob@acme.example", "Bob Okafor")),
        board: (
            "Spring launch",
            &[
                ("Write the announcement", "todo"),
                ("Book the venue", "todo"),
                ("Draw the poster", "doing"),
                ("Agree on the date", "done"),
            ],
        ),
    },
    Tenant {
        slug: "globex",
        name: "Globex",
        owner_email: "gus@globex.example",
        owner_name: "Gus Hedlund",
        member: None,
        board: (
            "Reactor inspection",
            &[("Order gauges", "todo"), ("Brief the night shift", "doing")],
        ),
    },
];

/// Makes the tenants that are not there yet.
pub(crate) async fn tenants(client: &Client, place: &Place) -> Result<()> {
    for tenant in &TENANTS {
        let owner = json!({ "email": tenant.owner_email, "name": tenant.owner_name, "password": PASSWORD });
        let body = json!({ "slug": tenant.slug, "name": tenant.name, "plan": "free", "owner": owner });
        let made = client
            .control(Method::POST, "/api/control/tenants", Some(&body))
            .await?;
        // A killed start may have left a tenant unfurnished; a person may have emptied one on purpose.
        let furnished = place.data_dir.join(format!("run/demo-{}", tenant.slug));
        if made.status == StatusCode::CONFLICT && furnished.exists() {
            continue;
        }
        if made.status != StatusCode::CONFLICT {
            made.success(&format!("make the tenant {}", tenant.slug))?;
        }
        furnish(client, tenant).await?;
        std::fs::write(&furnished, "").context("remember the demo")?;
        say("tenant", tenant.name);
    }
    Ok(())
}

/// A first board and a second member, so that the first look shows something.
async fn furnish(client: &Client, tenant: &Tenant) -> Result<()> {
    let sign_in = json!({ "email": tenant.owner_email, "password": PASSWORD });
    let answer = client
        .tenant(tenant.slug, Method::POST, "/api/identity/session", Some(&sign_in), "")
        .await?;
    let cookies = answer.cookies.clone();
    answer.success("sign in to the demo")?;
    if let Some((email, name)) = tenant.member {
        let member = json!({ "email": email, "name": name, "password": PASSWORD, "role": "member" });
        let added = client
            .tenant(
                tenant.slug,
                Method::POST,
                "/api/identity/members",
                Some(&member),
                &cookies,
            )
            .await?;
        if added.status != StatusCode::CONFLICT {
            added.success("add a demo member")?;
        }
    }
    let (title, tasks) = tenant.board;
    let board = client
        .tenant(
            tenant.slug,
            Method::POST,
            "/api/tasks/boards",
            Some(&json!({ "title": title })),
            &cookies,
        )
        .await?
        .success("make a demo board")?;
    let id = board
        .get("id")
        .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned))
        .unwrap_or_default();
    for (title, column) in tasks {
        let path = format!("/api/tasks/boards/{id}/tasks");
        let task: Value = json!({ "title": title, "column": column });
        client
            .tenant(tenant.slug, Method::POST, &path, Some(&task), &cookies)
            .await?
            .success("make a demo task")?;
    }
    Ok(())
}
