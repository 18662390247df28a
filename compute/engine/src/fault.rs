//! Why a release could not be loaded, and why a request to one has no answer.

use terrace_ground_error::Code;
use terrace_ground_ids::RequestId;

/// Why a release could not be loaded, or an engine not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// wasmtime does not take this machine or these settings.
    #[error("start the engine: {0}")]
    Start(String),
    /// The bytes are no component, or use what the sandbox does not offer.
    #[error("compile: {0}")]
    Compile(String),
    /// The manifest lists a capability that does not exist.
    #[error("there is no capability \"{name}\"{}", suggestion(.nearest))]
    UnknownCapability {
        /// The word in the manifest.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The component imports an interface that the manifest does not list.
    #[error("imports {import}: add \"{capability}\" to capabilities")]
    NotGranted {
        /// The interface.
        import: String,
        /// The capability that provides it.
        capability: &'static str,
    },
    /// The component imports what no capability provides, or in another version.
    #[error("link: {0}")]
    Link(String),
    /// The component exports no handler of HTTP, or one of another shape.
    #[error("exports no {handler}: a service answers HTTP ({reason})")]
    NoHandler {
        /// The interface that was looked for.
        handler: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The component answers in preview 3, and has components with code of their own in it. Each of their
    /// calls may wait, and hold a stack of the pool, of which wasmtime cannot give a store so many and no
    /// more: one service could take them all.
    #[error("is made of several components: one that exports wasi:http/handler has to be a single one here")]
    Composed,
    /// Compiled code is gone, or cannot be trusted.
    #[error("its compiled code is gone or was changed: it is compiled again")]
    Artefact,
    /// The manifest asks for more than the operator allows.
    #[error("limits.{limit} is {asked}, and this node allows {allowed}")]
    LimitTooHigh {
        /// The field of `[limits]`.
        limit: &'static str,
        /// What the manifest says.
        asked: u32,
        /// The most that is allowed.
        allowed: u32,
    },
    /// The work was cut short, because the process is ending.
    #[error("the engine is stopping")]
    Stopping,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean \"{nearest}\"?"))
        .unwrap_or_default()
}

/// Why a request has no answer, or why its body ended early. It costs this request and no other.
///
/// Its text is for operators. A client gets [`Fault::code`] and the request's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped, or a host function failed under it.
    #[error("the service trapped")]
    Trap,
    /// CPU time over `cpu_ms`.
    #[error("the service passed its CPU limit")]
    CpuLimit,
    /// No complete answer within `wall_ms`, or before the caller's deadline.
    #[error("the service did not answer in time")]
    WallLimit,
    /// The guest trapped after memory was refused to it.
    #[error("the service passed its memory limit")]
    MemoryLimit,
    /// `concurrency` requests of this tenant run, and the queue behind them is full; or the node has
    /// no room for another instance.
    #[error("the service is at its concurrency limit")]
    Overloaded,
    /// No instance could be made.
    #[error("no instance of the service could be made")]
    Instantiate,
    /// The guest returned without an answer, or answered with an error of its own.
    #[error("the service gave no response")]
    NoResponse,
    /// The request's body is over `request_body_kib`.
    #[error("the request body is over the limit")]
    RequestTooLarge,
    /// The response's body is over `response_body_kib`.
    #[error("the response body is over the limit")]
    ResponseTooLarge,
    /// Calls between services nest deeper than `call_depth`.
    #[error("calls between services nest too deeply")]
    TooDeep,
    /// The one who asked is gone.
    #[error("the client is gone")]
    Cancelled,
    /// A panic in the host, or an engine that is stopping.
    #[error("the platform failed")]
    Internal,
}

impl Fault {
    /// What a client may know.
    pub fn code(&self) -> Code {
        match self {
            Self::Trap | Self::NoResponse | Self::ResponseTooLarge | Self::TooDeep => Code::ServiceFailed,
            Self::CpuLimit => Code::ServiceCpuLimit,
            Self::WallLimit => Code::ServiceTimeout,
            Self::MemoryLimit => Code::ServiceMemoryLimit,
            Self::Overloaded => Code::ServiceOverloaded,
            Self::Instantiate => Code::ServiceUnavailable,
            Self::RequestTooLarge => Code::BodyTooLarge,
            Self::Cancelled | Self::Internal => Code::Internal,
        }
    }

    /// The fault as a problem document.
    pub fn problem(&self, request: &RequestId) -> terrace_ground_error::Problem {
        terrace_ground_error::Problem::new(self.code()).request(request)
    }
}
