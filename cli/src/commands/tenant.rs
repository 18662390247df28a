//! `terrace tenant`: list, show, create, delete. What else is done to tenants is in operations.rs and archive.rs,
//! how their data is doing in database.rs.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{archive, database, operations, segment};
use crate::{
    api::Api,
    arguments::{CreateTenant, Tenant},
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::{Table, tame},
};

pub(super) const PATH: &str = "/api/control/tenants";

#[derive(Deserialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) plan: String,
    pub(super) state: String,
    pub(super) host: String,
    placement: Placement,
    created_at: String,
    owner: Option<Owner>,
    operation: Option<operations::Operation>,
}

#[derive(Deserialize)]
struct Placement {
    cluster: String,
    lane: String,
    schemas: Vec<String>,
}

#[derive(Deserialize)]
struct Owner {
    email: String,
    password: Option<String>,
}

pub(crate) fn run(api: &Api, output: Output, command: Tenant) -> Result<(), Failure> {
    match command {
        Tenant::List => list(api, output),
        Tenant::Show(name) => show(api, output, &name.tenant),
        Tenant::Database { tenant, full } => database::show(api, output, &tenant.tenant, full),
        Tenant::Create(options) => create(api, output, options),
        Tenant::Suspend(name) => operations::suspend(api, output, &name.tenant),
        Tenant::Resume(name) => operations::resume(api, output, &name.tenant),
        Tenant::Plan { tenant, plan } => operations::plan(api, output, &tenant.tenant, &plan),
        Tenant::Rename(options) => operations::rename(api, output, options),
        Tenant::Export(options) => archive::export(api, output, options),
        Tenant::Import(options) => archive::import(api, output, options),
        Tenant::Restore(options) => archive::restore(api, output, options),
        Tenant::Move {
            tenant, cancel: true, ..
        } => operations::stay(api, output, &tenant.tenant),
        Tenant::Move { tenant, to, lane, .. } => {
            operations::relocate(api, output, &tenant.tenant, to.as_deref(), lane.as_deref())
        }
        Tenant::Evidence(name) => evidence(api, output, &name.tenant),
        Tenant::Operations { tenant } => operations::list(api, output, tenant.as_deref()),
        Tenant::Finish(name) => operations::finish(api, output, &name.tenant),
        Tenant::Delete { tenant, yes } => delete(api, output, &tenant.tenant, yes),
    }
}

fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let answer = progress::waiting("Asking for tenants", || api.list(PATH))?;
    if output.json {
        return output.json(&answer);
    }
    let mut table = Table::new(&[
        "slug", "name", "plan", "state", "id", "cluster", "lane", ">schemas", "created",
    ]);
    let now = Timestamp::now();
    for tenant in Vec::<Shown>::deserialize(&answer["items"])? {
        let Placement { cluster, lane, schemas } = tenant.placement;
        let created = figures::ago(&tenant.created_at, now);
        let Shown {
            slug,
            name,
            plan,
            state,
            id,
            ..
        } = tenant;
        table.row([
            slug,
            name,
            plan,
            state,
            id,
            cluster,
            lane,
            schemas.len().to_string(),
            created,
        ]);
    }
    output.table(
        &table,
        "No tenants yet. Create one: terrace tenant create acme --owner-email ada@acme.example",
    )
}

fn show(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let answer = match api.get(&format!("{PATH}/{}", segment(tenant))) {
        // By its id, one that was deleted can still be shown: what is left of it.
        Err(failure) if failure.exit_code() == 3 && tenant.starts_with("t_") => {
            return evidence(api, output, tenant).map_err(|_| failure);
        }
        answer => answer?,
    };
    if output.json {
        return output.json(&answer);
    }
    let tenant = Shown::deserialize(&answer)?;
    output.text(&sheet(&tenant, output, Timestamp::now()))
}

fn sheet(tenant: &Shown, output: Output, now: Timestamp) -> String {
    let rows = [
        ("Tenant", format!("{} ({})", tenant.name, tenant.slug)),
        ("Id", tenant.id.clone()),
        ("State", tenant.state.clone()),
        ("Plan", tenant.plan.clone()),
        ("Host", tenant.host.clone()),
        ("Cluster", tenant.placement.cluster.clone()),
        ("Lane", tenant.placement.lane.clone()),
        ("Schemas", tenant.placement.schemas.join(", ")),
        (
            "Created",
            format!("{} ({})", figures::ago(&tenant.created_at, now), tenant.created_at),
        ),
    ];
    let doing = tenant
        .operation
        .as_ref()
        .map(|operation| ("Doing", operation.sentence()));
    rows.into_iter()
        .chain(doing)
        .map(|(name, value)| format!("{}{}\n", output.style.dim(&format!("{name:<9}")), tame(&value)))
        .collect()
}

