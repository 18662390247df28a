//! What the contracts declare: one table of paths over all services, swapped whole at each deploy.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::Method;
use matchit::Router;
use terrace_compute_engine::Release;
use terrace_contracts_openapi::{self as openapi, Contract};
use terrace_ground_ids::ServiceName;

/// A service that answers requests: its current release and its contract.
pub struct Deployed {
    /// The service.
    pub service: ServiceName,
    /// What runs.
    pub release: Arc<Release>,
    /// What it promises.
    pub contract: Contract,
}

/// Every deployed service, and the one table of paths over all of them.
pub struct Services {
    deployed: HashMap<ServiceName, Arc<Deployed>>,
    paths: Router<Path>,
    openapi: Bytes,
}

/// A declared path, with what its methods are.
struct Path {
    deployed: Arc<Deployed>,
    operations: Vec<Operation>,
}

/// One method of a path.
pub(crate) struct Operation {
    method: Method,
    pub(crate) public: bool,
}

/// What a request's path and method lead to.
pub(crate) enum Found<'a> {
    Operation(&'a Arc<Deployed>, &'a Operation),
    /// The path is declared, the method is not: these are.
    OtherMethods(Vec<&'a Method>),
    Nothing,
}

impl Services {
    /// The table over `deployed`.
    ///
    /// # Errors
    /// A sentence that names the service and path which clash with another's.
    pub fn new(deployed: Vec<Arc<Deployed>>) -> Result<Self, String> {
        let contracts: Vec<(ServiceName, Contract)> = deployed
            .iter()
            .map(|one| (one.service.clone(), one.contract.clone()))
            .collect();
        let openapi = serde_json::to_vec(&openapi::join(&contracts)).map_err(|error| error.to_string())?;
        let mut paths = Router::new();
        for one in &deployed {
            for (path, operations) in operations_by_path(&one.contract)? {
                let entry = Path {
                    deployed: one.clone(),
                    operations,
                };
                paths
                    .insert(&path, entry)
                    .map_err(|error| format!("{}: {path}: {error}", one.service))?;
            }
        }
        let deployed = deployed.into_iter().map(|one| (one.service.clone(), one)).collect();
        Ok(Self {
            deployed,
            paths,
            openapi: openapi.into(),
        })
    }

    /// Nothing deployed yet.
    pub fn none() -> Self {
        Self {
            deployed: HashMap::new(),
            paths: Router::new(),
            openapi: Bytes::from_static(b"{}"),
        }
    }

    /// One service by name.
    pub fn get(&self, service: &ServiceName) -> Option<&Arc<Deployed>> {
        self.deployed.get(service)
    }

    /// All services, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Deployed>> {
        self.deployed.values()
    }

    /// The joined contract as JSON.
    pub(crate) fn openapi(&self) -> Bytes {
        self.openapi.clone()
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Ok(matched) = self.paths.at(path) else {
            return Found::Nothing;
        };
        let found = matched.value;
        // A HEAD is answered by the GET of the same path (RFC 9110, section 9.3.2).
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        match found.operations.iter().find(|operation| operation.method == *wanted) {
            Some(operation) => Found::Operation(&found.deployed, operation),
            None => Found::OtherMethods(found.operations.iter().map(|operation| &operation.method).collect()),
        }
    }
}

fn operations_by_path(contract: &Contract) -> Result<HashMap<String, Vec<Operation>>, String> {
    let mut by_path: HashMap<String, Vec<Operation>> = HashMap::new();
    for route in contract.routes() {
        let method = Method::from_bytes(route.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| format!("{}: `{}` is not a method", route.operation_id, route.method))?;
        by_path.entry(route.path.clone()).or_default().push(Operation {
            method,
            public: route.public,
        });
    }
    Ok(by_path)
}
