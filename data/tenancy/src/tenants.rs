//! Looking at tenants.

use std::sync::Arc;

use terrace_ground_ids::TenantId;

use crate::{Directory, Error, Tenant};

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
}
