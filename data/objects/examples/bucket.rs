//! `cargo run --example bucket -- <endpoint> <bucket> <id> <secret>`: puts, reads, lists and removes an
//! object in a bucket, to see whether a configuration works.

use terrace_data_objects::{Config, Error, Objects};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("what is the {what}?"));
    let config = Config {
        endpoint: Some(next("endpoint")?),
        bucket: Some(next("bucket")?),
        access_key_id: Some(next("access key's id")?),
        secret_access_key: Some(next("secret access key")?),
        allow_http: true,
        ..Config::default()
    };
    let objects = Objects::open(&config)?;
    let bytes: Vec<u8> = (0..3 << 20).map(|number: u32| number.to_le_bytes()[0]).collect();
    let hash = objects.put(bytes.clone().into()).await?;
    println!("put {hash}");
    assert_eq!(objects.get(&hash).await?, bytes, "what was put comes back");
    assert!(objects.list().await?.contains(&hash), "and is listed");
    objects.delete(&hash).await?;
    objects.delete(&hash).await?;
    assert!(
        matches!(objects.get(&hash).await, Err(Error::Missing(_))),
        "and is gone when it was removed"
    );
    println!("read, listed and removed it");
    Ok(())
}
