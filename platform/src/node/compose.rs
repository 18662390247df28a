//! What a node is made of, on one screen.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
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
use terrace_capabilities_secrets::{Sealer, Secrets as SecretsCapability};
use terrace_capabilities_sql::Sql;
use terrace_capabilities_token::Token;
use terrace_compute_engine::{Capability, Engine};
use terrace_compute_gateway::{Gateway, Parts};
use terrace_data_router::Router;
use terrace_data_tenancy::{self as tenancy, Directory, Endpoint, NewOperator};
use terrace_events_dispatch::{Dispatcher, Subscriptions};
use terrace_events_live::Live;
use terrace_events_log::{Bell, Log, Postgres, Retention, poll};
use terrace_ground_ids::TenantId;
use terrace_ground_telemetry::Meters;
use terrace_ground_token::Keys;
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::{
    Options,
    adapters::{Hosts, LiveStreams, OwnTables},
    calls::ThroughGateway,
    control::Plane,
    deliver::{Delivery, ServiceHooks},
    deployments::Deployments,
    operator_token,
    settings::Settings,
};
use crate::{config::Config, secrets::Secrets};

/// A composed node.
pub(crate) struct Node {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: axum::Router,
    pub(crate) internal: axum::Router,
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
        let log: Arc<dyn Log> = Arc::new(Postgres::new(directory.pool().clone()));
        let bell = Bell::new();
        let live = Live::new(config.live.clone(), log.clone(), bell.clone());

        // ② Compute: what a service may be granted, and what runs it.
        let keys = Keys::from_seed(&secrets.bytes("tokens")?);
        let calls = Arc::new(ThroughGateway::default());
        let ring = bell.clone();
        let settings = Arc::new(Settings::new(
            directory.clone(),
            Sealer::new(&secrets.bytes("sealing")?),
        ));
        let cache = Arc::new(Store::new(&config.cache));
        let capabilities: Vec<Arc<dyn Capability>> = vec![
            Arc::new(Sql::new(
                router.clone(),
                Arc::new(move |tenant, seq| ring.ring(tenant, seq)),
            )),
            Arc::new(Events),
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
            Arc::new(KeyValue::new(
                config.keyvalue.clone(),
                router.clone(),
                Arc::new(OwnTables(directory.clone())),
            )),
        ];
        let mut engine_config = config.engine.clone();
        engine_config
            .cache_dir
            .get_or_insert_with(|| options.data_dir.join("artefacts"));
        engine_config.cache_key = Some(secrets.bytes("artefacts")?);
        let engine = Engine::new(engine_config, capabilities)?;

        // The gateway, and everything that reaches services through it.
        let meters = Arc::new(Meters::default());
        let parts = Parts {
            tenants: Arc::new(Hosts::new(directory.clone())),
            engine: engine.clone(),
            keys: keys.clone(),
            meters: meters.clone(),
            streams: Arc::new(LiveStreams::new(live.clone())),
        };
        let gateway = Arc::new(Gateway::new(config.gateway.clone(), parts));
        calls.connect(&gateway);
        let deployments = Deployments::start(directory.clone(), engine.clone(), gateway.clone()).await?;
        directory.set_hooks(Arc::new(ServiceHooks::new(gateway.clone(), deployments.clone())));
        let deliver = Arc::new(Delivery::new(directory.clone(), gateway.clone()));
        let dispatcher = Arc::new(Dispatcher::new(
            config.dispatch.clone(),
            log.clone(),
            bell.clone(),
            directory.pool().clone(),
            deliver,
            Subscriptions::new(),
        ));
        deployments.subscribe(dispatcher.clone()).await;

        // The control plane.
        make_operator(&directory, secrets).await?;
        let plane = Arc::new(Plane::new(
            directory.clone(),
            deployments,
            meters,
            engine.logs().clone(),
            settings,
        ));
        let token = operator_token(secrets)?;
        let state = terrace_control::State::new(terrace_control::Config::default(), plane, keys, Some(&token));

        tokio::spawn(poll(log.clone(), bell, terrace_events_log::Config::default()));
        tokio::spawn(dispatcher.run());
        tokio::spawn(forget_old_events(log));
        tokio::spawn(follow_tenants(directory.clone(), router, live, cache));
        resume(&directory).await?;
        Ok(Self {
            gateway,
            control: terrace_control::router(state.clone()),
            internal: terrace_control::internal(state.clone()),
            closing: state,
        })
    }

    /// Ends what would otherwise keep connections open for ever.
    pub(crate) fn close(&self) {
        self.closing.close();
    }
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
    let (socket_dir, host) = match parsed.get_hosts().first() {
        Some(tokio_postgres::config::Host::Unix(folder)) => (Some(folder.clone()), None),
        Some(tokio_postgres::config::Host::Tcp(host)) => (None, Some(host.clone())),
        None => (None, None),
    };
    let password = match parsed.get_password() {
        Some(password) => String::from_utf8_lossy(password).into_owned(),
        None => secrets.text("postgres", "")?,
    };
    let database = Endpoint {
        socket_dir,
        host,
        port: parsed.get_ports().first().copied().unwrap_or(5432),
        name: parsed.get_dbname().unwrap_or("terrace").to_owned(),
        user: parsed.get_user().unwrap_or("terrace").to_owned(),
        password,
    };
    let mut tenancy = tenancy::Config::new(database, HEXLOWER.encode(&secrets.bytes("lanes")?));
    tenancy.base_domain.clone_from(&config.base_domain.0);
    tenancy.connections_max = config.node.directory_connections;
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

/// Finishes what a killed node left half done.
async fn resume(directory: &Arc<Directory>) -> Result<()> {
    for (tenant, outcome) in directory.resume().await? {
        match outcome {
            Ok(()) => info!(tenant.id = %tenant, "Finished what was left half done"),
            Err(error) => warn!(tenant.id = %tenant, "Still half done: {error}"),
        }
    }
    Ok(())
}

/// Lets go of what belongs to tenants that may not be used any more, whichever node decided it: their
/// live streams end, the router forgets their backends and the cache their entries. Idle backends are swept on the way.
async fn follow_tenants(directory: Arc<Directory>, router: Arc<Router>, live: Live, cache: Arc<Store>) {
    let mut changes = directory.changes();
    let mut known: HashMap<TenantId, tenancy::State> = HashMap::new();
    let mut sweep = tokio::time::interval(Duration::from_secs(60));
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = sweep.tick() => router.sweep(),
        }
        let view = directory.tenants();
        let now: HashMap<TenantId, tenancy::State> =
            view.iter().map(|tenant| (tenant.id.clone(), tenant.state)).collect();
        for (tenant, before) in &known {
            let state = now.get(tenant);
            if *before == tenancy::State::Active && state != Some(&tenancy::State::Active) {
                live.revoke(tenant);
            }
            if state.is_none() {
                router.forget(tenant);
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
