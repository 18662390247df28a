//! The one row that says which plan the tenant has, and what each plan allows.

use terrace_sdk::{PlanChanged, TenantCreated, prelude::*};

/// What is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Plan {
    /// 100 tasks.
    Free,
    /// As many tasks as they like.
    Team,
}

impl Plan {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Team => "team",
        }
    }

    /// What is not known is the smallest plan: nothing is given away by a slip of the pen.
    pub(crate) fn parse(text: &str) -> Self {
        if text == "team" { Self::Team } else { Self::Free }
    }

    /// How many tasks the plan allows. None: as many as they like.
    pub(crate) fn tasks(self) -> Option<i64> {
        match self {
            Self::Free => Some(100),
            Self::Team => None,
        }
    }
}

/// What products learn when a plan changes.
#[derive(Debug, serde::Serialize)]
struct EntitlementChanged {
    feature: &'static str,
    limit: Option<i64>,
}

/// Publishes what the plan allows.
pub(crate) fn publish(tx: &mut Transaction, plan: Plan) -> Result<(), Problem> {
    let changed = EntitlementChanged {
        feature: "tasks",
        limit: plan.tasks(),
    };
    tx.publish("entitlement-changed", "plan", &changed)?;
    Ok(())
}

/// Writes the plan and says what it allows, unless it is that one already; true when it was not.
pub(crate) async fn change(tx: &mut Transaction, plan: Plan) -> Result<bool, Problem> {
    let changed = tx
        .query(
            "INSERT INTO subscription (plan) VALUES ($1)
             ON CONFLICT (single) DO UPDATE SET plan = excluded.plan, changed_at = now()
                WHERE subscription.plan <> excluded.plan",
            params![plan.as_str()],
        )
        .await?;
    if changed.affected() == 1 {
        publish(tx, plan)?;
        return Ok(true);
    }
    Ok(false)
}

/// The tenant's plan. A tenant without a row (its hook has not come yet) has the smallest.
pub(crate) async fn read(tx: &mut Transaction) -> Result<Plan, Problem> {
    let rows = tx.query("SELECT plan FROM subscription", params![]).await?;
    let plan: Option<String> = rows.first().map(|row| row.get("plan")).transpose()?;
    Ok(plan.as_deref().map_or(Plan::Free, Plan::parse))
}

/// The hook `tenant-created`: begins the subscription with the plan that the tenant was created with.
pub(crate) async fn tenant_created(
    tenant: Tenant,
    db: Db,
    Json(_): Json<TenantCreated>,
) -> Result<StatusCode, Problem> {
    let plan = Plan::parse(&tenant.plan);
    let mut tx = db.begin().await?;
    let begun = tx
        .query(
            "INSERT INTO subscription (plan) VALUES ($1) ON CONFLICT DO NOTHING",
            params![plan.as_str()],
        )
        .await?;
    if begun.affected() == 1 {
        publish(&mut tx, plan)?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The hook `plan-changed`: an operator changed the plan.
pub(crate) async fn plan_changed(db: Db, Json(changed): Json<PlanChanged>) -> Result<StatusCode, Problem> {
    let mut tx = db.begin().await?;
    if change(&mut tx, Plan::parse(&changed.plan)).await? {
        log::info!("an operator changed the plan to {}", changed.plan);
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
