//! Where guests run: by what their kind has taken before.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use super::*;

const SHORT: &str = "(call $panic) (call $answer (local.get $outparam))";
const LONG: &str = "(call $panic) (loop $again (br $again))";

/// Where a guest called the host's `panic` the last time, which only writes that down.
#[derive(Default)]
struct Place(Mutex<String>);

impl Place {
    fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn here() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

fn watched() -> (Engine, Arc<Place>) {
    let place = Arc::new(Place::default());
    let seen = place.clone();
    let witness = TestHost(Arc::new(move || {
        *seen.0.lock().unwrap_or_else(PoisonError::into_inner) = here();
    }));
    let config = Config {
        threads: 1,
        ..Config::default()
    };
    (Engine::new(config, vec![Arc::new(witness)]).unwrap(), place)
}

#[tokio::test]
async fn a_release_runs_where_its_requests_arrive_once_they_have_been_short() {
    let (engine, place) = watched();
    let release = engine.load(spec(SHORT)).await.unwrap();
    let acme = tenant();
    assert!(ask(&engine, &release, &acme).await.is_ok());
    assert_eq!(place.last(), "terrace-long", "nothing is known of it");
    let mut asked = 1;
    let patience = Instant::now() + Duration::from_secs(30);
    while place.last() != here() {
        asked += 1;
        assert!(Instant::now() < patience, "it is never taken for short");
        assert!(ask(&engine, &release, &acme).await.is_ok());
    }
    assert!(asked > 3, "{asked}: one short request says little");
}

#[tokio::test]
async fn who_computes_begins_where_such_guests_take_turns_and_nobody_else_does() {
    let (engine, place) = watched();
    let limits = Limits {
        cpu_ms: 20,
        ..Limits::default()
    };
    let release = engine.load(ReleaseSpec { limits, ..spec(LONG) }).await.unwrap();
    // All of one tenant, and long.
    let first = tenant();
    for _ in 0..6 {
        assert_eq!(ask(&engine, &release, &first).await, Err(Fault::CpuLimit));
        assert_eq!(place.last(), "terrace-long", "nobody knows it yet");
    }
    let (attacker, other) = (tenant(), tenant());
    assert_eq!(ask(&engine, &release, &attacker).await, Err(Fault::CpuLimit));
    assert_eq!(place.last(), "terrace-guest-0");
    assert_eq!(ask(&engine, &release, &attacker).await, Err(Fault::CpuLimit));
    assert_eq!(place.last(), "terrace-long");
    assert_eq!(ask(&engine, &release, &other).await, Err(Fault::CpuLimit));
    assert_eq!(place.last(), "terrace-guest-0", "another tenant is not judged by it");
}
