//! What a node is made of, on one screen.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use terrace_capabilities_blob::{Blob, Files, Links};
use terrace_capabilities_cache::{Cache, Store};
use terrace_capabilities_calls::Calls;
use terrace_capabilities_clock::Clock;
use terrace_capabilities_config::Config as Values;
use terrace_capabilities_events::Events;
use terrace_capabilities_http::{Http, System};
use terrace_capabilities_keyvalue::KeyValue;
use terrace_capabilities_log::Log as LogCapability;
use terrace_capabilities_password::{Hasher, Password};
use terrace_capabilities_random::Random;
use terrace_capabilities_schedule::Schedule;
use terrace_capabilities_secrets::{Sealer, Secrets as SecretsCapability};
use terrace_capabilities_sql::Sql;
use terrace_capabilities_token::Token;
use terrace_compute_engine::{Capability, Engine};
use terrace_compute_gateway::{Gateway, Parts};
use terrace_data_router::Router;
use terrace_data_tenancy::{self as tenancy, Directory, Endpoint, NewOperator, Place};
use terrace_events_dispatch::{Dispatcher, Subscriptions};
use terrace_events_live::Live;
use terrace_events_log::{Bell, Log, Retention, poll};
use terrace_events_schedule::Scheduler;
use terrace_ground_ids::TenantId;
use terrace_ground_telemetry::Meters;
use terrace_ground_token::Keys;
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::{
    Options,
    adapters::{Hosts, LiveStreams, TenantTables},
    calls::ThroughGateway,
    control::Plane,
    database::Databases,
    deliver::{Delivery, ServiceHooks},
    deployments::{Deployments, SqlSeals},
    files::FileLinks,
    metrics, operator_token,
    settings::Settings,
    streams::Streams,
    usage::Metering,
};
use crate::{config::Config, secrets::Secrets};

/// Between two rounds of [`tend_tenants`].
const TEND_EVERY: Duration = Duration::from_secs(2);

/// A composed node.
pub(crate) struct Node {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: axum::Router,
    pub(crate) internal: axum::Router,
    pub(crate) metering: Arc<Metering>,
    closing: terrace_control::State,
}

impl Node {
    /// Connects to the directory and puts the node together. An error that [`is_away`] may be tried
    /// again; any other is final.
    pub(crate) async fn compose(options: &Options, config: &Config, secrets: &Secrets) -> Result<Self> {
        // ③ Data: the directory, and transactions in tenants' schemas.
        let directory = Directory::connect(tenancy_config(options, config, secrets)?)?;
        directory.install().await.context("install the directory")?;
        let router = Arc::new(Router::new(config.router.clone(), directory.clone()));

        // Events: one log, one bell, streams to browsers.
        let log: Arc<dyn Log> = Arc::new(Streams::new(directory.clone()));
        let bell = Bell::new();
        let live = Live::new(config.live.clone(), log.clone(), bell.clone());

        // ② Compute: what a service may be granted, and what runs it.
        let keys = Keys::from_seed(&secrets.bytes("tokens")?);
        let calls = Arc::new(ThroughGateway::default());
        let ring = bell.clone();
        let sql = Sql::new(router.clone(), Arc::new(move |tenant, seq| ring.ring(tenant, seq)));
        let sql_seals = SqlSeals::new(sql.seals(), router.clone());
        let sealer = Sealer::new(&secrets.bytes("sealing")?);
        let settings = Arc::new(Settings::new(directory.clone(), sealer));
        let cache = Arc::new(Store::new(&config.cache));
        let tables = Arc::new(TenantTables(directory.clone()));
        let files = Arc::new(Files::new(config.blob.clone(), router.clone(), tables.clone()));
        let links = Arc::new(Links::new(secrets.bytes("links")?));
        let capabilities: Vec<Arc<dyn Capability>> = vec![
            Arc::new(sql),
            Arc::new(Events),
            Arc::new(Schedule),
            Arc::new(Clock),
            Arc::new(LogCapability),
            Arc::new(Password::new(Arc::new(Hasher::new(
                &terrace_capabilities_password::Config::default(),
            )))),
            Arc::new(Token::new(Arc::new(keys.clone()))),
            Arc::new(Calls::new(calls.clone())),
            Arc::new(Http::new(config.http.clone(), Arc::new(System), settings.clone())?),
            Arc::new(SecretsCapability::new(settings.clone())),
            Arc::new(Values::new(settings.clone())),
            Arc::new(Random),
            Arc::new(Cache::new(cache.clone())),
            Arc::new(KeyValue::new(config.keyvalue.clone(), router.clone(), tables)),
            Arc::new(Blob::new(files.clone(), links.clone())),
        ];
        let engine = Engine::new(engine_config(options, config, secrets)?, capabilities)?;

        // The gateway, and everything that reaches services through it.
        let meters = Arc::new(Meters::default());
        let parts = Parts {
            tenants: Arc::new(Hosts::new(directory.clone())),
            engine: engine.clone(),
            keys: keys.clone(),
            meters: meters.clone(),
            streams: Arc::new(LiveStreams::new(directory.clone(), live.clone())),
            files: Arc::new(FileLinks::new(files, links)),
        };
        let gateway = Arc::new(Gateway::new(config.gateway.clone(), parts));
        calls.connect(&gateway);
        let releases = config.releases.clone();
        let deployments =
            Deployments::start(releases, directory.clone(), engine.clone(), gateway.clone(), sql_seals).await?;
        directory.set_hooks(Arc::new(ServiceHooks::new(gateway.clone(), deployments.clone())));
        let deliver = Arc::new(Delivery::new(directory.clone(), gateway.clone(), deployments.clone()));
        let dispatcher = Arc::new(Dispatcher::new(
            config.dispatch.clone(),
            log.clone(),
            bell.clone(),
            Streams::new(directory.clone()),
            deliver.clone(),
            Subscriptions::new(),
        ));
        deployments.subscribe(dispatcher.clone()).await;
        let scheduler = Arc::new(Scheduler::new(
            config.schedule.clone(),
            Streams::new(directory.clone()),
            deliver,
        ));
        deployments.recur(scheduler.clone()).await;

        // The control plane.
        let metering = Metering::new(engine.clone(), directory.clone(), bell.clone());
        make_operator(&directory, secrets).await?;
        let databases = Databases::new(directory.clone(), router.clone(), config.metrics.clone());
        let plane = Arc::new(Plane::new(
            directory.clone(),
            deployments,
            meters,
            engine.logs().clone(),
            settings,
            metering.clone(),
            databases.clone(),
        ));
        let token = operator_token(secrets)?;
        let state = terrace_control::State::new(terrace_control::Config::default(), plane, keys, Some(&token));

        tokio::spawn(poll(log.clone(), bell, terrace_events_log::Config::default()));
        tokio::spawn(dispatcher.run());
        tokio::spawn(scheduler.run());
        tokio::spawn(metering.clone().run());
        tokio::spawn(forget_old_events(log));
        tokio::spawn(follow_tenants(directory.clone(), router, live, cache));
        tokio::spawn(tend_tenants(directory));
        Ok(Self {
            gateway,
            control: terrace_control::router(state.clone()),
            internal: terrace_control::internal(state.clone()).merge(scraped(metering.clone(), databases)),
            metering,
            closing: state,
        })
    }

