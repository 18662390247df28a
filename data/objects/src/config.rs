//! Which folder or bucket, and with which credentials.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use object_store::{ClientOptions, ObjectStore, aws::AmazonS3Builder, local::LocalFileSystem};
use serde::Deserialize;

use crate::Error;

/// Where objects are kept: in `folder`, unless `bucket` names a bucket. With several nodes it must be
/// a bucket, or a folder that all of them share.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A local folder. Default: `objects` in the data folder of the node.
    pub folder: Option<PathBuf>,
    /// A bucket of S3, or of something that speaks like it. None by default.
    pub bucket: Option<String>,
    /// What the names of objects begin with. Default `components`.
    pub prefix: String,
    /// The bucket's region. Default `us-east-1`.
    pub region: String,
    /// The address of an S3 that is not Amazon's: `https://minio.example.com`. None by default.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be spoken to without TLS. Default false.
    pub allow_http: bool,
    /// Who asks. Not read from a file; without it the machine's own role is used (IMDS).
    #[serde(skip)]
    pub access_key_id: Option<String>,
    /// Its secret. Not read from a file.
    #[serde(skip)]
    pub secret_access_key: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: None,
            bucket: None,
            prefix: "components".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            allow_http: false,
            access_key_id: None,
            secret_access_key: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("folder", &self.folder)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// How long one request to a bucket may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);

impl Config {
    pub(crate) fn store(&self) -> Result<Arc<dyn ObjectStore>, Error> {
        let wrong = |error: &dyn fmt::Display| Error::Config(error.to_string());
        let Some(bucket) = &self.bucket else {
            let folder = self.folder.as_ref();
            let folder = folder.ok_or_else(|| Error::Config("neither `folder` nor `bucket` is set".to_owned()))?;
            std::fs::create_dir_all(folder).map_err(|error| wrong(&format!("{}: {error}", folder.display())))?;
            let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(&error))?;
            // A release whose row is committed must find its component after a power failure, too.
            return Ok(Arc::new(store.with_fsync(true)));
        };
        // Somebody else in this process may have installed one; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&self.region)
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(self.allow_http)
                    .with_timeout(REQUEST_MAX),
            );
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let (Some(id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let store = builder.build().map_err(|error| wrong(&error))?;
        Ok(Arc::new(store))
    }
}
