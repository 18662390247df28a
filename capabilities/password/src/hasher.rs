//! The pool that computes hashes: who may, how many at once, how many may wait.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use serde::Deserialize;
use terrace_compute_capability::Used;
use terrace_ground_ids::TenantId;
use tokio::sync::Semaphore;

/// Shortest password, in characters (NIST SP 800-63B).
const CHARACTERS_MIN: usize = 8;
/// Longest password, in bytes: longer ones are a way to burn CPU, not a better password.
const BYTES_MAX: usize = 512;

/// Bounds of the pool. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Hashes computed at the same time: each takes 19 MiB and a core. Default 2.
    pub concurrent: usize,
    /// Hashes that may wait for their turn; the next one is refused as busy. Default 64.
    pub queue: usize,
    /// Hashes of one tenant that run or wait: a flood of sign-ins at one tenant fills its own places,
    /// and not those of the others. Default 8.
    pub per_tenant: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrent: 2,
            queue: 64,
            per_tenant: 8,
        }
    }
}

/// Why there is no hash, or no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Under eight characters.
    #[error("a password has at least {CHARACTERS_MIN} characters")]
    TooShort,
    /// Over 512 bytes.
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    /// Too many are waiting.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash to check against is not one of ours.
    #[error("the stored hash is malformed")]
    MalformedHash,
}

/// Computes and checks argon2id hashes (19 MiB, two passes, one lane: OWASP's first choice).
#[derive(Debug)]
pub struct Hasher {
    /// One permit for each that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each that runs.
    running: Arc<Semaphore>,
    tenants: Arc<Mutex<HashMap<TenantId, usize>>>,
    per_tenant: usize,
}

/// One of a tenant's places. Dropping it gives it back.
struct Place {
    tenant: TenantId,
    tenants: Arc<Mutex<HashMap<TenantId, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = tenants.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

impl Hasher {
    /// A pool with these bounds.
    pub fn new(config: &Config) -> Self {
        let concurrent = config.concurrent.max(1);
        Self {
            admitted: Arc::new(Semaphore::new(concurrent + config.queue)),
            running: Arc::new(Semaphore::new(concurrent)),
            tenants: Arc::default(),
            per_tenant: config.per_tenant.max(1),
        }
    }

    /// A PHC string: `$argon2id$v=19$m=19456,t=2,p=1$..`.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::TooLong`], [`Error::Busy`].
    pub async fn hash(&self, tenant: &TenantId, used: &Arc<Used>, password: String) -> Result<String, Error> {
        if password.chars().count() < CHARACTERS_MIN {
            return Err(Error::TooShort);
        }
        if password.len() > BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.compute(tenant, used, move || hash(password.as_bytes())).await?
    }

    /// Whether `password` is the one that `hash` was made of. With no hash (an unknown member) a
    /// dummy is checked, so that the answer takes as long.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Busy`], [`Error::MalformedHash`].
    pub async fn verify(
        &self,
        tenant: &TenantId,
        used: &Arc<Used>,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Error> {
        if password.len() > BYTES_MAX {
            return Err(Error::TooLong);
        }
        self.compute(tenant, used, move || verify(password.as_bytes(), hash.as_deref()))
            .await?
    }

    async fn compute<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        used: &Arc<Used>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.place(tenant)?;
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| Error::Busy)?;
        // The permits move into the closure: a caller that gives up does not free a thread that is
        // still computing.
        let used = used.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permits = (admitted, running, place);
            used.on_this_thread(work)
        });
        task.await.map_err(|_| Error::Busy)
    }
}

impl Hasher {
    fn place(&self, tenant: &TenantId) -> Result<Place, Error> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tenants.entry(tenant.clone()).or_default();
        if *count >= self.per_tenant {
            return Err(Error::Busy);
        }
        *count += 1;
        Ok(Place {
            tenant: tenant.clone(),
            tenants: self.tenants.clone(),
        })
    }
}

/// What an unknown member is checked against. Nobody knows its password.
static DUMMY: LazyLock<String> = LazyLock::new(|| hash(b"nobody has this password").unwrap_or_default());

