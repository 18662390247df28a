//! A plan for each tenant, what it allows, and a meter of its tasks, fed by events.
//!
//! Billing enforces nothing: it says what a plan allows, by an event, and each product keeps to it
//! in its own transactions. So a product works while billing is away.

mod meter;
mod plan;
mod subscription;

#[cfg(test)]
mod laws;

use terrace_sdk::prelude::*;

/// The routes.
pub fn router() -> Router {
    let router = Router::new()
        .on_event(meter::count)
        .on_tenant_created(subscription::tenant_created)
        .on_plan_changed(subscription::plan_changed);
    routes!(router, plan::get_plan, plan::change_plan)
}

terrace_sdk::service!(router);
