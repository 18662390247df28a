//! Sites: they are served from memory, whatever happens behind, and hosts stay apart.

use std::{fs, io::Read as _};

use http::{Method, StatusCode};
use http_body_util::Full;
use terrace_edge::Edge;

use crate::{browser, config, edge, node::Node, until};

const PAGE: &[u8] = b"<!doctype html><title>Tasks</title><script type=module src=/assets/index-4f3ab2c9.js></script>";

fn script(word: &str) -> Vec<u8> {
    format!("export const word = '{word}';\n").repeat(200).into_bytes()
}

async fn node_with_tasks() -> Node {
    let node = Node::start().await;
    node.deploy(
        "tasks",
        &[
            ("/index.html", PAGE),
            ("/assets/index-4f3ab2c9.js", &script("one")),
            ("/logo.png", b"\x89PNG not really"),
        ],
    );
    node.host("acme", "tasks");
    node
}

async fn has_taken_over(edge: &Edge, node: &Node) {
    until("the edge serves the newest snapshot", async || {
        browser::health(edge).await["snapshot"] == node.version()
    })
    .await;
}

async fn encoded(edge: &Edge, path: &str, coding: &str) {
    until("the encoded forms are ready", async || {
        browser::get_with(edge, "acme", path, "accept-encoding", coding)
            .await
            .header("content-encoding")
            == coding
    })
    .await;
}

#[tokio::test]
async fn a_site_is_served_while_the_node_is_dead_and_after_a_restart_from_the_disk_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = node_with_tasks().await;
    let first = edge(config(&node, directory.path())).await;
    for coding in ["br", "zstd", "gzip"] {
        encoded(&first, "/assets/index-4f3ab2c9.js", coding).await;
    }
    until("the snapshot is on the disk", async || {
        directory.path().join("snapshot.json").exists()
    })
    .await;
    node.kill().await;
    assert_eq!(browser::visit(&first, "acme", "/").await.body, PAGE);
    until("the outage is noticed", async || {
        browser::health(&first).await["node"] == "down"
    })
    .await;
    assert_eq!(browser::visit(&first, "acme", "/boards/7").await.body, PAGE);
    first.stop().await;

    // No waiting here: the very first request after the port is open is served.
    let second = Edge::start(config(&node, directory.path())).await.unwrap();
    let page = browser::visit(&second, "acme", "/").await;
    assert_eq!((page.status, page.body.as_ref()), (StatusCode::OK, PAGE));
    let asset = browser::get_with(&second, "acme", "/assets/index-4f3ab2c9.js", "accept-encoding", "br").await;
    assert_eq!(
        asset.header("content-encoding"),
        "br",
        "a restart does not encode again"
    );
}

#[tokio::test]
async fn every_encoding_decodes_to_the_same_bytes_and_tells_its_own_length() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(config(&node, directory.path())).await;
    let (path, content) = ("/assets/index-4f3ab2c9.js", script("one"));
    let mut tags = vec![browser::get(&edge, "acme", path).await.header("etag").to_owned()];
    for coding in ["br", "zstd", "gzip"] {
        encoded(&edge, path, coding).await;
        let answer = browser::get_with(&edge, "acme", path, "accept-encoding", coding).await;
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert_eq!(answer.header("vary"), "accept-encoding");
        assert!(answer.body.len() < content.len());
        let mut decoded = Vec::new();
        match coding {
            "br" => brotli::Decompressor::new(answer.body.as_ref(), 4096)
                .read_to_end(&mut decoded)
                .unwrap(),
            "zstd" => zstd::Decoder::new(answer.body.as_ref())
                .unwrap()
                .read_to_end(&mut decoded)
                .unwrap(),
            _ => flate2::read::GzDecoder::new(answer.body.as_ref())
                .read_to_end(&mut decoded)
                .unwrap(),
        };
        assert_eq!(decoded, content, "{coding}");

        let head = browser::send(
            browser::request(&edge, Method::HEAD, "acme", path)
                .header("accept-encoding", coding)
                .body(Full::default())
                .unwrap(),
        )
        .await;
        assert!(head.body.is_empty());
        for name in [
            "content-length",
            "content-encoding",
            "etag",
            "cache-control",
            "content-type",
        ] {
            assert_eq!(head.header(name), answer.header(name), "{coding} {name}");
        }
        tags.push(answer.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "each form has a tag of its own");
    let picture = browser::get_with(&edge, "acme", "/logo.png", "accept-encoding", "br, gzip").await;
    assert_eq!(
        (
            picture.header("content-encoding"),
            picture.header("vary"),
            picture.header("content-type")
        ),
        ("", "", "image/png")
    );
}

