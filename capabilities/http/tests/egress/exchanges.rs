//! What goes over the wire, and what a guest hears when it does not.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use terrace_capabilities_http::Config;
use terrace_compute_capability::{Ended, Invocation};
use terrace_ground_ids::TenantId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use crate::{
    World, config, get,
    server::{Answer, Server, forbidden, text},
};

async fn good() -> Answer {
    text("good")
}

fn allow(port: u16) -> String {
    format!("allow = [\"http://127.0.0.2:{port}\", \"http://api.example:{port}\"]")
}

/// A server that speaks no HTTP of its own: it reads a head and says what it is told to.
async fn raw(answer: &'static [u8], keep_open: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                drop(stream.read(&mut head).await);
                drop(stream.write_all(answer).await);
                if keep_open {
                    // Until the other side hangs up.
                    drop(stream.read(&mut head).await);
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_meant_and_comes_back_whole() {
    let server = Server::start(|request: http::Request<hyper::body::Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = text(&String::from_utf8_lossy(&body).to_uppercase());
        *answer.status_mut() = http::StatusCode::CREATED;
        answer.headers_mut().insert("x-seen", "yes".parse().unwrap());
        answer
    })
    .await;
    let (world, port) = (World::new(config()), server.port);
    world.names.set("api.example", &["127.0.0.2"]);
    let sender = world.sender(&allow(port));
    let body: WasiBody = Full::new(Bytes::from_static(b"hello"))
        .map_err(|never| match never {})
        .boxed_unsync();
    let request = http::Request::post(format!("http://API.example.:{port}/v1/things?a=b"))
        .header("x-mine", "1")
        .header("host", "evil.example")
        .body(body)
        .unwrap();
    let (_running, ended) = Ended::never();
    let response = sender.send_until(request, None, 0, ended).await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["x-seen"].to_str().unwrap()
        ),
        (201, "yes")
    );
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "HELLO");
    let head = server.last_head();
    assert_eq!(
        (head.method.as_str(), head.uri.to_string().as_str()),
        ("POST", "/v1/things?a=b")
    );
    assert_eq!(head.headers["x-mine"], "1");
    // The host that was checked, and no other spelling of it.
    assert_eq!(
        head.headers.get_all("host").iter().collect::<Vec<_>>(),
        [&format!("api.example:{port}")]
    );
}

#[tokio::test]
async fn connections_are_reused_within_a_tenant_and_service_and_never_across() {
    let server = Server::start(|_| good()).await;
    let (world, url) = (World::new(config()), format!("http://api.example:{}/", server.port));
    world.names.set("api.example", &["127.0.0.2"]);
    let rules = allow(server.port);
    let tenant = TenantId::random();
    let acme = world.sender_of(&rules, tenant.clone(), "tasks");
    for round in 0..20 {
        assert_eq!(acme.get(&url).await.unwrap(), (200, "good".to_owned()));
        while world.http.idle_connections() < 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.connections(), 1, "round {round}");
    }
    assert_eq!(
        world.names.asked.lock().unwrap().len(),
        1,
        "a name is looked up once a connection"
    );
    // The same tenant's other service, and another tenant's same one.
    assert!(world.sender_of(&rules, tenant, "billing").get(&url).await.is_ok());
    assert_eq!(server.connections(), 2);
    assert!(world.sender(&rules).get(&url).await.is_ok());
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_request() {
    let server = Server::start(|_| async {
        let mut answer = text("good");
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    })
    .await;
    let world = World::new(config());
    let sender = world.sender(&allow(server.port));
    for _ in 0..20 {
        assert!(sender.get(&format!("http://127.0.0.2:{}/", server.port)).await.is_ok());
    }
    assert_eq!((server.connections(), world.http.idle_connections()), (20, 0));
}

#[tokio::test]
async fn idle_connections_are_bounded_by_service_and_by_node() {
    let server = Server::start(|_| good()).await;
    let world = World::new(Config {
        idle_max: 3,
        idle_per_service_max: 2,
        ..config()
    });
    let (rules, url) = (allow(server.port), format!("http://127.0.0.2:{}/", server.port));
    for _ in 0..4 {
        let sender = world.sender(&rules);
        let all = (0..5).map(|_| sender.get(&url));
        for outcome in futures(all).await {
            assert!(outcome.is_ok());
        }
        // What comes back to a full pool is closed, so the number never passes the bound.
        assert!(world.http.idle_connections() <= 3);
    }
}

