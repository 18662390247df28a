//! A whole directory for tests: a scratch PostgreSQL, installed, with sample services. Behind the
//! feature `testing`.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::Value as Json;
pub use terrace_data_embedded::testing::Scratch;
use terrace_data_migrate::{File, Progress};
use terrace_data_router::{Principal, Router};
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, TenantId};
use tokio_postgres::Client;

use crate::{Config, Directory, Endpoint, Error, Hooks, NewCluster, NewRelease, NewTenant, Step, Tenant};

/// A scratch database with an installed directory, and a router over it.
pub struct World {
    /// The server and its database.
    pub scratch: Scratch,
    /// The directory of the first node.
    pub directory: Arc<Directory>,
    /// Sends statements as tenants.
    pub router: Router,
}

#[expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails here, with the reason"
)]
impl World {
    /// An installed directory without services and tenants.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, with changes to the directory's configuration.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Scratch::new().await, change).await
    }

    /// The same, in this database.
    pub async fn on(scratch: Scratch, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(&scratch);
        change(&mut config);
        let directory = Directory::connect(config).expect("a valid configuration");
        directory.install().await.expect("install the directory");
        let router = Router::new(terrace_data_router::Config::default(), directory.clone());
        Self {
            scratch,
            directory,
            router,
        }
    }

    /// A directory whose own login is no superuser, as on a managed PostgreSQL: it may create roles and
    /// owns the database, and that is all. On a server of its own: from PostgreSQL 16 on, it has no say over
    /// roles that another login has made.
    pub async fn managed() -> Self {
        let scratch = Scratch::alone().await;
        let admin = scratch.admin().await;
        let database = scratch.connection().database;
        admin
            .batch_execute(&format!(
                "DO $$ BEGIN CREATE ROLE platform LOGIN CREATEROLE CREATEDB PASSWORD 'platform-password';
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
                 ALTER DATABASE {database} OWNER TO platform"
            ))
            .await
            .expect("make a login that is no superuser");
        let mut config = Self::config(&scratch);
        "platform".clone_into(&mut config.database.user);
        "platform-password".clone_into(&mut config.database.password);
        let directory = Directory::connect(config).expect("a valid configuration");
        directory.install().await.expect("install the directory");
        let router = Router::new(terrace_data_router::Config::default(), directory.clone());
        Self {
            scratch,
            directory,
            router,
        }
    }

    /// The login role of a tenant's lane, and its password: for a client that goes around the router.
    pub async fn lane_login(&self, tenant: &TenantId) -> (String, String) {
        let row = self
            .admin()
            .await
            .query_one(
                "SELECT l.login FROM terrace.lane l JOIN terrace.tenant t ON t.lane = l.id WHERE t.id = $1",
                &[&tenant.as_str()],
            )
            .await
            .expect("the tenant's lane");
        let login: String = row.get(0);
        let password = crate::lane::password(&self.directory.config.lane_secret, &login);
        (login, password)
    }

    /// The configuration of a directory over `scratch`.
    pub fn config(scratch: &Scratch) -> Config {
        let connection = scratch.connection();
        let password = connection.password.clone();
        let database = Endpoint {
            socket_dir: Some(connection.socket_dir.clone()),
            host: None,
            port: connection.port,
            name: connection.database,
            user: connection.user,
            password: connection.password,
            standbys: Vec::new(),
        };
        let folder = Some(connection.socket_dir.join(format!("objects-{}", database.name)));
        let mut config = Config::new(database, "a secret of thirty-two characters");
        // Enough for everything, one after the other: whoever takes a second while it has one waits for itself.
        config.connections_max = 1;
        config.objects.folder = folder;
        // Every scratch server has the same.
        for name in ["second", "third"] {
            config
                .cluster_passwords
                .insert(name.parse().expect("a cluster's name"), password.clone());
        }
        config
    }

    /// Adds another scratch server as the cluster `second`.
    pub async fn add_second(&self, scratch: &Scratch) {
        let connection = scratch.connection();
        let new = NewCluster {
            name: second(),
            address: terrace_data_router::Address::Unix {
                dir: connection.socket_dir,
                port: connection.port,
            },
            database: connection.database,
            login: Some(connection.user),
            region: "north".to_owned(),
            plans: None,
        };
        self.directory.add_cluster(new).await.expect("add a cluster");
    }

    /// Another node's directory over the same database, or the same node's after a restart.
    pub async fn another_node(&self) -> Arc<Directory> {
        let directory = Directory::connect(Self::config(&self.scratch)).expect("a valid configuration");
        directory.install().await.expect("install the directory again");
        directory
    }

    /// A connection as superuser.
    pub async fn admin(&self) -> Client {
        self.scratch.admin().await
    }

    /// Uploads and activates a service with these migrations.
    pub async fn service(&self, name: &str, migrations: &[(&str, &str)]) -> ReleaseId {
        self.service_with(name, migrations, Arc::new(|_| ())).await
    }

    /// The same, with somebody who is told how far the migrations are.
    pub async fn service_with(
        &self,
        name: &str,
        migrations: &[(&str, &str)],
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> ReleaseId {
        let release = self
            .directory
            .put_release(release(name, migrations))
            .await
            .expect("upload a release");
        let service = name.parse().expect("a service's name");
        self.directory
            .activate_release(&service, &release.id, progress)
            .await
            .expect("activate a release");
        release.id
    }

    /// The three services of the product, with migrations of a realistic size.
    pub async fn three_services(&self) {
        for (name, migrations) in SERVICES {
            self.service(name, migrations).await;
        }
    }

    /// Creates a tenant.
    pub async fn tenant(&self, slug: &str) -> Arc<Tenant> {
        self.directory
            .create_tenant(new_tenant(slug))
            .await
            .expect("create a tenant")
    }

    /// A row count, or another single number, as superuser.
    pub async fn count(&self, sql: &str) -> i64 {
        self.admin().await.query_one(sql, &[]).await.expect("a count").get(0)
    }
}

