//! `/api/control/archives`: archives of tenants on their way in, and tenants made from them.

mod create;
mod import;
mod put_part;
mod restore;

pub use create::Archive;
pub use import::ImportTenant;
pub use restore::RestoreTenant;
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use create::*;
pub(crate) use import::*;
pub(crate) use put_part::*;
pub(crate) use restore::*;

use terrace_ground_ids::ArchiveId;

use crate::refusal::Refusal;

/// `{archive}` in a path. What cannot be an archive's name is not found, like any other.
fn archive_of(text: &str) -> Result<ArchiveId, Refusal> {
    text.parse()
        .map_err(|_| Refusal::not_found("There is no such archive; begin an upload first."))
}
