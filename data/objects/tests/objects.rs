//! Objects in a folder: what was put is what comes out, or nothing does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use terrace_data_objects::{Config, Error, Hash, Objects};

fn open(folder: &std::path::Path) -> Objects {
    Objects::open(&Config {
        folder: Some(folder.to_owned()),
        ..Config::default()
    })
    .unwrap()
}

#[tokio::test]
async fn what_was_put_comes_back_also_after_a_restart_and_can_be_removed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let hash = open(folder.path()).put("a component".into()).await.unwrap();
    let objects = open(folder.path());
    assert_eq!(objects.put("a component".into()).await.unwrap(), hash);
    assert_eq!(objects.get(&hash).await.unwrap(), "a component");
    assert_eq!(objects.list().await.unwrap(), std::slice::from_ref(&hash));
    objects.delete(&hash).await.unwrap();
    objects.delete(&hash).await.unwrap();
    assert!(matches!(objects.get(&hash).await, Err(Error::Missing(_))));
    assert_eq!(objects.list().await.unwrap(), []);
}

#[tokio::test]
async fn bytes_that_were_changed_are_never_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let objects = open(folder.path());
    let hash = objects.put("a component".into()).await.unwrap();
    fs::write(folder.path().join("components").join(hash.as_str()), "another one").unwrap();
    assert!(matches!(objects.get(&hash).await, Err(Error::Changed(_))));
}

#[test]
fn a_name_that_is_no_hash_is_refused() {
    for bad in ["", "../../secrets/postgres", &"A".repeat(64), &"a".repeat(63)] {
        assert!(matches!(Hash::parse(bad), Err(Error::Name(_))), "{bad}");
    }
    let nothing = Config::default();
    assert!(matches!(Objects::open(&nothing), Err(Error::Config(_))));
}
