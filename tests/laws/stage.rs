//! A whole Terrace with the hostile service, and a member of each of the demo's tenants.

use terrace_tests_harness::{Client, Options, Session, Terrace};

/// With everything as it is by default.
pub(crate) async fn hostile() -> (Terrace, Client, Session, Session) {
    hostile_with("").await
}

/// With this text as its `terrace.toml`.
pub(crate) async fn hostile_with(config: &str) -> (Terrace, Client, Session, Session) {
    let options = Options {
        hostile: true,
        config: config.to_owned(),
        ..Options::default()
    };
    let terrace = Terrace::start(options).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    (terrace, client, ada, gus)
}
