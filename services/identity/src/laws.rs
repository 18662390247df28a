//! What this service promises, over a real PostgreSQL. Named as laws.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use terrace_data_embedded::testing::Scratch;
use terrace_sdk::{
    Role,
    native::{Answer, Client, Facts, Postgres},
};

struct World {
    nobody: Client,
    scratch: Scratch,
}

const PASSWORD: &str = "correct horse battery";

async fn world() -> World {
    let scratch = Scratch::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let host = Postgres::open(scratch.connection().client_config(), "identity", folder, 8)
        .await
        .unwrap();
    let world = World {
        nobody: Client::new(crate::router(), Arc::new(host), Facts::of("acme")),
        scratch,
    };
    assert_eq!(world.create_tenant().await.status, 204);
    world
}

impl World {
    async fn create_tenant(&self) -> Answer {
        let owner = json!({ "email": "Ada@Acme.example", "name": "Ada", "password": PASSWORD });
        self.nobody
            .post("/_terrace/hooks/tenant-created", json!({ "owner": owner }))
            .await
    }

    async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.nobody
            .post("/api/identity/session", json!({ "email": email, "password": password }))
            .await
    }

    async fn refresh(&self, token: &str) -> Answer {
        let cookie = format!("theme=dark; __Host-refresh={token}");
        self.nobody
            .header("cookie", &cookie)
            .post("/api/identity/session/refresh", json!({}))
            .await
    }

    /// Lets time go by for refresh tokens and for tries, without waiting for it.
    async fn later(&self, interval: &str) {
        let sql = format!(
            "UPDATE identity.refresh SET used_at = used_at - interval '{interval}', expires_at = expires_at - interval '{interval}';
             UPDATE identity.attempt SET since = since - interval '{interval}'"
        );
        self.scratch.admin().await.batch_execute(&sql).await.unwrap();
    }
}

