//! Law (c): no request, token, cursor or SQL text of one tenant reads a byte of another's.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Session, Terrace};

/// In every row that Acme writes; never in an answer to Globex.
const CANARY: &str = "canary-7d1f0c";

struct Stage {
    terrace: Terrace,
    client: Client,
    ada: Session,
    gus: Session,
    board: String,
    task: String,
}

async fn stage(options: Options) -> Stage {
    let terrace = Terrace::start(options).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let board = client
        .post(&ada, "/api/tasks/boards", json!({ "title": CANARY }))
        .await
        .unwrap()
        .success()
        .unwrap();
    let board = id(&board.body);
    let path = format!("/api/tasks/boards/{board}/tasks");
    let task = client
        .post(&ada, &path, json!({ "title": CANARY }))
        .await
        .unwrap()
        .success()
        .unwrap();
    let task = id(&task.body);
    Stage {
        terrace,
        client,
        ada,
        gus,
        board,
        task,
    }
}

fn id(body: &Value) -> String {
    body["id"]
        .as_str()
        .map_or_else(|| body["id"].to_string(), str::to_owned)
}

/// Every operation of the joined contract, with Acme's ids in its path.
fn operations(contract: &Value, stage: &Stage) -> Vec<(Method, String, bool)> {
    let mut found = Vec::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_ascii_uppercase().parse::<Method>() else {
                continue;
            };
            let public = operation["security"].as_array().is_some_and(Vec::is_empty);
            let concrete = path
                .replace("{board}", &stage.board)
                .replace("{task}", &stage.task)
                .replace("{member}", stage.ada.member["id"].as_str().unwrap());
            assert!(
                !concrete.contains('{'),
                "{path} has a parameter that this law does not know: add it"
            );
            found.push((method, concrete, public));
        }
    }
    assert!(found.len() >= 15, "only {} operations were found", found.len());
    found
}

#[tokio::test]
async fn no_operation_answers_a_token_of_another_tenant() {
    let stage = stage(Options::default()).await;
    let contract = stage.client.get(&stage.gus, "/api/openapi.json").await.unwrap().body;
    // Globex's cookies on Acme's host.
    let stranger = Session {
        slug: "acme".to_owned(),
        ..stage.gus.clone()
    };
    for (method, path, public) in operations(&contract, &stage) {
        if public {
            continue;
        }
        let answer = stage
            .client
            .call(&stranger, method.clone(), &path, Some(json!({})))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::FORBIDDEN, "token-foreign"),
            "{method} {path}"
        );
        let nobody = Session {
            cookies: String::new(),
            ..stranger.clone()
        };
        let answer = stage
            .client
            .call(&nobody, method.clone(), &path, Some(json!({})))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "unauthenticated"),
            "{method} {path}"
        );
    }
    let stream = stage
        .client
        .send(
            "acme",
            Method::GET,
            "/api/events",
            &[("cookie", &stage.gus.cookies)],
            "".into(),
        )
        .await
        .unwrap();
    assert_eq!(stream.code(), "token-foreign");
}

#[tokio::test]
async fn no_operation_shows_what_another_tenants_id_names() {
    let stage = stage(Options::default()).await;
    let contract = stage.client.get(&stage.gus, "/api/openapi.json").await.unwrap().body;
    for (method, path, _) in operations(&contract, &stage) {
        let body = json!({ "title": "x", "text": "x", "email": "x@y.example", "name": "X", "password": "long enough for anybody", "role": "member", "plan": "team" });
        let answer = stage
            .client
            .call(&stage.gus, method.clone(), &path, Some(body))
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains(CANARY), "{method} {path} shows Acme's data to Globex");
        if path.contains(&stage.task) && stage.task.len() > 8 {
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {text}");
        }
    }
    let mine = stage
        .client
        .get(&stage.ada, &format!("/api/tasks/boards/{}", stage.board))
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&mine.bytes).contains(CANARY),
        "the canary was never there: the law proves nothing"
    );
}

#[tokio::test]
async fn no_cursor_reads_another_tenants_stream() {
    let stage = stage(Options::default()).await;
    let mut mine = stage.client.events(&stage.ada, Some("0")).await.unwrap();
    let (_, last, _) = until_caught_up(&mut mine).await;
    for cursor in [
        last.as_str(),
        "0",
        "1",
        "999999999",
        "-1",
        "not-a-number",
        "18446744073709551616",
    ] {
        let mut theirs = stage.client.events(&stage.gus, Some(cursor)).await.unwrap();
        let (frames, _, _) = until_caught_up(&mut theirs).await;
        assert!(
            !frames.contains(CANARY),
            "cursor {cursor} shows Acme's events to Globex"
        );
    }
}

/// Everything up to `caught-up`: its text, the last id and whether a reset came.
async fn until_caught_up(events: &mut terrace_tests_harness::Events) -> (String, String, bool) {
    let (mut text, mut last, mut reset) = (String::new(), String::new(), false);
    loop {
        let (event, id, data) = events.next().await.unwrap();
        text.push_str(&data.to_string());
        if !id.is_empty() {
            last = id;
        }
        reset |= event == "reset";
        if event == "caught-up" {
            return (text, last, reset);
        }
    }
}

#[tokio::test]
async fn no_sql_text_of_a_service_reads_another_tenants_rows() {
    let stage = stage(Options {
        hostile: true,
        ..Options::default()
    })
    .await;
    let tenants = stage
        .client
        .control(Method::GET, "/api/control/tenants", None)
        .await
        .unwrap()
        .body;
    let acme = tenants["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tenant| tenant["slug"] == "acme")
        .unwrap();
    let acme = acme["id"].as_str().unwrap();
    let attacks = include_str!("attacks.sql")
        .replace("{foreign}", &format!("{acme}_tasks"))
        .replace("{tenant}", acme);
    let mut tried = 0;
    for attack in attacks
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
    {
        let answer = stage
            .client
            .post(
                &stage.gus,
                "/api/hostile/sql",
                json!({ "statements": attack.split(";;").collect::<Vec<_>>() }),
            )
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&answer.bytes);
        assert!(!text.contains(CANARY), "{attack}\nshows Acme's data to Globex: {text}");
        tried += 1;
    }
    assert!(tried >= 40, "only {tried} attacks were tried");
    // The way the attacks take is a real one: the same endpoint reads the tenant's own rows.
    let own = stage.client.post(&stage.gus, "/api/hostile/sql", json!({ "statements": ["insert into counter (name) values ('own-row') on conflict do nothing", "select name from counter"] })).await.unwrap();
    assert!(
        String::from_utf8_lossy(&own.bytes).contains("own-row"),
        "{} {}",
        own.body,
        stage.terrace.logs()
    );
    let intact = stage
        .client
        .get(&stage.ada, &format!("/api/tasks/tasks/{}", stage.task))
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&intact.bytes).contains(CANARY),
        "an attack changed Acme's data"
    );
}
