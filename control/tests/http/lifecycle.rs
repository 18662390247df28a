//! What is done to tenants over HTTP: suspended, renamed, exported, imported; over a platform in memory.

use async_trait::async_trait;
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::json;
use terrace_control::{
    DeletedTenant, Destination, Error, Lifecycle, NewImport, NewRestore, NewTenant, Operation, OperationKind,
    OperationState, OperationStep, Pieces, Plan, Platform as _, Rename, Tenant, TenantRef, TenantState,
};
use terrace_ground_ids::{ArchiveId, Slug};
use tower::ServiceExt as _;

use crate::{app, get, memory::Memory, post, request, send, session};

const ARCHIVE: &str = "a_7f3k9q2m4x";

impl Memory {
    fn change(&self, tenant: &TenantRef, change: impl FnOnce(&mut Tenant)) -> Result<Tenant, Error> {
        let mut tenants = self.tenants.lock().unwrap();
        let found = tenants.values_mut().find(|each| match tenant {
            TenantRef::Id(id) => each.id == *id,
            TenantRef::Slug(slug) => each.slug == *slug,
        });
        let found = found.ok_or_else(|| Error::NotFound(format!("There is no tenant `{tenant}`.")))?;
        change(found);
        Ok(found.clone())
    }
}

#[async_trait]
impl Lifecycle for Memory {
    async fn suspend(&self, tenant: &TenantRef, _: &str) -> Result<Tenant, Error> {
        if tenant.to_string() == "busy" {
            return Err(Error::Conflict(
                "operation 17 (rename) runs on the tenant now".to_owned(),
            ));
        }
        self.change(tenant, |tenant| tenant.state = TenantState::Suspended)
    }

    async fn resume(&self, tenant: &TenantRef, _: &str) -> Result<Tenant, Error> {
        self.change(tenant, |tenant| tenant.state = TenantState::Active)
    }

    async fn change_plan(&self, tenant: &TenantRef, plan: Plan, _: &str) -> Result<Tenant, Error> {
        self.change(tenant, |tenant| tenant.plan = plan)
    }

    async fn rename(&self, tenant: &TenantRef, rename: Rename, _: &str) -> Result<Tenant, Error> {
        let changed = self.change(tenant, |tenant| {
            if let Some(name) = rename.name {
                tenant.name = name;
            }
        })?;
        let Some(slug) = rename.slug else { return Ok(changed) };
        let mut tenants = self.tenants.lock().unwrap();
        if tenants.contains_key(&slug) {
            return Err(Error::Conflict(format!("The slug `{slug}` is taken.")));
        }
        let mut moved = tenants.remove(&changed.slug).unwrap();
        moved.slug = slug.clone();
        tenants.insert(slug, moved.clone());
        Ok(moved)
    }

    async fn operations(&self, tenant: Option<&TenantRef>) -> Result<Vec<Operation>, Error> {
        let Some(tenant) = tenant else { return Ok(Vec::new()) };
        let tenant = self.tenant(tenant).await?;
        Ok(vec![Operation {
            id: 17,
            tenant: tenant.id,
            slug: Some(tenant.slug),
            kind: OperationKind::Rename,
            state: OperationState::Running,
            steps: vec![OperationStep {
                step: "reserved".to_owned(),
                at: Timestamp::now(),
            }],
            remaining: vec!["renamed".to_owned()],
            actor: Some("Olga".to_owned()),
            error: None,
            attempts: 0,
            retry_at: None,
            started_at: Timestamp::now(),
            finished_at: None,
            evidence: json!({}),
        }])
    }

    async fn finish(&self, tenant: &TenantRef) -> Result<Vec<Operation>, Error> {
        self.operations(Some(tenant)).await
    }

    async fn export(&self, tenant: &TenantRef, _: &str) -> Result<Pieces, Error> {
        self.tenant(tenant).await?;
        Ok(futures_util::stream::iter([Ok("one ".into()), Ok("two".into())]).boxed())
    }

    async fn begin_archive(&self) -> Result<ArchiveId, Error> {
        Ok(ARCHIVE.parse().unwrap())
    }

    async fn put_part(&self, _: &ArchiveId, number: u32, content: Bytes) -> Result<(), Error> {
        self.parts.lock().unwrap().insert(number, content);
        Ok(())
    }