fn cookie(answer: &Answer, name: &str) -> String {
    let cookies = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap());
    let prefix = format!("{name}=");
    let cookie = cookies.into_iter().find(|cookie| cookie.starts_with(&prefix)).unwrap();
    assert!(
        cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    cookie[prefix.len()..].split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_owner_signs_in_by_any_spelling_of_the_address() {
    let world = world().await;
    let answer = world.sign_in(" ada@ACME.example", PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.value();
    assert_eq!(
        (session["member"]["role"].as_str(), session["tenant"]["slug"].as_str()),
        (Some("owner"), Some("acme"))
    );
    assert!(session["member"].get("password_hash").is_none());
    assert!(!cookie(&answer, "__Host-session").is_empty());
    let me = world
        .nobody
        .member(session["member"]["id"].as_str().unwrap(), Role::Owner)
        .get("/api/identity/me")
        .await;
    assert_eq!(me.value(), session);
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_get_the_same_answer() {
    let world = world().await;
    let strip = |answer: Answer| {
        assert_eq!(answer.status, 401);
        assert!(answer.headers.get("set-cookie").is_none());
        answer.value()
    };
    let unknown = strip(world.sign_in("eve@acme.example", PASSWORD).await);
    let wrong = strip(world.sign_in("ada@acme.example", "wrong password").await);
    let short = strip(world.sign_in("ada@acme.example", "").await);
    assert_eq!(unknown, wrong);
    assert_eq!(unknown, short);
}

#[tokio::test]
async fn ten_wrong_passwords_close_an_address_for_a_while_and_no_other() {
    let world = world().await;
    let bob = json!({ "email": "bob@acme.example", "name": "Bob", "password": PASSWORD, "role": "member" });
    let owner = world.nobody.member("m_ada", Role::Owner);
    assert_eq!(owner.post("/api/identity/members", bob).await.status, 201);
    for address in ["ada@acme.example", "eve@acme.example"] {
        for _ in 0..10 {
            assert_eq!(world.sign_in(address, "wrong password").await.status, 401);
        }
        // Now even the right one is not looked at, and nobody learns whether the address exists.
        let closed = world.sign_in(address, PASSWORD).await;
        assert_eq!(
            (closed.status.as_u16(), closed.code().as_str()),
            (429, "too-many-requests")
        );
    }
    assert_eq!(world.sign_in(" ADA@acme.example", PASSWORD).await.status, 429);
    assert_eq!(world.sign_in("bob@acme.example", PASSWORD).await.status, 200);
    world.later("16 minutes").await;
    assert_eq!(world.sign_in("ada@acme.example", PASSWORD).await.status, 200);
    // A right password starts the count again.
    for _ in 0..2 {
        for _ in 0..9 {
            assert_eq!(world.sign_in("ada@acme.example", "wrong password").await.status, 401);
        }
        assert_eq!(world.sign_in("ada@acme.example", PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn creating_the_tenant_twice_makes_one_owner_with_the_first_password() {
    let world = world().await;
    let owner = json!({ "email": "ada@acme.example", "name": "Eve", "password": "another password" });
    let again = world
        .nobody
        .post("/_terrace/hooks/tenant-created", json!({ "owner": owner }))
        .await;
    assert_eq!(again.status, 204);
    assert_eq!(
        world
            .nobody
            .post("/_terrace/hooks/tenant-created", json!({ "owner": null }))
            .await
            .status,
        204
    );
    assert_eq!(world.sign_in("ada@acme.example", "another password").await.status, 401);
    let session = world.sign_in("ada@acme.example", PASSWORD).await.value();
    let ada = world
        .nobody
        .member(session["member"]["id"].as_str().unwrap(), Role::Owner);
    assert_eq!(
        ada.get("/api/identity/members").await.value()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_refresh_token_is_replaced_by_the_next_one_when_it_is_used() {
    let world = world().await;
    let first = cookie(&world.sign_in("ada@acme.example", PASSWORD).await, "__Host-refresh");
    let renewed = world.refresh(&first).await;
    assert_eq!(renewed.status, 200);
    let second = cookie(&renewed, "__Host-refresh");
    assert_ne!(first, second);
    assert_eq!(world.refresh(&second).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_later_ends_its_family_and_no_other() {
    let world = world().await;
    let other = cookie(&world.sign_in("ada@acme.example", PASSWORD).await, "__Host-refresh");
    let first = cookie(&world.sign_in("ada@acme.example", PASSWORD).await, "__Host-refresh");
    let second = cookie(&world.refresh(&first).await, "__Host-refresh");
    // Another tab, at the same moment, is believed.
    assert_eq!(world.refresh(&first).await.status, 200);
    world.later("1 minute").await;
    let reused = world.refresh(&first).await;
    assert_eq!(
        (reused.status.as_u16(), cookie(&reused, "__Host-refresh").as_str()),
        (401, "")
    );
    assert_eq!(world.refresh(&second).await.status, 401);
    assert_eq!(world.refresh(&other).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_expires_and_a_made_up_one_is_nothing() {
    let world = world().await;
    let token = cookie(&world.sign_in("ada@acme.example", PASSWORD).await, "__Host-refresh");
    world.later("8 days").await;
    assert_eq!(world.refresh(&token).await.status, 401);
    assert_eq!(world.refresh("made-up").await.status, 401);
    assert_eq!(
        world
            .nobody
            .post("/api/identity/session/refresh", json!({}))
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn signing_out_ends_the_refresh_token_and_takes_the_cookies_back() {
    let world = world().await;
    let token = cookie(&world.sign_in("ada@acme.example", PASSWORD).await, "__Host-refresh");
    let out = world
        .nobody
        .header("cookie", &format!("__Host-refresh={token}"))
        .delete("/api/identity/session")
        .await;
    assert_eq!(
        (out.status.as_u16(), cookie(&out, "__Host-session").as_str()),
        (204, "")
    );
    assert_eq!(world.refresh(&token).await.status, 401);
    assert_eq!(world.nobody.delete("/api/identity/session").await.status, 204);
}

#[tokio::test]
async fn only_an_owner_adds_members_and_each_address_once() {
    let world = world().await;
    let (owner, member) = (
        world.nobody.member("m_ada", Role::Owner),
        world.nobody.member("m_bob", Role::Member),
    );
    let bob = json!({ "email": "bob@acme.example", "name": "Bob", "password": PASSWORD, "role": "member" });
    assert_eq!(
        member.post("/api/identity/members", bob.clone()).await.code(),
        "forbidden"
    );
    assert_eq!(
        world.nobody.post("/api/identity/members", bob.clone()).await.code(),
        "unauthenticated"
    );
    let added = owner.post("/api/identity/members", bob.clone()).await;
    assert_eq!(added.status, 201);
    assert_eq!(owner.post("/api/identity/members", bob).await.code(), "conflict");
    let path = format!("/api/identity/members/{}", added.value()["id"].as_str().unwrap());
    assert_eq!(member.get(&path).await.value()["name"], "Bob");
    assert_eq!(member.get("/api/identity/members/m_nobody").await.code(), "not-found");
    let page = member.get("/api/identity/members?page_size=1").await.value();
    assert_eq!(page["items"][0]["email"], "Ada@Acme.example");
    let next = format!(
        "/api/identity/members?page_size=1&page_token={}",
        page["next_page_token"].as_str().unwrap()
    );
    assert_eq!(member.get(&next).await.value()["items"][0]["email"], "bob@acme.example");
}

#[tokio::test]
async fn a_member_that_could_never_sign_in_is_refused() {
    let world = world().await;
    let owner = world.nobody.member("m_ada", Role::Owner);
    let good = json!({ "email": "bob@acme.example", "name": "Bob", "password": PASSWORD, "role": "member" });
    for (field, value) in [
        ("email", json!("bob")),
        ("email", json!("bob @x.example")),
        ("name", json!("")),
        ("password", json!("short")),
        ("role", json!("king")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let refused = owner.post("/api/identity/members", bad).await;
        assert_eq!(
            (refused.status.as_u16(), refused.value()["errors"][0]["pointer"].clone()),
            (422, Value::from(format!("/{field}")))
        );
    }
}