fn create(api: &Api, output: Output, options: CreateTenant) -> Result<(), Failure> {
    let body = request(options, io::stdin().lock())?;
    let answer = progress::waiting("Creating the tenant", || api.post(PATH, &body))?.body;
    if output.json {
        return output.json(&answer);
    }
    let tenant = Shown::deserialize(&answer)?;
    output.line(&format!(
        "Created {} ({}) at {}",
        tame(&tenant.name),
        tenant.id,
        tenant.host
    ))?;
    let Some(owner) = tenant.owner else {
        return output.line("It has no member yet, so nobody can sign in.");
    };
    match owner.password {
        Some(password) => output.line(&format!("{} signs in with {password}   (shown this once)", owner.email)),
        None => output.line(&format!("{} signs in with the password that you gave", owner.email)),
    }
}

fn request(options: CreateTenant, mut stdin: impl io::Read) -> Result<Value, Failure> {
    let CreateTenant {
        slug,
        name,
        plan,
        region,
        owner_email,
        owner_name,
        owner_password_stdin,
    } = options;
    let name = name.unwrap_or_else(|| slug.clone());
    let mut body = json!({ "slug": slug, "name": name, "plan": plan });
    if let Some(region) = region {
        body["region"] = region.into();
    }
    if let Some(email) = owner_email {
        let name = owner_name.unwrap_or_else(|| email.clone());
        body["owner"] = json!({ "email": email, "name": name });
    }
    if owner_password_stdin {
        let mut password = String::new();
        stdin
            .by_ref()
            .take(4096)
            .read_to_string(&mut password)
            .context("read the password from standard input")?;
        body["owner"]["password"] = password.trim_end_matches(['\r', '\n']).into();
    }
    Ok(body)
}

fn delete(api: &Api, output: Output, tenant: &str, yes: bool) -> Result<(), Failure> {
    if !yes {
        let known = Shown::deserialize(&api.get(&format!("{PATH}/{}", segment(tenant)))?)?;
        let warning = format!(
            "This deletes {} ({}), its {} schemas and all data in them. There is no way back.",
            tame(&known.name),
            known.id,
            known.placement.schemas.len()
        );
        confirm(&warning, &known.slug)?;
    }
    let deleted = progress::waiting("Deleting the tenant", || {
        api.delete(&format!("{PATH}/{}", segment(tenant)))
    })?;
    if output.json {
        return output.json(&deleted);
    }
    output.line(&format!(
        "Deleted {tenant}: {}\nThe proof stays: terrace tenant evidence {}",
        removed(&deleted["evidence"]),
        deleted["id"].as_str().unwrap_or_default()
    ))
}

/// What a deletion removed, in one line.
fn removed(evidence: &Value) -> String {
    let many = |what: &str| evidence[what].as_array().map_or(0, Vec::len);
    let count = |what: &str| evidence[what].as_u64().unwrap_or(0);
    format!(
        "{} schemas, {} roles, {} tables, {} rows, {} events; {} left",
        many("schemas"),
        many("roles"),
        count("tables"),
        count("rows"),
        count("events"),
        count("left"),
    )
}

fn evidence(api: &Api, output: Output, tenant: &str) -> Result<(), Failure> {
    let deleted = api.get(&format!("{PATH}/{}/evidence", segment(tenant)))?;
    if output.json {
        return output.json(&deleted);
    }
    let text = |what: &str| deleted[what].as_str().unwrap_or("the platform").to_owned();
    let at = text("deleted_at");
    let list = |what: &str| {
        let names = deleted["evidence"][what].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("Tenant", text("id")),
        ("State", "deleted; only this record is left".to_owned()),
        ("Deleted", format!("{} ({at})", figures::ago(&at, Timestamp::now()))),
        ("By", text("deleted_by")),
        ("Removed", removed(&deleted["evidence"])),
        ("Schemas", list("schemas")),
        ("Roles", list("roles")),
    ];
    let sheet: String = rows
        .into_iter()
        .map(|(name, value)| format!("{}{}\n", output.style.dim(&format!("{name:<9}")), tame(&value)))
        .collect();
    output.text(&sheet)
}

/// Asks to type the slug of a tenant before something is done to it.
pub(super) fn confirm(warning: &str, slug: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "this asks for the tenant's slug, and there is no terminal to ask on; give --yes".to_owned(),
        ));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{warning}\nType its slug ({slug}) to go on: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    if typed.trim() == slug {
        Ok(())
    } else {
        Err(anyhow::anyhow!("`{}` is not the slug; nothing was changed", typed.trim()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_becomes_the_request() {
        let options = |owner_email: Option<&str>, owner_password_stdin| CreateTenant {
            slug: "acme".to_owned(),
            name: None,
            plan: "free".to_owned(),
            region: None,
            owner_email: owner_email.map(str::to_owned),
            owner_name: None,
            owner_password_stdin,
        };
        let bare = json!({ "slug": "acme", "name": "acme", "plan": "free" });
        assert_eq!(request(options(None, false), io::empty()).unwrap(), bare);
        let owned = request(options(Some("ada@acme.example"), true), &b"correct horse battery\n"[..]).unwrap();
        let owner =
            json!({ "email": "ada@acme.example", "name": "ada@acme.example", "password": "correct horse battery" });
        assert_eq!(owned["owner"], owner);
    }
}
