//! `corpus.txt`, line by line: nothing that is denied gets through.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use wasmtime_wasi_http::Error as HttpError;

use crate::{
    World, config, get,
    server::{Answer, Server, forbidden, text},
};

const CORPUS: &str = include_str!("corpus.txt");

struct Scenario<'a> {
    line: usize,
    expected: &'a str,
    allow: String,
    url: String,
    answers: Vec<&'a str>,
}

fn scenarios(port: u16) -> Vec<Scenario<'static>> {
    let lines = CORPUS
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let port = port.to_string();
    let scenario = |(at, line): (usize, &'static str)| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(columns.len(), 4, "line {}", at + 1);
        let allow = columns[1].split(',').filter(|host| !host.is_empty());
        let allow: Vec<String> = allow
            .map(|host| format!("{:?}", host.replace("{port}", &port)))
            .collect();
        Scenario {
            line: at + 1,
            expected: columns[0],
            allow: format!("allow = [{}]", allow.join(", ")),
            url: columns[2].replace("{port}", &port),
            answers: columns[3].split(';').map(str::trim).collect(),
        }
    };
    lines.map(scenario).collect()
}

/// One answer a connection, so that every request looks its name up.
async fn closing() -> Answer {
    let mut answer = text("good");
    answer.headers_mut().insert("connection", "close".parse().unwrap());
    answer
}

#[tokio::test]
async fn nothing_that_is_denied_gets_through() {
    let forbidden_seen = Arc::new(AtomicUsize::new(0));
    // A port that is free at all three addresses.
    let good = loop {
        let good = Server::start(|_| closing()).await;
        let v4 = forbidden(([127, 0, 0, 1], good.port).into(), forbidden_seen.clone()).await;
        let v6 = forbidden(
            (std::net::Ipv6Addr::LOCALHOST, good.port).into(),
            forbidden_seen.clone(),
        )
        .await;
        // A machine without IPv6 has nobody to reach there either.
        let v6_is_there = !matches!(&v6, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
        if v4.is_ok() && v6_is_there {
            break good;
        }
    };
    let scenarios = scenarios(good.port);
    assert!(scenarios.len() >= 100, "{} scenarios", scenarios.len());
    let mut wrong = Vec::new();
    for scenario in &scenarios {
        let got = run(scenario).await;
        if got != scenario.expected {
            wrong.push(format!(
                "line {}: {} gave {got}, not {}",
                scenario.line, scenario.url, scenario.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        forbidden_seen.load(Ordering::SeqCst),
        0,
        "a forbidden address was reached"
    );
    let expected_good = scenarios
        .iter()
        .filter(|each| matches!(each.expected, "ok" | "rebound"))
        .count();
    assert_eq!(
        good.connections(),
        expected_good,
        "as many connections as allowed requests"
    );
}

async fn run(scenario: &Scenario<'_>) -> &'static str {
    let world = World::new(config());
    // What no URI parser takes cannot be said by a guest: `set-authority` uses the same parser.
    let Ok(uri) = scenario.url.parse::<http::Uri>() else {
        return "uri";
    };
    if let Some(host) = uri.host() {
        world
            .names
            .set(&host.trim_end_matches('.').to_lowercase(), &scenario.answers);
    }
    let sender = world.sender(&scenario.allow);
    let first = sender.send(get(&scenario.url), None, 0).await;
    if scenario.expected != "rebound" {
        return word(first.map(drop).map_err(|refusal| refusal.code));
    }
    match first {
        Ok(response) => drop(response),
        Err(refusal) => return word(Err(refusal.code)),
    }
    match word(
        sender
            .send(get(&scenario.url), None, 1)
            .await
            .map(drop)
            .map_err(|refusal| refusal.code),
    ) {
        "prohibited" => "rebound",
        other => other,
    }
}

fn word(outcome: Result<(), HttpError>) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(HttpError::HttpRequestDenied) => "denied",
        Err(HttpError::DestinationIpProhibited) => "prohibited",
        Err(HttpError::HttpRequestUriInvalid) => "uri",
        Err(HttpError::DnsError { .. }) => "dns",
        Err(other) => {
            eprintln!("{other:?}");
            "something else"
        }
    }
}
