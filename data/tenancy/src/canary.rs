//! A canary: a release that some tenants get before all others do.
//!
//! Its tenants are chosen once, written down, and migrated before the first request of theirs goes to
//! it; nobody else's schema is touched. A tenant that is created meanwhile gets the current release.
//! `docs/decisions/0009-canaries-by-tenant.md` says why.

use std::{collections::BTreeSet, sync::Arc};

use terrace_data_migrate::Progress;
use terrace_ground_ids::{ReleaseId, ServiceName, TenantId};
use tracing::info;

use crate::{
    Directory, Error, Happened, ReleaseState, State,
    history::{self, Cause},
    lifecycle::detached,
};

/// A share is counted in parts of this: hundredths of a percent.
pub const WHOLE: u16 = 10_000;

/// Which tenants get a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// So many of [`WHOLE`], by a stable hash: whoever is among 5 % is among 20 %, too.
    Share(u16),
    /// These.
    Tenants(Vec<TenantId>),
}

/// Where a tenant stands among [`WHOLE`], for one service. The same on every node, for ever: a tenant
/// stays on its side, and another service begins with other tenants.
pub fn position(service: &ServiceName, tenant: &TenantId) -> u16 {
    // FNV-1a, and the last step of MurmurHash3, which spreads it over all bits.
    let bytes = service.as_str().bytes().chain([0]).chain(tenant.as_str().bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    u16::try_from((hash ^ (hash >> 33)) % u64::from(WHOLE)).unwrap_or(0)
}

impl Directory {
    /// Migrates the chosen tenants to `release` and gives it to them. Called again with another split,
    /// the canary grows or shrinks. Killed half way, some schemas are ahead, which hurts nobody, and
    /// nothing else has changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is nothing to compare with, nobody is chosen, or a migration
    /// takes something away that the current release uses; [`Error::NotReady`]; [`Error::Busy`].
    pub async fn start_canary(
        self: &Arc<Self>,
        service: &ServiceName,
        release: &ReleaseId,
        split: Split,
        by: &str,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<usize, Error> {
        let (directory, service, release, by) = (self.clone(), service.clone(), release.clone(), by.to_owned());
        detached(async move {
            let work = directory.canary(&service, &release, &split, &by, &*progress);
            let outcome = directory.holding(&format!("service {service}"), work).await;
            directory.refresh().await?;
            outcome
        })
        .await
    }

    async fn canary(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        split: &Split,
        by: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<usize, Error> {
        self.refresh().await?;
        let facts = self.release(release).await?;
        if facts.release.service != *service {
            return Err(Error::unknown("release of this service", release));
        }
        let view = self.tenants();
        let known = view.services().iter().find(|known| known.name == *service);
        let current = known
            .and_then(|known| known.current.clone())
            .filter(|current| current != release)
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "a canary needs a current release beside it, and `{service}` has none but this one: deploy it to everybody"
                ))
            })?;
        let migrations = self.migrations_of(release).await?;
        let head = self.migrations_of(&current).await?.head();
        if let Some(first) = migrations.contractions(head).first() {
            return Err(Error::Invalid(format!(
                "a canary's migrations may only add, because its tenants must be able to go back: {first}"
            )));
        }
        let chosen = choose(&view, service, split)?;
        self.ready(service, release, &migrations, &chosen, progress).await?;
        self.begin_canary(service, release, split, &chosen, by).await?;
        info!(service.name = %service, release.id = %release, "Gave a canary to {} tenants", chosen.len());
        Ok(chosen.len())
    }

    async fn begin_canary(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        split: &Split,
        chosen: &[TenantId],
        by: &str,
    ) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "UPDATE terrace.release SET state = CASE id WHEN $2 THEN 'canary' ELSE 'retained' END, error = CASE id WHEN $2 THEN NULL ELSE error END
                 WHERE service = $1 AND (state = 'canary' OR id = $2)",
                &[&service.as_str(), &release.as_str()],
            )
            .await?;
        let share = match split {
            Split::Share(share) => Some(i32::from(*share)),
            Split::Tenants(_) => None,
        };
        let tenants: Vec<&str> = chosen.iter().map(TenantId::as_str).collect();
        transaction
            .execute(
                "UPDATE terrace.service SET canary = $2, canary_share = $3, canary_tenants = $4,
                        canary_since = CASE WHEN canary = $2 THEN canary_since ELSE now() END WHERE name = $1",
                &[&service.as_str(), &release.as_str(), &share, &tenants],
            )
            .await?;
        let detail = match split {
            Split::Share(share) => format!("{} tenants, {} %", chosen.len(), f64::from(*share) / 100.0),
            Split::Tenants(_) => format!("{} tenants by name", chosen.len()),
        };
        let cause = Cause::new(Happened::CanaryStarted, by).detail(detail);
        history::record(&transaction, service, release, &cause).await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        Ok(transaction.commit().await?)
    }

    /// What the migrations of `from` have taken away that `to`, an older release, uses: sentences.
    /// Empty when one can go back.
    ///
    /// # Errors
    /// [`Error::Unknown`], or when the database is away.
    pub async fn taken_since(&self, from: &ReleaseId, to: &ReleaseId) -> Result<Vec<String>, Error> {
        let head = self.migrations_of(to).await?.head();
        Ok(self.migrations_of(from).await?.contractions(head))
    }

    /// Takes the canary from its tenants: they are served by the current release again, on the schema
    /// that they have now. Returns which release it was; `None` when there was none, or another than
    /// `only`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn abort_canary(
        self: &Arc<Self>,
        service: &ServiceName,
        only: Option<&ReleaseId>,
        cause: Cause,
    ) -> Result<Option<ReleaseId>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                "SELECT canary FROM terrace.service WHERE name = $1 FOR UPDATE",
                &[&service.as_str()],
            )
            .await?
            .ok_or_else(|| Error::unknown("service", service))?;
        let canary: Option<ReleaseId> = crate::view::optional(&row, 0, "release id")?;
        let Some(canary) = canary.filter(|canary| only.is_none_or(|only| only == canary)) else {
            return Ok(None);
        };
        let is_to_blame = cause.happened == Happened::CanaryAbortedByBudget;
        let (state, error) = match is_to_blame {
            true => (ReleaseState::Failed, Some(&cause.detail)),
            false => (ReleaseState::Retained, None),
        };
        transaction
            .execute(
                "UPDATE terrace.release SET state = $2, error = $3 WHERE id = $1",
                &[&canary.as_str(), &state.as_str(), &error],
            )
            .await?;
        transaction
            .execute(
                "UPDATE terrace.service SET canary = NULL, canary_share = NULL, canary_tenants = '{}', canary_since = NULL WHERE name = $1",
                &[&service.as_str()],
            )
            .await?;
        history::record(&transaction, service, &canary, &cause).await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        Ok(Some(canary))
    }
}

