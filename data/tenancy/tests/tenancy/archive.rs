//! Exporting and importing tenants: equal content, refused damage, crashes between any two steps.

use std::sync::Arc;

use bytes::Bytes;
use terrace_data_router::Value;
use terrace_data_tenancy::{
    ARCHIVE_PART_BYTES_MAX, Directory, Error, KEYVALUE, Kind, NewImport, Standing, State, Step,
    testing::{TestHooks, World, deadline, principal, was_stopped},
};
use terrace_events_outbox::{NewEvent, epilogue};
use terrace_ground_ids::{ArchiveId, TenantId};

/// Types, constraints and texts that a careless copy would change.
pub(crate) const ODD: &[(&str, &str)] = &[(
    "0001_odd.sql",
    "CREATE TYPE mood AS ENUM ('fine', 'so so');
     CREATE TABLE \"Odd name\" (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, parent bigint REFERENCES \"Odd name\", t text, b bytea, n numeric, d double precision,
         j jsonb, at timestamptz, i interval, u uuid, a text[], m mood, up text GENERATED ALWAYS AS (upper(t)) STORED, other bigint);
     CREATE TABLE friend (id bigint PRIMARY KEY, odd bigint NOT NULL REFERENCES \"Odd name\" ON DELETE CASCADE);
     ALTER TABLE \"Odd name\" ADD CONSTRAINT odd_other_fkey FOREIGN KEY (other) REFERENCES friend;
     CREATE TABLE empty (id bigint PRIMARY KEY);
     INSERT INTO empty (id) VALUES (7)",
)];

/// What lies in an archive, in order: paths and contents.
type Entries = Vec<(String, Vec<u8>)>;

async fn world() -> World {
    let world = World::new().await;
    world.three_services().await;
    world.service("odd", ODD).await;
    world
}

