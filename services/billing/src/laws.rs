//! What this service promises, over a real PostgreSQL. Named as laws.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use terrace_data_embedded::testing::Scratch;
use terrace_sdk::{
    Role,
    native::{Client, Facts, Postgres},
};

struct World {
    host: Postgres,
    owner: Client,
    member: Client,
    platform: Client,
    _scratch: Scratch,
}

async fn world() -> World {
    let scratch = Scratch::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let host = Postgres::open(scratch.connection().client_config(), "billing", folder, 8)
        .await
        .unwrap();
    let platform = Client::new(crate::router(), Arc::new(host.clone()), Facts::of("acme"));
    let (owner, member) = (
        platform.member("m_ada", Role::Owner),
        platform.member("m_bob", Role::Member),
    );
    World {
        host,
        owner,
        member,
        platform,
        _scratch: scratch,
    }
}

impl World {
    async fn happened(&self, kind: &str, data: Value) -> u16 {
        let event = json!({ "seq": 1, "type": kind, "topic": "board/1", "data": data, "time": "2026-01-01T00:00:00Z" });
        self.platform.post("/_terrace/events", event).await.status.as_u16()
    }

    async fn used(&self) -> i64 {
        self.member.get("/api/billing/plan").await.value()["usage"]["tasks"]
            .as_i64()
            .unwrap()
    }

    fn limits(&self) -> Vec<Value> {
        self.host
            .published()
            .into_iter()
            .map(|event| event.data["limit"].clone())
            .collect()
    }
}

#[tokio::test]
async fn a_new_tenant_begins_once_with_the_plan_that_it_was_created_with() {
    let world = world().await;
    for _ in 0..2 {
        let hook = world
            .platform
            .post("/_terrace/hooks/tenant-created", json!({ "owner": null }))
            .await;
        assert_eq!(hook.status, 204);
    }
    assert_eq!(world.limits(), [json!(100)]);
    let plan = world.member.get("/api/billing/plan").await.value();
    assert_eq!(
        plan,
        json!({ "plan": "free", "limits": { "tasks": 100 }, "usage": { "tasks": 0 } })
    );
}

#[tokio::test]
async fn an_operator_changes_the_plan_and_products_are_told_once() {
    let world = world().await;
    world
        .platform
        .post("/_terrace/hooks/tenant-created", json!({ "owner": null }))
        .await;
    for _ in 0..2 {
        let hook = world
            .platform
            .post("/_terrace/hooks/plan-changed", json!({ "plan": "team" }))
            .await;
        assert_eq!(hook.status, 204);
    }
    assert_eq!(world.limits(), [json!(100), Value::Null]);
    let plan = world.member.get("/api/billing/plan").await.value();
    assert_eq!(
        (&plan["plan"], &plan["limits"]["tasks"]),
        (&json!("team"), &Value::Null)
    );
}

#[tokio::test]
async fn an_owner_changes_the_plan_and_products_are_told_once() {
    let world = world().await;
    world
        .platform
        .post("/_terrace/hooks/tenant-created", json!({ "owner": null }))
        .await;
    assert_eq!(
        world
            .member
            .put("/api/billing/plan", json!({ "plan": "team" }))
            .await
            .code(),
        "forbidden"
    );
    assert_eq!(
        world
            .platform
            .put("/api/billing/plan", json!({ "plan": "team" }))
            .await
            .code(),
        "unauthenticated"
    );
    for _ in 0..2 {
        let changed = world
            .owner
            .put("/api/billing/plan", json!({ "plan": "team" }))
            .await
            .value();
        assert_eq!(changed["limits"]["tasks"], Value::Null);
    }
    assert_eq!(
        world
            .owner
            .put("/api/billing/plan", json!({ "plan": "free" }))
            .await
            .value()["limits"]["tasks"],
        100
    );
    assert_eq!(world.limits(), [json!(100), Value::Null, json!(100)]);
    assert_eq!(
        world
            .owner
            .put("/api/billing/plan", json!({ "plan": "gold" }))
            .await
            .code(),
        "validation-failed"
    );
}

#[tokio::test]
async fn the_meter_follows_what_is_created_and_deleted() {
    let world = world().await;
    for _ in 0..5 {
        assert_eq!(world.happened("tasks.task.created", json!({})).await, 204);
    }
    assert_eq!(world.happened("tasks.task.deleted", json!({})).await, 204);
    assert_eq!(world.used().await, 4);
    assert_eq!(
        world
            .happened("tasks.board.deleted", json!({ "id": 1, "tasks": 3 }))
            .await,
        204
    );
    assert_eq!(world.used().await, 1);
    assert_eq!(world.happened("tasks.comment.created", json!({})).await, 204);
    assert_eq!(world.used().await, 1);
}

#[tokio::test]
async fn an_event_of_another_shape_is_refused_so_that_it_is_not_lost() {
    let world = world().await;
    assert_eq!(world.happened("tasks.board.deleted", json!({ "id": 1 })).await, 422);
    assert_eq!(world.used().await, 0);
}
