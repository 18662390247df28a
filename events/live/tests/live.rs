//! The laws of a live stream: nothing missing, nothing silent, nothing unbounded.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::BodyExt;
use terrace_events_live::{Body, Config, Error, Live, Topics};
use terrace_events_log::{Bell, Event, Log, Retention, Selection, Span};
use terrace_ground_ids::TenantId;

/// A log in memory, of one tenant, that counts what was read.
#[derive(Default)]
struct Memory {
    events: Mutex<Vec<Event>>,
    first: AtomicU64,
    handed_out: AtomicU64,
}

#[async_trait]
impl Log for Memory {
    async fn read(&self, _: &TenantId, after: u64, limit: u32) -> Result<Vec<Event>, terrace_events_log::Error> {
        let events = self.events.lock().unwrap();
        let from = events
            .iter()
            .filter(|event| event.seq > after && event.seq >= self.first.load(Ordering::SeqCst));
        let read: Vec<Event> = from.take(limit as usize).cloned().collect();
        if read.first().is_some_and(|event| event.seq != after + 1) {
            return Ok(Vec::new());
        }
        self.handed_out.fetch_add(read.len() as u64, Ordering::SeqCst);
        Ok(read)
    }

    async fn select(&self, _: &TenantId, _: u64, _: &[String], _: u32) -> Result<Selection, terrace_events_log::Error> {
        unreachable!("a live stream selects nothing")
    }

    async fn span(&self, _: &TenantId) -> Result<Span, terrace_events_log::Error> {
        Ok(Span {
            first: self.first.load(Ordering::SeqCst).max(1),
            last: self.events.lock().unwrap().len() as u64,
        })
    }

    async fn heads(&self, _: &[TenantId]) -> Result<Vec<(TenantId, u64)>, terrace_events_log::Error> {
        Ok(Vec::new())
    }

    async fn retention(&self, _: Retention) -> Result<u64, terrace_events_log::Error> {
        Ok(0)
    }
}

struct World {
    log: Arc<Memory>,
    bell: Bell,
    live: Live,
    tenant: TenantId,
}

impl World {
    fn new(config: Config) -> Self {
        let (log, bell) = (Arc::new(Memory::default()), Bell::new());
        Self {
            live: Live::new(config, log.clone(), bell.clone()),
            log,
            bell,
            tenant: TenantId::random(),
        }
    }

    fn publish(&self, topic: &str, amount: usize) {
        let head = {
            let mut events = self.log.events.lock().unwrap();
            for _ in 0..amount {
                let seq = events.len() as u64 + 1;
                events.push(Event {
                    seq,
                    kind: "tasks.x".into(),
                    topic: topic.into(),
                    data: "{}".into(),
                    time: "t".into(),
                });
            }
            events.len() as u64
        };
        self.bell.ring(&self.tenant, head);
    }

    async fn open(&self, topics: &str, cursor: Option<&str>) -> Reader {
        let body = self
            .live
            .open(&self.tenant, "m_ada", Topics::parse(topics).unwrap(), cursor)
            .await
            .unwrap();
        Reader {
            body,
            text: String::new(),
        }
    }
}

struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    /// The next block, as (event, id); `None` at the end.
    async fn next(&mut self) -> Option<(String, Option<u64>)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                return Some((
                    field("event:").unwrap_or("comment").to_owned(),
                    field("id:").map(|id| id.parse().unwrap()),
                ));
            }
            let frame = tokio::time::timeout(Duration::from_secs(5), self.body.frame())
                .await
                .expect("a frame in time")?;
            self.text
                .push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    async fn take(&mut self, amount: usize) -> Vec<(String, Option<u64>)> {
        let mut taken = Vec::new();
        for _ in 0..amount {
            taken.push(self.next().await.expect("the stream goes on"));
        }
        taken
    }
}

fn block(event: &str, id: u64) -> (String, Option<u64>) {
    (event.to_owned(), Some(id))
}

#[tokio::test]
async fn a_reader_that_comes_back_with_its_cursor_misses_nothing_and_gets_nothing_twice() {
    let world = World::new(Config {
        batch: 2,
        ..Config::default()
    });
    world.publish("a", 3);
    let mut reader = world.open("", None).await;
    assert_eq!(reader.next().await, Some(block("caught-up", 3)));
    world.publish("a", 2);
    assert_eq!(reader.take(2).await, [block("event", 4), block("event", 5)]);
    drop(reader);
    world.publish("a", 5);
    let mut reader = world.open("", Some("5")).await;
    assert_eq!(
        reader.take(6).await,
        [6, 7, 8, 9, 10]
            .map(|seq| block("event", seq))
            .into_iter()
            .chain([block("caught-up", 10)])
            .collect::<Vec<_>>()
    );
    world.publish("a", 1);
    assert_eq!(reader.next().await, Some(block("event", 11)));
}

