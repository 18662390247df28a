//! `/api/billing/plan`

use terrace_sdk::prelude::*;

use crate::{
    meter,
    subscription::{self, Plan},
};

/// How much of each feature. null: as much as they like.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Limits {
    /// Tasks that may exist at once.
    #[schema(required)]
    tasks: Option<i64>,
}

/// How much of each feature is used.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Usage {
    /// Tasks that exist. It follows the tasks service by moments.
    tasks: i64,
}

/// A plan, what it allows and what is used.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct PlanUsage {
    plan: Plan,
    limits: Limits,
    usage: Usage,
}

/// The plan that is wanted.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanChange {
    plan: Plan,
}

async fn usage(tx: &mut Transaction, plan: Plan) -> Result<PlanUsage, Problem> {
    Ok(PlanUsage {
        plan,
        limits: Limits { tasks: plan.tasks() },
        usage: Usage {
            tasks: meter::read(tx).await?,
        },
    })
}

/// The workspace's plan, what it allows, and how much of that is used.
#[utoipa::path(get, path = "/api/billing/plan", operation_id = "billing_get_plan",
    responses((status = 200, description = "The plan", body = PlanUsage)))]
pub(crate) async fn get_plan(_caller: Caller, db: Db) -> Result<Json<PlanUsage>, Problem> {
    let mut tx = db.begin().await?;
    let plan = subscription::read(&mut tx).await?;
    let usage = usage(&mut tx, plan).await?;
    tx.rollback().await;
    Ok(Json(usage))
}

/// Changes the workspace's plan. Only an owner may.
///
/// A smaller plan takes nothing away: what is over its limits stays, and nothing more can be added.
#[utoipa::path(put, path = "/api/billing/plan", operation_id = "billing_change_plan", request_body = PlanChange,
    responses(
        (status = 200, description = "The plan as it is now", body = PlanUsage),
        (status = 403, description = "Only an owner may change the plan"),
    ))]
pub(crate) async fn change_plan(
    caller: Caller,
    db: Db,
    Json(change): Json<PlanChange>,
) -> Result<Json<PlanUsage>, Problem> {
    caller.require_owner()?;
    let mut tx = db.begin().await?;
    if subscription::change(&mut tx, change.plan).await? {
        log::info!("member {} changed the plan to {}", caller.member, change.plan.as_str());
    }
    let usage = usage(&mut tx, change.plan).await?;
    tx.commit().await?;
    Ok(Json(usage))
}
