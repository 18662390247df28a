//! `/api/identity/session`: a short signed token, and a refresh token that is rotated.
//!
//! Both travel in `__Host-` cookies that no script can read. The refresh token is opaque; the table
//! keeps its SHA-256.

mod attempts;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod refresh;

use terrace_sdk::{
    axum::http::{HeaderMap, HeaderValue, header},
    axum::response::{IntoResponse, Response},
    prelude::*,
    token,
};

use crate::members::Member;

/// How long a session token is believed, in seconds.
const SESSION_SECONDS: u32 = 15 * 60;
/// How long a refresh token can be used, in seconds.
const REFRESH_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The tenant, as its members may see it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Workspace {
    /// Its id.
    id: String,
    /// The first label of its address.
    slug: String,
    /// What its members call it.
    name: String,
    /// Its plan, as the platform knows it.
    plan: String,
}

/// Who is signed in, and where.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Session {
    member: Member,
    tenant: Workspace,
}

impl Session {
    pub(crate) fn new(member: Member, tenant: Tenant) -> Self {
        let tenant = Workspace {
            id: tenant.id,
            slug: tenant.slug,
            name: tenant.name,
            plan: tenant.plan,
        };
        Self { member, tenant }
    }
}

/// Writes a new refresh token of a family, and gives it to be sent.
async fn issue(tx: &mut Transaction, member: &str, family: &str) -> Result<String, Problem> {
    let token = token::random();
    if token.is_empty() {
        return Err(Problem::internal("no randomness for a refresh token"));
    }
    let expires = terrace_sdk::clock::now().plus_seconds(REFRESH_SECONDS);
    tx.query(
        "INSERT INTO refresh (digest, family, member, expires_at) VALUES ($1, $2, $3, $4)",
        params![token::digest(&token), family, member, expires],
    )
    .await?;
    Ok(token)
}

/// The session with its two cookies.
fn signed_in(member: Member, tenant: Tenant, refresh: &str) -> Result<Response, Problem> {
    let caller = Caller {
        member: member.id.clone(),
        name: member.name.clone(),
        role: member.role,
    };
    let session = token::sign(&caller, SESSION_SECONDS);
    let mut response = Json(Session::new(member, tenant)).into_response();
    set_cookie(&mut response, "__Host-session", &session, i64::from(SESSION_SECONDS))?;
    set_cookie(&mut response, "__Host-refresh", refresh, REFRESH_SECONDS)?;
    Ok(response)
}

/// Takes both cookies back.
fn signed_out(mut response: Response) -> Result<Response, Problem> {
    set_cookie(&mut response, "__Host-session", "", 0)?;
    set_cookie(&mut response, "__Host-refresh", "", 0)?;
    Ok(response)
}

fn set_cookie(response: &mut Response, name: &str, value: &str, seconds: i64) -> Result<(), Problem> {
    let cookie = format!("{name}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let cookie = HeaderValue::try_from(cookie).map_err(Problem::internal)?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(())
}

/// The refresh token that came with a request.
fn refresh_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("__Host-refresh="))
        .filter(|token| !token.is_empty() && token.len() <= 128)
        .map(str::to_owned)
}
