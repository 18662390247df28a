//! A router that collects the contract of what it routes: one place says both.

use axum::{handler::Handler, routing::MethodFilter, routing::MethodRouter};
use utoipa::{
    __dev::{SchemaReferences, Tags},
    openapi::HttpMethod,
};

use crate::{Code, Problem};

/// The routes of a service, each with its operation in the contract. [`crate::routes!`] adds to it.
///
/// In a component the contract is left out: it was published with the release, and a request should
/// not pay for building it.
#[derive(Clone)]
pub struct Router {
    axum: axum::Router,
    #[cfg(not(target_family = "wasm"))]
    contract: utoipa::openapi::OpenApi,
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// A router that answers `unknown-path` to everything.
    pub fn new() -> Self {
        let axum = axum::Router::new().fallback(async || Problem::new(Code::UnknownPath));
        Self {
            axum,
            #[cfg(not(target_family = "wasm"))]
            contract: utoipa::openapi::OpenApiBuilder::new().build(),
        }
    }

    /// Adds one operation. `Operation` is what `#[utoipa::path]` made of the handler;
    /// [`crate::routes!`] finds it by the handler's name.
    #[doc(hidden)]
    #[must_use]
    pub fn operation<Operation, H, T>(mut self, handler: H) -> Self
    where
        Operation: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        H: Handler<T, ()>,
        T: 'static,
    {
        let path = <Operation as utoipa::Path>::path();
        let methods = <Operation as utoipa::Path>::methods();
        let endpoint = methods.iter().fold(MethodRouter::new(), |endpoint, method| {
            endpoint.on(filter(method), handler.clone())
        });
        self.axum = self.axum.route(&path, endpoint);
        #[cfg(not(target_family = "wasm"))]
        crate::contract::add::<Operation>(&mut self.contract, &path, methods);
        self
    }

    /// Adds a route that is in no contract: the platform's own, under `/_terrace/`.
    pub(crate) fn internal<H, T>(mut self, path: &str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.axum = self.axum.route(path, axum::routing::post(handler));
        self
    }

    /// The plain axum router, to be served.
    pub fn into_axum(self) -> axum::Router {
        // Here, because axum gives it to the routes that are there already and to no later one.
        self.axum
            .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
    }

    /// The contract of what was routed so far, completed as every contract of the platform is:
    /// a session is required unless the operation says `security(())`, and whatever is no success
    /// is a problem document.
    #[cfg(not(target_family = "wasm"))]
    pub fn contract(self, name: &str, title: &str, version: &str) -> utoipa::openapi::OpenApi {
        crate::contract::complete(self.contract, name, title, version)
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
    }
}

/// `routes!(router, boards::list, boards::create)`: adds handlers that carry `#[utoipa::path]`.
#[macro_export]
macro_rules! routes {
    ($router:expr, $($($segment:ident)::+),* $(,)?) => {{
        let router: $crate::Router = $router;
        $(let router = $crate::__route!(router [] $($segment)+);)*
        router
    }};
}

/// Takes a path of identifiers apart, because the type that utoipa made is called `__path_` and the
/// last of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __route {
    ($router:ident [$($head:ident)*] $last:ident) => {
        $crate::paste! { $router.operation::<$($head::)* [<__path_ $last>], _, _>($($head::)* $last) }
    };
    ($router:ident [$($head:ident)*] $next:ident $($rest:ident)+) => {
        $crate::__route!($router [$($head)* $next] $($rest)+)
    };
}

/// The last line of a service: `terrace_sdk::service!(router);`, with the name of a function
/// `fn() -> Router` in scope.
///
/// In a component it exports the HTTP handler; the router is built once for each instance. Natively
/// it defines `pub fn contract()`, from which `contracts/openapi/<service>.json` is written.
#[macro_export]
macro_rules! service {
    ($router:ident) => {
        /// The contract of this service, from the types that its handlers take and give.
        #[cfg(not(target_family = "wasm"))]
        pub fn contract() -> $crate::utoipa::openapi::OpenApi {
            $router().contract(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_DESCRIPTION"),
                env!("CARGO_PKG_VERSION"),
            )
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static ROUTER: $crate::axum::Router = $router().into_axum();
            }

            struct Service;

            impl $crate::wasm::Guest for Service {
                fn handle(request: $crate::wasm::IncomingRequest, response: $crate::wasm::ResponseOutparam) {
                    $crate::wasm::serve(ROUTER.with(::core::clone::Clone::clone), request, response);
                }
            }

    $crate::wasm::export!(Service with_types_in $crate::wasm::wasip2);
        };
    };
}
