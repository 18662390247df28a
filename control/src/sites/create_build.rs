//! `POST /api/control/sites/{site}/builds`.

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::StatusCode,
    response::IntoResponse,
};
use data_encoding::BASE64;
use serde::Deserialize;
use terrace_ground_ids::SiteName;
use utoipa::ToSchema;

use super::Build;
use crate::{
    NewBuild, NewFile, State, authentication::Authenticated, body::Upload, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// Most files of a build.
const FILES_MAX: usize = 5000;

/// A site bundle.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildUpload {
    /// The site's title, to show.
    #[schema(min_length = 1, max_length = 100, example = "Tasks")]
    pub title: String,
    /// Its files; `/index.html` is one of them.
    pub files: Vec<FileUpload>,
}

/// One file of a build.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileUpload {
    /// Where it is served.
    #[schema(example = "/assets/app-3f9c.js")]
    pub path: String,
    /// Its bytes, in base64.
    #[schema(content_encoding = "base64")]
    pub content: String,
}

/// Uploads a build of a site and makes it the current one.
///
/// Older builds stay, so that a tab which is open finds its files. The same files again are the same
/// build.
#[utoipa::path(
    post, path = "/api/control/sites/{site}/builds", operation_id = "control_create_build", tag = "sites",
    security(("session" = [])),
    params(("site" = String, Path, description = "The site's name", example = "tasks")),
    request_body = BuildUpload,
    responses(
        (status = CREATED, body = Build, description = "The build"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn create_build(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(site): Path<String>,
    upload: Upload,
) -> Result<impl IntoResponse, Refusal> {
    let site: SiteName = site
        .parse()
        .map_err(|error: terrace_ground_ids::Error| Refusal::not_found(format!("{error}.")))?;
    let build = upload.decode(decode).await?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let creation = tokio::spawn({
        let site = site.clone();
        async move {
            let _held_until_done = upload;
            state.platform().create_build(&site, build).await
        }
    });
    let build = creation.await.map_err(Refusal::internal)??;
    tracing::info!(%site, build.id = %build.id, "{} uploaded {site} {}", authenticated.operator.name, build.id);
    Ok((StatusCode::CREATED, Json(build)))
}

fn decode(upload: BuildUpload) -> Result<NewBuild, Refusal> {
    let mut validation = Validation::new();
    let title = validation.line("/title", &upload.title);
    if upload.files.len() > FILES_MAX {
        validation.reject("/files", format!("must be at most {FILES_MAX}"));
        validation.finish()?;
        return Err(Refusal::internal("too many files were not rejected"));
    }
    let mut files = Vec::with_capacity(upload.files.len());
    for (index, file) in upload.files.into_iter().enumerate() {
        if !is_path(&file.path) {
            validation.reject(
                format!("/files/{index}/path"),
                "must be like /assets/app.js, without `.`, `..` or empty parts",
            );
        }
        match BASE64.decode(file.content.as_bytes()) {
            Ok(content) => files.push((
                index,
                NewFile {
                    path: file.path,
                    content: content.into(),
                },
            )),
            Err(_) => validation.reject(format!("/files/{index}/content"), "must be base64"),
        }
    }
    files.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
    for pair in files.windows(2) {
        if pair[0].1.path == pair[1].1.path {
            validation.reject(format!("/files/{}/path", pair[1].0), "must not come twice");
        }
    }
    if !files.iter().any(|(_, file)| file.path == "/index.html") {
        validation.reject("/files", "must have /index.html");
    }
    validation.finish()?;
    Ok(NewBuild {
        title,
        files: files.into_iter().map(|(_, file)| file).collect(),
    })
}

/// A path that can be a URL's and a file's without leaving the site.
fn is_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    path.len() <= 512
        && rest
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
        && !path
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | '?' | '#' | '%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_site() {
        assert!(is_path("/index.html") && is_path("/assets/app-3f9c.js"));
        for bad in [
            "",
            "/",
            "index.html",
            "/../etc/passwd",
            "/a//b",
            "/a/./b",
            "/a\\b",
            "/a%2e",
            "/a?b",
            "/a\0",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
