//! Who may have which slug: the one that is in use, the one that is being taken, the one that a
//! renamed tenant had.

use terrace_ground_ids::{Slug, TenantId};
use tokio_postgres::Transaction;

use crate::Error;

/// Takes a slug for a tenant: one that nobody has, that was this tenant's own before, or that is not
/// kept for another any more.
pub(crate) async fn take(transaction: &Transaction<'_>, slug: &Slug, tenant: &TenantId) -> Result<(), Error> {
    let taken = transaction
        .execute(
            "INSERT INTO terrace.slug (slug, tenant) VALUES ($1, $2)
             ON CONFLICT (slug) DO UPDATE SET tenant = excluded.tenant, held_until = NULL
             WHERE slug.tenant = excluded.tenant OR slug.held_until <= now()",
            &[&slug.as_str(), &tenant.as_str()],
        )
        .await?;
    if taken == 0 {
        return Err(Error::SlugTaken(slug.clone()));
    }
    Ok(())
}

/// Lets go of a slug that a tenant had. For `days` nobody else may have it: links, bookmarks and
/// webhooks of this customer must not reach another one.
pub(crate) async fn leave(
    transaction: &Transaction<'_>,
    slug: &Slug,
    tenant: &TenantId,
    days: u32,
) -> Result<(), Error> {
    if days == 0 {
        transaction
            .execute(
                "DELETE FROM terrace.slug WHERE slug = $1 AND tenant = $2",
                &[&slug.as_str(), &tenant.as_str()],
            )
            .await?;
        return Ok(());
    }
    transaction
        .execute(
            "UPDATE terrace.slug SET held_until = now() + $3::integer * interval '1 day' WHERE slug = $1 AND tenant = $2",
            &[
                &slug.as_str(),
                &tenant.as_str(),
                &i32::try_from(days).unwrap_or(i32::MAX / 2),
            ],
        )
        .await?;
    Ok(())
}