/// The name of the other cluster.
#[expect(clippy::expect_used, reason = "a constant name")]
pub fn second() -> ClusterName {
    "second".parse().expect("a cluster's name")
}

/// What a server needs so that tenants can be moved away from it, and quickly copied to it.
pub const MOVABLE: [(&str, &str); 4] = [
    ("wal_level", "logical"),
    ("wal_retrieve_retry_interval", "100ms"),
    ("max_worker_processes", "16"),
    ("max_logical_replication_workers", "8"),
];

/// The service of a tenant, as the router wants it.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails here, with the reason"
)]
pub fn principal(tenant: &TenantId, service: &str) -> Principal {
    Principal {
        tenant: tenant.clone(),
        service: service.parse().expect("a service's name"),
    }
}

/// Long enough for anything that a test does.
pub fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A tenant that is asked for.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails here, with the reason"
)]
pub fn new_tenant(slug: &str) -> NewTenant {
    NewTenant {
        slug: slug.parse().expect("a slug"),
        name: slug.to_owned(),
        plan: "free".to_owned(),
        region: None,
        context: None,
        actor: Some("test".to_owned()),
    }
}

/// A bundle with these migrations.
#[expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails here, with the reason"
)]
pub fn release(name: &str, migrations: &[(&str, &str)]) -> NewRelease {
    NewRelease {
        service: name.parse().expect("a service's name"),
        title: name.to_owned(),
        capabilities: vec!["sql".to_owned()],
        manifest: format!("name = \"{name}\""),
        contract: "{}".to_owned(),
        migrations: migrations
            .iter()
            .map(|(name, sql)| File {
                name: (*name).to_owned(),
                sql: (*sql).to_owned(),
            })
            .collect(),
        component: b"\0asm".to_vec(),
        imports: Vec::new(),
        uploaded_by: "a test".to_owned(),
    }
}

