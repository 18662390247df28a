//! Looking at tenants, and the two changes that take no steps: suspend and bring back.

use std::sync::Arc;

use terrace_ground_ids::TenantId;

use crate::{Directory, Error, State, Tenant, view};

/// Part of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The tenants, by slug.
    pub items: Vec<Arc<Tenant>>,
    /// What to ask the next page with; `None` at the end.
    pub next: Option<String>,
}

impl Directory {
    /// A page of tenants in the order of their slugs, from memory. `token` is what the page before
    /// gave; any text is a place to start.
    pub fn list_tenants(&self, token: Option<&str>, size: usize) -> Page {
        let view = self.tenants();
        let mut items: Vec<&Arc<Tenant>> = view
            .iter()
            .filter(|tenant| token.is_none_or(|token| tenant.slug.as_str() > token))
            .collect();
        items.sort_unstable_by(|a, b| a.slug.cmp(&b.slug));
        let size = size.clamp(1, 500);
        let next = (items.len() > size).then(|| items[size - 1].slug.to_string());
        Page {
            items: items.into_iter().take(size).cloned().collect(),
            next,
        }
    }

    /// The schemas of a tenant, by name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn schemas(&self, tenant: &TenantId) -> Result<Vec<String>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                "SELECT role FROM terrace_events.principal WHERE tenant_id = $1 ORDER BY role",
                &[&tenant.as_str()],
            )
            .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Stops serving an active tenant. Once more is no error.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Invalid`] when it is being made or removed.
    pub async fn suspend_tenant(&self, tenant: &TenantId) -> Result<(), Error> {
        self.turn(tenant, State::Active, State::Suspended).await
    }

    /// Serves a suspended tenant again. Once more is no error.
    ///
    /// # Errors
    /// As [`Directory::suspend_tenant`].
    pub async fn resume_tenant(&self, tenant: &TenantId) -> Result<(), Error> {
        self.turn(tenant, State::Suspended, State::Active).await
    }

    async fn turn(&self, tenant: &TenantId, from: State, to: State) -> Result<(), Error> {
        let client = self.pool.get().await?;
        let changed = client
            .execute(
                "UPDATE terrace.tenant SET state = $3, version = terrace.bump() WHERE id = $1 AND state = $2",
                &[&tenant.as_str(), &from.as_str(), &to.as_str()],
            )
            .await?;
        if changed == 0 {
            let row = client
                .query_opt("SELECT state FROM terrace.tenant WHERE id = $1", &[&tenant.as_str()])
                .await?;
            let row = row.ok_or_else(|| Error::unknown("tenant", tenant))?;
            let now = view::state(row.try_get(0)?)?;
            if now != to {
                return Err(Error::Invalid(format!("the tenant is {now}, not {from}")));
            }
        }
        drop(client);
        self.refresh().await
    }

    /// Changes what a tenant pays for.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub async fn change_plan(&self, tenant: &TenantId, plan: &str) -> Result<(), Error> {
        let client = self.pool.get().await?;
        let changed = client
            .execute(
                "UPDATE terrace.tenant SET plan = $2, version = terrace.bump() WHERE id = $1",
                &[&tenant.as_str(), &plan],
            )
            .await?;
        drop(client);
        if changed == 0 {
            return Err(Error::unknown("tenant", tenant));
        }
        self.refresh().await
    }
}
