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

use super::{Release, service_of};
use crate::{
    Error, NewMigration, NewRelease, State, authentication::Authenticated, body::Upload, contract::Problem,
    refusal::Refusal, validation::Validation,
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
/// It is checked, compiled and migrated first; if any of that fails, the release before it stays. The
/// same bundle again is the same release.
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
    let release = upload.decode(decode).await?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let creation = tokio::spawn({
        let service = service.clone();
        async move {
            let _held_until_done = upload;
            let release = state.platform().create_release(&service, release).await?;
            let service = state.platform().activate_release(&service, &release.id).await?;
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

fn decode(upload: ReleaseUpload) -> Result<NewRelease, Refusal> {
    let mut validation = Validation::new();
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
    Ok(NewRelease {
        manifest: upload.manifest,
        contract: upload.contract,
        migrations,
        component: component.into(),
    })
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