fn argon2() -> Argon2<'static> {
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(19_456, 2, 1, None).unwrap_or_default(),
    )
}

fn hash(password: &[u8]) -> Result<String, Error> {
    // Fails only without randomness for the salt, and then no hash may be made.
    argon2()
        .hash_password(password)
        .map(|hash| hash.to_string())
        .map_err(|_| Error::Busy)
}

fn verify(password: &[u8], hash: Option<&str>) -> Result<bool, Error> {
    let parsed = PasswordHash::new(hash.unwrap_or(&DUMMY)).map_err(|_| Error::MalformedHash)?;
    let matches = argon2().verify_password(password, &parsed).is_ok();
    Ok(matches && hash.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(queue: usize) -> Hasher {
        Hasher::new(&Config {
            concurrent: 1,
            queue,
            per_tenant: 8,
        })
    }

    fn tenant() -> TenantId {
        "t_22222222".parse().unwrap()
    }

    #[tokio::test]
    async fn a_tenant_fills_its_own_places_and_not_those_of_another() {
        let hasher = Hasher::new(&Config {
            concurrent: 1,
            queue: 64,
            per_tenant: 2,
        });
        let held: Vec<_> = (0..2).map(|_| hasher.place(&tenant()).unwrap()).collect();
        assert_eq!(
            hasher
                .verify(&tenant(), &Arc::default(), "long enough".to_owned(), None)
                .await,
            Err(Error::Busy)
        );
        let other = TenantId::random();
        assert_eq!(
            hasher
                .verify(&other, &Arc::default(), "long enough".to_owned(), None)
                .await,
            Ok(false)
        );
        drop(held);
        assert_eq!(
            hasher
                .verify(&tenant(), &Arc::default(), "long enough".to_owned(), None)
                .await,
            Ok(false)
        );
    }

    #[tokio::test]
    async fn a_hash_knows_its_own_password_and_no_other() {
        let hasher = hasher(8);
        let hash = hasher
            .hash(&tenant(), &Arc::default(), "correct horse".to_owned())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(
            hasher
                .verify(
                    &tenant(),
                    &Arc::default(),
                    "correct horse".to_owned(),
                    Some(hash.clone())
                )
                .await,
            Ok(true)
        );
        assert_eq!(
            hasher
                .verify(&tenant(), &Arc::default(), "wrong horse".to_owned(), Some(hash))
                .await,
            Ok(false)
        );
    }

    #[tokio::test]
    async fn nobody_signs_in_as_an_unknown_member() {
        assert_eq!(
            hasher(8)
                .verify(&tenant(), &Arc::default(), "nobody has this password".to_owned(), None)
                .await,
            Ok(false)
        );
    }

    #[tokio::test]
    async fn the_one_that_finds_the_queue_full_is_told_so_at_once() {
        let hasher = Arc::new(hasher(0));
        let held = hasher.admitted.clone().acquire_owned().await.unwrap();
        assert_eq!(
            hasher.hash(&tenant(), &Arc::default(), "long enough".to_owned()).await,
            Err(Error::Busy)
        );
        drop(held);
        assert!(
            hasher
                .hash(&tenant(), &Arc::default(), "long enough".to_owned())
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn lengths_are_checked_before_any_work() {
        let hasher = hasher(8);
        assert_eq!(
            hasher.hash(&tenant(), &Arc::default(), "short".to_owned()).await,
            Err(Error::TooShort)
        );
        assert_eq!(
            hasher.hash(&tenant(), &Arc::default(), "x".repeat(513)).await,
            Err(Error::TooLong)
        );
        assert_eq!(
            hasher.verify(&tenant(), &Arc::default(), "x".repeat(513), None).await,
            Err(Error::TooLong)
        );
        assert_eq!(
            hasher
                .verify(
                    &tenant(),
                    &Arc::default(),
                    "long enough".to_owned(),
                    Some("plain".to_owned())
                )
                .await,
            Err(Error::MalformedHash)
        );
    }
}
