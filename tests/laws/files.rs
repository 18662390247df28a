//! Law: a tenant's files are its own, whole, bounded, and given out by nothing but a link that was made
//! for them.

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Part, Session, Terrace};

use crate::{
    stage::{hostile, hostile_with},
    wait::until,
};

async fn files(client: &Client, session: &Session, calls: Value) -> String {
    let answer = client.post(session, "/api/hostile/files", calls).await.unwrap();
    let answer = answer.success().unwrap();
    answer.body["did"].as_str().unwrap().to_owned()
}

/// As a browser that has the link and no session.
async fn browse(terrace: &Terrace, slug: &str, method: Method, link: &str, body: &[u8]) -> http::Response<Vec<u8>> {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{}{link}", terrace.port))
        .header("host", format!("{slug}.localhost"))
        .header("content-type", "text/html")
        .body(Full::new(bytes::Bytes::copy_from_slice(body)))
        .unwrap();
    let http = Http::builder(TokioExecutor::new()).build_http();
    let (head, body) = http.request(request).await.unwrap().into_parts();
    http::Response::from_parts(head, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_file_is_its_tenants_and_outlives_the_node() {
    let (mut terrace, client, ada, gus) = hostile().await;
    // Nothing was written: there is no table yet, and nothing in it.
    let look = json!([{ "call": "get", "name": "a.txt" }, { "call": "list" }, { "call": "delete", "name": "a.txt" }]);
    assert_eq!(files(&client, &ada, look.clone()).await, "nothing; ; deleted");
    let calls = json!([
        { "call": "put", "name": "a.txt", "content": "acme's" },
        { "call": "put", "name": "b/1.txt", "content": "first" }, { "call": "put", "name": "b/1.txt", "content": "second" },
        { "call": "put", "name": "b/2.bin", "content": "0123456789abcdef", "times": 200_000, "content_type": "application/x-some" },
        { "call": "get", "name": "a.txt" }, { "call": "get", "name": "b/1.txt" }, { "call": "get", "name": "b/2.bin" },
        { "call": "stat", "name": "b/2.bin" }, { "call": "list" }, { "call": "list", "name": "b/" },
        { "call": "list", "name": "b/", "content": "b/1.txt" },
    ]);
    assert_eq!(
        files(&client, &ada, calls).await,
        "a.txt 6 text/plain 938323cf; b/1.txt 5 text/plain a7937b64; b/1.txt 6 text/plain 16367aac; \
         b/2.bin 3200000 application/x-some 69cc92e4; acme's; second; 3200000 bytes; 3200000 application/x-some; \
         a.txt,b/1.txt,b/2.bin; b/1.txt,b/2.bin; b/2.bin"
    );
    assert_eq!(files(&client, &gus, look).await, "nothing; ; deleted");
    for name in ["", "../a.txt", "a//b", "/a.txt", "a\nb"] {
        let said = files(&client, &ada, json!([{ "call": "put", "name": name }])).await;
        assert!(
            said.starts_with("BadValue: ") && said.contains("is not a file's name"),
            "{said}"
        );
    }
    let wrong_type = json!([{ "call": "put", "name": "a", "content_type": "text/html\r\nset-cookie: a=b" }]);
    assert!(files(&client, &ada, wrong_type).await.contains("is not a content type"));

    terrace.kill(Part::Node).await.unwrap();
    let body = json!([{ "call": "get", "name": "a.txt" }, { "call": "delete", "name": "a.txt" }, { "call": "get", "name": "a.txt" }]);
    let said = until("the node answers again", || async {
        let answer = client.post(&ada, "/api/hostile/files", body.clone()).await.ok()?;
        Some(answer.success().ok()?.body["did"].as_str()?.to_owned())
    })
    .await;
    assert_eq!(said, "acme's; deleted; nothing");
}

#[tokio::test]
async fn a_tenants_files_are_bounded() {
    let (_terrace, client, ada, gus) = hostile_with("[blob]\nfile_mib = 1\ntenant_files = 3\ntenant_mib = 2\n").await;
    let put = |name: &str, times: usize| json!([{ "call": "put", "name": name, "content": "x", "times": times }]);
    let said = files(&client, &ada, put("large", (1 << 20) + 1)).await;
    assert!(said.contains("Limit: a file has at most 1048576 bytes"), "{said}");
    for name in ["a", "b"] {
        assert!(!files(&client, &ada, put(name, 1 << 20)).await.contains("Limit"));
    }
    let said = files(&client, &ada, put("c", 1)).await;
    assert!(said.contains("3 files and 2 MiB"), "{said}");
    // What is replaced makes room for itself, and what is deleted for another.
    assert_eq!(files(&client, &ada, put("a", 1)).await.split(' ').nth(1), Some("1"));
    assert_eq!(files(&client, &ada, put("c", 1)).await.split(' ').nth(1), Some("1"));
    assert!(files(&client, &ada, put("d", 1)).await.contains("3 files"));
    files(&client, &ada, json!([{ "call": "delete", "name": "c" }])).await;
    assert!(!files(&client, &ada, put("d", 1)).await.contains("Limit"));
    assert!(!files(&client, &gus, put("theirs", 1 << 20)).await.contains("Limit"));
}

#[tokio::test]
async fn a_link_opens_one_file_of_one_tenant_in_one_way_until_it_ends() {
    let (terrace, client, ada, _) = hostile_with("[blob]\nfile_mib = 1\n").await;
    let made = files(
        &client,
        &ada,
        json!([
            { "call": "put", "name": "a b.html", "content": "<script>1</script>", "content_type": "text/html" },
            { "call": "read-link", "name": "a b.html", "seconds": 60 },
            { "call": "write-link", "name": "up/load", "seconds": 60 },
            { "call": "read-link", "name": "up/load", "seconds": 60 },
            { "call": "read-link", "name": "a b.html", "seconds": 0 },
            { "call": "read-link", "name": "a b.html", "seconds": 604_801 },
            { "call": "put", "name": "p.png", "content": "png", "content_type": "image/png" },
            { "call": "read-link", "name": "p.png", "seconds": 60 },
        ]),
    )
    .await;
    let parts: Vec<&str> = made.split("; ").collect();
    let [_, page, upload, uploaded, ended, _, _, picture] = parts[..] else {
        panic!("{made}")
    };
    assert!(parts[5].contains("7 days at most"), "{made}");

    // Without a session. It is for saving, and could run nothing if it were shown.
    let read = browse(&terrace, "acme", Method::GET, page, b"").await;
    assert_eq!(
        (read.status(), read.body().as_slice()),
        (StatusCode::OK, &b"<script>1</script>"[..])
    );
    let header = |response: &http::Response<Vec<u8>>, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(header(&read, "content-disposition").starts_with("attachment; filename*=UTF-8''a%20b%2Ehtml"));
    assert!(header(&read, "content-security-policy").contains("sandbox"));
    assert_eq!(header(&read, "x-content-type-options"), "nosniff");
    assert_eq!(header(&read, "content-type"), "text/html");
    let shown = browse(&terrace, "acme", Method::GET, picture, b"").await;
    assert!(header(&shown, "content-disposition").starts_with("inline"));

    // Whatever differs from it by anything is nothing.
    let refused = [
        ("globex", Method::GET, page.to_owned()),
        ("acme", Method::GET, ended.to_owned()),
        ("acme", Method::GET, page.replace("a%20b.html", "up/load")),
        ("acme", Method::GET, page.replace("/hostile/", "/tasks/")),
        ("acme", Method::PUT, page.replace("may=read", "may=write")),
        ("acme", Method::GET, page.replace("until=1", "until=2")),
        ("acme", Method::GET, "/api/_blob/hostile/a%20b.html".to_owned()),
        ("acme", Method::GET, "/api/_blob/".to_owned()),
    ];
    for (slug, method, link) in refused {
        let answer = browse(&terrace, slug, method, &link, b"").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{slug} {link}");
    }
    for (method, link) in [(Method::PUT, page), (Method::POST, page), (Method::GET, upload)] {
        let answer = browse(&terrace, "acme", method, link, b"").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{link}");
    }

    // An upload is there at once, under the type that the browser gave.
    let missing = browse(&terrace, "acme", Method::GET, uploaded, b"").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let large = vec![b'x'; (1 << 20) + 1];
    let too_large = browse(&terrace, "acme", Method::PUT, upload, &large).await;
    assert_eq!(too_large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let put = browse(&terrace, "acme", Method::PUT, upload, b"from a browser").await;
    assert_eq!(put.status(), StatusCode::OK, "{}", String::from_utf8_lossy(put.body()));
    let read = browse(&terrace, "acme", Method::GET, uploaded, b"").await;
    assert_eq!(read.body(), b"from a browser");
    assert_eq!(header(&read, "etag"), header(&put, "etag"));
    let head = browse(&terrace, "acme", Method::HEAD, uploaded, b"").await;
    assert_eq!(
        (head.status(), header(&head, "content-length").as_str()),
        (StatusCode::OK, "14")
    );
    assert_eq!(
        files(&client, &ada, json!([{ "call": "get", "name": "up/load" }])).await,
        "from a browser"
    );
}
