//! Sites and builds, and the snapshot that the edge lives on.

use terrace_data_tenancy::{Error, NewFile, testing::World};

fn files(version: u32) -> Vec<NewFile> {
    let file = |path: &str, content: String| NewFile {
        path: path.into(),
        content_type: "text/html; charset=utf-8".into(),
        content: content.into_bytes(),
    };
    vec![
        file("/index.html", format!("<p>{version}</p>")),
        file("/shared.html", "the same".into()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_builds_are_kept_and_contents_that_nobody_names_go() {
    let world = World::new().await;
    let site = "tasks".parse().unwrap();
    let first = world.directory.put_build(&site, "Tasks", files(0)).await.unwrap();
    world.directory.activate_build(&site, &first.id).await.unwrap();
    for version in 1..=12 {
        world.directory.put_build(&site, "Tasks", files(version)).await.unwrap();
    }
    let sites = world.directory.sites().await.unwrap();
    assert_eq!(sites[0].builds.len(), 11, "ten, and the one that is served");
    assert!(sites[0].builds.iter().any(|build| build.id == first.id));
    assert_eq!(world.count("SELECT count(*) FROM terrace.blob").await, 12);
    assert_eq!(
        world.directory.put_build(&site, "Tasks", files(0)).await.unwrap().id,
        first.id,
        "named by content"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_names_every_host_and_file_and_changes_only_when_they_do() {
    let world = World::new().await;
    let site = "tasks".parse().unwrap();
    let build = world.directory.put_build(&site, "Tasks", files(1)).await.unwrap();
    world.directory.activate_build(&site, &build.id).await.unwrap();
    let tenant = world.tenant("acme").await;
    let snapshot = world.directory.edge_snapshot().await.unwrap();
    let document: serde_json::Value = serde_json::from_slice(&snapshot.body).unwrap();
    assert_eq!(document["version"], *snapshot.version);
    assert_eq!(
        document["hosts"]["acme.localhost"],
        serde_json::json!({"site": "tasks", "tenant": tenant.id, "state": "active"})
    );
    assert_eq!(
        document["hosts"]["console.localhost"],
        serde_json::json!({"site": "console"})
    );
    assert_eq!(document["sites"]["tasks"]["current"], build.id.as_str());
    let file = &document["builds"][build.id.as_str()]["files"][0];
    assert_eq!((&file["path"], &file["size"]), (&"/index.html".into(), &8.into()));
    let blob = world
        .directory
        .blob(file["sha256"].as_str().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(blob, b"<p>1</p>");

    assert_eq!(
        world.another_node().await.edge_snapshot().await.unwrap().version,
        snapshot.version,
        "all nodes say the same"
    );
    world.directory.suspend_tenant(&tenant.id, "test").await.unwrap();
    assert_ne!(world.directory.edge_snapshot().await.unwrap().version, snapshot.version);
    assert!(world.directory.blob("nothing").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_with_a_path_that_leaves_it_is_refused() {
    let world = World::new().await;
    let site = "tasks".parse().unwrap();
    for path in ["index.html", "/../x", "/a//b", "/", "/a/./b", "/a\\b", "/a?b"] {
        let file = NewFile {
            path: path.into(),
            content_type: "text/plain".into(),
            content: vec![],
        };
        assert!(
            matches!(
                world.directory.put_build(&site, "Tasks", vec![file]).await,
                Err(Error::Invalid(_))
            ),
            "{path}"
        );
    }
    let build = world.directory.put_build(&site, "Tasks", files(1)).await.unwrap();
    assert!(matches!(
        world
            .directory
            .activate_build(&"console".parse().unwrap(), &build.id)
            .await,
        Err(Error::Unknown { .. })
    ));
}
