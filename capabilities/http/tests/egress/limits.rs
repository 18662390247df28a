//! How much: requests of one request, of one tenant, of all; names being looked up.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use terrace_capabilities_http::{Config, Http, Place, Resolver};
use terrace_compute_capability::Ended;
use terrace_ground_ids::TenantId;
use tokio::sync::{Semaphore, mpsc};
use wasmtime_wasi_http::{Error as HttpError, RequestOptions};

use crate::{
    Drawer, World, config, get,
    server::{Answer, Server, text},
};

/// A server that answers when it is told to.
async fn gated(gate: Arc<Semaphore>, arrived: mpsc::UnboundedSender<()>) -> Server {
    Server::start(move |_| {
        let (gate, arrived) = (gate.clone(), arrived.clone());
        async move {
            arrived.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            answer()
        }
    })
    .await
}

fn answer() -> Answer {
    text("good")
}

#[tokio::test]
async fn a_request_may_send_so_many_and_is_told_once_why_not_more() {
    let server = Server::start(|_| async { answer() }).await;
    let world = World::new(config());
    let url = format!("http://127.0.0.2:{}/", server.port);
    let sender = world.sender(&format!("allow = [\"http://127.0.0.2:{}\"]\nrequests = 2", server.port));
    for before in 0..2 {
        assert!(sender.send(get(&url), None, before).await.is_ok());
    }
    let refused = sender.send(get(&url), None, 2).await.unwrap_err();
    assert!(matches!(refused.code, HttpError::ConnectionLimitReached));
    assert!(refused.reason.unwrap().contains("[http] requests"));
    let refused = sender.send(get(&url), None, 3).await.unwrap_err();
    assert!(matches!(refused.code, HttpError::ConnectionLimitReached) && refused.reason.is_none());
}

#[tokio::test]
async fn a_tenant_at_its_limit_waits_and_holds_up_nobody_else() {
    let (gate, (arrived, mut arrivals)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
    let server = gated(gate.clone(), arrived).await;
    let world = World::new(Config {
        tenant_requests_max: 2,
        ..config()
    });
    let (rules, url) = (
        format!("allow = [\"http://127.0.0.2:{}\"]", server.port),
        format!("http://127.0.0.2:{}/", server.port),
    );
    let tenant = TenantId::random();
    let (acme, billing) = (
        world.sender_of(&rules, tenant.clone(), "tasks"),
        world.sender_of(&rules, tenant, "billing"),
    );
    let running: Vec<_> = [&acme, &billing]
        .map(|sender| {
            let (sender, url) = (sender.clone(), url.clone());
            tokio::spawn(async move { sender.get(&url).await })
        })
        .into();
    for _ in 0..2 {
        arrivals.recv().await.unwrap();
    }
    // Both services of the tenant count together; the third gives up when it may wait no longer.
    let impatient = RequestOptions {
        connect_timeout: Some(Duration::from_millis(20)),
        ..Default::default()
    };
    let refused = acme.send(get(&url), Some(impatient), 0).await.unwrap_err();
    assert!(
        matches!(refused.code, HttpError::ConnectionLimitReached),
        "{:?}",
        refused.code
    );
    // Another tenant's goes through at once.
    let globex = world.sender(&rules);
    let neighbour = tokio::spawn({
        let url = url.clone();
        async move { globex.get(&url).await }
    });
    arrivals.recv().await.unwrap();
    gate.add_permits(3);
    for each in running.into_iter().chain([neighbour]) {
        assert!(each.await.unwrap().is_ok());
    }
    // And the tenant has its places again.
    gate.add_permits(1);
    assert!(acme.get(&url).await.is_ok());
}

#[tokio::test]
async fn all_tenants_together_stay_within_the_nodes_limit() {
    let (gate, (arrived, mut arrivals)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
    let server = gated(gate.clone(), arrived).await;
    let world = World::new(Config {
        requests_max: 1,
        ..config()
    });
    let (rules, url) = (
        format!("allow = [\"http://127.0.0.2:{}\"]", server.port),
        format!("http://127.0.0.2:{}/", server.port),
    );
    let first = tokio::spawn({
        let (sender, url) = (world.sender(&rules), url.clone());
        async move { sender.get(&url).await }
    });
    arrivals.recv().await.unwrap();
    let impatient = RequestOptions {
        connect_timeout: Some(Duration::from_millis(20)),
        ..Default::default()
    };
    let refused = world
        .sender(&rules)
        .send(get(&url), Some(impatient), 0)
        .await
        .unwrap_err();
    assert!(matches!(refused.code, HttpError::ConnectionLimitReached));
    gate.add_permits(1);
    assert!(first.await.unwrap().is_ok());
}

/// Never answers, and holds its place for as long as it works.
struct Stuck {
    asked: mpsc::UnboundedSender<Place>,
}

#[async_trait]
impl Resolver for Stuck {
    async fn resolve(&self, _name: &str, place: Place) -> io::Result<Vec<IpAddr>> {
        self.asked.send(place).unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn names_that_never_answer_take_the_places_of_one_tenant_only() {
    let (asked, mut places) = mpsc::unbounded_channel();
    let configured = Config {
        lookups_max: 8,
        tenant_lookups_max: 2,
        connect_timeout_ms: 40,
        ..config()
    };
    let http = Http::new(
        configured,
        Arc::new(Stuck { asked }),
        Arc::new(Drawer(Default::default())),
    )
    .unwrap();
    let world = World {
        http,
        names: Arc::default(),
    };
    let rules = "allow = [\"http://*.slow.example\"]";
    let attacker = world.sender(rules);
    for round in 0..6 {
        let (_running, ended) = Ended::never();
        let url = format!("http://n{round}.slow.example/");
        let refused = attacker.send_until(get(&url), None, 0, ended).await.unwrap_err();
        assert!(matches!(refused.code, HttpError::DnsTimeout), "{:?}", refused.code);
    }
    // The work of the first two goes on, though nobody waits for it: no third was begun.
    let held: Vec<Place> = std::iter::from_fn(|| places.try_recv().ok()).collect();
    assert_eq!(held.len(), 2);
    let victim = world.sender(rules);
    assert!(victim.get("http://other.slow.example/").await.is_err());
    assert!(places.try_recv().is_ok(), "another tenant's name is being looked up");
}
