//! The capability `calls`: from one service to another, inside the process, for the same tenant and
//! caller.
//!
//! The manifest lists the services that may be called. A callee that traps or passes a limit is an
//! error value to the caller, never a trap of its own.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world calls-host { import terrace:platform/calls@0.1.0; }",
        world: "terrace:capability/calls-host",
        imports: { default: async | trappable },
    });
}

use std::sync::Arc;

use async_trait::async_trait;
use bindings::terrace::platform::calls::{self, Incoming, Outgoing, add_to_linker};
use bytes::Bytes;
use terrace_compute_capability::{Capability, Guest, Invocation, Shared};
use terrace_ground_ids::ServiceName;
use wasmtime::component::{HasData, Linker};

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The manifest does not list the service, or it is not deployed.
    #[error("no such service to call")]
    UnknownService,
    /// The callee trapped, passed a limit, or was not asked in proper HTTP.
    #[error("the called service failed")]
    Failed,
    /// Calls nest too deeply.
    #[error("calls nest too deeply")]
    TooDeep,
    /// The callee did not answer in time.
    #[error("the called service did not answer in time")]
    Timeout,
}

/// Runs a request on another service. Implemented where services are known: in the platform.
#[async_trait]
pub trait Dispatcher: Send + Sync + 'static {
    /// Called once per call, after the manifest and the depth were checked. The callee's invocation
    /// is [`Invocation::call`] of `from`: same tenant, caller and deadline, one deeper. The whole body
    /// of the answer is read within the callee's limits.
    async fn call(
        &self,
        from: &Invocation,
        service: ServiceName,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, CallError>;
}

/// The `calls` capability.
pub struct Calls {
    route: Arc<Route>,
}

/// What is shared with the host functions. A struct of its own, because [`Shared`] is keyed by type.
struct Route(Arc<dyn Dispatcher>);

impl Calls {
    /// Sends calls to `dispatcher`.
    pub fn new(dispatcher: Arc<dyn Dispatcher>) -> Self {
        Self {
            route: Arc::new(Route(dispatcher)),
        }
    }
}

impl Capability for Calls {
    fn name(&self) -> &'static str {
        "calls"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/calls"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Sender(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.route.clone());
    }
}

impl HasData for Calls {
    type Data<'a> = Sender<'a>;
}

/// Host state of the interface: the guest that calls.
pub struct Sender<'a>(&'a mut Guest);

impl calls::Host for Sender<'_> {
    async fn send(&mut self, request: Outgoing) -> wasmtime::Result<Result<Incoming, calls::Error>> {
        let route = self.0.shared::<Route>()?;
        let invocation = self.0.invocation().clone();
        let release = self.0.release().clone();
        let answer = async {
            let service: ServiceName = request.service.parse().map_err(|_| CallError::UnknownService)?;
            if !release.calls.contains(&service) {
                return Err(CallError::UnknownService);
            }
            if u32::from(invocation.depth) >= release.limits.call_depth {
                return Err(CallError::TooDeep);
            }
            // The platform's own endpoints of a service (events, hooks) are not for other services.
            if !request.path.starts_with('/') || request.path.starts_with("/_terrace") {
                return Err(CallError::Failed);
            }
            let mut builder = http::Request::builder()
                .method(request.method.as_str())
                .uri(request.path.as_str());
            if request.body.is_some() {
                builder = builder.header(http::header::CONTENT_TYPE, "application/json");
            }
            let request = builder
                .body(Bytes::from(request.body.unwrap_or_default()))
                .map_err(|_| CallError::Failed)?;
            let response = route.0.call(&invocation, service, request).await?;
            let status = response.status().as_u16();
            // The interface carries text; a callee that answers bytes is not made for it.
            let body = String::from_utf8(response.into_body().into()).map_err(|_| CallError::Failed)?;
            Ok(Incoming { status, body })
        };
        Ok(answer.await.map_err(Into::into))
    }
}

impl From<CallError> for calls::Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::UnknownService => Self::UnknownService,
            CallError::Failed => Self::Failed,
            CallError::TooDeep => Self::TooDeep,
            CallError::Timeout => Self::Timeout,
        }
    }
}