/// All at once.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<Pin<Box<F>>> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context: &mut Context<'_>| {
        waiting.retain_mut(|each| match each.as_mut().poll(context) {
            Poll::Ready(output) => {
                done.push(output);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done
}

#[tokio::test]
async fn a_redirect_is_the_guests_business_and_its_next_request_is_checked_like_any_other() {
    let inside = Arc::new(AtomicUsize::new(0));
    let server = loop {
        let server = Server::start(|request: http::Request<hyper::body::Incoming>| async move {
            let mut answer = text("");
            *answer.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
            let port = request.headers()["host"]
                .to_str()
                .unwrap()
                .rsplit(':')
                .next()
                .unwrap()
                .to_owned();
            answer
                .headers_mut()
                .insert("location", format!("http://127.0.0.1:{port}/admin").parse().unwrap());
            answer
        })
        .await;
        if forbidden(([127, 0, 0, 1], server.port).into(), inside.clone())
            .await
            .is_ok()
        {
            break server;
        }
    };
    let world = World::new(config());
    world.names.set("api.example", &["127.0.0.2"]);
    let sender = world.sender(&format!(
        "allow = [\"http://api.example:{0}\", \"http://127.0.0.1:{0}\"]",
        server.port
    ));
    let url = format!("http://api.example:{}/", server.port);
    let answer = sender.send(get(&url), None, 0).await.unwrap();
    assert_eq!(answer.status(), 307);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let refused = sender.get(&location).await.unwrap_err();
    assert!(matches!(refused, HttpError::DestinationIpProhibited), "{refused:?}");
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_over_the_manifests_limit_ends_in_an_error_and_never_short() {
    let server = Server::start(|request: http::Request<hyper::body::Incoming>| async move {
        let part = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 1024])));
        match request.uri().path() {
            "/announced" => text(&"x".repeat(1025)),
            "/fits" => text(&"x".repeat(1024)),
            _ => http::Response::new(StreamBody::new(stream([part(), part()])).boxed_unsync()),
        }
    })
    .await;
    let world = World::new(config());
    let sender = world.sender(&format!("{}\nresponse_body_kib = 1", allow(server.port)));
    let url = |path: &str| format!("http://127.0.0.2:{}{path}", server.port);
    assert_eq!(sender.get(&url("/fits")).await.unwrap().1.len(), 1024);
    for path in ["/announced", "/streamed"] {
        let refused = sender.get(&url(path)).await.unwrap_err();
        assert!(
            matches!(refused, HttpError::HttpResponseBodySize(Some(1024))),
            "{path}: {refused:?}"
        );
    }
}

/// A stream of what is there already.
fn stream<T: Unpin, const N: usize>(items: [T; N]) -> impl futures_core::Stream<Item = T> {
    struct Items<I>(I);
    impl<I: Iterator + Unpin> futures_core::Stream for Items<I> {
        type Item = I::Item;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
            Poll::Ready(self.0.next())
        }
    }
    Items(items.into_iter())
}

#[tokio::test]
async fn what_goes_wrong_on_the_wire_has_the_name_that_the_specification_gives_it() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let garbage = raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", false).await;
    let short = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", false).await;
    let hangs_up = raw(b"", false).await;
    let upgrades = raw(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        true,
    )
    .await;
    let large = {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200_000));
        raw(head.leak().as_bytes(), true).await
    };
    let world = World::new(config());
    let ask = async |port: u16| {
        world
            .sender(&allow(port))
            .get(&format!("http://127.0.0.2:{port}/"))
            .await
            .unwrap_err()
    };
    assert!(matches!(ask(nobody).await, HttpError::ConnectionRefused));
    assert!(matches!(ask(garbage).await, HttpError::HttpProtocolError));
    let error = ask(short).await;
    assert!(matches!(error, HttpError::HttpResponseIncomplete), "{error:?}");
    let error = ask(hangs_up).await;
    assert!(
        matches!(
            error,
            HttpError::HttpResponseIncomplete | HttpError::ConnectionTerminated
        ),
        "{error:?}"
    );
    assert!(matches!(ask(upgrades).await, HttpError::HttpUpgradeFailed));
    let error = ask(large).await;
    assert!(
        matches!(error, HttpError::HttpResponseHeaderSectionSize(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn every_wait_has_an_end_and_a_guest_may_ask_for_less() {
    let silent = raw(b"", true).await;
    let stalls = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", true).await;
    let short = Duration::from_millis(20);
    let configured = World::new(Config {
        first_byte_timeout_ms: 20,
        between_bytes_timeout_ms: 20,
        ..config()
    });
    let wishing = World::new(config());
    let wish = RequestOptions {
        first_byte_timeout: Some(short),
        between_bytes_timeout: Some(short),
        ..Default::default()
    };
    for (world, options) in [(configured, None), (wishing, Some(wish))] {
        for port in [silent, stalls] {
            let (_running, ended) = Ended::never();
            let request = get(&format!("http://127.0.0.2:{port}/"));
            let outcome = match world.sender(&allow(port)).send_until(request, options, 0, ended).await {
                Ok(response) => response.into_body().collect().await.map(drop),
                Err(refusal) => Err(refusal.code),
            };
            assert!(matches!(outcome, Err(HttpError::ConnectionReadTimeout)), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn nothing_outlives_the_request_that_it_was_sent_for() {
    let stalls = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", true).await;
    let world = World::new(Config {
        tenant_requests_max: 1,
        ..config()
    });
    let url = format!("http://127.0.0.2:{stalls}/");
    let sender = world.sender(&allow(stalls));

    // The guest keeps the response and reads no more of it; its request ends.
    let (running, ended) = Ended::never();
    let response = sender.send_until(get(&url), None, 0, ended).await.unwrap();
    drop(running);
    let broken = response.into_body().collect().await.unwrap_err();
    assert!(matches!(broken, HttpError::HttpResponseIncomplete), "{broken:?}");
    // Its place is free: another request gets it.
    let (_running, ended) = Ended::never();
    let response = sender.send_until(get(&url), None, 0, ended).await.unwrap();
    // The guest lets go of the response.
    drop(response);
    let (_running, ended) = Ended::never();
    assert!(sender.send_until(get(&url), None, 0, ended).await.is_ok());

    // The deadline of the guest's request passes.
    let mut late = sender.clone();
    let deadline = std::time::Instant::now() + Duration::from_millis(30);
    late.invocation = Arc::new(Invocation {
        deadline,
        ..Invocation::clone(&sender.invocation)
    });
    let (_running, ended) = Ended::never();
    let outcome = match late.send_until(get(&url), None, 0, ended).await {
        Ok(response) => response.into_body().collect().await.map(drop),
        Err(refusal) => Err(refusal.code),
    };
    assert!(
        matches!(
            outcome,
            Err(HttpError::HttpResponseTimeout | HttpError::HttpResponseIncomplete)
        ),
        "{outcome:?}"
    );
}
