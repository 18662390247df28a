//! The database's own fence alone: no guard, no router, a naive client as the lane's login.

use terrace_data_tenancy::{Fences, testing::World};

use crate::{
    street::{Street, assert_listed},
    wire::Protocol,
};

async fn with_a_lane_for_each() -> Street {
    Street::of(World::with(|config| config.lane_tenants_max = 1).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_alone_let_nothing_through_to_another_lane() {
    let street = with_a_lane_for_each().await;
    assert_eq!(street.world.directory.fences(), Some(Fences::All));
    let (login, password) = street.world.lane_login(&street.ours).await;
    for protocol in [Protocol::Simple, Protocol::Extended] {
        let found = street.naive(&login, &password, protocol).await;
        assert_listed("roles_between_lanes", &found, &street).await;
    }
}

/// A lane's login may become each of its tenants: what says so in words is for the other fences.
#[tokio::test(flavor = "multi_thread")]
async fn roles_alone_hold_in_one_lane_what_is_no_change_of_role_simple() {
    let street = Street::of(World::new().await).await;
    let (login, password) = street.world.lane_login(&street.ours).await;
    let found = street.naive(&login, &password, Protocol::Simple).await;
    assert_listed("roles_in_a_lane_simple", &found, &street).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_alone_hold_in_one_lane_what_is_no_change_of_role_extended() {
    let street = Street::of(World::new().await).await;
    let (login, password) = street.world.lane_login(&street.ours).await;
    let found = street.naive(&login, &password, Protocol::Extended).await;
    assert_listed("roles_in_a_lane_extended", &found, &street).await;
}
