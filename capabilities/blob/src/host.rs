//! The interface, answered from the tenant's files.

use std::{sync::Arc, time::Duration};

use terrace_compute_capability::Guest;
use terrace_data_router::Principal;

use crate::{
    Access, Files, Info, Links, Place,
    bindings::terrace::platform::blob::{self, Access as May, Error, ErrorKind},
};

/// Host state of the interface: the guest whose tenant's files are used. Each call counts as one
/// statement of the request.
pub struct Keeper<'a>(pub(crate) &'a mut Guest);

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl From<crate::Error> for Error {
    fn from(refused: crate::Error) -> Self {
        Self {
            kind: match refused.kind {
                crate::ErrorKind::BadValue => ErrorKind::BadValue,
                crate::ErrorKind::Limit => ErrorKind::Limit,
                crate::ErrorKind::Unavailable => ErrorKind::Unavailable,
            },
            message: refused.message,
        }
    }
}

impl From<Info> for blob::Info {
    fn from(info: Info) -> Self {
        Self {
            name: info.name,
            size: info.size,
            content_type: info.content_type,
            sha256: info.sha256,
            written_at: info.written_at,
        }
    }
}

impl Keeper<'_> {
    fn files(&self) -> wasmtime::Result<(Arc<Files>, Place)> {
        let invocation = self.0.invocation();
        let place = Place {
            principal: Principal {
                tenant: invocation.tenant.id.clone(),
                service: invocation.service.clone(),
            },
            deadline: invocation.deadline,
        };
        Ok((self.0.shared::<Files>()?, place))
    }
}

impl blob::Host for Keeper<'_> {
    async fn put(&mut self, name: String, content_type: String, content: Vec<u8>) -> Answer<blob::Info> {
        let (files, place) = self.files()?;
        let put = files.put(&place, &name, &content_type, &content);
        Ok(self.0.used().statement(put).await.map(Into::into).map_err(Into::into))
    }

    async fn get(&mut self, name: String) -> Answer<Option<Vec<u8>>> {
        let (files, place) = self.files()?;
        let found = self.0.used().statement(files.get(&place, &name)).await;
        Ok(found.map(|file| file.map(|file| file.content)).map_err(Into::into))
    }

    async fn stat(&mut self, name: String) -> Answer<Option<blob::Info>> {
        let (files, place) = self.files()?;
        let found = self.0.used().statement(files.stat(&place, &name)).await;
        Ok(found.map(|info| info.map(Into::into)).map_err(Into::into))
    }

    async fn delete(&mut self, names: Vec<String>) -> Answer<()> {
        let (files, place) = self.files()?;
        Ok(self
            .0
            .used()
            .statement(files.delete(&place, &names))
            .await
            .map_err(Into::into))
    }

    async fn list(&mut self, prefix: String, after: String) -> Answer<Vec<blob::Info>> {
        let (files, place) = self.files()?;
        let page = self.0.used().statement(files.list(&place, &prefix, &after)).await;
        Ok(page
            .map(|page| page.into_iter().map(Into::into).collect())
            .map_err(Into::into))
    }

    async fn link(&mut self, name: String, may: May, seconds: u32) -> Answer<String> {
        let links = self.0.shared::<Links>()?;
        let may = match may {
            May::Read => Access::Read,
            May::Write => Access::Write,
        };
        let invocation = self.0.invocation();
        let life = Duration::from_secs(seconds.into());
        let link = links.make(&invocation.tenant.id, &invocation.service, &name, may, life);
        Ok(link.map_err(Into::into))
    }
}
