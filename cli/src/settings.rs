//! Section `[cli]` of the nearest `terrace.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::IgnoredAny};

use crate::failure::Failure;

/// What the command reads of `terrace.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The console's address. No default.
    pub(crate) url: Option<String>,
    /// The host to ask for, where it is not the one in `url`. No default.
    pub(crate) host: Option<String>,
}

/// The whole file. The other sections are read and checked by the processes that they steer; their
/// names are here so that a misspelt section is an error for everybody.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    cli: Settings,
    base_domain: IgnoredAny,
    edge: IgnoredAny,
    node: IgnoredAny,
    gateway: IgnoredAny,
    engine: IgnoredAny,
    http: IgnoredAny,
    cache: IgnoredAny,
    keyvalue: IgnoredAny,
    blob: IgnoredAny,
    releases: IgnoredAny,
    objects: IgnoredAny,
    router: IgnoredAny,
    live: IgnoredAny,
    dispatch: IgnoredAny,
    schedule: IgnoredAny,
    control: IgnoredAny,
}

/// The settings of the nearest `terrace.toml`, upwards from `folder`; the defaults if there is none.
pub(crate) fn nearest(folder: &Path) -> Result<Settings, Failure> {
    let Some(path) = upwards(folder, "terrace.toml") else {
        return Ok(Settings::default());
    };
    let file: File = terrace_ground_config::load(&path).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(file.cli)
}

/// The nearest file of this name, in `folder` or above it.
pub(crate) fn upwards(folder: &Path, name: &str) -> Option<PathBuf> {
    folder
        .ancestors()
        .map(|each| each.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_a_usage_error_that_suggests_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("terrace.toml"), text).unwrap();

        write("base_domain = \"localhost\"\n[edge]\nport = 9000\n[cli]\nurl = \"https://console.example.com\"\n");
        assert_eq!(
            nearest(&below).unwrap().url.as_deref(),
            Some("https://console.example.com")
        );

        for (text, says) in [
            ("[cli]\nuri = \"x\"\n", "did you mean `url`?"),
            ("[rooter]\nlanes = 1\n", "did you mean `router`?"),
        ] {
            write(text);
            let Err(Failure::Usage(message)) = nearest(&below) else {
                panic!("{text}")
            };
            assert!(message.contains(says), "{message}");
        }
    }
}
