//! What operators set for services: whose counts, who sees it when, and that it ends with its tenant.

use terrace_data_tenancy::{Error, SettingKey, SettingKind, testing::World};
use terrace_ground_ids::TenantId;

fn key(kind: SettingKind, name: &str, tenant: Option<&TenantId>) -> SettingKey {
    SettingKey {
        kind,
        service: "tasks".parse().unwrap(),
        name: name.parse().unwrap(),
        tenant: tenant.cloned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_setting_comes_before_everybodys_and_ends_with_the_tenant() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let (directory, other_node) = (&world.directory, world.another_node().await);
    let service = "tasks".parse().unwrap();
    let read = async |kind, name: &str, tenant: &TenantId| {
        let found = other_node
            .setting(kind, &service, &name.parse().unwrap(), tenant)
            .await
            .unwrap();
        found.map(|setting| String::from_utf8(setting.value).unwrap())
    };
    let version = directory.tenants().version();
    directory
        .put_setting(&key(SettingKind::Config, "greeting", None), b"Hello")
        .await
        .unwrap();
    directory
        .put_setting(&key(SettingKind::Config, "greeting", Some(&acme.id)), b"Moin")
        .await
        .unwrap();
    directory
        .put_setting(&key(SettingKind::Secret, "greeting", None), b"sealed")
        .await
        .unwrap();
    assert!(directory.tenants().version() > version, "other nodes look again");
    assert_eq!(
        read(SettingKind::Config, "greeting", &acme.id).await.as_deref(),
        Some("Moin")
    );
    assert_eq!(
        read(SettingKind::Config, "greeting", &globex.id).await.as_deref(),
        Some("Hello")
    );
    assert_eq!(
        read(SettingKind::Secret, "greeting", &acme.id).await.as_deref(),
        Some("sealed")
    );
    assert_eq!(read(SettingKind::Secret, "other", &acme.id).await, None);

    // Again is instead; and each is deleted by itself.
    directory
        .put_setting(&key(SettingKind::Config, "greeting", None), b"Good day")
        .await
        .unwrap();
    assert_eq!(
        read(SettingKind::Config, "greeting", &globex.id).await.as_deref(),
        Some("Good day")
    );
    assert_eq!(
        directory.settings(SettingKind::Config, &service).await.unwrap().len(),
        2
    );
    directory
        .delete_setting(&key(SettingKind::Config, "greeting", None))
        .await
        .unwrap();
    assert_eq!(read(SettingKind::Config, "greeting", &globex.id).await, None);
    assert_eq!(
        read(SettingKind::Config, "greeting", &acme.id).await.as_deref(),
        Some("Moin")
    );
    let again = directory
        .delete_setting(&key(SettingKind::Config, "greeting", None))
        .await;
    assert!(matches!(again, Err(Error::Unknown { .. })), "{again:?}");

    directory.delete_tenant(&acme.id, "olga").await.unwrap();
    assert_eq!(directory.settings(SettingKind::Config, &service).await.unwrap(), []);
    let nobody = directory
        .put_setting(&key(SettingKind::Config, "greeting", Some(&acme.id)), b"x")
        .await;
    assert!(
        matches!(nobody, Err(Error::Unknown { kind: "tenant", .. })),
        "{nobody:?}"
    );
}
