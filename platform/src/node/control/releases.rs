//! Releases as the control plane sees them: checked before they are stored, loaded before they are
//! served.

use std::{collections::HashMap, sync::Arc};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use terrace_compute_engine::Release as Runnable;
use terrace_compute_gateway::check_paths;
use terrace_contracts_openapi::Contract;
use terrace_control::{
    Canary, CanarySplit, Error, NewRelease, Release, ReleaseDiff, ReleaseEvent, ReleaseFacts, ReleaseState, Service,
};
use terrace_data_migrate::File;
use terrace_data_tenancy::{self as tenancy, Cause, Happened, Split, Switch};
use terrace_ground_ids::{ReleaseId, ServiceName, TenantId};

use super::{Plane, invalid, refuse};
use crate::node::{
    diff::{self, Side},
    manifest::Manifest,
};

/// A bundle that can run.
struct Checked {
    manifest: Manifest,
    contract: String,
    migrations: Vec<File>,
    runnable: Arc<Runnable>,
}

impl Plane {
    pub(super) async fn all_services(&self) -> Result<Vec<Service>, Error> {
        let services = self.directory.services().await.map_err(refuse)?;
        let mut history = self.directory.release_history().await.map_err(refuse)?;
        Ok(services
            .into_iter()
            .map(|(service, releases)| describe(service, releases, &mut history))
            .collect())
    }

    async fn one_service(&self, service: &ServiceName) -> Result<Service, Error> {
        let services = self.all_services().await?;
        let found = services.into_iter().find(|one| one.name == *service);
        found.ok_or_else(|| Error::NotFound(format!("There is no service `{service}`.")))
    }

    /// Compiles it, links it, and lets it answer once: what cannot run is never a release.
    async fn check(&self, service: &ServiceName, release: &NewRelease) -> Result<Checked, Error> {
        let manifest = Manifest::parse(&release.manifest).map_err(|message| invalid("/manifest", message))?;
        if manifest.name != *service {
            return Err(invalid(
                "/manifest",
                format!("the manifest is of `{}`, not of `{service}`", manifest.name),
            ));
        }
        let contract = release.contract.to_string();
        let parsed = Contract::parse(contract.as_bytes()).map_err(|error| invalid("/contract", error.to_string()))?;
        check_paths(service, &parsed).map_err(|message| invalid("/contract/paths", message))?;
        self.deployments
            .check_seal(&manifest)
            .map_err(|message| invalid("/manifest", message))?;
        let spec = manifest.spec(ReleaseId::random(), release.component.clone());
        let checked = self.deployments.check(spec).await;
        let runnable = checked.map_err(|error| invalid("/component", error))?;
        let migrations = release.migrations.iter().map(|migration| File {
            name: migration.name.clone(),
            sql: migration.sql.clone(),
        });
        Ok(Checked {
            migrations: migrations.collect(),
            manifest,
            contract,
            runnable,
        })
    }

    async fn served(&self, service: &ServiceName) -> Result<Option<tenancy::ReleaseFacts>, Error> {
        let view = self.directory.tenants();
        let known = view.services().iter().find(|one| one.name == *service);
        match known.and_then(|known| known.current.clone()) {
            Some(current) => Ok(Some(self.directory.release(&current).await.map_err(refuse)?)),
            None => Ok(None),
        }
    }

    pub(super) async fn preview(&self, service: &ServiceName, release: &NewRelease) -> Result<ReleaseDiff, Error> {
        let checked = self.check(service, release).await?;
        let served = self.served(service).await?;
        let new = Side {
            manifest: &release.manifest,
            contract: &checked.contract,
            migrations: &checked.migrations,
        };
        let mut diff = diff::diff(service, served.as_ref(), &new).map_err(|message| invalid("/migrations", message))?;
        let hash = tenancy::bundle_hash(
            &release.manifest,
            &checked.contract,
            &checked.migrations,
            &release.component,
        );
        diff.same = served.is_some_and(|served| served.release.sha256 == hash);
        Ok(diff)
    }

