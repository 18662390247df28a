//! The guard alone: what it lets through is sent by a superuser, whose answers nobody checks.

use std::collections::BTreeSet;

use terrace_data_guard::Guard;
use terrace_data_tenancy::testing::World;

use crate::{
    corpus::{Attack, corpus},
    street::{Street, assert_listed},
    wire::Protocol,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_alone_lets_no_attack_through_and_what_it_lets_through_stays_at_home() {
    let street = Street::of(World::new().await).await;
    let guard = Guard::new(2_000);
    let place = street.world.scratch.connection();
    let mut found = BTreeSet::new();
    let mut shown = 0;
    for attack in street
        .attacks()
        .into_iter()
        .chain(corpus("lookalikes", &street.their_schema()))
    {
        let Ok(verdict) = guard.check(&attack.sql) else {
            continue;
        };
        let bound = Attack {
            sql: verdict.bind(&street.our_schema()),
            ..attack
        };
        for protocol in [Protocol::Simple, Protocol::Extended] {
            let before = street.state().await;
            // No role is taken, no right is missing, no tag is read.
            let mut wire = street.wire(&place.user, &place.password);
            let reply = wire.attack(&bound, protocol);
            let rest = wire.simple("SELECT current_user, session_user");
            shown += usize::from(reply.contains(&format!("the secret of {}", street.ours)));
            let end = if reply.contains(&street.their_secret()) {
                "leak"
            } else if before != street.state().await || !rest.contains(&place.user) {
                "harm"
            } else {
                continue;
            };
            found.insert(format!("{end}  {}: {}", bound.trick, bound.line));
        }
    }
    assert_listed("guard", &found, &street).await;
    assert!(
        shown > 20,
        "the sender's own secret was shown {shown} times: something else is wrong"
    );
}
