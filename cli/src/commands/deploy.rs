//! `terrace deploy`, `terrace service deploy`, `terrace site deploy`.

use std::path::Path;

use serde::Deserialize;

use super::segment;
use crate::{
    api::Api,
    bundle::{self, Bundle, Kind},
    failure::Failure,
    figures,
    output::Output,
};

#[derive(Deserialize)]
struct Deployed {
    id: String,
    state: String,
    size_bytes: u64,
}

/// Deploys the bundle in `folder`; only a `wanted` one if that is given.
pub(crate) fn run(api: &Api, output: Output, folder: &Path, wanted: Option<Kind>) -> Result<(), Failure> {
    let Bundle { kind, name, body } = bundle::read(folder, wanted)?;
    let (path, afterwards) = match kind {
        Kind::Service => (
            format!("/api/control/services/{}/releases", segment(&name)),
            "Checking, compiling and migrating",
        ),
        Kind::Site => (
            format!("/api/control/sites/{}/builds", segment(&name)),
            "Storing and compressing",
        ),
    };
    let answer = api.upload(&path, &body, afterwards)?;
    if output.json {
        return output.json(&answer);
    }
    let Deployed { id, state, size_bytes } = Deployed::deserialize(&answer)?;
    let what = match kind {
        Kind::Service => "service",
        Kind::Site => "site",
    };
    output.line(&format!(
        "Deployed {what} {name}: {id} is {}, {}",
        output.style.state(&state),
        figures::size(size_bytes)
    ))
}