    async fn import(&self, import: NewImport, operator: &str) -> Result<Tenant, Error> {
        let name = self
            .parts
            .lock()
            .unwrap()
            .values()
            .fold(String::new(), |text, part| text + std::str::from_utf8(part).unwrap());
        let new = NewTenant {
            slug: import.slug,
            name: import.name.unwrap_or(name),
            plan: import.plan.unwrap_or_default(),
            region: None,
            owner: None,
        };
        self.create_tenant(new, operator).await
    }

    async fn restore(&self, restore: NewRestore, _: &str) -> Result<Tenant, Error> {
        self.change(&restore.tenant, |tenant| tenant.state = TenantState::Creating)
    }

    async fn relocate(&self, tenant: &TenantRef, to: Destination, _: &str) -> Result<Tenant, Error> {
        self.change(tenant, |tenant| {
            if let Some(cluster) = to.cluster {
                tenant.placement.cluster = cluster;
            }
        })
    }

    async fn cancel_move(&self, tenant: &TenantRef) -> Result<Tenant, Error> {
        self.change(tenant, |_| ())
    }

    async fn evidence(&self, tenant: &TenantRef) -> Result<DeletedTenant, Error> {
        match tenant {
            TenantRef::Id(id) => Ok(DeletedTenant {
                id: id.clone(),
                deleted_at: Timestamp::now(),
                deleted_by: Some("Olga".to_owned()),
                evidence: json!({"left": 0}),
            }),
            TenantRef::Slug(_) => Err(Error::NotFound("There is no such deleted tenant.".to_owned())),
        }
    }
}

