//! `terrace deploy`, `terrace service deploy`, `terrace site deploy`.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Deserialize;
use serde_json::{Value, json};

use super::segment;
use crate::{
    api::Api,
    arguments::Deploy,
    bundle::{self, Bundle, Kind},
    changes::Changes,
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

/// Deploys the bundle in a folder; only a `wanted` one if that is given.
pub(crate) fn run(api: &Api, output: Output, options: &Deploy, wanted: Option<Kind>) -> Result<(), Failure> {
    let bundle = bundle::read(&options.path, wanted)?;
    match bundle.kind {
        Kind::Service => service(api, output, options, bundle),
        Kind::Site => site(api, output, options, &bundle),
    }
}

fn site(api: &Api, output: Output, options: &Deploy, bundle: &Bundle) -> Result<(), Failure> {
    if options.dry_run || options.canary.is_some() || options.allow_breaking || options.force_migration {
        return Err(Failure::Usage(format!(
            "{} is a site; --dry-run, --canary, --allow-breaking and --force-migration are for services",
            options.path.display()
        )));
    }
    let path = format!("/api/control/sites/{}/builds", segment(&bundle.name));
    let answer = api.upload(&path, &bundle.body, "Storing and compressing")?;
    if output.json {
        return output.json(&answer);
    }
    let Deployed { id, state, size_bytes } = Deployed::deserialize(&answer)?;
    output.line(&format!(
        "Deployed site {}: {id} is {}, {}",
        bundle.name,
        output.style.state(&state),
        figures::size(size_bytes)
    ))
}

/// Twice over the wire: what is not agreed to is never stored.
fn service(api: &Api, output: Output, options: &Deploy, bundle: Bundle) -> Result<(), Failure> {
    let Bundle { name, mut body, .. } = bundle;
    let path = format!("/api/control/services/{}/releases", segment(&name));
    let diff = api.upload(&format!("{path}/preview"), &body, "Checking and compiling")?;
    let changes = Changes::deserialize(&diff)?;
    if !output.json {
        output.text(&changes.page(&name, output.style))?;
    } else if options.dry_run {
        output.json(&diff)?;
    }
    if options.dry_run {
        return Ok(());
    }
    agree(&changes, options)?;
    // Agreed to, by a person or by an option.
    body["allow_breaking"] = changes.breaking.into();
    body["allow_new_asks"] = true.into();
    body["force_migration"] = changes.has_unsafe_migration().into();
    if let Some(canary) = &options.canary {
        body["canary"] = split(canary)?;
    }
    let mut answer = api.upload(&path, &body, "Migrating and switching")?;
    if output.json {
        answer["diff"] = diff;
        return output.json(&answer);
    }
    let Deployed { id, state, size_bytes } = Deployed::deserialize(&answer)?;
    let next = match options.canary {
        Some(_) => format!("\n  next: `terrace release promote {name}`, or `terrace release abort {name}`"),
        None => String::new(),
    };
    output.line(&format!(
        "Deployed service {name}: {id} is {}, {}{next}",
        output.style.state(&state),
        figures::size(size_bytes)
    ))
}

/// Asks for what needs asking. A first release surprises nobody.
fn agree(changes: &Changes, options: &Deploy) -> Result<(), Failure> {
    if changes.against.is_none() {
        return Ok(());
    }
    if changes.breaking && !options.allow_breaking {
        question("This breaks clients of the release that is served.", "--allow-breaking")?;
    }
    if changes.has_unsafe_migration() && !options.force_migration {
        question(
            "Its migrations are not safe while it is rolled out.",
            "--force-migration where you know better",
        )?;
    }
    if !changes.asks.is_empty() && !options.yes {
        question("It newly asks for what is listed above.", "--yes")?;
    }
    Ok(())
}

fn question(what: &str, option: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "{what} Nothing was changed, and there is no terminal to ask on; give {option}"
        )));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{what} Deploy it all the same? [y/N] ")?;
    stderr.flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    if matches!(typed.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(anyhow::anyhow!("nothing was changed").into())
    }
}

/// `5%` is a share; anything else is a list of tenants.
fn split(text: &str) -> Result<Value, Failure> {
    if let Some(number) = text.trim().strip_suffix('%') {
        let percent: f64 = number
            .trim()
            .parse()
            .map_err(|_| Failure::Usage(format!("`{text}` is no share; write it like 5% or 0.5%")))?;
        return Ok(json!({ "share_percent": percent }));
    }
    let tenants: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if tenants.is_empty() {
        return Err(Failure::Usage(
            "--canary wants a share like 5%, or tenants like acme,globex".to_owned(),
        ));
    }
    Ok(json!({ "tenants": tenants }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_share_or_a_list() {
        assert_eq!(split("5%").unwrap(), json!({ "share_percent": 5.0 }));
        assert_eq!(split("0.5 %").unwrap(), json!({ "share_percent": 0.5 }));
        assert_eq!(split("acme, globex").unwrap(), json!({ "tenants": ["acme", "globex"] }));
        for bad in ["", ",", "many%"] {
            assert_eq!(split(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
