//! `POST /api/control/session`.

use std::time::Instant;

use axum::{
    Json, extract,
    http::{HeaderMap, header},
    response::IntoResponse,
};
use jiff::Timestamp;
use terrace_ground_error::Code;
use terrace_ground_token::{CONTROL_AUDIENCE, Member};

use super::{Credentials, Session, cookie};
use crate::{
    Operator, State, attempts::Refused, authentication::ROLE, body::Input, contract::Problem, password,
    refusal::Refusal,
};

/// Signs an operator in.
///
/// The session comes as the cookie `__Host-session` and lasts 12 hours. A wrong password and an
/// unknown address get the same answer after the same time. After 20 wrong passwords from one peer
/// within 15 minutes, that peer waits.
#[utoipa::path(
    post, path = "/api/control/session", operation_id = "control_create_session", tag = "session", security(),
    request_body = Credentials,
    responses(
        (status = OK, body = Session, description = "Signed in", headers(("set-cookie" = String, description = "The session"))),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn sign_in(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    Input(credentials): Input<Credentials>,
) -> Result<impl IntoResponse, Refusal> {
    let refused = || Refusal::detail(Code::Unauthenticated, "The address or the password is wrong.");
    if credentials.password.len() > password::LENGTH_MAX || credentials.email.len() > 254 {
        return Err(refused());
    }
    // The edge writes who its peer is, over whatever a client said. Without an edge, all are one peer.
    let peer = headers.get("x-forwarded-for").and_then(|peer| peer.to_str().ok());
    let attempt = state
        .attempts()
        .begin(peer.unwrap_or_default(), Instant::now())
        .map_err(|refused| match refused {
            Refused::Flood => Refusal::busy("Too many sign-ins at once; try again in a moment.", 1),
            Refused::Guessing { wait_seconds } => Refusal::busy(
                "Too many wrong passwords. Wait a quarter of an hour, then try again.",
                wait_seconds,
            ),
        })?;
    let record = state.platform().operator(&credentials.email).await?;
    let hash = record.as_ref().map(|record| record.password_hash.clone());
    let is_right = password::verify(&state, credentials.password, hash).await?;
    let Some(record) = record.filter(|_| is_right) else {
        attempt.wrong();
        return Err(refused());
    };
    attempt.right();

    let now = Timestamp::now().as_second();
    let lifetime_seconds = state.config().session_seconds;
    let member = Member {
        id: &record.email,
        name: &record.name,
        role: ROLE,
    };
    let token = state.keys().sign(CONTROL_AUDIENCE, &member, now, lifetime_seconds);
    let expires_at = Timestamp::from_second(now.saturating_add(lifetime_seconds.into())).map_err(Refusal::internal)?;
    let session = Session {
        operator: Operator {
            email: Some(record.email),
            name: record.name,
        },
        expires_at: Some(expires_at),
    };
    Ok(([(header::SET_COOKIE, cookie(&token, lifetime_seconds))], Json(session)))
}
