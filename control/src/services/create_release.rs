//! `POST /api/control/services/{service}/releases`.

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::StatusCode,
    response::IntoResponse,
};
use data_encoding::BASE64;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{CanaryTenants, Release, ReleaseDiff, service_of};
use crate::{
    Error, NewMigration, NewRelease, State, authentication::Authenticated, body::Upload, contract::Problem,
    platform::CanarySplit, refusal::Refusal, validation::Validation,
};

/// Most migrations of a release.
const MIGRATIONS_MAX: usize = 1000;

/// A service bundle.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseUpload {
    /// The text of `service.toml`.
    pub manifest: String,
    /// The OpenAPI 3.1 document.
    #[schema(value_type = Object)]
    pub contract: serde_json::Value,
    /// The steps of its schema, in the order in which they run.
    pub migrations: Vec<MigrationUpload>,
    /// The Wasm component, in base64.
    #[schema(content_encoding = "base64")]
    pub component: String,
    /// Only these tenants get it; every tenant when absent.
    #[serde(default)]
    pub canary: Option<CanaryTenants>,
    /// Deploy it although clients of the served release can fail on it.
    #[serde(default)]
    pub allow_breaking: bool,
    /// Deploy it although it newly asks for something.
    #[serde(default)]
    pub allow_new_asks: bool,
    /// Deploy it although its migrations make tenants wait, or take away what the served release uses.
    #[serde(default)]
    pub force_migration: bool,
}

/// What the one who uploads has seen and agreed to, and for whom it is.
pub(crate) struct Consent {
    breaking: bool,
    new_asks: bool,
    migration: bool,
    canary: Option<CanarySplit>,
}

/// One step of a service's schema.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationUpload {
    /// Four digits, what it does, and `.sql`.
    #[schema(example = "0001_create_boards.sql")]
    pub name: String,
    /// Its statements.
    pub sql: String,
}

