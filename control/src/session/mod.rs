//! `/api/control/session`: an operator signs in, sees who they are, and signs out.

mod show;
mod sign_in;
mod sign_out;

// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use show::*;
pub(crate) use sign_in::*;
pub(crate) use sign_out::*;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Operator, authentication::COOKIE};

/// What an operator signs in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Their address.
    #[schema(format = Email)]
    pub email: String,
    /// Their password.
    #[schema(format = Password)]
    pub password: String,
}

/// Who is signed in, and until when.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Session {
    /// Who it is.
    pub operator: Operator,
    /// When the session ends; null for the operator token, which does not.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub expires_at: Option<Timestamp>,
}

/// The header that stores a session, or takes it back (`lifetime_seconds` of 0).
fn cookie(token: &str, lifetime_seconds: u32) -> String {
    format!("{COOKIE}={token}; Path=/; Max-Age={lifetime_seconds}; Secure; HttpOnly; SameSite=Strict")
}
