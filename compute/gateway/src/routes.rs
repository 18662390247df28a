//! What the contracts declare: one table of paths over all services, swapped whole at each deploy.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use http::Method;
use matchit::Router;
use terrace_compute_engine::Release;
use terrace_contracts_openapi::{self as openapi, Contract};
use terrace_ground_ids::{ServiceName, TenantId};

use crate::Tally;

/// A release that answers requests, and its contract.
pub struct Deployed {
    /// The service.
    pub service: ServiceName,
    /// What runs.
    pub release: Arc<Release>,
    /// What it promises.
    pub contract: Contract,
    /// How it does.
    pub tally: Tally,
}

/// A release that some tenants get in place of the service's current one.
#[derive(Clone)]
pub struct Canary {
    /// The release.
    pub deployed: Arc<Deployed>,
    /// Who gets it.
    pub tenants: Arc<HashSet<TenantId>>,
}

/// Every deployed service, and the one table of paths over all of them. A canary has a table of its
/// own, because its contract may be another; which one counts costs a look into a set of tenants, and
/// nothing where there is no canary.
pub struct Services {
    deployed: HashMap<ServiceName, Arc<Deployed>>,
    paths: Router<Path>,
    openapi: Bytes,
    canaries: Vec<(Canary, Router<Path>)>,
    unavailable: HashSet<ServiceName>,
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
    /// The table over the current releases, and those over canaries.
    ///
    /// # Errors
    /// A sentence that names the service and path which clash with another's.
    pub fn new(deployed: Vec<Arc<Deployed>>, canaries: Vec<Canary>) -> Result<Self, String> {
        let mut paths = Router::new();
        for one in &deployed {
            insert(&mut paths, one)?;
        }
        let canaries = canaries.into_iter().map(|canary| {
            let mut paths = Router::new();
            insert(&mut paths, &canary.deployed)?;
            Ok((canary, paths))
        });
        Ok(Self {
            openapi: joined(deployed.iter())?,
            paths,
            canaries: canaries.collect::<Result<_, String>>()?,
            deployed: deployed.into_iter().map(|one| (one.service.clone(), one)).collect(),
            unavailable: HashSet::new(),
        })
    }

    /// The same, where these services should be, and cannot be loaded at the moment.
    #[must_use]
    pub fn without(mut self, unavailable: HashSet<ServiceName>) -> Self {
        self.unavailable = unavailable;
        self
    }

    /// Whether this is a path of a service that should be there: what it declares is not known.
    pub(crate) fn is_unavailable(&self, path: &str) -> bool {
        let name = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next());
        !self.unavailable.is_empty() && name.is_some_and(|name| self.unavailable.iter().any(|one| one.as_str() == name))
    }

    /// Nothing deployed yet.
    pub fn none() -> Self {
        Self {
            deployed: HashMap::new(),
            paths: Router::new(),
            openapi: Bytes::from_static(b"{}"),
            canaries: Vec::new(),
            unavailable: HashSet::new(),
        }
    }

    /// One service by name, as this tenant has it.
    pub fn get(&self, tenant: &TenantId, service: &ServiceName) -> Option<&Arc<Deployed>> {
        let canary = self
            .canaries_of(tenant)
            .find(|(canary, _)| canary.deployed.service == *service);
        match canary {
            Some((canary, _)) => Some(&canary.deployed),
            None => self.deployed.get(service),
        }
    }

    /// The release of `service` that declares this operation for this tenant.
    pub fn operation(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        method: &Method,
        path: &str,
    ) -> Option<&Arc<Deployed>> {
        match self.find(tenant, method, path) {
            Found::Operation(deployed, _) if deployed.service == *service => Some(deployed),
            _ => None,
        }
    }

    /// All services, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Deployed>> {
        self.deployed.values()
    }

    /// The joined contract as JSON, of the releases that this tenant has.
    pub(crate) fn openapi(&self, tenant: &TenantId) -> Bytes {
        if self.canaries_of(tenant).next().is_none() {
            return self.openapi.clone();
        }
        // Rare, so it is not kept: a tenant can be in any combination of canaries.
        let names = self.deployed.keys();
        joined(names.filter_map(|service| self.get(tenant, service))).unwrap_or_else(|_| self.openapi.clone())
    }

    pub(crate) fn find(&self, tenant: &TenantId, method: &Method, path: &str) -> Found<'_> {
        for (_, paths) in self.canaries_of(tenant) {
            match look(paths, method, path) {
                Found::Nothing => {}
                found => return found,
            }
        }
        let found = look(&self.paths, method, path);
        if self.canaries.is_empty() {
            return found;
        }
        // What a canary has not declared does not exist for its tenants, whatever the current release says.
        let Ok(matched) = self.paths.at(path) else { return found };
        let service = &matched.value.deployed.service;
        let replaced = self
            .canaries_of(tenant)
            .any(|(canary, _)| canary.deployed.service == *service);
        if replaced { Found::Nothing } else { found }
    }

    fn canaries_of(&self, tenant: &TenantId) -> impl Iterator<Item = &(Canary, Router<Path>)> {
        self.canaries
            .iter()
            .filter(move |(canary, _)| canary.tenants.contains(tenant))
    }
}

/// Whether the contract's paths are the service's own, and make a table: what another service can
/// never clash with. For whoever accepts a release.
///
/// # Errors
/// A sentence that names the path.
pub fn check_paths(service: &ServiceName, contract: &Contract) -> Result<(), String> {
    let own = format!("/api/{service}");
    let mut paths = Router::new();
    for path in operations_by_path(contract)?.into_keys() {
        let rest = path.strip_prefix(&own);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(format!("{path} is not below {own}/, where the paths of {service} are"));
        }
        paths.insert(&path, ()).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

fn look<'a>(paths: &'a Router<Path>, method: &Method, path: &str) -> Found<'a> {
    let Ok(matched) = paths.at(path) else {
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

fn insert(paths: &mut Router<Path>, deployed: &Arc<Deployed>) -> Result<(), String> {
    for (path, operations) in operations_by_path(&deployed.contract)? {
        let entry = Path {
            deployed: deployed.clone(),
            operations,
        };
        paths
            .insert(&path, entry)
            .map_err(|error| format!("{}: {path}: {error}", deployed.service))?;
    }
    Ok(())
}

fn joined<'a>(deployed: impl Iterator<Item = &'a Arc<Deployed>>) -> Result<Bytes, String> {
    let contracts: Vec<(ServiceName, Contract)> = deployed
        .map(|one| (one.service.clone(), one.contract.clone()))
        .collect();
    let document = serde_json::to_vec(&openapi::join(&contracts)).map_err(|error| error.to_string())?;
    Ok(document.into())
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