    pub(super) async fn store(&self, service: &ServiceName, release: NewRelease) -> Result<Release, Error> {
        let checked = self.check(service, &release).await?;
        let new = tenancy::NewRelease {
            service: service.clone(),
            title: checked.manifest.title,
            capabilities: checked.manifest.capabilities,
            manifest: release.manifest,
            contract: checked.contract,
            migrations: checked.migrations,
            component: release.component.to_vec(),
            imports: checked.runnable.imports().to_vec(),
            uploaded_by: release.uploaded_by,
        };
        let stored = self.directory.put_release(new).await.map_err(|error| match error {
            tenancy::Error::Migrate(error) => invalid("/migrations", error.to_string()),
            other => refuse(other),
        })?;
        Ok(describe_release(stored))
    }

    pub(super) async fn facts(&self, service: &ServiceName, release: &ReleaseId) -> Result<ReleaseFacts, Error> {
        let facts = self.directory.release(release).await.map_err(refuse)?;
        if facts.release.service != *service {
            return Err(Error::NotFound(format!("{release} is no release of {service}.")));
        }
        let unreadable = |message: String| Error::Internal(message.into());
        let manifest = Manifest::parse(&facts.manifest).map_err(unreadable)?;
        let served = self.served(service).await?;
        let mut diff = diff::diff(service, served.as_ref(), &Side::of(&facts)).map_err(unreadable)?;
        diff.same = diff.against.as_ref() == Some(release);
        Ok(ReleaseFacts {
            component_sha256: facts.release.component_sha256.clone(),
            contract_sha256: HEXLOWER.encode(&Sha256::digest(facts.contract.as_bytes())),
            imports: facts.release.imports.clone(),
            limits: serde_json::to_value(manifest.limits).unwrap_or_default(),
            migrations: facts.migrations.into_iter().map(|file| file.name).collect(),
            manifest: facts.manifest,
            release: describe_release(facts.release),
            diff,
        })
    }

    pub(super) async fn activate(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        by: &str,
    ) -> Result<Service, Error> {
        // One that nobody knows is not found; preparing it would call that a conflict.
        self.directory.release(release).await.map_err(refuse)?;
        // Also of one that was served before: whoever wants to go back says so, and it is on trial like any other.
        self.switch(service, release, Cause::new(Happened::Deployed, by)).await
    }

    pub(super) async fn go_back(
        &self,
        service: &ServiceName,
        to: Option<&ReleaseId>,
        force: bool,
        by: &str,
    ) -> Result<Service, Error> {
        let known = self.one_service(service).await?;
        let previous = self.directory.tenants();
        let previous = previous.services().iter().find(|one| one.name == *service);
        let to = match (to, previous.and_then(|one| one.previous.as_ref())) {
            (Some(to), _) => to.clone(),
            (None, Some(previous)) => previous.clone(),
            (None, None) => {
                return Err(Error::Conflict(format!(
                    "{service} was not deployed over another release last, so there is nowhere to go back to. Name a release; `terrace service show {service}` lists them."
                )));
            }
        };
        let target = known.releases.iter().find(|release| release.id == to);
        let target = target.ok_or_else(|| Error::NotFound(format!("{to} is no release of {service}.")))?;
        if target.state == ReleaseState::Failed {
            return Err(Error::Conflict(format!(
                "{to} failed ({}), so it is nothing to go back to. Activate it if you want it all the same.",
                target.error.as_deref().unwrap_or("no reason is known")
            )));
        }
        if let (false, Some(current)) = (force, &known.current) {
            let taken = self.directory.taken_since(&current.id, &to).await.map_err(refuse)?;
            if !taken.is_empty() {
                return Err(Error::Conflict(format!(
                    "{to} would miss what migrations have taken away since ({}). Nothing was changed; go back all the same with `force`, or deploy a release that can do without.",
                    taken.join("; ")
                )));
            }
        }
        self.switch(service, &to, Cause::new(Happened::RolledBack, by)).await
    }

    /// Loaded and warm first, then the directory, then this node's table; the other nodes follow.
    async fn switch(&self, service: &ServiceName, release: &ReleaseId, cause: Cause) -> Result<Service, Error> {
        self.prepare(release).await?;
        let switch = Switch {
            cause,
            instead_of: None,
        };
        let switched = self.directory.switch_to(service, release, switch, Arc::new(|_| {}));
        switched.await.map_err(refuse)?;
        let followed = self.follow(service).await;
        // Nobody waits for the dustmen.
        let deployments = self.deployments.clone();
        tokio::spawn(async move { deployments.sweep().await });
        followed
    }

