//! Files: any name, any size, any link.

use std::time::Duration;

use terrace_sdk::{blob, prelude::*};

use crate::{Done, done};

/// One thing to do with files.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct FileCall {
    /// `put`, `get`, `stat`, `delete`, `list`, `read-link`, `write-link`.
    call: String,
    /// The file, or the prefix.
    #[serde(default)]
    name: String,
    /// What is in it, so many `times`.
    #[serde(default)]
    content: String,
    /// How often the content is repeated; 0 is once.
    #[serde(default)]
    times: usize,
    /// Of what type it says it is.
    #[serde(default)]
    content_type: String,
    /// How long a link is to last.
    #[serde(default)]
    seconds: u64,
}

/// Does anything with files.
#[utoipa::path(post, path = "/api/hostile/files", operation_id = "hostile_use_files", security(()), request_body = Vec<FileCall>,
    responses((status = 200, description = "What each call gave", body = Done)))]
pub(crate) async fn files(Json(calls): Json<Vec<FileCall>>) -> Json<Done> {
    let mut said = Vec::new();
    for call in calls {
        said.push(
            one(&call)
                .await
                .unwrap_or_else(|error| format!("{:?}: {}", error.kind, error.message)),
        );
    }
    done(said.join("; "))
}

async fn one(call: &FileCall) -> Result<String, blob::Error> {
    let (name, life) = (call.name.as_str(), Duration::from_secs(call.seconds));
    let kind = match call.content_type.as_str() {
        "" => "text/plain",
        given => given,
    };
    Ok(match call.call.as_str() {
        "put" => {
            let info = blob::put(name, kind, call.content.repeat(call.times.max(1))).await?;
            format!(
                "{} {} {} {}",
                info.name,
                info.size,
                info.content_type,
                &info.sha256[..8]
            )
        }
        "get" => match blob::get(name).await? {
            Some(content) if content.len() <= 64 => String::from_utf8_lossy(&content).into_owned(),
            Some(content) => format!("{} bytes", content.len()),
            None => "nothing".to_owned(),
        },
        "stat" => match blob::stat(name).await? {
            Some(info) => format!("{} {}", info.size, info.content_type),
            None => "nothing".to_owned(),
        },
        "delete" => {
            blob::delete(&[name]).await?;
            "deleted".to_owned()
        }
        "list" => {
            let page = blob::list(name, &call.content).await?;
            page.into_iter().map(|info| info.name).collect::<Vec<_>>().join(",")
        }
        "read-link" => blob::read_link(name, life)?,
        "write-link" => blob::write_link(name, life)?,
        other => format!("there is no call `{other}`"),
    })
}