    /// Ends what would otherwise keep connections open for ever.
    pub(crate) fn close(&self) {
        self.closing.close();
    }
}

fn engine_config(options: &Options, config: &Config, secrets: &Secrets) -> Result<terrace_compute_engine::Config> {
    let mut engine = config.engine.clone();
    engine
        .cache_dir
        .get_or_insert_with(|| options.data_dir.join("artefacts"));
    engine.cache_key = Some(secrets.bytes("artefacts")?);
    Ok(engine)
}

/// What a scraper may ask for; like everything below `/internal`, on the node's own address only.
fn scraped(metering: Arc<Metering>, databases: Arc<Databases>) -> axum::Router {
    let show = async move || metrics::answer(metering.counted().await, databases.counted().await);
    axum::Router::new().route("/internal/metrics", axum::routing::get(show))
}

/// True when the database is not there yet, so that trying again may help.
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<tenancy::Error>() {
        Some(tenancy::Error::Connect(_)) => true,
        Some(tenancy::Error::Query(error)) => {
            error.is_closed()
                || error.as_db_error().is_some_and(|error| {
                    error.code() == &SqlState::CANNOT_CONNECT_NOW || error.code() == &SqlState::ADMIN_SHUTDOWN
                })
        }
        _ => false,
    })
}

fn tenancy_config(options: &Options, config: &Config, secrets: &Secrets) -> Result<tenancy::Config> {
    let parsed: tokio_postgres::Config = options
        .database
        .parse()
        .context("read --database: expected text like `host=/run/postgresql user=terrace dbname=terrace`")?;
    // `host=a,b port=5432,5433`: a primary and its standbys, in any order. One port is everybody's.
    let ports = parsed.get_ports();
    let mut places = parsed.get_hosts().iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let (socket_dir, host) = match host {
            tokio_postgres::config::Host::Unix(folder) => (Some(folder.clone()), None),
            tokio_postgres::config::Host::Tcp(host) => (None, Some(host.clone())),
        };
        Place { socket_dir, host, port }
    });
    let first = places.next().unwrap_or(Place {
        socket_dir: None,
        host: None,
        port: ports.first().copied().unwrap_or(5432),
    });
    let password = match parsed.get_password() {
        Some(password) => String::from_utf8_lossy(password).into_owned(),
        None => secrets.text("postgres", "")?,
    };
    let database = Endpoint {
        socket_dir: first.socket_dir,
        host: first.host,
        port: first.port,
        standbys: places.collect(),
        name: parsed.get_dbname().unwrap_or("terrace").to_owned(),
        user: parsed.get_user().unwrap_or("terrace").to_owned(),
        password,
    };
    let mut tenancy = tenancy::Config::new(database, HEXLOWER.encode(&secrets.bytes("lanes")?));
    tenancy.base_domain.clone_from(&config.base_domain.0);
    tenancy.connections_max = config.node.directory_connections;
    for (name, password) in secrets.beginning_with("cluster-")? {
        let name = name
            .parse()
            .with_context(|| format!("the secret cluster-{name} is named after no cluster"))?;
        tenancy.cluster_passwords.insert(name, password);
    }
    tenancy.move_lag_max_ms = config.tenants.move_lag_max_ms;
    tenancy.move_pause_max_ms = config.tenants.move_pause_max_ms;
    tenancy.lane_tenants.clone_from(&config.tenants.lane_tenants);
    tenancy.migrate = config.migrations.clone();
    tenancy.spares = config.tenants.spares;
    tenancy.slug_held_days = config.tenants.slug_held_days;
    tenancy.archive_max_mib = config.tenants.archive_max_mib;
    tenancy.objects = config.objects.clone();
    tenancy
        .objects
        .folder
        .get_or_insert_with(|| options.data_dir.join("objects"));
    tenancy.objects.access_key_id.clone_from(&options.s3_access_key_id);
    tenancy
        .objects
        .secret_access_key
        .clone_from(&options.s3_secret_access_key);
    Ok(tenancy)
}

