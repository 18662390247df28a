//! One request by hand: `terrace invoke`.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use http::{Request, Response};
use terrace_compute_capability::{Caller, TenantFacts};
use terrace_compute_gateway::{Deployed, Tally};
use terrace_contracts_openapi::Contract;
use terrace_control::{Error, InvocationResult, LogFilter, LogLevel, NewInvocation, Subject};
use terrace_data_tenancy::State;
use terrace_ground_error::Problem;
use terrace_ground_ids::{ReleaseId, RequestId, ServiceName};

use super::{Plane, invalid};
use crate::node::{adapters::facts, logs, manifest::Manifest, warm};

/// A contract without operations: what runs by hand need not declare any.
const NO_CONTRACT: &[u8] = br#"{"openapi":"3.1.0","paths":{}}"#;

impl Plane {
    pub(super) async fn by_hand(
        &self,
        service: &ServiceName,
        invocation: NewInvocation,
    ) -> Result<InvocationResult, Error> {
        let NewInvocation {
            method,
            path,
            headers,
            body,
            caller,
            subject,
        } = invocation;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| invalid("/path", "must be a path, like /api/tasks/boards"))?;
        *request.headers_mut() = headers;
        let caller = caller.map(|name| {
            Arc::new(Caller {
                member: "operator".to_owned(),
                name,
                role: "owner".to_owned(),
            })
        });
        match subject {
            Subject::Deployed(reference) => {
                let tenant = self.find(&reference)?;
                if tenant.state != State::Active {
                    return Err(Error::Conflict(format!("{} is not active.", tenant.slug)));
                }
                let services = self.deployments.gateway().services();
                let deployed = services.operation(&tenant.id, service, request.method(), request.uri().path());
                let deployed = deployed.cloned().ok_or_else(|| {
                    Error::NotFound(format!(
                        "No contract declares {} {} of {service} for {}. /api/openapi.json lists what there is.",
                        request.method(),
                        request.uri().path(),
                        tenant.slug
                    ))
                })?;
                self.run_by_hand(&deployed, facts(&tenant), caller, request, false)
                    .await
            }
            Subject::Bundle(manifest, component) => {
                let deployed = self.undeployed(service, &manifest, component).await?;
                let nobody = warm::nobody().map_err(|message| Error::Internal(message.into()))?;
                let ran = self
                    .run_by_hand(&deployed, Arc::new(nobody), caller, request, true)
                    .await;
                self.deployments.engine.retire(&deployed.release);
                ran
            }
        }
    }

    async fn undeployed(
        &self,
        service: &ServiceName,
        manifest: &str,
        component: Bytes,
    ) -> Result<Arc<Deployed>, Error> {
        let manifest = Manifest::parse(manifest).map_err(|message| invalid("/bundle/manifest", message))?;
        if manifest.name != *service {
            return Err(invalid(
                "/bundle/manifest",
                format!("the manifest is of `{}`, not of `{service}`", manifest.name),
            ));
        }
        let loaded = self
            .deployments
            .engine
            .load(manifest.spec(ReleaseId::random(), component))
            .await;
        let release = loaded.map_err(|error| invalid("/bundle/component", error.to_string()))?;
        let contract = Contract::parse(NO_CONTRACT).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(Arc::new(Deployed {
            service: service.clone(),
            release,
            contract,
            tally: Tally::default(),
        }))
    }

    async fn run_by_hand(
        &self,
        deployed: &Arc<Deployed>,
        tenant: Arc<TenantFacts>,
        caller: Option<Arc<Caller>>,
        request: Request<Bytes>,
        is_bundle: bool,
    ) -> Result<InvocationResult, Error> {
        let (id, start) = (RequestId::random(), Instant::now());
        let before = *self.logs.last().borrow();
        let gateway = self.deployments.gateway();
        let answer = gateway.by_hand(deployed, tenant, caller, id.clone(), request).await;
        let release = (!is_bundle).then(|| deployed.release.id().clone());
        let mut result = InvocationResult::answered(release, id.clone(), start.elapsed());
        match answer {
            Ok(answer) => answered(&mut result, answer),
            Err(problem) => failed(&mut result, &problem.request(&id)),
        }
        let filter = LogFilter {
            service: Some(deployed.service.clone()),
            tenant: None,
            level: LogLevel::Debug,
            after: before,
            limit: usize::MAX,
            wait: std::time::Duration::ZERO,
        };
        let lines = logs::read(&self.logs, &self.directory, &filter).await?;
        result.logs = lines.items.into_iter().filter(|line| line.request_id == id).collect();
        Ok(result)
    }
}

fn answered(result: &mut InvocationResult, answer: Response<Bytes>) {
    result.status = answer.status().as_u16();
    result.headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    result.body = BASE64.encode(answer.body());
}

fn failed(result: &mut InvocationResult, problem: &Problem) {
    result.status = problem.status;
    result.failure = Some(problem.code.as_str().to_owned());
    result.body = BASE64.encode(&serde_json::to_vec(problem).unwrap_or_default());
}