/// Uploads a release of a service and routes the service's requests to it.
///
/// It is checked, compiled, migrated and asked once first; if any of that fails, the release before it
/// stays. One that would break clients, newly asks for something, or whose migrations are not safe beside
/// requests and the served release, is refused unless the upload says otherwise. The same bundle again is the same release.
#[utoipa::path(
    post, path = "/api/control/services/{service}/releases", operation_id = "control_create_release", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = ReleaseUpload,
    responses(
        (status = CREATED, body = Release, description = "The release"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn create_release(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    upload: Upload,
) -> Result<impl IntoResponse, Refusal> {
    let service = service_of(&service)?;
    let (mut release, consent) = upload.decode(decode).await?;
    let by = authenticated.operator.who().to_owned();
    release.uploaded_by.clone_from(&by);
    let diff = state.platform().preview_release(&service, &release).await?;
    agreed(&diff, &consent)?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let creation = tokio::spawn({
        let service = service.clone();
        async move {
            let _held_until_done = upload;
            let release = state.platform().create_release(&service, release).await?;
            let service = match consent.canary {
                Some(split) => state.platform().start_canary(&service, &release.id, split, &by).await?,
                None => state.platform().activate_release(&service, &release.id, &by).await?,
            };
            // Activated just now, so it is there; should another upload have been faster, ours is still stored.
            Ok::<_, Error>(
                service
                    .releases
                    .into_iter()
                    .find(|one| one.id == release.id)
                    .unwrap_or(release),
            )
        }
    });
    let release = creation.await.map_err(Refusal::internal)??;
    tracing::info!(%service, release.id = %release.id, "{} uploaded {service} {}", authenticated.operator.name, release.id);
    Ok((StatusCode::CREATED, Json(release)))
}

/// A first release has nobody whom it could surprise.
fn agreed(diff: &ReleaseDiff, consent: &Consent) -> Result<(), Refusal> {
    if diff.against.is_none() {
        return Ok(());
    }
    if diff.breaking && !consent.breaking {
        let broken: Vec<String> = diff
            .contract
            .iter()
            .filter(|change| change.breaking)
            .map(|change| format!("{}: {}", change.place, change.detail))
            .collect();
        return Err(Error::Conflict(format!(
            "This release breaks clients of the served one ({}). Nothing was changed; allow it with `allow_breaking`.",
            broken.join("; ")
        ))
        .into());
    }
    if !diff.asks.is_empty() && !consent.new_asks {
        let asks: Vec<String> = diff
            .asks
            .iter()
            .map(|ask| format!("{} {}", ask.kind, ask.name))
            .collect();
        return Err(Error::Conflict(format!(
            "This release newly asks for {}. Nothing was changed; allow it with `allow_new_asks`.",
            asks.join(", ")
        ))
        .into());
    }
    let unsafe_ones: Vec<String> = diff
        .migrations
        .iter()
        .flat_map(|step| {
            let taken = step.takes_away.iter().map(|what| {
                format!("{} {what}, and the served release runs beside it until every tenant is migrated: deploy a release that does without it first", step.name)
            });
            taken.chain(step.makes_wait.iter().map(|what| format!("{} {what}", step.name)))
        })
        .collect();
    if !unsafe_ones.is_empty() && !consent.migration {
        return Err(Error::Conflict(format!(
            "Migrations of this release are not safe while it is rolled out: {}. Nothing was changed; where you know better, allow it with `force_migration`.",
            unsafe_ones.join("; ")
        ))
        .into());
    }
    Ok(())
}

pub(super) fn decode(upload: ReleaseUpload) -> Result<(NewRelease, Consent), Refusal> {
    let mut validation = Validation::new();
    let canary = upload
        .canary
        .and_then(|canary| canary.split("/canary", &mut validation));
    if !upload
        .contract
        .get("openapi")
        .and_then(serde_json::Value::as_str)
        .is_some_and(|version| version.starts_with("3.1"))
    {
        validation.reject("/contract/openapi", "must be an OpenAPI 3.1 document");
    }
    if upload.migrations.len() > MIGRATIONS_MAX {
        validation.reject("/migrations", format!("must be at most {MIGRATIONS_MAX}"));
    }
    let mut before = "";
    for (index, migration) in upload.migrations.iter().enumerate() {
        if !is_migration_name(&migration.name) {
            validation.reject(
                format!("/migrations/{index}/name"),
                "must be like 0001_create_boards.sql",
            );
        } else if migration.name[..4] <= *before {
            validation.reject(
                format!("/migrations/{index}/name"),
                "must have a higher number than the one before it",
            );
        } else {
            before = &migration.name[..4];
        }
    }
    let component = BASE64.decode(upload.component.as_bytes()).unwrap_or_default();
    if !is_component(&component) {
        validation.reject("/component", "must be a WebAssembly component, in base64");
    }
    validation.finish()?;
    let migrations = upload
        .migrations
        .into_iter()
        .map(|MigrationUpload { name, sql }| NewMigration { name, sql })
        .collect();
    let release = NewRelease {
        manifest: upload.manifest,
        contract: upload.contract,
        migrations,
        component: component.into(),
        uploaded_by: String::new(),
    };
    let consent = Consent {
        breaking: upload.allow_breaking,
        new_asks: upload.allow_new_asks,
        migration: upload.force_migration,
        canary,
    };
    Ok((release, consent))
}

fn is_migration_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (10..=100).contains(&bytes.len())
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'_'
        && name.ends_with(".sql")
        && bytes[5..bytes.len() - 4]
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The magic number, and layer 1: a core module (layer 0) is not a component.
fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[1, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_four_digits_and_what_it_does() {
        assert!(is_migration_name("0001_create_boards.sql"));
        for bad in [
            "",
            "1_a.sql",
            "0001-create.sql",
            "0001_.sql",
            "0001_../../x.sql",
            "0001_create.txt",
            "00é_create.sql",
        ] {
            assert!(!is_migration_name(bad), "{bad}");
        }
    }
}
