//! `terrace login`: signs in and keeps the session.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, anyhow};
use console::Term;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::PATIENCE;
use crate::{
    api::{Answer, Api},
    arguments::{Global, Login},
    connection::{self, Connection, Logins},
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::tame,
};

const PATH: &str = "/api/control/session";

pub(crate) fn run(mut global: Global, output: Output, options: Login) -> Result<(), Failure> {
    if options.address.is_some() {
        global.url.clone_from(&options.address);
    }
    let connection = Connection {
        token: None,
        ..connection::find(&global)?
    };
    let (session, token) = if options.token_stdin {
        by_token(&connection)?
    } else {
        by_password(&connection, options)?
    };
    let path = Logins::load()?.remember(&connection, token)?;
    if output.json {
        return output.json(&session);
    }
    let name = session["operator"]["name"].as_str().map(tame).unwrap_or_default();
    let until = session["expires_at"]
        .as_str()
        .and_then(|end| end.parse::<Timestamp>().ok());
    let lasts = match until {
        Some(end) => format!(
            "for {}",
            figures::duration(end.as_second() - Timestamp::now().as_second())
        ),
        None => "until the token is changed".to_owned(),
    };
    output.line(&format!(
        "Signed in to {} as {name}, {lasts} (kept in {})",
        connection.url,
        path.display()
    ))
}

/// A token that does not open the API is not kept.
fn by_token(connection: &Connection) -> Result<(Value, String), Failure> {
    let token = line_of_stdin()?;
    let api = Api::new(
        Connection {
            token: Some(token.clone()),
            ..connection.clone()
        },
        PATIENCE,
    );
    Ok((api.get(PATH)?, token))
}

fn by_password(connection: &Connection, options: Login) -> Result<(Value, String), Failure> {
    let email = match options.email {
        Some(email) => email,
        None => ask("E-mail address: ")?,
    };
    let password = if options.password_stdin {
        line_of_stdin()?
    } else {
        ask_secretly("Password: ")?
    };
    let api = Api::new(connection.clone(), PATIENCE);
    let credentials = json!({ "email": email, "password": password });
    let Answer { headers, body } = progress::waiting("Signing in", || api.post(PATH, &credentials))?;
    // The session comes as a cookie, so that no script of a page can read it; a command can.
    let token = headers
        .get_all("set-cookie")
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next()?.strip_prefix("__Host-session="))
        .next()
        .context("find the session in the answer")?;
    Ok((body, token.to_owned()))
}

fn line_of_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(4096)
        .read_to_string(&mut text)
        .context("read standard input")?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        Err(anyhow!("standard input is empty").into())
    } else {
        Ok(line)
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    needs_terminal("--email")?;
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn ask_secretly(question: &str) -> Result<String, Failure> {
    needs_terminal("--password-stdin")?;
    let terminal = Term::stderr();
    terminal.write_str(question)?;
    Ok(terminal.read_secure_line()?)
}

fn needs_terminal(instead: &str) -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(Failure::Usage(format!(
            "there is no terminal to ask on; give {instead}"
        )))
    }
}
