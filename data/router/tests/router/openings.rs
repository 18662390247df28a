//! Who has to wait for a new connection, and for how long.

use std::{future::poll_fn, pin::pin, task::Poll};

use terrace_data_router::{Config, ErrorKind, LaneHealth, Result, Rows, Transaction};
use tokio::{net::UnixStream, task::JoinHandle};

use crate::{
    gate::Gate,
    house::{A, B, House, principal, soon},
};

/// The lane of A and B, once it was used.
fn lane(house: &House) -> Option<LaneHealth> {
    let lanes = house.router.health();
    lanes.into_iter().find(|lane| lane.lane.as_str() == "l_aaaaaa")
}

/// (opened, destroyed, in use)
fn counts(house: &House) -> (u64, u64, usize) {
    lane(house).map_or((0, 0, 0), |lane| (lane.opened, lane.destroyed, lane.in_use))
}

/// Asks, and returns once it waits for a connection with `at_once` others that have or want one.
async fn ask(house: &House, tenant: &'static str, at_once: usize) -> JoinHandle<Result<Rows>> {
    let router = house.router.clone();
    let asking = tokio::spawn(async move {
        router
            .query(&principal(tenant), soon(), "SELECT count(*) FROM items", &[])
            .await
    });
    while counts(house).2 < at_once {
        tokio::task::yield_now().await;
    }
    asking
}

/// With which an attempt that hangs does not fail while a test lasts.
fn patient() -> Config {
    Config {
        connect_timeout_ms: 60_000,
        ..Config::default()
    }
}

/// A transaction of A, once it has a connection.
fn begin(house: &House) -> JoinHandle<Transaction> {
    let router = house.router.clone();
    tokio::spawn(async move {
        let mut transaction = router.begin(&principal(A), soon()).await.unwrap();
        transaction.query("SELECT 1", &[]).await.unwrap();
        transaction
    })
}

/// One on the first connection of all.
async fn transaction(house: &House, gate: &mut Gate) -> Transaction {
    let begun = begin(house);
    gate.let_next_in().await;
    begun.await.unwrap()
}

/// A keeps a connection, and another one is idle: it was B's.
async fn one_each(house: &House, gate: &mut Gate) -> Transaction {
    let kept = transaction(house, gate).await;
    let asked = ask(house, B, 2).await;
    gate.let_next_in().await;
    asked.await.unwrap().unwrap();
    kept
}

