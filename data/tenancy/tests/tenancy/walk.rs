//! A random walk over everything that can be done to tenants, with a crash after any step.
//!
//! The law: whatever happened, each tenant is in a state that can be explained (it is settled, or an
//! operation that was begun says what is missing), and what was begun can be finished; and the
//! directory, the catalogue and the streams tell one story.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use terrace_data_embedded::testing::Scratch;
use terrace_data_tenancy::{
    Destination, Directory, Error, Kind, LaneKind, NewImport, NewRestore, Rename, Standing, State, Step,
    testing::{MOVABLE, TestHooks, World, new_tenant, second},
};
use terrace_ground_ids::{ClusterName, TenantId};

/// Steps at which a crash is possible; `None`: no crash.
const STEPS: usize = Step::ALL.len() * 2;

/// xorshift64*: reproducible from its seed, which is all that a failure has to tell.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }
}

struct Walk {
    world: World,
    /// The other server.
    other: Scratch,
    dice: Dice,
    /// What should be there: by id, the state of the settled ones.
    known: BTreeMap<TenantId, State>,
    deleted: BTreeSet<TenantId>,
    archive: Option<Vec<u8>>,
    trace: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_random_walk_with_crashes_leaves_no_tenant_that_cannot_be_explained_and_finished() {
    for seed in [1, 20_261_122, 0x7e22_ace5] {
        let world = World::on(Scratch::with_settings(&MOVABLE).await, |config| {
            config.spares = 2;
            config.lane_tenants_max = 3;
        })
        .await;
        let other = Scratch::with_settings(&MOVABLE).await;
        world.add_second(&other).await;
        world.three_services().await;
        let mut walk = Walk {
            world,
            other,
            dice: Dice(seed),
            known: BTreeMap::new(),
            deleted: BTreeSet::new(),
            archive: None,
            trace: vec![format!("seed {seed}")],
        };
        for _ in 0..60 {
            walk.stride().await;
        }
        walk.one_story().await;
    }
}

impl Walk {
    /// One operation on a node of its own, which perhaps dies in it; then a look; then perhaps the
    /// finishing.
    async fn stride(&mut self) {
        let stop_after = Step::ALL.get(self.dice.roll(STEPS)).copied();
        let node = self.world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: stop_after.into(),
            ..TestHooks::default()
        }));
        let tenants: Vec<TenantId> = self.known.keys().cloned().collect();
        let tenant = match tenants.len() {
            0 => None,
            count => tenants.get(self.dice.roll(count)).cloned(),
        };
        let choice = if tenants.len() < 4 {
            self.dice.roll(14)
        } else {
            2 + self.dice.roll(12)
        };
        let outcome = self.act(&node, choice, tenant, stop_after).await;
        self.note(format!("  {outcome:?}"));
        if let Err(error) = &outcome {
            let expected = matches!(
                error,
                Error::Stopped { .. }
                    | Error::SlugTaken(_)
                    | Error::Invalid(_)
                    | Error::Running(_)
                    | Error::Unknown { .. }
                    | Error::Buried(_)
                    | Error::Archive(_)
                    | Error::Limit(_)
                    | Error::Lag(_)
            );
            assert!(expected, "{error:?}\n{}", self.story());
        }
        self.look().await;
        match self.dice.roll(3) {
            0 => {
                self.note("spares".to_owned());
                self.world.directory.fill_spares().await.unwrap();
            }
            1 => {
                self.note("resume all".to_owned());
                for (tenant, outcome) in self.world.directory.resume().await.unwrap() {
                    assert!(outcome.is_ok(), "{tenant}: {outcome:?}\n{}", self.story());
                }
                self.look().await;
            }
            _ => {}
        }
    }

    async fn act(
        &mut self,
        node: &Arc<Directory>,
        choice: usize,
        tenant: Option<TenantId>,
        stop_after: Option<Step>,
    ) -> Result<(), Error> {
        match (choice, tenant) {
            (0 | 1, _) | (_, None) => {
                let slug = format!("s{}", self.dice.roll(6));
                self.note(format!("create {slug}, stop {stop_after:?}"));
                node.create_tenant(new_tenant(&slug)).await.map(|_| ())
            }
            (2, Some(id)) => {
                self.note(format!("delete {id}, stop {stop_after:?}"));
                node.delete_tenant(&id, "walk").await.map(|_| ())
            }
            (3, Some(id)) => {
                self.note(format!("suspend {id}, stop {stop_after:?}"));
                node.suspend_tenant(&id, "walk").await
            }
            (4, Some(id)) => {
                self.note(format!("resume {id}, stop {stop_after:?}"));
                node.resume_tenant(&id, "walk").await
            }
            (5, Some(id)) => {
                let slug = format!("s{}", self.dice.roll(6));
                self.note(format!("rename {id} to {slug}, stop {stop_after:?}"));
                let rename = Rename {
                    slug: Some(slug.parse().unwrap()),
                    name: Some(format!("name of {slug}")),
                    release_old_slug: self.dice.roll(2) == 0,
                };
                node.rename_tenant(&id, rename, "walk").await
            }
            (6, Some(id)) => {
                let plan = ["free", "team"][self.dice.roll(2)];
                self.note(format!("plan {id} {plan}, stop {stop_after:?}"));
                node.change_plan(&id, plan, "walk").await
            }
            (7, Some(id)) => {
                self.note(format!("export {id}, stop {stop_after:?}"));
                self.export(node, &id).await
            }
            (8, Some(id)) => {
                self.note(format!("restore {id}, stop {stop_after:?}"));
                self.restore(node, &id).await
            }
            (9 | 10, Some(id)) => {
                let to = [node.first_cluster(), second()][self.dice.roll(2)].clone();
                self.note(format!("move {id} to {to}, stop {stop_after:?}"));
                node.move_tenant(&id, &to, "walk").await
            }
            (12, Some(id)) => {
                let lane = [LaneKind::Own, LaneKind::Shared][self.dice.roll(2)];
                self.note(format!("lane of {id}: {lane:?}, stop {stop_after:?}"));
                let to = Destination {
                    cluster: None,
                    lane: Some(lane),
                };
                node.relocate_tenant(&id, to, "walk").await
            }
            (11, Some(id)) => {
                self.note(format!("cancel the move of {id}"));
                node.cancel_move(&id).await
            }
            (_, Some(_)) => {
                self.note(format!("import, stop {stop_after:?}"));
                self.import(node).await
            }
        }
    }

    async fn export(&mut self, node: &Arc<Directory>, id: &TenantId) -> Result<(), Error> {
        let mut pieces = node.export_tenant(id, "walk").await?;
        let mut archive = Vec::new();
        while let Some(piece) = pieces.recv().await {
            archive.extend_from_slice(&piece?);
        }
        self.archive = Some(archive);
        Ok(())
    }

    async fn import(&mut self, node: &Arc<Directory>) -> Result<(), Error> {
        let Some(archive) = self.archive.clone() else {
            return Ok(());
        };
        let id = node.begin_archive().await?;
        node.put_archive_part(&id, 0, Bytes::from(archive)).await?;
        let new = NewImport {
            archive: id,
            slug: format!("s{}", self.dice.roll(6)).parse().unwrap(),
            name: None,
            plan: None,
            force: self.dice.roll(2) == 0,
            actor: None,
        };
        node.import_tenant(new).await?.end.await.unwrap()
    }

    async fn restore(&mut self, node: &Arc<Directory>, id: &TenantId) -> Result<(), Error> {
        let Some(archive) = self.archive.clone() else {
            return Ok(());
        };
        let uploaded = node.begin_archive().await?;
        node.put_archive_part(&uploaded, 0, Bytes::from(archive)).await?;
        let new = NewRestore {
            archive: uploaded,
            tenant: id.clone(),
            force: self.dice.roll(2) == 0,
            actor: None,
        };
        node.restore_tenant(new).await?.end.await.unwrap()
    }

    /// Every tenant can be explained: by its state, or by the operation that was begun on it.
    async fn look(&mut self) {
        self.world.directory.refresh().await.unwrap();
        let view = self.world.directory.tenants();
        let mut now = BTreeMap::new();
        for tenant in view.iter() {
            let running = self.world.directory.running_operation(&tenant.id).await.unwrap();
            assert!(
                tenant.placement.is_some(),
                "{} has no place\n{}",
                tenant.id,
                self.story()
            );
            let explained = match (tenant.state, &running) {
                (State::Active, None) | (State::Suspended, None) => true,
                (State::Creating, Some(operation)) => {
                    matches!(operation.kind, Kind::Create | Kind::Import | Kind::Restore)
                }
                (State::Deleting, Some(operation)) => operation.kind == Kind::Delete,
                (State::Active, Some(operation)) => {
                    matches!(
                        operation.kind,
                        Kind::Rename | Kind::Plan | Kind::Export | Kind::Restore | Kind::Resume | Kind::Move
                    )
                }
                (State::Suspended, Some(operation)) => {
                    matches!(
                        operation.kind,
                        Kind::Suspend | Kind::Rename | Kind::Plan | Kind::Export | Kind::Restore | Kind::Move
                    )
                }
                _ => false,
            };
            assert!(
                explained,
                "{} is {} with {running:?}\n{}",
                tenant.id,
                tenant.state,
                self.story()
            );
            if let Some(operation) = running {
                assert!(
                    operation.state == Standing::Running && !operation.remaining().is_empty(),
                    "{operation:?} says nothing of what is to come\n{}",
                    self.story()
                );
            }
            now.insert(tenant.id.clone(), tenant.state);
        }
        let gone: Vec<TenantId> = self.known.keys().filter(|id| !now.contains_key(*id)).cloned().collect();
        for id in gone {
            let evidence = self.world.directory.evidence(&id).await;
            assert!(
                evidence.is_ok_and(|evidence| evidence["left"] == 0),
                "{id} is gone without a trace\n{}",
                self.story()
            );
            self.deleted.insert(id);
        }
        self.known = now;
    }

    /// Everything is finished, and then there are no leftovers anywhere.
    async fn one_story(&mut self) {
        for id in self.known.keys().cloned().collect::<Vec<_>>() {
            let finished = self.world.directory.finish_operation(&id).await;
            assert!(finished.is_ok(), "{id}: {finished:?}\n{}", self.story());
        }
        self.look().await;
        assert!(
            self.known
                .values()
                .all(|state| matches!(state, State::Active | State::Suspended)),
            "{:?}\n{}",
            self.known,
            self.story()
        );
        self.world.directory.forget_archives().await.unwrap();
        let laws = [
            (
                "an operation is left",
                "SELECT count(*) FROM terrace.lifecycle WHERE state = 'running'",
            ),
            (
                "an archive is left",
                "SELECT count(*) FROM terrace.archive WHERE tenant IS NOT NULL",
            ),
            (
                "a seat of a lane is nobody's",
                "SELECT abs(coalesce((SELECT sum(tenants) FROM terrace.lane), 0)::bigint - (SELECT count(*) FROM terrace.tenant) - (SELECT count(*) FROM terrace.spare))",
            ),
            (
                "a slug is not its tenant's",
                "SELECT count(*) FROM terrace.tenant t FULL JOIN (SELECT * FROM terrace.slug WHERE held_until IS NULL) s ON s.slug = t.slug AND s.tenant = t.id WHERE t.id IS NULL OR s.slug IS NULL",
            ),
        ];
        for (law, sql) in laws {
            assert_eq!(self.world.count(sql).await, 0, "{law}\n{}", self.story());
        }
        self.one_story_of(&self.world.directory.first_cluster()).await;
        self.one_story_of(&second()).await;
        assert!(
            !self.deleted.is_empty() && !self.known.is_empty(),
            "the walk went nowhere\n{}",
            self.story()
        );
    }

    /// What is on a cluster is of the tenants that live there, and all of it is there.
    async fn one_story_of(&self, cluster: &ClusterName) {
        let admin = self.world.admin().await;
        let sql = "SELECT t.id, t.state FROM terrace.tenant t JOIN terrace.lane l ON l.id = t.lane WHERE l.cluster = $1
                   UNION ALL SELECT s.tenant, 'spare' FROM terrace.spare s JOIN terrace.lane l ON l.id = s.lane WHERE l.cluster = $1";
        let rows = admin.query(sql, &[&cluster.as_str()]).await.unwrap();
        let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
            let rows = rows.iter().filter(|row| wanted(row.get(1)));
            rows.map(|row| row.get(0)).collect()
        };
        let all = of(&|_| true);
        let tenants = of(&|state| state != "spare");
        let suspended = of(&|state| state == "suspended");
        let server = match *cluster == second() {
            true => self.other.admin().await,
            false => admin,
        };
        let laws = [
            (
                "a schema is nobody's",
                "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\\_%' AND left(nspname, 10) <> ALL($1)",
                &all,
            ),
            (
                "a role is nobody's",
                "SELECT count(*) FROM pg_roles WHERE rolname LIKE 't\\_%' AND left(rolname, 10) <> ALL($1)",
                &all,
            ),
            (
                "a stream is nobody's",
                "SELECT count(*) FROM terrace_events.stream WHERE tenant_id <> ALL($1)",
                &all,
            ),
            (
                "a job is nobody's",
                "SELECT count(*) FROM (SELECT tenant_id FROM terrace_events.job UNION ALL SELECT tenant_id FROM terrace_events.pending) j WHERE tenant_id <> ALL($1)",
                &all,
            ),
            (
                "a principal is nobody's",
                "SELECT count(*) FROM terrace_events.principal WHERE tenant_id <> ALL($1)",
                &all,
            ),
            (
                "a ledger is nobody's",
                "SELECT count(*) FROM terrace.migration WHERE left(schema, 10) <> ALL($1)",
                &all,
            ),
            (
                "a stream is on hold that should not be, or the other way round",
                "SELECT count(*) FROM terrace_events.stream WHERE paused <> (tenant_id = ANY($1))",
                &suspended,
            ),
            (
                "a tenant has not all of its schemas",
                "SELECT count(*) FROM unnest($1::text[]) t WHERE (SELECT count(*) FROM terrace_events.principal p WHERE p.tenant_id = t AND p.ready_at IS NOT NULL) <> 3",
                &tenants,
            ),
            (
                "another lane than one may act for a tenant",
                "SELECT count(*) FROM terrace_events.principal p WHERE p.tenant_id = ANY($1) AND (SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member WHERE r.rolname = p.role AND l.rolname LIKE 'lane\\_%') <> 1",
                &tenants,
            ),
            (
                "something of a move is left",
                "SELECT (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM terrace_events.mark) + (SELECT count(*) FROM unnest($1::text[]) WHERE false)",
                &all,
            ),
        ];
        for (law, sql, ids) in laws {
            let count: i64 = server.query_one(sql, &[ids]).await.unwrap().get(0);
            assert_eq!(count, 0, "{law} on {cluster}\n{}", self.story());
        }
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    fn story(&self) -> String {
        self.trace.join("\n")
    }
}