/// The first operator, with the password that lies in the secrets.
async fn make_operator(directory: &Directory, secrets: &Secrets) -> Result<()> {
    let email = "operator@terrace.example";
    let password = secrets.text(
        "operator-password",
        &HEXLOWER.encode(&secrets.bytes("operator-seed")?)[..20],
    )?;
    if directory.operator(email).await?.is_some() {
        return Ok(());
    }
    let password_hash = terrace_control::hash_password(&password).context("hash the operator's password")?;
    directory
        .put_operator(NewOperator {
            email: email.to_owned(),
            name: "Operator".to_owned(),
            password_hash,
        })
        .await?;
    info!("Made the operator {email}; the password is in the secrets, as operator-password");
    Ok(())
}

/// Keeps the house: finishes what any node left half done, has spares ready for creations, forgets
/// uploads that nobody imported.
///
/// The first round takes up everything, also what waits for its next attempt. It is not waited for: an
/// import of an hour would keep the node from serving everybody else.
async fn tend_tenants(directory: Arc<Directory>) {
    if let Err(error) = directory.resume().await {
        warn!("Cannot look for what was left half done: {error}");
    }
    let mut often = tokio::time::interval(TEND_EVERY);
    often.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        often.tick().await;
        let tended = async {
            directory.resume_due().await?;
            directory.fill_spares().await?;
            directory.forget_archives().await
        };
        match tended.await {
            Ok(_) => away = false,
            Err(error) if !away => {
                away = true;
                warn!(
                    "Cannot tend the tenants; trying again every {} s: {error}",
                    TEND_EVERY.as_secs()
                );
            }
            Err(_) => {}
        }
    }
}

/// Lets go of what belongs to tenants that may not be used any more, whichever node decided it: their
/// live streams end, the router forgets their backends and the cache their entries. Idle backends are swept on the way.
async fn follow_tenants(directory: Arc<Directory>, router: Arc<Router>, live: Live, cache: Arc<Store>) {
    let mut changes = directory.changes();
    let mut known: HashMap<TenantId, (tenancy::State, u32)> = HashMap::new();
    let mut sweep = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = sweep.tick() => router.sweep(),
        }
        let view = directory.tenants();
        let now: HashMap<TenantId, (tenancy::State, u32)> = view
            .iter()
            .map(|tenant| (tenant.id.clone(), (tenant.state, tenant.epoch)))
            .collect();
        for (tenant, (before, epoch)) in &known {
            let (state, is_same) = match now.get(tenant) {
                Some((state, now)) => (Some(*state), now == epoch),
                None => (None, false),
            };
            if *before == tenancy::State::Active && state != Some(tenancy::State::Active) {
                live.revoke(tenant);
            }
            if state.is_none() {
                router.forget(tenant);
            }
            // Of one that was restored, too. Its live streams find out by themselves: their numbers are
            // gone from the log, so they are told to start over.
            if !is_same {
                cache.forget(tenant);
            }
        }
        known = now;
    }
}

/// Once an hour, a bounded number at a time.
async fn forget_old_events(log: Arc<dyn Log>) {
    let mut hourly = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hourly.tick().await;
        if let Err(error) = log.retention(Retention::default()).await {
            warn!("Cannot remove old events: {error}");
        }
    }
}