/// Hooks that a test steers: stops after one step, and remembers what it was called for.
#[derive(Default)]
pub struct TestHooks {
    /// Stop once after this step, as a crash would.
    pub stop_after: Mutex<Option<Step>>,
    /// Fail the hook of these tenants' services.
    pub refuse: Mutex<HashSet<ServiceName>>,
    /// The calls, in order.
    pub called: Mutex<Vec<(TenantId, ServiceName, Option<Json>)>>,
    /// The plans that services were told, in order.
    pub plans: Mutex<Vec<(ServiceName, String)>>,
}

#[async_trait]
impl Hooks for TestHooks {
    async fn tenant_created(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        _: &ReleaseId,
        context: Option<&Json>,
    ) -> Result<(), String> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).push((
            tenant.id.clone(),
            service.clone(),
            context.cloned(),
        ));
        match self
            .refuse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(service)
        {
            true => Err("the test refuses".to_owned()),
            false => Ok(()),
        }
    }

    async fn plan_changed(&self, tenant: &Tenant, service: &ServiceName, _: &ReleaseId) -> Result<(), String> {
        if self
            .refuse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(service)
        {
            return Err("the test refuses".to_owned());
        }
        let told = (service.clone(), tenant.plan.clone());
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        Ok(())
    }

    async fn step_done(&self, _: &TenantId, step: Step) -> Result<(), String> {
        let mut stop_after = self.stop_after.lock().unwrap_or_else(PoisonError::into_inner);
        match stop_after.take_if(|stop| *stop == step) {
            Some(_) => Err("killed by the test".to_owned()),
            None => Ok(()),
        }
    }
}

/// Whether an operation was stopped by [`TestHooks`].
pub fn was_stopped<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Stopped { .. }))
}

/// Names and migrations of three services, about what a product of this kind has.
pub const SERVICES: [(&str, &[(&str, &str)]); 3] = [
    (
        "identity",
        &[
            (
                "0001_members.sql",
                "CREATE TABLE member (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, email text NOT NULL, name text NOT NULL, role text NOT NULL CHECK (role IN ('owner', 'member')), password_hash text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
                 CREATE UNIQUE INDEX member_email ON member (lower(email))",
            ),
            (
                "0002_refresh_tokens.sql",
                "CREATE TABLE refresh_token (hash text PRIMARY KEY, member bigint NOT NULL REFERENCES member ON DELETE CASCADE, family text NOT NULL, expires_at timestamptz NOT NULL, used_at timestamptz);
                 CREATE INDEX refresh_token_member ON refresh_token (member);
                 CREATE INDEX refresh_token_family ON refresh_token (family)",
            ),
        ],
    ),
    (
        "tasks",
        &[
            (
                "0001_boards.sql",
                "CREATE TABLE board (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, title text NOT NULL, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
                 CREATE TABLE task (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, board bigint NOT NULL REFERENCES board ON DELETE CASCADE, title text NOT NULL, description text NOT NULL DEFAULT '', list text NOT NULL, position double precision NOT NULL, assignee text, created_by text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), version bigint NOT NULL DEFAULT 1);
                 CREATE INDEX task_board ON task (board, list, position)",
            ),
            (
                "0002_comments.sql",
                "CREATE TABLE comment (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, task bigint NOT NULL REFERENCES task ON DELETE CASCADE, author text NOT NULL, text text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
                 CREATE INDEX comment_task ON comment (task)",
            ),
            (
                "0003_limits.sql",
                "CREATE TABLE counter (name text PRIMARY KEY, value bigint NOT NULL DEFAULT 0, limit_value bigint);
                 INSERT INTO counter (name, value) VALUES ('tasks', 0)",
            ),
        ],
    ),
    (
        "billing",
        &[(
            "0001_plans.sql",
            "CREATE TABLE subscription (id bigint PRIMARY KEY, plan text NOT NULL, since timestamptz NOT NULL DEFAULT now());
             CREATE TABLE meter (name text PRIMARY KEY, value bigint NOT NULL DEFAULT 0)",
        )],
    ),
];
