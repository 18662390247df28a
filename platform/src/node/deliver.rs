//! What the platform itself asks of services: take an event, do a job, greet a tenant.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use terrace_compute_gateway::Gateway;
use terrace_data_tenancy::{Directory, Hooks, State, Tenant};
use terrace_events_dispatch::{Deliver, DeliverError};
use terrace_events_log::Event;
use terrace_events_schedule::{Job, Work};
use terrace_ground_error::Code;
use terrace_ground_ids::{ReleaseId, ServiceName, TenantId};

use super::{adapters::facts, deployments::Deployments, manifest::Hook};

/// Events to the services that consume them, jobs to those that scheduled them.
pub(crate) struct Delivery {
    directory: Arc<Directory>,
    gateway: Arc<Gateway>,
    deployments: Arc<Deployments>,
}

impl Delivery {
    pub(crate) fn new(directory: Arc<Directory>, gateway: Arc<Gateway>, deployments: Arc<Deployments>) -> Self {
        Self {
            directory,
            gateway,
            deployments,
        }
    }
}

#[async_trait]
impl Deliver for Delivery {
    async fn deliver(&self, service: &ServiceName, tenant: &TenantId, event: &Event) -> Result<(), DeliverError> {
        if !self.deployments.consumes(tenant, service, &event.kind) {
            return Ok(());
        }
        let view = self.directory.tenants();
        let tenant = view
            .by_id(tenant)
            .ok_or_else(|| DeliverError::Unavailable("the tenant is gone".to_owned()))?;
        if tenant.state == State::Suspended {
            return Err(DeliverError::Paused);
        }
        let body = Bytes::from(event.to_json());
        self.post(service, tenant, "/_terrace/events", body, Some(event.seq))
            .await
    }
}

#[async_trait]
impl Work for Delivery {
    async fn work(&self, service: &ServiceName, tenant: &TenantId, job: &Job) -> Result<(), DeliverError> {
        let view = self.directory.tenants();
        let tenant = view
            .by_id(tenant)
            .filter(|tenant| tenant.state == State::Active)
            .ok_or(DeliverError::Paused)?;
        let payload: Value = serde_json::from_str(&job.payload).unwrap_or(Value::Null);
        let body = json!({
            "id": job.id, "name": job.name, "key": job.key, "payload": payload,
            "due_at": job.due_at, "attempt": job.attempt,
        });
        let body = Bytes::from(body.to_string());
        self.post(service, tenant, "/_terrace/jobs", body, None).await
    }
}

impl Delivery {
    async fn post(
        &self,
        service: &ServiceName,
        tenant: &Tenant,
        path: &str,
        body: Bytes,
        delivery: Option<u64>,
    ) -> Result<(), DeliverError> {
        let answer = self
            .gateway
            .internal(facts(tenant), service, path, body, delivery)
            .await;
        match answer {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => Err(DeliverError::Unavailable(
                format!("{service} answered {}", response.status()),
            )),
            Ok(response) => Err(DeliverError::Failed(format!(
                "{service} answered {}",
                response.status()
            ))),
            Err(problem) => {
                let message = format!("{service}: {}", problem.code.as_str());
                // What the service did itself counts as a try; what kept it from being asked does not.
                let its_own = matches!(
                    problem.code,
                    Code::ServiceFailed | Code::ServiceCpuLimit | Code::ServiceMemoryLimit | Code::ServiceTimeout
                );
                Err(if its_own {
                    DeliverError::Failed(message)
                } else {
                    DeliverError::Unavailable(message)
                })
            }
        }
    }
}

/// Moments of a tenant's life, to the services that asked for them.
pub(crate) struct ServiceHooks {
    gateway: Arc<Gateway>,
    deployments: Arc<Deployments>,
}

impl ServiceHooks {
    pub(crate) fn new(gateway: Arc<Gateway>, deployments: Arc<Deployments>) -> Self {
        Self { gateway, deployments }
    }
}

#[async_trait]
impl Hooks for ServiceHooks {
    async fn tenant_created(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        release: &ReleaseId,
        context: Option<&Value>,
    ) -> Result<(), String> {
        if !self.deployments.wants(release, Hook::TenantCreated).await? {
            return Ok(());
        }
        let owner = context
            .and_then(|context| context.get("owner"))
            .cloned()
            .unwrap_or(Value::Null);
        self.call(tenant, service, release, "tenant-created", &json!({ "owner": owner }))
            .await
    }

    async fn plan_changed(&self, tenant: &Tenant, service: &ServiceName, release: &ReleaseId) -> Result<(), String> {
        if !self.deployments.wants(release, Hook::PlanChanged).await? {
            return Ok(());
        }
        self.call(
            tenant,
            service,
            release,
            "plan-changed",
            &json!({ "plan": tenant.plan }),
        )
        .await
    }
}

impl ServiceHooks {
    async fn call(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        release: &ReleaseId,
        hook: &str,
        body: &Value,
    ) -> Result<(), String> {
        let path = format!("/_terrace/hooks/{hook}");
        let body = Bytes::from(body.to_string());
        let deployed = self.deployments.deployed(service, release).await?;
        let answer = self
            .gateway
            .internal_to(&deployed, facts(tenant), &path, body, None)
            .await;
        match answer {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!(
                "{service} answered {} {}",
                response.status(),
                String::from_utf8_lossy(response.body())
            )),
            Err(problem) => Err(format!("{service}: {}", problem.code.as_str())),
        }
    }
}
