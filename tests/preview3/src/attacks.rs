//! What passes a limit, each in its own way. `late-` means: after the response's head has gone.

use std::hint::black_box;

use wasip3::{
    clocks::monotonic_clock::wait_for,
    http::types::{ErrorCode, Fields, Response},
    wit_bindgen::{StreamReader, StreamWriter, spawn_local},
    wit_stream,
};

use crate::answer;

const TENTH_NS: u64 = 100_000_000;
const MINUTE_NS: u64 = 60_000_000_000;

/// Does its worst; a name that is none of them is not found.
pub(crate) async fn run(name: &str) -> Result<Response, ErrorCode> {
    match name {
        "loop" => spin(),
        "memory" => drop(grow()),
        "trap" => panic!("as it was asked to"),
        "sleep" => wait_for(MINUTE_NS).await,
        "streams" => drop(streams()),
        "fields" => drop(fields()),
        "header-bomb" => return Ok(header_bomb()),
        "log-flood" => (0..100_000).for_each(|line| println!("line {line}")),
        "late-loop" => return Ok(late(async |_| spin())),
        "late-trap" => return Ok(late(async |_| panic!("as it was asked to"))),
        "late-sleep" => return Ok(late(async |_| wait_for(MINUTE_NS).await)),
        "slow-body" => return Ok(late(slow)),
        "stream-bomb" => return Ok(late(flood)),
        "no-response" => return Err(ErrorCode::InternalError(None)),
        _ => return Ok(status(404)),
    }
    Ok(status(200))
}

fn status(status: u16) -> Response {
    let response = answer::text("");
    let _ = response.set_status_code(status);
    response
}

/// A head and one byte at once, then the work.
fn late(work: impl AsyncFnOnce(&mut StreamWriter<u8>) + 'static) -> Response {
    let (response, mut rest) = answer::begin(Fields::new());
    spawn_local(async move {
        rest.body.write_all(b"x".to_vec()).await;
        work(&mut rest.body).await;
    });
    response
}

fn spin() {
    let mut count = 0_u64;
    while black_box(count) < u64::MAX {
        count += 1;
    }
}

fn grow() -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    while held.len() < 1 << 20 {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
    held
}

/// Streams that nobody reads: each is kept by the host.
fn streams() -> Vec<(StreamWriter<u8>, StreamReader<u8>)> {
    (0..100_000).map(|_| wit_stream::new()).collect()
}

fn fields() -> Vec<Fields> {
    (0..100_000).map(|_| Fields::new()).collect()
}

/// More bytes of headers than a message may have. The host refuses; that is answered with a trap.
fn header_bomb() -> Response {
    let fields = Fields::new();
    for number in 0..10_000 {
        let added = fields.append(&format!("x-bomb-{number}"), &[b'x'; 1_024]);
        assert!(added.is_ok(), "refused after {number}");
    }
    answer::begin(fields).0
}

async fn slow(body: &mut StreamWriter<u8>) {
    while body.write_all(b"x".to_vec()).await.is_empty() {
        wait_for(TENTH_NS).await;
    }
}

async fn flood(body: &mut StreamWriter<u8>) {
    while body.write_all(vec![b'x'; 4_096]).await.is_empty() {}
}