/// As superuser: what a service would need a hundred requests for.
async fn many_boards(world: &World, tenant: &TenantId, title: &str, count: usize) {
    let schema = tenant.schema(&"tasks".parse().unwrap());
    let sql = format!(
        "INSERT INTO \"{schema}\".board (title, created_by) SELECT {title}, 'ada' FROM generate_series(1, {count}) n"
    );
    world.admin().await.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn fill(world: &World, tenant: &TenantId, boards: usize) {
    let tasks = principal(tenant, "tasks");
    let title = "E'a\\tb\\\\n\\n\u{1f3e1} ' || n";
    many_boards(world, tenant, title, boards).await;
    for kind in ["board.created", "board.created", "board.moved"] {
        let transaction = world.router.begin(&tasks, deadline()).await.unwrap();
        let event = NewEvent::new(kind, "boards", "{\"x\":\"\\\\ \\t\"}").unwrap();
        transaction.commit(&epilogue(&[event], None)).await.unwrap();
    }
    let schema = tenant.schema(&"odd".parse().unwrap());
    let sql = format!(
        "INSERT INTO \"{schema}\".\"Odd name\" (parent, t, b, n, d, j, at, i, u, a, m) VALUES
             (NULL, '', '\\x0001ff', 'NaN', 'infinity', '{{\"a\": 1.50}}', '2026-01-01 12:00:00.123456+02', '1 mon -2 days', '11111111-2222-3333-4444-555555555555', '{{NULL,\"a,b\",\"\\\\N\"}}', 'so so'),
             (1, '\\N', NULL, 1e40, 0.1::double precision + 0.2, 'null', 'infinity', NULL, NULL, '{{}}', 'fine'),
             (2, '\\.', '', -0.0001, '-0', '[]', NULL, '00:00:00.000001', NULL, NULL, NULL);
         INSERT INTO \"{schema}\".friend VALUES (5, 3);
         UPDATE \"{schema}\".\"Odd name\" SET other = 5 WHERE id = 1;
         DELETE FROM \"{schema}\".empty;
         INSERT INTO terrace_events.cursor (service, tenant_id, seq, attempts, error) VALUES ('billing', '{tenant}', 2, 3, 'a\tb');
         INSERT INTO terrace_events.dead_letter (service, tenant_id, seq, type, topic, data, at, error, attempts) VALUES ('billing', '{tenant}', 1, 'a', '', '1', now(), '', 8)"
    );
    world.admin().await.batch_execute(&sql).await.unwrap();
    // Tables that no migration makes.
    world
        .directory
        .make_tables(tenant, &"odd".parse().unwrap(), KEYVALUE)
        .await
        .unwrap();
    let sql = format!(
        "INSERT INTO \"{schema}\".terrace_keyvalue VALUES ('default', 'k', '\\x00', 1);
         UPDATE \"{schema}\".terrace_keyvalue_usage SET keys = 1, bytes = 2, version = 1"
    );
    world.admin().await.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn export(directory: &Arc<Directory>, tenant: &TenantId) -> Vec<u8> {
    let mut pieces = directory.export_tenant(tenant, "Olga").await.unwrap();
    let mut archive = Vec::new();
    while let Some(piece) = pieces.recv().await {
        archive.extend_from_slice(&piece.unwrap());
    }
    archive
}

pub(crate) async fn upload(directory: &Directory, archive: &[u8]) -> ArchiveId {
    let id = directory.begin_archive().await.unwrap();
    // Small parts, so that borders fall everywhere.
    for (number, part) in archive.chunks(777).enumerate() {
        let part = Bytes::copy_from_slice(part);
        directory
            .put_archive_part(&id, u32::try_from(number).unwrap(), part)
            .await
            .unwrap();
    }
    id
}

fn import(archive: &ArchiveId, slug: &str) -> NewImport {
    NewImport {
        archive: archive.clone(),
        slug: slug.parse().unwrap(),
        name: None,
        plan: None,
        force: false,
        actor: Some("Olga".to_owned()),
    }
}

async fn digest(directory: &Arc<Directory>, tenant: &TenantId) -> String {
    export(directory, tenant).await;
    let done = directory.operations(Some(tenant), 1).await.unwrap();
    assert_eq!((done[0].kind, done[0].state), (Kind::Export, Standing::Done));
    done[0].evidence["digest"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_tenant_equals_the_exported_one_also_on_another_installation() {
    let world = world().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 500).await;
    let archive = export(&world.directory, &id).await;
    let digest_before = digest(&world.directory, &id).await;
    let other = self::world().await;
    let newer = [
        SERVICE_TASKS,
        &[(
            "0004_more.sql",
            "CREATE TABLE more (id bigint PRIMARY KEY); INSERT INTO more (id) VALUES (1)",
        )],
    ]
    .concat();
    for (place, slug) in [(&world, "acme2"), (&other, "acme")] {
        let hooks = Arc::new(TestHooks::default());
        place.directory.set_hooks(hooks.clone());
        let uploaded = upload(&place.directory, &archive).await;
        let import = place.directory.import_tenant(import(&uploaded, slug)).await.unwrap();
        import.end.await.unwrap().unwrap();
        assert_ne!(import.tenant, id, "it is another tenant");
        let view = place.directory.tenants();
        let made = view.by_id(&import.tenant).unwrap();
        assert_eq!(
            (made.state, made.name.as_str(), made.plan.as_str()),
            (State::Active, "acme", "free")
        );
        assert_eq!(digest(&place.directory, &import.tenant).await, digest_before);
        assert!(
            hooks.called.lock().unwrap().is_empty(),
            "its services were greeted where it comes from"
        );
        // It lives on: the next number of a sequence is free, and so is that of the stream.
        let insert = "INSERT INTO board (title, created_by) VALUES ('next', 'ada') RETURNING id";
        let tasks = principal(&import.tenant, "tasks");
        let rows = place.router.query(&tasks, deadline(), insert, &[]).await.unwrap();
        assert_eq!(rows.rows, [[Value::Integer(501)]]);
        let transaction = place.router.begin(&tasks, deadline()).await.unwrap();
        let event = NewEvent::new("board.created", "", "{}").unwrap();
        let results = transaction.commit(&epilogue(&[event], None)).await.unwrap();
        assert_eq!(terrace_events_outbox::last_seq(&results), Some(4));
        // Foreign keys are back: friend and "Odd name" need each other.
        let schema = import.tenant.schema(&"odd".parse().unwrap());
        let orphan = format!("INSERT INTO \"{schema}\".friend VALUES (6, 99)");
        assert!(place.admin().await.batch_execute(&orphan).await.is_err());
        assert_eq!(
            place.count("SELECT count(*) FROM terrace.archive").await,
            0,
            "the upload is forgotten"
        );
    }
    // A release that came since is applied behind the rows.
    other.service("tasks", &newer).await;
    let uploaded = upload(&other.directory, &archive).await;
    let third = other.directory.import_tenant(import(&uploaded, "third")).await.unwrap();
    third.end.await.unwrap().unwrap();
    let tasks = principal(&third.tenant, "tasks");
    let rows = other
        .router
        .query(
            &tasks,
            deadline(),
            "SELECT (SELECT count(*) FROM more), (SELECT count(*) FROM board)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.rows, [[Value::Integer(1), Value::Integer(500)]]);
}

const SERVICE_TASKS: &[(&str, &str)] = terrace_data_tenancy::testing::SERVICES[1].1;

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_one_moment_and_many_files_and_the_tenant_stays_in_use() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    let tasks = principal(&id, "tasks");
    many_boards(&world, &id, "repeat(md5(n::text), 16)", 20_000).await;
    let mut pieces = world.directory.export_tenant(&id, "Olga").await.unwrap();
    let first = pieces.recv().await.unwrap().unwrap();
    // The snapshot is taken. What comes now is not in it, and is not kept waiting.
    world
        .router
        .query(&tasks, deadline(), "DELETE FROM board WHERE id > 5", &[])
        .await
        .unwrap();
    // One export of a tenant at a time, like every other operation.
    let second = world.directory.export_tenant(&id, "Olga").await;
    assert!(
        matches!(second, Err(Error::Running(ref running)) if running.kind == Kind::Export && running.alive),
        "{second:?}"
    );
    let mut archive = first.to_vec();
    while let Some(piece) = pieces.recv().await {
        archive.extend_from_slice(&piece.unwrap());
    }
    let uploaded = upload_whole(&world.directory, &archive).await;
    let import = world.directory.import_tenant(import(&uploaded, "acme2")).await.unwrap();
    import.end.await.unwrap().unwrap();
    let count = world
        .router
        .query(
            &principal(&import.tenant, "tasks"),
            deadline(),
            "SELECT count(*) FROM board",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(count.rows, [[Value::Integer(20_000)]]);
}

async fn upload_whole(directory: &Directory, archive: &[u8]) -> ArchiveId {
    let id = directory.begin_archive().await.unwrap();
    for (number, part) in archive.chunks(ARCHIVE_PART_BYTES_MAX).enumerate() {
        let part = Bytes::copy_from_slice(part);
        directory
            .put_archive_part(&id, u32::try_from(number).unwrap(), part)
            .await
            .unwrap();
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_reader_leaves_ends_and_leaves_the_tenant_free() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    let title = "(SELECT string_agg(md5(n::text || m::text), '') FROM generate_series(1, 60) m)";
    many_boards(&world, &id, title, 20_000).await;
    let mut pieces = world.directory.export_tenant(&id, "Olga").await.unwrap();
    pieces.recv().await.unwrap().unwrap();
    drop(pieces);
    let free = async {
        while matches!(
            world.directory.suspend_tenant(&id, "Olga").await,
            Err(Error::Running(_) | Error::Busy { .. })
        ) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), free)
        .await
        .unwrap();
    let operations = world.directory.operations(Some(&id), 10).await.unwrap();
    let export = operations
        .iter()
        .find(|operation| operation.kind == Kind::Export)
        .unwrap();
    assert_eq!(export.state, Standing::Cancelled);
    assert!(export.error.as_ref().unwrap().contains("left"), "{:?}", export.error);
    // With its node, the reader is gone for good: whoever takes such an export up ends it.
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(Step::Opened).into(),
        ..TestHooks::default()
    }));
    let mut dead = node.export_tenant(&id, "Olga").await.unwrap();
    assert!(dead.recv().await.unwrap().is_err());
    assert!(world.directory.finish_operation(&id).await.unwrap());
    assert_eq!(
        world.directory.operations(Some(&id), 1).await.unwrap()[0].state,
        Standing::Cancelled
    );
}

/// Every file of an archive, its manifest last; and an archive of such files.
fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    tar.entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content)
        })
        .collect()
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn with_manifest(files: &[(String, Vec<u8>)], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut files = files.to_vec();
    let manifest = &mut files.last_mut().unwrap().1;
    let mut value: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    change(&mut value);
    *manifest = value.to_string().into_bytes();
    pack(&files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_archive_is_refused_with_a_reason_before_anything_is_written() {
    let world = world().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 3).await;
    let archive = export(&world.directory, &id).await;
    let files = unpack(&archive);
    assert_eq!(files.last().unwrap().0, "manifest.json");
    let board = files
        .iter()
        .position(|(path, _)| path == "services/tasks/board/000000.copy")
        .unwrap();
    let changed = |change: &dyn Fn(&mut Entries)| {
        let mut files = files.clone();
        change(&mut files);
        pack(&files)
    };
    let damaged: Vec<(Vec<u8>, &str)> = vec![
        (b"PK\x03\x04 not at all".to_vec(), "not an archive"),
        (archive[..archive.len() / 2].to_vec(), "damaged"),
        (changed(&|files| drop(files.pop())), "no manifest"),
        (changed(&|files| files[board].1[0] ^= 1), "not what the manifest says"),
        (changed(&|files| drop(files.remove(board))), "missing"),
        (
            changed(&|files| files.insert(0, ("services/tasks/extra".into(), Vec::new()))),
            "not in its manifest",
        ),
        (changed(&|files| files.insert(0, files[board].clone())), "twice"),
        (
            changed(&|files| files.push(("late".into(), Vec::new()))),
            "behind its manifest",
        ),
        (changed(&|files| files[board].1.truncate(5)), "whole row"),
        (with_manifest(&files, |m| m["format"] = 2.into()), "format 2"),
        (with_manifest(&files, |m| m["digest"] = "0".repeat(64).into()), "digest"),
        (
            with_manifest(&files, |m| m["services"][0]["name"] = "crm".into()),
            "deploy it first",
        ),
        (
            with_manifest(&files, |m| m["services"][0]["migrations"][0]["sha256"] = "0".into()),
            "another",
        ),
        (
            with_manifest(&files, |m| {
                let one = m["services"][0]["migrations"][0].clone();
                m["services"][0]["migrations"].as_array_mut().unwrap().push(one);
            }),
            "newer release",
        ),
        (
            with_manifest(&files, |m| drop(m.as_object_mut().unwrap().remove("events"))),
            "cannot be read",
        ),
    ];
    let before = world.count("SELECT count(*) FROM terrace.lifecycle").await;
    for (bytes, reason) in damaged {
        let uploaded = upload_whole(&world.directory, &bytes).await;
        let refused = world.directory.import_tenant(import(&uploaded, "acme2")).await;
        let error = refused.err().unwrap();
        // The digest is of names and rows: a manifest that was changed by hand is found by it first.
        let said = error.to_string();
        let foreign = ["deploy", "another", "newer"].iter().any(|word| reason.contains(word));
        assert!(matches!(error, Error::Archive(_)), "{reason}: {error:?}");
        assert!(
            said.contains(reason) || (foreign && said.contains("digest")),
            "{reason}: {said}"
        );
    }
    let nowhere = world
        .directory
        .import_tenant(import(&ArchiveId::random(), "acme2"))
        .await;
    assert!(nowhere.is_err());
    let uploaded = upload(&world.directory, &archive).await;
    let taken = world.directory.import_tenant(import(&uploaded, "acme")).await;
    assert!(matches!(taken, Err(Error::SlugTaken(_))));
    assert_eq!(
        world.count("SELECT count(*) FROM terrace.lifecycle").await,
        before,
        "nothing was begun"
    );
    assert_eq!(world.count("SELECT count(*) FROM terrace.tenant").await, 1);
    let too_large = Bytes::from(vec![0; ARCHIVE_PART_BYTES_MAX + 1]);
    assert!(matches!(
        world.directory.put_archive_part(&uploaded, 0, too_large).await,
        Err(Error::Limit(_))
    ));
    // And the archive itself is fine.
    world
        .directory
        .import_tenant(import(&uploaded, "acme2"))
        .await
        .unwrap()
        .end
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_has_a_limit_and_is_forgotten_in_time() {
    let world = World::with(|config| config.archive_max_mib = 1).await;
    let id = world.directory.begin_archive().await.unwrap();
    let part = || Bytes::from(vec![7; 600 << 10]);
    world.directory.put_archive_part(&id, 0, part()).await.unwrap();
    world.directory.put_archive_part(&id, 0, part()).await.unwrap();
    let refused = world.directory.put_archive_part(&id, 1, part()).await;
    assert!(
        matches!(refused, Err(Error::Limit(ref message)) if message.contains("1 MiB")),
        "{refused:?}"
    );
    for _ in 1..16 {
        world.directory.begin_archive().await.unwrap();
    }
    assert!(matches!(world.directory.begin_archive().await, Err(Error::Limit(_))));
    assert_eq!(world.directory.forget_archives().await.unwrap(), 0);
    let client = world.admin().await;
    client
        .batch_execute("UPDATE terrace.archive SET created_at = now() - interval '25 hours'")
        .await
        .unwrap();
    assert_eq!(world.directory.forget_archives().await.unwrap(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_after_any_step_is_finished_by_the_next_node() {
    let world = world().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 50).await;
    let archive = export(&world.directory, &id).await;
    let expected = digest(&world.directory, &id).await;
    for (index, step) in Kind::Import
        .steps()
        .iter()
        .copied()
        .filter(|step| *step != Step::Active)
        .enumerate()
    {
        let node = world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        let uploaded = upload(&node, &archive).await;
        let import = node
            .import_tenant(import(&uploaded, &format!("copy-{index}")))
            .await
            .unwrap();
        assert!(was_stopped(&import.end.await.unwrap()), "{step:?}");
        world.directory.refresh().await.unwrap();
        let stuck = world
            .directory
            .running_operation(&import.tenant)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((stuck.kind, stuck.steps.last().unwrap().0), (Kind::Import, step));
        assert_eq!(
            world.directory.tenants().by_id(&import.tenant).unwrap().state,
            State::Creating
        );
        assert!(
            world.directory.finish_operation(&import.tenant).await.unwrap(),
            "{step:?}"
        );
        assert_eq!(digest(&world.directory, &import.tenant).await, expected, "{step:?}");
    }
    // One that nobody wants any more is deleted, with its upload.
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(Step::Loaded).into(),
        ..TestHooks::default()
    }));
    let uploaded = upload(&node, &archive).await;
    let import = node.import_tenant(import(&uploaded, "unwanted")).await.unwrap();
    assert!(was_stopped(&import.end.await.unwrap()));
    let evidence = world.directory.delete_tenant(&import.tenant, "Olga").await.unwrap();
    assert_eq!(evidence["left"], 0);
    assert_eq!(world.count("SELECT count(*) FROM terrace.archive").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_comes_back_by_force_alone() {
    let world = world().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 3).await;
    let archive = export(&world.directory, &id).await;
    let expected = digest(&world.directory, &id).await;
    world.directory.delete_tenant(&id, "Olga").await.unwrap();
    let uploaded = upload(&world.directory, &archive).await;
    let refused = world.directory.import_tenant(import(&uploaded, "acme")).await;
    assert!(
        matches!(refused, Err(Error::Buried(ref tenant)) if *tenant == id),
        "{:?}",
        refused.err()
    );
    let forced = NewImport {
        force: true,
        plan: Some("team".to_owned()),
        ..import(&uploaded, "acme")
    };
    let hooks = Arc::new(TestHooks::default());
    world.directory.set_hooks(hooks.clone());
    let import = world.directory.import_tenant(forced).await.unwrap();
    import.end.await.unwrap().unwrap();
    assert_eq!(digest(&world.directory, &import.tenant).await, expected);
    assert!(
        hooks.plans.lock().unwrap().iter().all(|(_, plan)| plan == "team") && hooks.plans.lock().unwrap().len() == 4,
        "another plan than the archive's is told to the services"
    );
}
