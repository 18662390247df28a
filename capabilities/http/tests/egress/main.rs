//! Outgoing HTTP against real servers, with a resolver that answers what a test wants.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod corpus;
mod exchanges;
mod limits;
mod manifest;
mod secured;
mod server;

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use terrace_capabilities_http::{Config, Http, Place, Resolver, Rules};
use terrace_capabilities_secrets::{Secret, Unavailable, Vault};
use terrace_compute_capability::{Asked, Egress, Ended, Invocation, Limits, Refusal, Release, Shared, TenantFacts};
use terrace_ground_ids::{ReleaseId, RequestId, ServiceName, SettingName, TenantId};
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

/// Answers in the order in which they are written, the last one again and again.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn set(&self, name: &str, answers: &[&str]) {
        let parse = |answer: &&str| {
            let addresses = answer.split(',').map(str::trim).filter(|address| !address.is_empty());
            addresses.map(|address| address.parse().unwrap()).collect()
        };
        self.answers
            .lock()
            .unwrap()
            .insert(name.to_owned(), answers.iter().map(parse).collect());
    }
}

/// A script that tests and the client share.
#[derive(Clone, Default)]
pub(crate) struct Answers(pub(crate) Arc<Script>);

#[async_trait]
impl Resolver for Answers {
    async fn resolve(&self, name: &str, _place: Place) -> io::Result<Vec<IpAddr>> {
        self.0.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.0.answers.lock().unwrap();
        let answers = answers.get_mut(name).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        })
    }
}

/// Secrets by name; a tenant's own as `tenant/name`.
pub(crate) struct Drawer(pub(crate) HashMap<String, String>);

#[async_trait]
impl Vault for Drawer {
    async fn secret(
        &self,
        tenant: &TenantId,
        _service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<Secret>, Unavailable> {
        let own = self.0.get(&format!("{tenant}/{name}"));
        Ok(own.or_else(|| self.0.get(name.as_str())).cloned().map(Secret::new))
    }
}

/// A guest of one tenant and service, without its sandbox.
#[derive(Clone)]
pub(crate) struct Sender {
    egress: Arc<dyn Egress>,
    pub(crate) invocation: Arc<Invocation>,
    release: Arc<Release>,
}

pub(crate) struct World {
    pub(crate) http: Http,
    pub(crate) names: Arc<Script>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::with_secrets(config, &[])
    }

    pub(crate) fn with_secrets(config: Config, secrets: &[(&str, &str)]) -> Self {
        let answers = Answers::default();
        let drawer = Drawer(
            secrets
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        let http = Http::new(config, Arc::new(answers.clone()), Arc::new(drawer)).unwrap();
        Self { http, names: answers.0 }
    }

    /// A guest of a new tenant, whose manifest has this section.
    pub(crate) fn sender(&self, section: &str) -> Sender {
        self.sender_of(section, TenantId::random(), "tasks")
    }

    pub(crate) fn sender_of(&self, section: &str, tenant: TenantId, service: &str) -> Sender {
        let rules: Rules = toml::from_str(section).unwrap();
        let service: ServiceName = service.parse().unwrap();
        let id = ReleaseId::random();
        let tenant = TenantFacts {
            id: tenant,
            slug: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: "free".into(),
        };
        let invocation = Invocation {
            tenant: Arc::new(tenant),
            service: service.clone(),
            release: id.clone(),
            caller: None,
            request: RequestId::random(),
            deadline: Instant::now() + Duration::from_secs(60),
            depth: 0,
            delivery: None,
        };
        let release = Release {
            id,
            service,
            limits: Limits::default(),
            calls: Vec::new(),
            shared: Shared::default(),
        };
        Sender {
            egress: self.http.egress(Arc::new(rules)),
            invocation: Arc::new(invocation),
            release: Arc::new(release),
        }
    }
}

impl Sender {
    pub(crate) async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        before: u32,
    ) -> Result<http::Response<WasiBody>, Refusal> {
        let (_running, ended) = Ended::never();
        self.send_until(request, options, before, ended).await
    }

    pub(crate) async fn send_until(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        before: u32,
        ended: Ended,
    ) -> Result<http::Response<WasiBody>, Refusal> {
        let asked = Asked {
            request,
            options,
            release: self.release.clone(),
            invocation: self.invocation.clone(),
            before,
            ended,
        };
        self.egress.send(asked).await
    }

    /// The status and the body of a GET.
    pub(crate) async fn get(&self, url: &str) -> Result<(u16, String), HttpError> {
        // Kept until the body was read: the guest's request has not ended.
        let (_running, ended) = Ended::never();
        let response = self
            .send_until(get(url), None, 0, ended)
            .await
            .map_err(|refusal| refusal.code)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

pub(crate) fn get(url: &str) -> http::Request<WasiBody> {
    http::Request::get(url).body(empty()).unwrap()
}

pub(crate) fn empty() -> WasiBody {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}

/// The operator opened the address of the good server, and no other.
pub(crate) fn config() -> Config {
    Config {
        open: vec!["127.0.0.2/32".parse().unwrap()],
        ..Config::default()
    }
}
