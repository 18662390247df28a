//! Nobody waits for a connection while somebody who has it waits for another (homes.rs).

use std::sync::Arc;

use terrace_data_embedded::testing::Scratch;
use terrace_data_tenancy::{
    Destination, LaneKind, NewTenant,
    testing::{MOVABLE, World, new_tenant, second},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_to_each_database_is_enough_for_everything_at_once() {
    let world = Arc::new(
        World::on(Scratch::with_settings(&MOVABLE).await, |config| {
            config.connections_max = 1
        })
        .await,
    );
    let other = Scratch::with_settings(&MOVABLE).await;
    world.add_second(&other).await;
    world.three_services().await;
    let mut there = Vec::new();
    for slug in ["acme", "globex", "initech", "umbrella"] {
        there.push(world.tenant(slug).await.id.clone());
    }
    let mut work = tokio::task::JoinSet::new();
    for index in 0..12 {
        let directory = world.directory.clone();
        let new = NewTenant {
            region: (index % 2 == 0).then(|| "north".to_owned()),
            plan: if index % 3 == 0 { "team" } else { "free" }.to_owned(),
            ..new_tenant(&format!("new-{index}"))
        };
        work.spawn(async move { directory.create_tenant(new).await.map(|_| ()) });
    }
    for name in ["notes", "billing-two", "search"] {
        let world = world.clone();
        work.spawn(async move {
            let sql = "CREATE TABLE note (id bigint PRIMARY KEY);";
            world.service(name, &[("0001_first.sql", sql)]).await;
            Ok(())
        });
    }
    let steps = there.into_iter().enumerate();
    for (index, tenant) in steps {
        let directory = world.directory.clone();
        work.spawn(async move {
            match index {
                0 => directory.change_plan(&tenant, "team", "Olga").await,
                1 => directory.delete_tenant(&tenant, "Olga").await.map(|_| ()),
                2 => {
                    let to = Destination {
                        cluster: None,
                        lane: Some(LaneKind::Own),
                    };
                    directory.relocate_tenant(&tenant, to, "Olga").await
                }
                _ => {
                    let here = directory.home_cluster(&tenant);
                    let to = if here == second() {
                        directory.first_cluster()
                    } else {
                        second()
                    };
                    directory.move_tenant(&tenant, &to, "Olga").await
                }
            }
        });
    }
    let spares = world.directory.clone();
    work.spawn(async move { spares.fill_spares().await.map(|_| ()) });
    while let Some(done) = work.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.tenant WHERE state = 'active'")
            .await,
        15
    );
}
