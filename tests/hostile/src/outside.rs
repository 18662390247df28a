//! What the service may know and reach beyond itself: other hosts, secrets, values, the cache.

use std::time::Duration;

use terrace_sdk::{axum::http::Method, cache, config, fetch, prelude::*, random, secrets};

use crate::{Done, done};

/// A request to another host.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Outgoing {
    /// `GET`
    #[serde(default)]
    method: Option<String>,
    /// Where to.
    url: String,
    /// Names and values.
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// A body, as it is.
    #[serde(default)]
    body: String,
    /// How often, one after the other; the last answer counts.
    #[serde(default)]
    times: u32,
}

/// Sends a request to any host at all. What comes back is what the platform lets through.
#[utoipa::path(post, path = "/api/hostile/fetch", operation_id = "hostile_fetch", security(()), request_body = Outgoing,
    responses((status = 200, description = "The status and the body, or the error", body = Done)))]
pub(crate) async fn fetch_any(Json(outgoing): Json<Outgoing>) -> Json<Done> {
    let method = outgoing
        .method
        .and_then(|method| method.parse().ok())
        .unwrap_or(Method::GET);
    let mut last = String::new();
    for _ in 0..outgoing.times.max(1) {
        let mut request = fetch::request(method.clone(), &outgoing.url).body(outgoing.body.clone());
        for (name, value) in &outgoing.headers {
            request = request.header(name, value);
        }
        last = match request.send().await {
            Ok(response) => format!(
                "{} {}",
                response.status.as_u16(),
                String::from_utf8_lossy(&response.body)
            ),
            Err(error) => error.to_string(),
        };
    }
    done(last)
}

/// What to look for.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Name {
    /// The name or the key.
    name: String,
}

/// Reads any secret at all.
#[utoipa::path(get, path = "/api/hostile/secret", operation_id = "hostile_read_secret", security(()), params(Name),
    responses((status = 200, description = "The secret, or the error", body = Done)))]
pub(crate) async fn secret(Query(name): Query<Name>) -> Json<Done> {
    done(match secrets::get(&name.name).await {
        Ok(value) => value,
        Err(error) => error.to_string(),
    })
}

/// Reads any value at all.
#[utoipa::path(get, path = "/api/hostile/config", operation_id = "hostile_read_config", security(()), params(Name),
    responses((status = 200, description = "The value, or the error", body = Done)))]
pub(crate) async fn value(Query(name): Query<Name>) -> Json<Done> {
    done(match config::get(&name.name).await {
        Ok(value) => value.unwrap_or_else(|| "nothing".to_owned()),
        Err(error) => error.to_string(),
    })
}

/// Random bytes: how many were given, and some text.
#[utoipa::path(get, path = "/api/hostile/random", operation_id = "hostile_read_random", security(()),
    responses((status = 200, description = "A text that nobody can guess", body = Done)))]
pub(crate) async fn randomness() -> Json<Done> {
    let mut bytes = vec![0; 100_000];
    random::fill(&mut bytes);
    done(format!(
        "{} {}",
        bytes.iter().filter(|byte| **byte != 0).count() > 90_000,
        random::text()
    ))
}

/// Something to keep.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Entry {
    /// The key.
    key: String,
    /// How many bytes.
    size: usize,
    /// For how many seconds.
    seconds: u64,
    /// How many keys: the key, and the key with a number behind it.
    #[serde(default)]
    copies: u32,
}

/// Keeps as much in the cache as it is let.
#[utoipa::path(post, path = "/api/hostile/cache", operation_id = "hostile_fill_cache", security(()), request_body = Entry,
    responses((status = 200, description = "What the cache said last", body = Done)))]
pub(crate) async fn fill_cache(Json(entry): Json<Entry>) -> Json<Done> {
    let ttl = Duration::from_secs(entry.seconds);
    let mut last = cache::set_bytes(&entry.key, vec![b'x'; entry.size], ttl);
    for copy in 0..entry.copies {
        last = cache::set_bytes(&format!("{}{copy}", entry.key), vec![b'x'; entry.size], ttl);
    }
    done(match last {
        Ok(()) => "kept".to_owned(),
        Err(error) => error.to_string(),
    })
}

/// What is in the cache.
#[utoipa::path(get, path = "/api/hostile/cache", operation_id = "hostile_read_cache", security(()), params(Name),
    responses((status = 200, description = "How many bytes are there", body = Done)))]
pub(crate) async fn read_cache(Query(name): Query<Name>) -> Json<Done> {
    done(match cache::bytes(&name.name) {
        Some(bytes) => format!("{} bytes", bytes.len()),
        None => "nothing".to_owned(),
    })
}
