//! `terrace invoke`: one request to a service, and all that became of it.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{logs::Line, segment};
use crate::{
    api::Api,
    arguments::Invoke,
    bundle::{self, Kind},
    failure::{Failure, Problem},
    output::Output,
    table::tame,
};

#[derive(Deserialize)]
struct Outcome {
    release: Option<String>,
    request_id: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    failure: Option<String>,
    duration_ms: f64,
    logs: Vec<Line>,
}

pub(crate) fn run(api: &Api, output: Output, options: &Invoke) -> Result<(), Failure> {
    let (service, bundle) = subject(&options.service)?;
    if bundle.is_none() && options.tenant.is_none() {
        return Err(Failure::Usage(format!(
            "whose {service}? Give --tenant; `terrace tenant list` lists them"
        )));
    }
    if bundle.is_some() && options.tenant.is_some() {
        return Err(Failure::Usage(
            "what is not deployed runs for nobody, and has no data: leave --tenant out, or deploy it".to_owned(),
        ));
    }
    let body = options.data.as_deref().map(data).transpose()?;
    let mut headers = Vec::new();
    for header in &options.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| Failure::Usage(format!("`{header}` is no header; write it like `accept: text/html`")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let is_typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if body.is_some() && !is_typed {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let request = json!({
        "method": options.method.to_uppercase(),
        "path": whole(&options.path, &service),
        "headers": headers,
        "body": body.map(|body| BASE64.encode(&body)),
        "tenant": options.tenant,
        "anonymous": options.anonymous,
        "bundle": bundle,
    });
    let path = format!("/api/control/services/{}/invoke", segment(&service));
    let answer = match bundle {
        Some(_) => api.upload(&path, &request, "Compiling and running")?,
        None => api.post(&path, &request)?.body,
    };
    if output.json {
        return output.json(&answer);
    }
    show(output, options.include, &Outcome::deserialize(&answer)?)
}

/// A file or a folder is a bundle; everything else is the name of what is deployed.
fn subject(what: &str) -> Result<(String, Option<Value>), Failure> {
    let path = Path::new(what);
    let is_path = path.is_dir() || path.is_file() || what.contains(['/', '.']);
    if !is_path {
        return Ok((what.to_owned(), None));
    }
    let read = bundle::read(path, Some(Kind::Service))?;
    let part = |name: &str| read.body.get(name).cloned().unwrap_or_default();
    let bundle = json!({ "manifest": part("manifest"), "component": part("component") });
    Ok((read.name, Some(bundle)))
}

/// `/boards` is `/api/tasks/boards`.
fn whole(path: &str, service: &str) -> String {
    let path = path.trim_start_matches('/');
    if path.starts_with("api/") || path.starts_with("_terrace/") {
        format!("/{path}")
    } else {
        format!("/api/{service}/{path}")
    }
}

/// `@file`, `-` for standard input, or the text itself.
fn data(text: &str) -> Result<Vec<u8>, Failure> {
    if text == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    match text.strip_prefix('@') {
        Some(path) => Ok(fs::read(path).with_context(|| format!("read {path}"))?),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// What the service wrote and how it went on standard error; the body on standard output.
fn show(output: Output, include: bool, result: &Outcome) -> Result<(), Failure> {
    let mut stderr = io::stderr().lock();
    for line in &result.logs {
        write!(stderr, "{}", line.render(output.style))?;
    }
    let release = result.release.as_deref().unwrap_or("not deployed");
    writeln!(
        stderr,
        "{} in {:.1} ms, {}, {}",
        result.status,
        result.duration_ms,
        tame(release),
        tame(&result.request_id)
    )?;
    let body = BASE64.decode(result.body.as_bytes()).unwrap_or_default();
    if result.failure.is_some() {
        let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        problem.status = result.status;
        return Err(Failure::Problem(Box::new(problem)));
    }
    if include {
        for (name, value) in &result.headers {
            output.line(&format!("{}: {}", tame(name), tame(value)))?;
        }
        output.line("")?;
    }
    let mut stdout = io::stdout().lock();
    if !stdout.is_terminal() {
        stdout.write_all(&body)?;
        return Ok(stdout.flush()?);
    }
    drop(stdout);
    // A terminal obeys what a service may have written into its answer.
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) => output.json(&value),
        Err(_) if body.is_empty() => Ok(()),
        Err(_) => output.line(
            &String::from_utf8_lossy(&body)
                .lines()
                .map(tame)
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_services_own_unless_it_is_whole() {
        assert_eq!(whole("/boards?limit=1", "tasks"), "/api/tasks/boards?limit=1");
        assert_eq!(whole("boards", "tasks"), "/api/tasks/boards");
        assert_eq!(whole("/api/tasks/boards", "tasks"), "/api/tasks/boards");
        assert_eq!(whole("/_terrace/ready", "tasks"), "/_terrace/ready");
    }

    #[test]
    fn what_is_no_path_is_the_name_of_a_service() {
        assert_eq!(subject("tasks").unwrap(), ("tasks".to_owned(), None));
        assert_eq!(subject("./nothing-here").unwrap_err().exit_code(), 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.wasm");
        fs::write(&path, "\0asm").unwrap();
        let (name, bundle) = subject(path.to_str().unwrap()).unwrap();
        assert_eq!(name, "hello");
        assert_eq!(bundle.unwrap()["component"], "AGFzbQ==");
    }
}