    async fn prepare(&self, release: &ReleaseId) -> Result<(), Error> {
        self.deployments.prepare(release).await.map_err(Error::Conflict)
    }

    async fn follow(&self, service: &ServiceName) -> Result<Service, Error> {
        self.deployments
            .apply()
            .await
            .map_err(|error| Error::Internal(format!("{error:#}").into()))?;
        self.one_service(service).await
    }

    pub(super) async fn give_canary(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        to: CanarySplit,
        by: &str,
    ) -> Result<Service, Error> {
        let split = match to {
            CanarySplit::SharePercent(percent) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a percentage between 0 and 100, as the API has checked"
                )]
                let share = (percent / 100.0 * f64::from(tenancy::WHOLE)).round() as u16;
                Split::Share(share.clamp(1, tenancy::WHOLE))
            }
            CanarySplit::Tenants(names) => {
                let ids = names.iter().map(|name| Ok(self.find(name)?.id.clone()));
                Split::Tenants(ids.collect::<Result<Vec<TenantId>, Error>>()?)
            }
        };
        self.prepare(release).await?;
        let started = self
            .directory
            .start_canary(service, release, split, by, Arc::new(|_| {}));
        started.await.map_err(refuse)?;
        self.follow(service).await
    }

    fn canary_of(&self, service: &ServiceName) -> Result<ReleaseId, Error> {
        let view = self.directory.tenants();
        let known = view.services().iter().find(|one| one.name == *service);
        let canary = known.and_then(|known| known.canary.as_ref());
        canary
            .map(|canary| canary.release.clone())
            .ok_or_else(|| Error::Conflict(format!("{service} has no canary. `terrace deploy --canary` makes one.")))
    }

    pub(super) async fn promote(&self, service: &ServiceName, by: &str) -> Result<Service, Error> {
        let canary = self.canary_of(service)?;
        self.switch(service, &canary, Cause::new(Happened::CanaryPromoted, by))
            .await
    }

    pub(super) async fn abort(&self, service: &ServiceName, by: &str) -> Result<Service, Error> {
        let canary = self.canary_of(service)?;
        let cause = Cause::new(Happened::CanaryAborted, by);
        let aborted = self.directory.abort_canary(service, Some(&canary), cause);
        aborted.await.map_err(refuse)?;
        self.follow(service).await
    }
}

fn describe(
    service: tenancy::Service,
    releases: Vec<tenancy::Release>,
    history: &mut HashMap<ServiceName, Vec<tenancy::Entry>>,
) -> Service {
    let releases: Vec<Release> = releases.into_iter().map(describe_release).collect();
    let current = service.current.as_ref();
    let current = current.and_then(|current| releases.iter().find(|release| release.id == *current));
    let events = history.remove(&service.name).unwrap_or_default();
    Service {
        current: current.cloned(),
        previous: service.previous,
        canary: service.canary.map(|canary| Canary {
            release: canary.release,
            share_percent: canary.share.map(|share| f64::from(share) / 100.0),
            tenants: canary.tenants.len() as u64,
            since: canary.since,
        }),
        history: events
            .into_iter()
            .map(|entry| ReleaseEvent {
                release: entry.release,
                happened: entry.happened.as_str().to_owned(),
                detail: entry.detail,
                by: entry.by,
                at: entry.at,
            })
            .collect(),
        name: service.name,
        title: service.title,
        releases,
    }
}

fn describe_release(release: tenancy::Release) -> Release {
    Release {
        id: release.id,
        service: release.service,
        state: match release.state {
            tenancy::ReleaseState::Active => ReleaseState::Active,
            tenancy::ReleaseState::Canary => ReleaseState::Canary,
            tenancy::ReleaseState::Uploaded => ReleaseState::Uploaded,
            tenancy::ReleaseState::Retained => ReleaseState::Retained,
            tenancy::ReleaseState::Failed => ReleaseState::Failed,
        },
        size_bytes: release.size_bytes,
        sha256: release.sha256,
        capabilities: release.capabilities,
        uploaded_by: release.uploaded_by,
        error: release.error,
        created_at: release.created_at,
    }
}
