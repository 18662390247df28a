//! The example product: boards of tasks that members move, assign and discuss.
//!
//! It shows what a service is made of: one folder for each part of the address, one file for each
//! operation, migrations beside them, and events that commit with the data.

mod boards;
mod comments;
mod entitlements;
mod idempotency;
mod tasks;

#[cfg(test)]
mod laws;

use terrace_sdk::prelude::*;

/// The routes.
pub fn router() -> Router {
    let router = Router::new().on_event(entitlements::changed);
    routes!(
        router,
        boards::list::list_boards,
        boards::create::create_board,
        boards::get::get_board,
        boards::delete::delete_board,
        tasks::create::create_task,
        tasks::get::get_task,
        tasks::update::update_task,
        tasks::delete::delete_task,
        comments::list::list_comments,
        comments::create::create_comment,
    )
}

terrace_sdk::service!(router);
