//! The interfaces of `wasi:keyvalue`, answered from the tenant's store.

use std::collections::HashMap;

use terrace_compute_capability::Guest;
use terrace_data_router::Principal;
use wasmtime::component::Resource;

use crate::{
    Stores,
    bindings::wasi::keyvalue::{
        atomics::{self, CasError},
        batch,
        store::{self, Error, KeyResponse},
    },
    store::{Error as Refused, Place, Store},
};

/// A store that a guest has opened.
#[derive(Debug)]
pub struct Bucket(String);

/// A value that a guest has looked at, to replace it if it stays as it was.
#[derive(Debug)]
pub struct Cas {
    bucket: String,
    key: String,
    /// None: there was no value.
    version: Option<i64>,
}

/// Host state of the interfaces: the guest whose tenant's store is used. Each call counts as one
/// statement of the request.
pub struct Keeper<'a>(pub(crate) &'a mut Guest);

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Other(refused.0)
    }
}

impl Keeper<'_> {
    fn place<'a>(&self, bucket: &'a str) -> Place<'a> {
        let invocation = self.0.invocation();
        Place {
            principal: Principal {
                tenant: invocation.tenant.id.clone(),
                service: invocation.service.clone(),
            },
            deadline: invocation.deadline,
            bucket,
        }
    }

    fn bucket(&self, this: &Resource<Bucket>) -> wasmtime::Result<String> {
        Ok(self.0.table.get(this)?.0.clone())
    }
}

/// The store and the place of an opened bucket, for one call.
macro_rules! within {
    ($self:ident, $bucket:expr, |$store:ident, $place:ident| $work:expr) => {{
        let ($store, bucket) = ($self.0.shared::<Store>()?, $bucket);
        let $place = $self.place(&bucket);
        Ok($self.0.used().statement($work).await.map_err(Into::into))
    }};
}

impl store::Host for Keeper<'_> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        // A store that the manifest does not list is one that nobody has.
        if !self.0.shared::<Stores>().unwrap_or_default().has(&identifier) {
            return Ok(Err(Error::NoSuchStore));
        }
        Ok(Ok(self.0.table.push(Bucket(identifier))?))
    }
}

impl store::HostBucket for Keeper<'_> {
    async fn get(&mut self, this: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let (store, bucket) = (self.0.shared::<Store>()?, self.bucket(&this)?);
        let found = self.0.used().statement(store.get(&self.place(&bucket), &key)).await;
        Ok(found.map(|entry| entry.map(|(value, _)| value)).map_err(Into::into))
    }

    async fn set(&mut self, this: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        within!(self, self.bucket(&this)?, |store, place| store.set(&place, &key, value))
    }

    async fn delete(&mut self, this: Resource<Bucket>, key: String) -> Answer<()> {
        within!(self, self.bucket(&this)?, |store, place| store.delete(&place, &[key]))
    }

    async fn exists(&mut self, this: Resource<Bucket>, key: String) -> Answer<bool> {
        let (store, bucket) = (self.0.shared::<Store>()?, self.bucket(&this)?);
        let version = self.0.used().statement(store.version(&self.place(&bucket), &key)).await;
        Ok(version.map(|version| version.is_some()).map_err(Into::into))
    }

    async fn list_keys(&mut self, this: Resource<Bucket>, cursor: Option<String>) -> Answer<KeyResponse> {
        let (store, bucket) = (self.0.shared::<Store>()?, self.bucket(&this)?);
        let page = self.0.used().statement(store.list(&self.place(&bucket), cursor)).await;
        Ok(page
            .map(|(keys, cursor)| KeyResponse { keys, cursor })
            .map_err(Into::into))
    }

    async fn drop(&mut self, this: Resource<Bucket>) -> wasmtime::Result<()> {
        self.0.table.delete(this)?;
        Ok(())
    }
}

impl atomics::Host for Keeper<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Answer<i64> {
        within!(self, self.bucket(&bucket)?, |store, place| store
            .increment(&place, &key, delta))
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let cas = self.0.table.delete(cas)?;
        let store = self.0.shared::<Store>()?;
        let swapped = self
            .0
            .used()
            .statement(store.swap(&self.place(&cas.bucket), &cas.key, cas.version, value))
            .await;
        Ok(match swapped {
            Ok(Ok(())) => Ok(()),
            // The standard asks for a handle that knows the newest version.
            Ok(Err(version)) => Err(CasError::CasFailed(self.0.table.push(Cas { version, ..cas })?)),
            Err(refused) => Err(CasError::StoreError(refused.into())),
        })
    }
}

impl atomics::HostCas for Keeper<'_> {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Resource<Cas>> {
        let (store, bucket) = (self.0.shared::<Store>()?, self.bucket(&bucket)?);
        let found = self.0.used().statement(store.version(&self.place(&bucket), &key)).await;
        match found {
            Ok(version) => Ok(Ok(self.0.table.push(Cas { bucket, key, version })?)),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    /// Reads again, and remembers the version of what it gives: a handle that held the value would let
    /// a guest keep as many mebibytes in the host as it may hold handles.
    async fn current(&mut self, this: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        let store = self.0.shared::<Store>()?;
        let (bucket, key) = {
            let cas = self.0.table.get(&this)?;
            (cas.bucket.clone(), cas.key.clone())
        };
        let found = match self.0.used().statement(store.get(&self.place(&bucket), &key)).await {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused.into())),
        };
        self.0.table.get_mut(&this)?.version = found.as_ref().map(|(_, version)| *version);
        Ok(Ok(found.map(|(value, _)| value)))
    }

    async fn drop(&mut self, this: Resource<Cas>) -> wasmtime::Result<()> {
        self.0.table.delete(this)?;
        Ok(())
    }
}

impl batch::Host for Keeper<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let (store, bucket) = (self.0.shared::<Store>()?, self.bucket(&bucket)?);
        let found = match self
            .0
            .used()
            .statement(store.get_many(&self.place(&bucket), &keys))
            .await
        {
            Ok(found) => found,
            Err(refused) => return Ok(Err(refused.into())),
        };
        // In the order in which they were asked for. A key that is asked for twice is given once, and the
        // second time as if it were not there: a list of one key must not make a gigabyte of answers.
        let mut found: HashMap<String, Vec<u8>> = found.into_iter().collect();
        let entry = |key: String| found.remove(&key).map(|value| (key, value));
        Ok(Ok(keys.into_iter().map(entry).collect()))
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        within!(self, self.bucket(&bucket)?, |store, place| store
            .set_many(&place, &key_values))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        within!(self, self.bucket(&bucket)?, |store, place| store.delete(&place, &keys))
    }
}
