//! Calls between services: through the gateway, in this process.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use terrace_capabilities_calls::{CallError, Dispatcher};
use terrace_compute_capability::Invocation;
use terrace_compute_gateway::Gateway;
use terrace_ground_error::Code;
use terrace_ground_ids::ServiceName;

/// The gateway, once it is there: it is made of an engine whose capabilities need it.
#[derive(Default)]
pub(crate) struct ThroughGateway {
    gateway: OnceLock<Weak<Gateway>>,
}

impl ThroughGateway {
    pub(crate) fn connect(&self, gateway: &Arc<Gateway>) {
        // Composed once; a second gateway would be a mistake of this crate.
        let _ = self.gateway.set(Arc::downgrade(gateway));
    }
}

#[async_trait]
impl Dispatcher for ThroughGateway {
    async fn call(
        &self,
        from: &Invocation,
        service: ServiceName,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, CallError> {
        let gateway = self
            .gateway
            .get()
            .and_then(Weak::upgrade)
            .ok_or(CallError::UnknownService)?;
        gateway
            .call(from, &service, request)
            .await
            .map_err(|problem| match problem.code {
                Code::UnknownPath | Code::ServiceUnavailable => CallError::UnknownService,
                Code::ServiceTimeout | Code::ServiceCpuLimit => CallError::Timeout,
                _ => CallError::Failed,
            })
    }
}