#[tokio::test]
async fn a_tag_that_still_holds_is_answered_304_without_a_body() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(config(&node, directory.path())).await;
    let page = browser::get(&edge, "acme", "/").await;
    let again = browser::get_with(&edge, "acme", "/", "if-none-match", page.header("etag")).await;
    assert_eq!(
        (again.status, again.body.len(), again.header("etag")),
        (StatusCode::NOT_MODIFIED, 0, page.header("etag"))
    );
    assert_eq!(again.header("cache-control"), "no-cache");
    assert_eq!(
        browser::get_with(&edge, "acme", "/", "if-none-match", "\"other\"")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn hashed_assets_are_kept_for_ever_and_every_answer_is_guarded() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let plain = edge(config(&node, directory.path())).await;
    let asset = browser::get(&plain, "acme", "/assets/index-4f3ab2c9.js").await;
    assert_eq!(
        (asset.header("cache-control"), asset.header("content-type")),
        ("public, max-age=31536000, immutable", "text/javascript; charset=utf-8")
    );
    let page = browser::visit(&plain, "acme", "/").await;
    assert_eq!(
        (page.header("cache-control"), page.header("content-type")),
        ("no-cache", "text/html; charset=utf-8")
    );
    for answer in [&asset, &page] {
        assert!(
            answer.header("content-security-policy").contains("script-src 'self';")
                && !answer.header("content-security-policy").contains("unsafe")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("strict-transport-security"), "");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let secure = edge(terrace_edge::Config {
        secure: true,
        ..config(&node, elsewhere.path())
    })
    .await;
    assert_eq!(
        browser::visit(&secure, "acme", "/")
            .await
            .header("strict-transport-security"),
        "max-age=63072000"
    );
}

#[tokio::test]
async fn an_asset_of_the_build_before_survives_a_new_build() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(config(&node, directory.path())).await;
    let newest = node.deploy(
        "tasks",
        &[
            ("/index.html", b"<!doctype html>new"),
            ("/assets/index-77777777.js", &script("two")),
        ],
    );
    has_taken_over(&edge, &node).await;
    assert_eq!(browser::visit(&edge, "acme", "/").await.text(), "<!doctype html>new");
    assert_eq!(
        browser::get(&edge, "acme", "/assets/index-77777777.js").await.body,
        script("two")
    );
    assert_eq!(
        browser::get(&edge, "acme", "/assets/index-4f3ab2c9.js").await.body,
        script("one")
    );
    assert_eq!(
        browser::get(&edge, "acme", "/api/x").await.header("x-terrace-latest"),
        newest
    );
}

#[tokio::test]
async fn an_unknown_path_is_the_page_for_a_navigation_and_a_problem_for_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(config(&node, directory.path())).await;
    assert_eq!(browser::visit(&edge, "acme", "/boards/7?filter=mine").await.body, PAGE);
    browser::visit(&edge, "acme", "/assets/gone-00000000.js")
        .await
        .is_problem("unknown-path");
    browser::get(&edge, "acme", "/boards/7")
        .await
        .is_problem("unknown-path");
    let write = browser::post(&edge, "acme", "/boards/7", "x").await;
    write.is_problem("method-not-allowed");
    assert_eq!(write.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn a_host_never_serves_the_site_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    node.deploy(
        "console",
        &[
            ("/index.html", b"<!doctype html>console"),
            ("/assets/secret-0a0a0a0a.js", b"console only"),
        ],
    );
    node.host("console", "console");
    let edge = edge(config(&node, directory.path())).await;
    assert_eq!(
        browser::visit(&edge, "CONSOLE", "/").await.text(),
        "<!doctype html>console"
    );
    assert_eq!(browser::visit(&edge, "acme", "/").await.body, PAGE);
    browser::get(&edge, "acme", "/assets/secret-0a0a0a0a.js")
        .await
        .is_problem("unknown-path");
    browser::get(&edge, "console", "/assets/index-4f3ab2c9.js")
        .await
        .is_problem("unknown-path");
}

