//! Members of a tenant: sign in, sign out, who am I, list, add.
//!
//! A member lives in the schema of one tenant, and a session token is bound to it. Nothing here
//! knows that there are other tenants.

mod me;
mod members;
mod owner;
mod session;

#[cfg(test)]
mod laws;

use terrace_sdk::prelude::*;

/// The routes.
pub fn router() -> Router {
    let router = Router::new().on_tenant_created(owner::tenant_created);
    routes!(
        router,
        session::create::create_session,
        session::refresh::refresh_session,
        session::delete::delete_session,
        me::get_me,
        members::list::list_members,
        members::get::get_member,
        members::create::create_member,
    )
}

terrace_sdk::service!(router);
