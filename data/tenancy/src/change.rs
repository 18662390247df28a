//! Changing what a tenant pays for, and what it is called.

use std::sync::Arc;

use serde_json::json;
use terrace_ground_ids::{Slug, TenantId};
use tokio_postgres::Transaction;
use tracing::{info, warn};

use crate::{
    Directory, Error, Kind, Step,
    create::{check_name, current},
    lane,
    lifecycle::{Asked, Operation, detached},
    slugs, view,
};

/// New names for a tenant; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rename {
    /// The first label of its host. Its members find it there within a second, and nowhere else: the
    /// old slug answers `unknown-host`, and is kept from others for [`crate::Config::slug_held_days`].
    pub slug: Option<Slug>,
    /// The name that people see, 1 to 200 characters.
    pub name: Option<String>,
    /// Lets others have the old slug at once.
    pub release_old_slug: bool,
}

impl Directory {
    /// Changes what a tenant pays for, and tells the services that asked for it. The same plan again is
    /// no error.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Invalid`] when it is being made or removed; [`Error::Running`].
    pub async fn change_plan(self: &Arc<Self>, tenant: &TenantId, plan: &str, actor: &str) -> Result<(), Error> {
        let (directory, tenant, plan, actor) = (self.clone(), tenant.clone(), plan.to_owned(), actor.to_owned());
        detached(async move {
            let begin = directory.begin_plan(&tenant, &plan, &actor);
            directory.operate(&tenant, begin).await?;
            // The plan may come with another lane. What fails here is tried again by itself.
            if let Err(error) = directory.finish_operation(&tenant).await {
                warn!(tenant.id = %tenant, %error, "Cannot give a tenant the lane of its plan yet");
            }
            Ok(())
        })
        .await
    }

    /// Gives a tenant another name, another slug, or both. Its id, its schemas, its sessions and its
    /// place stay.
    ///
    /// # Errors
    /// [`Error::SlugTaken`]: nothing was begun. Otherwise as [`Directory::change_plan`].
    pub async fn rename_tenant(self: &Arc<Self>, tenant: &TenantId, rename: Rename, actor: &str) -> Result<(), Error> {
        if let Some(name) = &rename.name {
            check_name(name)?;
        }
        let (directory, tenant, actor) = (self.clone(), tenant.clone(), actor.to_owned());
        detached(async move {
            let begin = directory.begin_rename(&tenant, &rename, &actor);
            directory.operate(&tenant, begin).await
        })
        .await
    }

    async fn begin_plan(&self, tenant: &TenantId, plan: &str, actor: &str) -> Result<Option<Operation>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let (_, _, before) = settled(&transaction, tenant).await?;
        if before == plan {
            return Ok(None);
        }
        let input = json!({"plan": plan, "before": before});
        let operation =
            Operation::begin(&transaction, tenant, Kind::Plan, Step::Planned, Asked::by(actor, input)).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET plan = $2, version = terrace.bump() WHERE id = $1",
                &[&tenant.as_str(), &plan],
            )
            .await?;
        transaction.commit().await?;
        Ok(Some(operation))
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn plan_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step != Step::Planned {
            return Ok(None);
        }
        self.tell_plan(&operation.tenant).await?;
        let lanes = self.lanes(&self.cluster_of(&operation.tenant).await?).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, Step::Told, &json!({})).await?;
        operation.end(&transaction).await?;
        let (_, _, plan) = settled(&transaction, &operation.tenant).await?;
        let before = operation.input.get("before").and_then(serde_json::Value::as_str);
        let size = self.config.lane_size(&plan);
        // Who was given another lane by hand keeps it when the plans do not differ.
        if self.config.lane_size(before.unwrap_or_default()) != size
            && lane::size(&transaction, &operation.tenant).await? != size
        {
            self.take_seat(&transaction, &operation.tenant, &lanes, size, operation.actor())
                .await?;
        }
        transaction.commit().await?;
        info!(tenant.id = %operation.tenant, "Changed the plan of a tenant");
        Ok(Some(Step::Told))
    }

    /// Tells every service that wants to know what the tenant pays for now.
    pub(crate) async fn tell_plan(&self, tenant: &TenantId) -> Result<(), Error> {
        // A hook must find the new plan.
        self.refresh().await?;
        let known = self.tenants().by_id(tenant).cloned();
        let known = known.ok_or_else(|| Error::unknown("tenant", tenant))?;
        let services = current(&**self.pool.get().await?).await?;
        for (service, release) in services {
            let told = self.hooks().plan_changed(&known, &service, &release).await;
            told.map_err(|message| Error::Hook {
                hook: "plan-changed",
                service,
                message,
            })?;
        }
        Ok(())
    }

    async fn begin_rename(&self, tenant: &TenantId, rename: &Rename, actor: &str) -> Result<Option<Operation>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let (slug, name, _) = settled(&transaction, tenant).await?;
        let new_slug = rename.slug.clone().unwrap_or_else(|| slug.clone());
        let new_name = rename.name.as_deref().map_or(name.as_str(), str::trim);
        if new_slug == slug && new_name == name {
            return Ok(None);
        }
        if new_slug != slug {
            slugs::take(&transaction, &new_slug, tenant).await?;
        }
        let held = if rename.release_old_slug {
            0
        } else {
            self.config.slug_held_days
        };
        let input = json!({"slug": new_slug, "name": new_name, "old_slug": slug, "old_slug_held_days": held});
        let asked = Asked::by(actor, input);
        let operation = Operation::begin(&transaction, tenant, Kind::Rename, Step::Reserved, asked).await?;
        transaction.commit().await?;
        Ok(Some(operation))
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn rename_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step != Step::Reserved {
            return Ok(None);
        }
        let text = |key: &'static str| {
            let value = operation.input.get(key).and_then(serde_json::Value::as_str);
            value.ok_or_else(|| Error::corrupt("input of a rename", &operation.input))
        };
        let slug = |key| {
            let text = text(key)?;
            text.parse::<Slug>().map_err(|_| Error::corrupt("slug", text))
        };
        let (new, old) = (slug("slug")?, slug("old_slug")?);
        let held = operation
            .input
            .get("old_slug_held_days")
            .and_then(serde_json::Value::as_u64);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        if new != old {
            let days = held.and_then(|days| u32::try_from(days).ok()).unwrap_or(0);
            slugs::leave(&transaction, &old, &operation.tenant, days).await?;
        }
        operation.record(&transaction, Step::Renamed, &json!({})).await?;
        operation.end(&transaction).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET slug = $2, name = $3, version = terrace.bump() WHERE id = $1",
                &[&operation.tenant.as_str(), &new.as_str(), &text("name")?],
            )
            .await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        info!(tenant.id = %operation.tenant, "Renamed a tenant");
        Ok(Some(Step::Renamed))
    }
}

/// Slug, name and plan of a tenant that is there: active or suspended.
pub(crate) async fn settled(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(Slug, String, String), Error> {
    let row = transaction
        .query_opt(
            "SELECT slug, name, plan, state FROM terrace.tenant WHERE id = $1 FOR UPDATE",
            &[&tenant.as_str()],
        )
        .await?
        .ok_or_else(|| Error::unknown("tenant", tenant))?;
    let state = view::state(row.try_get(3)?)?;
    if !matches!(state, crate::State::Active | crate::State::Suspended) {
        return Err(Error::Invalid(format!(
            "the tenant is {state}; only one that is active or suspended can be changed"
        )));
    }
    Ok((view::parsed(&row, 0, "slug")?, row.try_get(1)?, row.try_get(2)?))
}