#[tokio::test]
async fn a_cursor_that_cannot_be_honoured_is_answered_with_reset() {
    let world = World::new(Config::default());
    world.publish("a", 9);
    world.log.first.store(5, Ordering::SeqCst);
    for cursor in ["10", "2", "abc", "-1"] {
        let mut reader = world.open("", Some(cursor)).await;
        assert_eq!(
            reader.take(2).await,
            [block("reset", 9), block("caught-up", 9)],
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_what_is_kept_is_told_so() {
    let world = World::new(Config {
        batch: 2,
        ..Config::default()
    });
    world.publish("a", 10);
    let mut reader = world.open("", Some("0")).await;
    assert_eq!(reader.take(2).await, [block("event", 1), block("event", 2)]);
    world.log.first.store(8, Ordering::SeqCst);
    assert_eq!(reader.take(2).await, [block("reset", 10), block("caught-up", 10)]);
}

#[tokio::test]
async fn a_reader_gets_its_topics_only() {
    let world = World::new(Config {
        batch: 2,
        ..Config::default()
    });
    let mut reader = world.open("board/7,boards", None).await;
    assert_eq!(reader.next().await, Some(block("caught-up", 0)));
    for topic in ["board/7", "board/77", "boards", "members", "board/7"] {
        world.publish(topic, 1);
    }
    assert_eq!(
        reader.take(3).await,
        [block("event", 1), block("event", 3), block("event", 5)]
    );
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_heartbeat_that_moves_the_cursor_past_foreign_topics() {
    let world = World::new(Config {
        heartbeat_seconds: 1,
        ..Config::default()
    });
    let mut reader = world.open("mine", None).await;
    assert_eq!(reader.next().await, Some(block("caught-up", 0)));
    world.publish("theirs", 3);
    assert_eq!(reader.next().await, Some(block("comment", 3)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_bye_before_it_is_rotated() {
    let world = World::new(Config {
        rotate_seconds: 2,
        heartbeat_seconds: 600,
        ..Config::default()
    });
    let mut reader = world.open("", None).await;
    assert_eq!(reader.next().await, Some(block("caught-up", 0)));
    assert_eq!(reader.next().await, Some(("bye".to_owned(), None)));
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn a_revoked_tenants_streams_end_at_once_and_others_go_on() {
    let world = World::new(Config::default());
    let mut reader = world.open("", None).await;
    reader.next().await;
    let mut other = world
        .live
        .open(&TenantId::random(), "m_gus", Topics::all(), None)
        .await
        .unwrap();
    other.frame().await.unwrap().unwrap();
    let ended = tokio::spawn(async move { reader.next().await });
    world.live.revoke(&world.tenant);
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(1), ended)
            .await
            .unwrap()
            .unwrap(),
        None
    );
    assert_eq!(world.live.open_count(None), 1);
    // A tenant that is served again opens new ones.
    world.publish("a", 1);
    assert_eq!(world.open("", Some("0")).await.next().await, Some(block("event", 1)));
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_streams_and_gets_a_seat_back() {
    let world = World::new(Config {
        streams_per_tenant_max: 2,
        ..Config::default()
    });
    let one = world.open("", None).await;
    let _two = world.open("", None).await;
    let refused = world.live.open(&world.tenant, "m_ada", Topics::all(), None).await;
    assert!(matches!(refused, Err(Error::TooMany { limit: 2 })));
    assert!(
        world
            .live
            .open(&TenantId::random(), "m_gus", Topics::all(), None)
            .await
            .is_ok()
    );
    drop(one);
    world.open("", None).await;
    assert_eq!(world.live.open_count(Some(&world.tenant)), 1);
}

#[tokio::test]
async fn a_member_cannot_take_the_seats_of_the_others() {
    let world = World::new(Config {
        streams_per_member_max: 2,
        ..Config::default()
    });
    let one = world.open("", None).await;
    let _two = world.open("", None).await;
    let third = world.live.open(&world.tenant, "m_ada", Topics::all(), None).await;
    assert!(matches!(third, Err(Error::TooManyOfMember { limit: 2 })));
    let _bob = world
        .live
        .open(&world.tenant, "m_bob", Topics::all(), None)
        .await
        .unwrap();
    drop(one);
    world.open("", None).await;
    assert_eq!(world.live.open_count(Some(&world.tenant)), 2);
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_no_memory_however_much_is_published() {
    let world = World::new(Config {
        batch: 10,
        ..Config::default()
    });
    let mut reader = world.open("", None).await;
    reader.next().await;
    for _ in 0..100 {
        world.publish("a", 100);
        tokio::task::yield_now().await;
    }
    assert_eq!(world.log.handed_out.load(Ordering::SeqCst), 0);
    reader.next().await;
    assert_eq!(
        world.log.handed_out.load(Ordering::SeqCst),
        10,
        "one batch, and no more"
    );
    let rest = reader.take(9_999).await;
    assert_eq!(rest.last(), Some(&block("event", 10_000)));
}