#[tokio::test]
async fn whoever_waits_for_a_new_connection_takes_one_that_comes_back_first() {
    let (house, mut gate) = House::gated(Config::default()).await;
    let first = transaction(&house, &mut gate).await;
    // Three more of this lane, and one connection for each tenant, which nobody lets in.
    let asking = [
        ask(&house, A, 2).await,
        ask(&house, B, 3).await,
        ask(&house, B, 4).await,
    ];
    let arrived = [gate.next().await, gate.next().await];
    drop(first);
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    assert!(gate.is_empty(), "for each tenant one is opened at a time");
    assert_eq!(counts(&house), (1, 0, 0));
    // They were not asked for in vain: they are there for the next ones.
    for arrived in arrived {
        gate.let_in(arrived).await;
    }
    while lane(&house).is_some_and(|lane| lane.idle < 3) {
        tokio::task::yield_now().await;
    }
    assert_eq!(counts(&house), (3, 0, 0));
    let mut transactions = Vec::new();
    for _ in 0..2 {
        let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
        transaction.query("SELECT 1", &[]).await.unwrap();
        transactions.push(transaction);
    }
    assert_eq!(counts(&house), (3, 0, 2));
    assert!(gate.is_empty(), "of three idle ones two are anybody's");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_the_answer_for_those_who_waited_and_not_for_who_came_later() {
    let (house, mut gate) = House::gated(Config::default()).await;
    let early = ask(&house, A, 1).await;
    let refused = gate.next().await;
    let late = ask(&house, A, 2).await;
    drop(refused);
    let error = early.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    gate.let_next_in().await;
    late.await.unwrap().unwrap();
    assert!(gate.is_empty());
}

#[tokio::test]
async fn whoever_stopped_waiting_leaves_its_connection_to_the_next() {
    let (house, mut gate) = House::gated(Config::default()).await;
    let gone = ask(&house, A, 1).await;
    let arrived = gate.next().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let next = ask(&house, A, 1).await;
    gate.let_in(arrived).await;
    next.await.unwrap().unwrap();
    assert!(gate.is_empty());
    assert_eq!(counts(&house), (1, 0, 0));
}

#[tokio::test]
async fn a_connection_that_does_not_open_keeps_no_other_tenant_waiting() {
    let (house, mut gate) = House::gated(Config::default()).await;
    let stuck = ask(&house, A, 1).await;
    let _not_let_in = gate.next().await;
    let other = ask(&house, B, 2).await;
    gate.let_next_in().await;
    other.await.unwrap().unwrap();
    // It is idle now, and first come, first served.
    stuck.await.unwrap().unwrap();
}

/// Four at once of a tenant that keeps what it gets would else have all that its busy neighbour has.
#[tokio::test]
async fn the_last_idle_connection_is_for_a_tenant_that_has_none() {
    let house = House::new(Config::default()).await;
    // Two connections, both of B.
    let mut transactions = Vec::new();
    for _ in 0..2 {
        let mut transaction = house.router.begin(&principal(B), soon()).await.unwrap();
        transaction.query("SELECT 1", &[]).await.unwrap();
        transactions.push(transaction);
    }
    for transaction in transactions {
        transaction.commit(&[]).await.unwrap();
    }
    assert_eq!(counts(&house), (2, 0, 0));
    let mut kept = Vec::new();
    for opened in [2, 3] {
        let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
        transaction.query("SELECT 1", &[]).await.unwrap();
        kept.push(transaction);
        assert_eq!(counts(&house).0, opened, "the first is taken, the second is its own");
    }
    assert_eq!(lane(&house).map(|lane| lane.idle), Some(1), "and B has one left");
    house.query(B, "SELECT count(*) FROM items", &[]).await.unwrap();
    assert_eq!(counts(&house).0, 3, "which it gets");
}

#[tokio::test]
async fn whoever_waited_long_for_a_new_connection_takes_the_last_one() {
    let (house, mut gate) = House::gated(patient()).await;
    let _kept = one_each(&house, &mut gate).await;
    let asked = ask(&house, A, 2).await;
    let _not_let_in = gate.next().await;
    asked.await.unwrap().unwrap();
    assert_eq!(counts(&house).0, 2);
}

#[tokio::test]
async fn when_no_connection_opens_the_last_one_is_better_than_an_error() {
    let (house, mut gate) = House::gated(Config::default()).await;
    let _kept = one_each(&house, &mut gate).await;
    let asked = ask(&house, A, 2).await;
    drop(gate.next().await);
    asked.await.unwrap().unwrap();
    assert_eq!(counts(&house).0, 2);
}

/// A connection that is on its way for a tenant, which does not wait for it any more.
async fn abandoned(house: &House, gate: &mut Gate, tenant: &'static str, at_once: usize) -> UnixStream {
    let gone = ask(house, tenant, at_once).await;
    let arrived = gate.next().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    arrived
}

#[tokio::test]
async fn none_is_opened_while_as_many_are_on_their_way_as_wait() {
    let (house, mut gate) = House::gated(patient()).await;
    let arrived = abandoned(&house, &mut gate, A, 1).await;
    let asked = ask(&house, B, 1).await;
    gate.let_in(arrived).await;
    asked.await.unwrap().unwrap();
    assert!(gate.is_empty(), "B waited for that one");
    assert_eq!(counts(&house), (1, 0, 0));
}

#[tokio::test]
async fn who_counts_on_a_connection_gets_it_before_a_later_request_of_the_one_that_left_it() {
    let (house, mut gate) = House::gated(patient()).await;
    let first = abandoned(&house, &mut gate, A, 1).await;
    let counts_on_it = ask(&house, B, 1).await;
    let later = begin(&house);
    let _not_let_in = gate.next().await;
    gate.let_in(first).await;
    counts_on_it.await.unwrap().unwrap();
    later.await.unwrap();
}

#[tokio::test]
async fn who_counted_on_a_connection_that_fails_gets_one_of_its_own() {
    let (house, mut gate) = House::gated(patient()).await;
    let fails = abandoned(&house, &mut gate, A, 1).await;
    let asked = ask(&house, B, 1).await;
    drop(fails);
    gate.let_next_in().await;
    asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_last_one_is_left_to_others_when_it_served_nobody_too() {
    let (house, mut gate) = House::gated(patient()).await;
    let _kept = transaction(&house, &mut gate).await;
    let arrived = abandoned(&house, &mut gate, B, 2).await;
    gate.let_in(arrived).await;
    while lane(&house).is_none_or(|lane| lane.idle < 1) {
        tokio::task::yield_now().await;
    }
    let asked = ask(&house, A, 2).await;
    gate.let_next_in().await;
    asked.await.unwrap().unwrap();
    assert_eq!(counts(&house), (3, 0, 1));
}

#[tokio::test]
async fn who_left_a_statement_behind_has_its_connection_until_it_is_settled() {
    let (house, mut gate) = House::gated(patient()).await;
    let mut kept = one_each(&house, &mut gate).await;
    {
        let mut slow = pin!(kept.query("SELECT count(*) FROM generate_series(1, 1000000000)", &[]));
        let is_sent = poll_fn(|context| Poll::Ready(slow.as_mut().poll(context).is_pending()));
        assert!(is_sent.await);
    }
    drop(kept);
    // It is cancelled by a connection, which nobody lets in.
    let _cancels = gate.next().await;
    let stats = || house.router.stats(&A.parse().unwrap());
    assert_eq!(stats().in_flight, 1, "it has its turn");
    let asked = ask(&house, A, 2).await;
    gate.let_next_in().await;
    asked.await.unwrap().unwrap();
    assert_eq!(counts(&house).0, 3, "and leaves the last one to others");
}

#[tokio::test]
async fn nobody_counts_on_a_connection_that_is_late() {
    let (house, mut gate) = House::gated(patient()).await;
    let _not_let_in = abandoned(&house, &mut gate, A, 1).await;
    let asked = ask(&house, B, 1).await;
    gate.let_next_in().await;
    asked.await.unwrap().unwrap();
}
