//! Where to connect to, and as whom: options, `terrace.toml`, `.terrace/operator.json`, the login file.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    arguments::Global,
    failure::Failure,
    settings::{self, Settings},
};

/// Where to connect to, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Without a slash at its end.
    pub(crate) url: String,
    /// The `Host` header, where it is not the one in the address.
    pub(crate) host: Option<String>,
    pub(crate) token: Option<String>,
}

/// `.terrace/operator.json`, which the supervisor writes for whoever owns the folder.
#[derive(Debug, Clone, Deserialize)]
struct OperatorFile {
    url: String,
    host: String,
    token: String,
}

/// The sessions that `terrace login` keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Logins {
    /// The address of the last login.
    last: Option<String>,
    /// By address.
    logins: BTreeMap<String, Login>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Login {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    token: String,
}

/// Finds the connection of this command, from this folder.
pub(crate) fn find(global: &Global) -> Result<Connection, Failure> {
    let folder = std::env::current_dir().context("find the current folder")?;
    let settings = settings::nearest(&folder)?;
    let operator = match settings::upwards(&folder, ".terrace/operator.json") {
        Some(path) => Some(read_operator(&path)?),
        None => None,
    };
    resolve(global, settings, operator, Logins::load()?)
}

fn read_operator(path: &Path) -> Result<OperatorFile, Failure> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))?)
}

/// First match wins; the token then belongs to that address and is never sent to another.
fn resolve(
    global: &Global,
    settings: Settings,
    operator: Option<OperatorFile>,
    logins: Logins,
) -> Result<Connection, Failure> {
    let given = global.url.clone().map(|url| (url, None));
    let configured = settings.url.map(|url| (url, settings.host));
    let local = operator
        .as_ref()
        .map(|file| (file.url.clone(), Some(file.host.clone())));
    let last = logins.last.clone().map(|url| (url, None));
    let Some((url, host)) = given.or(configured).or(local).or(last) else {
        let message = "no address to connect to\n  next: `terrace login https://console.example.com`, or --url, or run this where `cargo dev` runs";
        return Err(Failure::Usage(message.to_owned()));
    };
    let url = url.trim_end_matches('/').to_owned();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::Usage(format!(
            "`{url}` is not an address: it must begin with https:// or http://"
        )));
    }
    let operator = operator.filter(|file| file.url.trim_end_matches('/') == url);
    let login = logins.logins.get(&url);
    Ok(Connection {
        host: global
            .host
            .clone()
            .or(host)
            .or_else(|| operator.as_ref().map(|file| file.host.clone()))
            .or_else(|| login.and_then(|login| login.host.clone())),
        token: global
            .token
            .clone()
            .or_else(|| operator.map(|file| file.token))
            .or_else(|| login.map(|login| login.token.clone())),
        url,
    })
}

impl Logins {
    /// What earlier logins left; nothing if there was none.
    pub(crate) fn load() -> Result<Self, Failure> {
        let Some(path) = Self::path() else {
            return Ok(Self::default());
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text)
                .with_context(|| format!("understand {} (delete it and sign in again)", path.display()))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(anyhow::Error::from(error)
                .context(format!("read {}", path.display()))
                .into()),
        }
    }

    /// Keeps a token for its address, in a file that only its owner can read.
    pub(crate) fn remember(mut self, connection: &Connection, token: String) -> Result<PathBuf, Failure> {
        let path = Self::path().context("find your configuration folder: set HOME or XDG_CONFIG_HOME")?;
        self.logins.insert(
            connection.url.clone(),
            Login {
                host: connection.host.clone(),
                token,
            },
        );
        self.last = Some(connection.url.clone());
        write_private(&path, &serde_json::to_vec_pretty(&self)?)
            .with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// `$XDG_CONFIG_HOME/terrace/logins.json`, or below `~/.config`: on macOS, too, where people look
    /// for a command's files there.
    fn path() -> Option<PathBuf> {
        let folder = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
        Some(config.join("terrace/logins.json"))
    }
}

/// Written beside and renamed, so that no crash leaves half a file; private from its first byte on.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("json.new");
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> Option<OperatorFile> {
        Some(OperatorFile {
            url: "http://127.0.0.1:8080".into(),
            host: "console.localhost".into(),
            token: "op_local".into(),
        })
    }

    fn logins() -> Logins {
        let login = Login {
            host: None,
            token: "kept".into(),
        };
        Logins {
            last: Some("https://console.example.com".into()),
            logins: [("https://console.example.com".into(), login)].into(),
        }
    }

    fn global(url: Option<&str>, token: Option<&str>) -> Global {
        Global {
            url: url.map(str::to_owned),
            token: token.map(str::to_owned),
            ..Global::default()
        }
    }

    fn found(
        global: &Global,
        url: Option<&str>,
        operator: Option<OperatorFile>,
    ) -> (String, Option<String>, Option<String>) {
        let settings = Settings {
            url: url.map(str::to_owned),
            host: None,
        };
        let Connection { url, host, token } = resolve(global, settings, operator, logins()).unwrap();
        (url, host, token)
    }

    #[test]
    fn the_first_of_option_file_folder_and_login_wins() {
        let (none, some) = (global(None, None), global(Some("https://a.example/"), Some("t")));
        assert_eq!(
            found(&some, Some("https://b.example"), operator()),
            ("https://a.example".into(), None, Some("t".into()))
        );
        assert_eq!(
            found(&none, Some("https://b.example"), operator()),
            ("https://b.example".into(), None, None)
        );
        let local = (
            "http://127.0.0.1:8080".into(),
            Some("console.localhost".into()),
            Some("op_local".into()),
        );
        assert_eq!(found(&none, None, operator()), local);
        assert_eq!(
            found(&none, None, None),
            ("https://console.example.com".into(), None, Some("kept".into()))
        );
    }

    #[test]
    fn a_token_is_never_sent_to_an_address_that_it_was_not_made_for() {
        assert_eq!(
            found(&global(Some("https://evil.example"), None), None, operator()).2,
            None
        );
        assert_eq!(
            found(&global(Some("https://console.example.com/"), None), None, operator()).2,
            Some("kept".into())
        );
    }

    #[test]
    fn without_an_address_or_with_a_strange_one_the_usage_is_explained() {
        for global in [global(None, None), global(Some("console.example.com"), None)] {
            let refused = resolve(&global, Settings::default(), None, Logins::default());
            assert_eq!(refused.unwrap_err().exit_code(), 2);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_login_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("terrace/logins.json");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
