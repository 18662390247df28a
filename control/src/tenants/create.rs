//! `POST /api/control/tenants`.

use axum::{
    Extension, Json, extract,
    http::{StatusCode, header},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{Slug, TenantId};
use utoipa::ToSchema;

use super::{Placement, Plan, Tenant, TenantState};
use crate::{
    NewOwner, NewTenant, Secret, State, authentication::Authenticated, body::Input, contract::Problem, password,
    refusal::Refusal, validation::Validation,
};

/// A tenant to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name.
    #[schema(max_length = 31, pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$", example = "acme")]
    pub slug: String,
    /// Its name, to show.
    #[schema(min_length = 1, max_length = 100, example = "Acme")]
    pub name: String,
    /// What it pays for; `free` when absent.
    #[schema(value_type = Option<Plan>)]
    pub plan: Option<String>,
    /// Only on a cluster of this region, as `terrace cluster list` shows it; on any when absent.
    #[schema(max_length = 100, example = "eu")]
    pub region: Option<String>,
    /// Its first member. Without one nobody can sign in.
    pub owner: Option<CreateOwner>,
}

/// The first member of a tenant to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOwner {
    /// Where they sign in with.
    #[schema(format = Email, example = "ada@acme.example")]
    pub email: String,
    /// Their name, to show.
    #[schema(min_length = 1, max_length = 100, example = "Ada")]
    pub name: String,
    /// Their password; one is made and shown once when absent.
    #[schema(format = Password, min_length = 15, max_length = 256)]
    pub password: Option<String>,
}

/// A tenant that was just created.
#[derive(Serialize, ToSchema)]
pub struct CreatedTenant {
    /// Opaque: no role and no schema shows a customer's name.
    #[schema(value_type = String, example = "t_7f3k9q2m")]
    pub id: TenantId,
    /// The first label of its host.
    #[schema(value_type = String, example = "acme")]
    pub slug: Slug,
    /// Its name, to show.
    pub name: String,
    /// What it pays for.
    pub plan: Plan,
    /// Where it is in its life.
    pub state: TenantState,
    /// Where its members find it.
    pub host: String,
    /// Where its data lives.
    pub placement: Placement,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Its first member, if one was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<CreatedOwner>,
}

/// The first member of a tenant that was just created.
#[derive(Serialize, ToSchema)]
pub struct CreatedOwner {
    /// Where they sign in with.
    pub email: String,
    /// Their name, to show.
    pub name: String,
    /// The password that was made for them. It is shown this once and stored nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub password: Option<String>,
}

/// Creates a tenant, with the schemas of every service.
///
/// The answer comes when its members can sign in.
#[utoipa::path(
    post, path = "/api/control/tenants", operation_id = "control_create_tenant", tag = "tenants", security(("session" = [])),
    request_body = CreateTenant,
    responses(
        (status = CREATED, body = CreatedTenant, description = "Created", headers(("location" = String, description = "Where it is"))),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn create(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Input(input): Input<CreateTenant>,
) -> Result<impl IntoResponse, Refusal> {
    let (tenant, owner) = check(input)?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let operator = authenticated.operator.name.clone();
    let creation = tokio::spawn(async move { state.platform().create_tenant(tenant, &operator).await });
    let tenant = creation.await.map_err(Refusal::internal)??;
    tracing::info!(tenant.id = %tenant.id, "{} created tenant {}", authenticated.operator.name, tenant.slug);
    let location = format!("/api/control/tenants/{}", tenant.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(created(tenant, owner)),
    ))
}

/// What to create, and what to answer about its owner.
fn check(input: CreateTenant) -> Result<(NewTenant, Option<CreatedOwner>), Refusal> {
    let mut validation = Validation::new();
    let slug = validation.slug("/slug", &input.slug);
    let name = validation.line("/name", &input.name);
    let plan = match &input.plan {
        None => Some(Plan::default()),
        Some(plan) => validation.word("/plan", plan, "`free` and `team`"),
    };
    let region = input.region.map(|region| validation.line("/region", &region));
    let owner = input.owner.map(|owner| {
        let email = validation.email("/owner/email", &owner.email);
        let name = validation.line("/owner/name", &owner.name);
        if let Some(password) = &owner.password {
            validation.password("/owner/password", password);
        }
        let made = owner.password.is_none().then(password::generate);
        let password = Secret::new(owner.password.or_else(|| made.clone()).unwrap_or_default());
        (
            NewOwner {
                email: email.clone(),
                name: name.clone(),
                password,
            },
            CreatedOwner {
                email,
                name,
                password: made,
            },
        )
    });
    validation.finish()?;
    let (Some(slug), Some(plan)) = (slug, plan) else {
        return Err(Refusal::internal(
            "a field that was not accepted was not rejected either",
        ));
    };
    let (owner, answer) = owner.unzip();
    Ok((
        NewTenant {
            slug,
            name,
            plan,
            region,
            owner,
        },
        answer,
    ))
}

fn created(tenant: Tenant, owner: Option<CreatedOwner>) -> CreatedTenant {
    let Tenant {
        id,
        slug,
        name,
        plan,
        state,
        host,
        placement,
        created_at,
        operation: _,
    } = tenant;
    CreatedTenant {
        id,
        slug,
        name,
        plan,
        state,
        host,
        placement,
        created_at,
        owner,
    }
}
