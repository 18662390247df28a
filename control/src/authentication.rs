//! Who asks: an operator's session (a cookie or a bearer token), or the long-lived operator token.

use axum::{
    extract::{self, Request},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use serde::Serialize;
use terrace_ground_error::Code;
use terrace_ground_token::{CONTROL_AUDIENCE, Error as TokenError};
use utoipa::ToSchema;

use crate::{State, refusal::Refusal};

/// The session's cookie. The prefix makes browsers refuse it without `Secure`, with a `Domain`, or
/// for another path, so no neighbouring host can set it.
pub(crate) const COOKIE: &str = "__Host-session";

/// The role in an operator's token.
pub(crate) const ROLE: &str = "operator";

/// A person who runs the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Operator {
    /// Where they sign in with; null for the operator token, which belongs to nobody.
    #[schema(required = true)]
    pub email: Option<String>,
    /// Their name, to show.
    pub name: String,
}

impl Operator {
    /// Their address, or what the operator token is called: for a history.
    pub(crate) fn who(&self) -> &str {
        self.email.as_deref().unwrap_or(&self.name)
    }
}

/// Who asks, and until when; in the request's extensions behind [`authenticate`].
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub(crate) operator: Operator,
    /// None for the operator token, which does not end.
    pub(crate) expires_at: Option<Timestamp>,
}

/// In front of every operation but sign-in.
pub(crate) async fn authenticate(
    extract::State(state): extract::State<State>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let authenticated = identify(&state, request.headers())?;
    request.extensions_mut().insert(authenticated);
    Ok(next.run(request).await)
}

fn identify(state: &State, headers: &HeaderMap) -> Result<Authenticated, Refusal> {
    let Some(token) = bearer(headers).or_else(|| cookie(headers)) else {
        return Err(Refusal::new(Code::Unauthenticated));
    };
    if state.is_operator_token(token) {
        let operator = Operator {
            email: None,
            name: "Operator token".to_owned(),
        };
        return Ok(Authenticated {
            operator,
            expires_at: None,
        });
    }
    let claims = state
        .keys()
        .verify(token, CONTROL_AUDIENCE, Timestamp::now().as_second())
        .map_err(|error| {
            Refusal::new(match error {
                TokenError::Invalid => Code::TokenInvalid,
                TokenError::Expired => Code::TokenExpired,
                TokenError::Foreign => Code::TokenForeign,
            })
        })?;
    if claims.role != ROLE {
        return Err(Refusal::detail(
            Code::Forbidden,
            "Only an operator may use the control plane.",
        ));
    }
    let expires_at = Timestamp::from_second(claims.exp).map_err(Refusal::internal)?;
    Ok(Authenticated {
        operator: Operator {
            email: Some(claims.sub),
            name: claims.name,
        },
        expires_at: Some(expires_at),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