async fn acme() -> axum::Router {
    let app = app();
    let made = post(&app, "/api/control/tenants", json!({ "slug": "acme", "name": "Acme" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    app
}

async fn bare(app: &axum::Router, path: &str) -> crate::Answer {
    send(app, request("POST", &format!("/api/control/tenants/{path}"), None)).await
}

#[tokio::test]
async fn a_tenant_is_suspended_and_resumed_and_what_is_in_the_way_is_named() {
    let app = acme().await;
    let suspended = bare(&app, "acme/suspend").await;
    assert_eq!(
        (suspended.status, &suspended.body["state"]),
        (StatusCode::OK, &json!("suspended"))
    );
    assert_eq!(bare(&app, "acme/resume").await.body["state"], "active");
    bare(&app, "nobody/suspend").await.is_problem("not-found", 404);
    let busy = bare(&app, "busy/suspend").await;
    busy.is_problem("conflict", 409);
    assert!(busy.body["detail"].as_str().unwrap().contains("operation 17 (rename)"));
}

#[tokio::test]
async fn names_and_plans_are_checked_before_anything_is_changed() {
    let app = acme().await;
    let rename = "/api/control/tenants/acme/rename";
    for (body, pointer) in [
        (json!({}), ""),
        (json!({ "slug": "console" }), "/slug"),
        (json!({ "slug": "No" }), "/slug"),
        (json!({ "name": "" }), "/name"),
    ] {
        let refused = post(&app, rename, body.clone()).await;
        refused.is_problem("validation-failed", 422);
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
    let plan = post(&app, "/api/control/tenants/acme/plan", json!({ "plan": "gold" })).await;
    assert_eq!(plan.pointers(), ["/plan"]);
    let renamed = post(&app, rename, json!({ "slug": "acme2", "name": "Acme Two" }))
        .await
        .body;
    assert_eq!(
        (&renamed["slug"], &renamed["name"]),
        (&json!("acme2"), &json!("Acme Two"))
    );
    get(&app, "/api/control/tenants/acme")
        .await
        .is_problem("not-found", 404);
    let changed = post(&app, "/api/control/tenants/acme2/plan", json!({ "plan": "team" })).await;
    assert_eq!(changed.body["plan"], "team");
    let operations = get(&app, "/api/control/tenants/acme2/operations").await.body;
    assert_eq!(operations["items"][0]["remaining"], json!(["renamed"]));
}

#[tokio::test]
async fn a_restore_names_its_tenant_and_a_deletion_leaves_its_proof() {
    let app = acme().await;
    let restore = format!("/api/control/archives/{ARCHIVE}/restore");
    let refused = post(&app, &restore, json!({ "tenant": "No!" })).await;
    assert_eq!(refused.pointers(), ["/tenant"]);
    post(&app, &restore, json!({ "tenant": "nobody" }))
        .await
        .is_problem("not-found", 404);
    let made = post(&app, &restore, json!({ "tenant": "acme" })).await;
    assert_eq!(
        (made.status, &made.body["state"]),
        (StatusCode::ACCEPTED, &json!("creating"))
    );
    let proof = get(&app, "/api/control/tenants/t_7f3k9q2m/evidence").await.body;
    assert_eq!(
        (&proof["deleted_by"], &proof["evidence"]["left"]),
        (&json!("Olga"), &json!(0))
    );
    get(&app, "/api/control/tenants/acme/evidence")
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn clusters_are_added_and_drained_and_tenants_moved_by_their_names() {
    let app = acme().await;
    let clusters = "/api/control/clusters";
    let wrong = json!({ "name": "No!", "host": "", "database": "terrace", "plans": ["gold"] });
    let refused = post(&app, clusters, wrong).await;
    assert_eq!(refused.pointers(), ["/name", "/host", "/plans/0"]);
    let away = json!({ "name": "eu-2", "host": "nowhere", "database": "terrace" });
    assert_eq!(post(&app, clusters, away).await.code(), "data-unavailable");
    let added = json!({ "name": "eu-2", "host": "10.0.4.2", "database": "terrace", "plans": ["team"] });
    let added = post(&app, clusters, added).await;
    assert_eq!(
        (added.status, &added.body["name"]),
        (StatusCode::CREATED, &json!("eu-2"))
    );
    let drained = send(&app, request("POST", "/api/control/clusters/eu-2/drain", None)).await;
    assert_eq!(drained.body["draining"], true);
    assert_eq!(
        get(&app, "/api/control/clusters/balance").await.body["items"],
        json!([])
    );
    let nowhere = post(&app, "/api/control/tenants/acme/move", json!({})).await;
    nowhere.is_problem("validation-failed", 422);
    let own = post(&app, "/api/control/tenants/acme/move", json!({ "lane": "own" })).await;
    assert_eq!(own.status, StatusCode::ACCEPTED);
    let refused = post(&app, "/api/control/tenants/acme/move", json!({ "cluster": "No!" })).await;
    assert_eq!(refused.pointers(), ["/cluster"]);
    let moving = post(&app, "/api/control/tenants/acme/move", json!({ "cluster": "eu-2" })).await;
    assert_eq!(
        (moving.status, &moving.body["placement"]["cluster"]),
        (StatusCode::ACCEPTED, &json!("eu-2"))
    );
    assert_eq!(bare(&app, "acme/cancel-move").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_export_is_streamed() {
    let app = acme().await;
    let whole = app
        .clone()
        .oneshot(request("GET", "/api/control/tenants/acme/export", None))
        .await
        .unwrap();
    assert_eq!(whole.headers()[header::CONTENT_TYPE], "application/zstd");
    assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "one two");
    get(&app, "/api/control/tenants/nobody/export")
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn an_archive_comes_in_parts_and_a_part_has_a_limit() {
    let app = acme().await;
    let begun = send(&app, request("POST", "/api/control/archives", None)).await;
    assert_eq!(
        (begun.status, &begun.body["id"]),
        (StatusCode::CREATED, &json!(ARCHIVE))
    );
    let limit = usize::try_from(begun.body["part_bytes_max"].as_u64().unwrap()).unwrap();
    let put = |number: &str, content: Vec<u8>| {
        Request::put(format!("/api/control/archives/{ARCHIVE}/parts/{number}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", session()))
            .body(Body::from(content))
            .unwrap()
    };
    for (number, content) in [("1", &b"works"[..]), ("0", b"It ")] {
        assert_eq!(
            send(&app, put(number, content.to_vec())).await.status,
            StatusCode::NO_CONTENT
        );
    }
    send(&app, put("2", vec![0; limit + 1]))
        .await
        .is_problem("body-too-large", 413);
    assert!(send(&app, put("-1", Vec::new())).await.status.is_client_error());
    let import = format!("/api/control/archives/{ARCHIVE}/import");
    let refused = post(&app, &import, json!({ "slug": "mail", "plan": "gold" })).await;
    assert_eq!(refused.pointers(), ["/slug", "/plan"]);
    let slug: Slug = "acme2".parse().unwrap();
    let made = post(&app, &import, json!({ "slug": slug })).await;
    assert_eq!(
        (made.status, &made.body["name"]),
        (StatusCode::ACCEPTED, &json!("It works"))
    );
    post(&app, "/api/control/archives/../import", json!({ "slug": slug }))
        .await
        .is_problem("not-found", 404);
}