fn choose(view: &crate::View, service: &ServiceName, split: &Split) -> Result<Vec<TenantId>, Error> {
    let is_there = |state: State| matches!(state, State::Active | State::Suspended);
    let chosen: BTreeSet<TenantId> = match split {
        Split::Share(share) => view
            .iter()
            .filter(|tenant| is_there(tenant.state) && position(service, &tenant.id) < *share)
            .map(|tenant| tenant.id.clone())
            .collect(),
        Split::Tenants(list) => {
            for id in list {
                if !view.by_id(id).is_some_and(|tenant| is_there(tenant.state)) {
                    return Err(Error::unknown("tenant", id));
                }
            }
            list.iter().cloned().collect()
        }
    };
    if chosen.is_empty() {
        return Err(Error::Invalid(
            "no tenant is in this share: give a larger one, or name tenants".to_owned(),
        ));
    }
    Ok(chosen.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_that_share_and_grows_around_those_who_are_in_it() {
        let service: ServiceName = "tasks".parse().unwrap();
        let tenants: Vec<TenantId> = (0..20_000).map(|_| TenantId::random()).collect();
        let within = |share: u16| {
            tenants
                .iter()
                .filter(|tenant| position(&service, tenant) < share)
                .count()
        };
        // 5 % of 20,000 is 1,000, with a standard deviation of 31.
        let five = within(500);
        assert!((800..1_200).contains(&five), "{five}");
        assert_eq!(within(WHOLE), tenants.len());
        let other: ServiceName = "billing".parse().unwrap();
        let both = tenants
            .iter()
            .filter(|tenant| position(&service, tenant) < 500 && position(&other, tenant) < 500);
        assert!(
            both.count() < 120,
            "two services must not try things on the same tenants"
        );
    }

    #[test]
    fn a_position_never_changes() {
        let at = |service: &str, tenant: &str| position(&service.parse().unwrap(), &tenant.parse().unwrap());
        assert_eq!(
            [at("tasks", "t_7f3k9q2m"), at("billing", "t_7f3k9q2m")],
            [at("tasks", "t_7f3k9q2m"), at("billing", "t_7f3k9q2m")]
        );
    }
}
