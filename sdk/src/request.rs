//! What a handler may ask about its request: the tenant, the caller, parts of the address, headers.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{header::IF_MATCH, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{Code, Problem, host};

/// The tenant that the request belongs to. The gateway decided it from the host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// `t_7f3k9q2m`
    pub id: String,
    /// The first label of its host: `acme`.
    pub slug: String,
    /// What its members call it.
    pub name: String,
    /// The plan that it was created with, or moved to: `free`, `team`.
    pub plan: String,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything inside the tenant.
    Owner,
    /// May use the product.
    Member,
}

impl Role {
    /// `owner` or `member`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

impl From<String> for Role {
    /// Whatever is not `owner` has the rights of a member.
    fn from(role: String) -> Self {
        if role == "owner" { Self::Owner } else { Self::Member }
    }
}

/// The member who asks. As an extractor it answers `unauthenticated` (401) when there is none;
/// `Option<Caller>` takes both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The member's id.
    pub member: String,
    /// The member's name, as of sign-in.
    pub name: String,
    /// What the member may do.
    pub role: Role,
}

impl Caller {
    /// Ok for an owner.
    ///
    /// # Errors
    /// `forbidden` for everybody else.
    pub fn require_owner(&self) -> Result<(), Problem> {
        match self.role {
            Role::Owner => Ok(()),
            Role::Member => Err(Problem::forbidden("Only an owner of this workspace may do that.")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        host::tenant().ok_or_else(|| Problem::internal("a request outside any tenant"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        host::caller().ok_or_else(|| Problem::new(Code::Unauthenticated))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(host::caller())
    }
}

/// Parts of the path: `Path(board): Path<i64>`. What does not parse is no such thing: `not-found`.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::new(Code::NotFound)),
        }
    }
}

/// The query string: `Query(page): Query<PageQuery>`. What does not parse is `validation-failed`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(Code::ValidationFailed).detail(rejection.body_text())),
        }
    }
}

/// The version that a client saw, from `If-Match: "7"`. None when the header is absent or `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        match text.trim_matches('"').parse() {
            Ok(version) => Ok(Self(Some(version))),
            // An entity tag that was never ours matches no version that there is.
            Err(_) => Err(Problem::conflict("`If-Match` names no version of this thing.")),
        }
    }
}

/// The key that makes a POST safe to repeat: `Idempotency-Key`, at most 255 visible characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => Ok(Self(Some(key.to_owned()))),
            _ => {
                Err(Problem::new(Code::ValidationFailed)
                    .detail("`Idempotency-Key` must have 1 to 255 visible characters."))
            }
        }
    }
}