#[tokio::test]
async fn an_unknown_host_gets_a_page_for_people_and_a_problem_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(config(&node, directory.path())).await;
    let page = browser::visit(&edge, "nobody", "/").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text().contains("No workspace lives at this address"));
    assert!(page.header("content-security-policy").contains("style-src 'sha256-"));
    browser::get(&edge, "nobody", "/api/tasks")
        .await
        .is_problem("unknown-host");
    assert_eq!(node.count("/api/tasks"), 0);
}

#[tokio::test]
async fn a_tenant_made_a_moment_ago_is_found_by_its_first_request() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let edge = edge(terrace_edge::Config {
        poll_ms: 60_000,
        ..config(&node, directory.path())
    })
    .await;
    node.host("globex", "tasks");
    assert_eq!(browser::visit(&edge, "globex", "/").await.body, PAGE);
}

#[tokio::test]
async fn before_the_first_snapshot_a_page_says_that_terrace_is_starting() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::start().await;
    node.kill().await;
    let edge = Edge::start(config(&node, directory.path())).await.unwrap();
    let page = browser::visit(&edge, "acme", "/").await;
    assert_eq!(
        (page.status, page.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "2")
    );
    assert!(page.text().contains("http-equiv=\"refresh\""));
    browser::get(&edge, "acme", "/api/tasks")
        .await
        .is_problem("backend-unavailable");
    assert_eq!(browser::health(&edge).await["status"], "starting");
    node.deploy("tasks", &[("/index.html", PAGE)]);
    node.host("acme", "tasks");
    node.restart().await;
    until("the site is there", async || {
        browser::visit(&edge, "acme", "/").await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_corrupt_content_is_refused_and_the_build_before_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let first = edge(config(&node, directory.path())).await;
    let new: &[u8] = b"<!doctype html>new";
    node.deploy("tasks", &[("/index.html", new)]);
    node.corrupt(new);
    // What else is in the snapshot is not held up by the bad build.
    node.host("globex", "tasks");
    has_taken_over(&first, &node).await;
    assert_eq!(browser::visit(&first, "acme", "/").await.body, PAGE);
    assert_eq!(browser::visit(&first, "globex", "/").await.body, PAGE);
    first.stop().await;

    let second = edge(config(&node, directory.path())).await;
    assert_eq!(browser::visit(&second, "acme", "/").await.body, PAGE);
    node.mend(new);
    until("the mended build is taken over", async || {
        browser::visit(&second, "acme", "/").await.body == new
    })
    .await;
}

#[tokio::test]
async fn damage_on_the_disk_is_never_served_and_is_fetched_again() {
    let directory = tempfile::tempdir().unwrap();
    let node = node_with_tasks().await;
    let path = "/assets/index-4f3ab2c9.js";
    let first = edge(config(&node, directory.path())).await;
    encoded(&first, path, "br").await;
    first.stop().await;

    let name = crate::node::fingerprint(&script("one"));
    for file in [name.clone(), format!("{name}.br")] {
        let file = directory.path().join("blobs").join(file);
        let mut content = fs::read(&file).unwrap();
        content[3] ^= 1;
        fs::write(&file, content).unwrap();
    }
    let second = edge(config(&node, directory.path())).await;
    until("the content is there again", async || {
        browser::get(&second, "acme", path).await.body == script("one")
    })
    .await;
    encoded(&second, path, "br").await;
    let answer = browser::get_with(&second, "acme", path, "accept-encoding", "br").await;
    let mut decoded = Vec::new();
    brotli::Decompressor::new(answer.body.as_ref(), 4096)
        .read_to_end(&mut decoded)
        .unwrap();
    assert_eq!(decoded, script("one"));
}
