//! One line per step: what is being done, how long it took, and where its output went.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::paths;

/// Runs `command` as the step `title`. Its output goes to `target/terrace/log/`; on a terminal the
/// last line of it is shown while it runs, and when it fails its last lines are printed.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    let log = log_path(title)?;
    let live = std::io::stderr().is_terminal();
    if live {
        eprint!("  \u{25cb} {title}");
    } else {
        eprintln!("  \u{25cb} {title} ...");
    }
    let shown = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("share a pipe")?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("start {shown}"))?;
    // The command keeps its own copies of the pipe's writing end; ours must go, or reading never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let tail = copy(reader, &log, title, start, live)?;
    let status = child.wait().with_context(|| format!("wait for {shown}"))?;
    clear(live);
    if status.success() {
        eprintln!("  \u{2713} {title}  {}", seconds(start.elapsed()));
        return Ok(());
    }
    for line in &tail {
        eprintln!("    {line}");
    }
    bail!(
        "{title}: {shown} ended with {status}; its whole output is in {}",
        log.display()
    )
}

/// cargo, as if it were called from a shell. What `cargo run` tells this program about itself would make
/// build scripts that look at it (that of `ring`) run again, and everything above them compile again.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if is_ours {
            command.env_remove(name);
        }
    }
    command
}

/// A sentence between steps.
pub(crate) fn say(text: &str) {
    eprintln!("  \u{00b7} {text}");
}

fn log_path(title: &str) -> Result<PathBuf> {
    let folder = paths::output().join("log");
    fs::create_dir_all(&folder).context("make the log folder")?;
    let name: String = title
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    Ok(folder.join(format!("{name}.log")))
}

/// Copies the output into the log and returns its last 40 lines.
fn copy(reader: std::io::PipeReader, log: &PathBuf, title: &str, start: Instant, live: bool) -> Result<Vec<String>> {
    let mut file = File::create(log).with_context(|| format!("write {}", log.display()))?;
    let mut tail: Vec<String> = Vec::new();
    let mut shown = Instant::now();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("read the output")?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        writeln!(file, "{line}").context("write the log")?;
        if live && shown.elapsed() > Duration::from_millis(80) && !line.trim().is_empty() {
            let brief: String = line.trim().chars().filter(|c| !c.is_control()).take(70).collect();
            eprint!(
                "\r\x1b[2K  \u{25cb} {title}  {}  \x1b[2m{brief}\x1b[0m",
                seconds(start.elapsed())
            );
            shown = Instant::now();
        }
        if tail.len() == 40 {
            tail.remove(0);
        }
        tail.push(line);
    }
    Ok(tail)
}

fn clear(live: bool) {
    if live {
        eprint!("\r\x1b[2K");
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..10 => format!("{:.1} s", elapsed.as_secs_f64()),
        whole @ 10..120 => format!("{whole} s"),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}
