//! Load by wrk: requests a second and latencies of one address.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

/// What wrk saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What to send.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) cookies: String,
    /// A POST with this body, or a GET.
    pub(crate) body: Option<String>,
}

/// How hard.
pub(crate) const CONNECTIONS: u32 = 16;
const SECONDS: u32 = 5;
const ROUNDS: usize = 3;

/// Each target once per round, in turns; the round with the median throughput of each.
pub(crate) fn compare(targets: &[Target]) -> Result<Vec<Seen>> {
    let mut rounds: Vec<Vec<Seen>> = vec![Vec::new(); targets.len()];
    for target in targets {
        run(target, 2)?;
    }
    for _ in 0..ROUNDS {
        for (target, seen) in targets.iter().zip(&mut rounds) {
            seen.push(run(target, SECONDS)?);
        }
    }
    Ok(rounds
        .into_iter()
        .map(|mut seen| {
            seen.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
            seen[seen.len() / 2]
        })
        .collect())
}

fn run(target: &Target, seconds: u32) -> Result<Seen> {
    let script = script(target)?;
    let output = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{seconds}s"),
            "--latency",
            "-s",
        ])
        .arg(&script)
        .arg(&target.url)
        .output()
        .context("start wrk: install it (Debian: apt-get install wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") || !output.status.success() {
        bail!("not every request of {} was answered well:\n{text}", target.url);
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("read wrk's {name}:\n{text}"))
    };
    Ok(Seen {
        per_second: field("Requests/sec:")?.parse()?,
        p50_ms: milliseconds(&field("50%")?)?,
        p99_ms: milliseconds(&field("99%")?)?,
    })
}

fn script(target: &Target) -> Result<PathBuf> {
    let mut text = format!("wrk.headers[\"Host\"] = \"{}\"\n", target.host);
    if !target.cookies.is_empty() {
        text.push_str(&format!("wrk.headers[\"Cookie\"] = \"{}\"\n", target.cookies));
    }
    if let Some(body) = &target.body {
        text.push_str(&format!(
            "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = '{body}'\n"
        ));
    }
    let path = std::env::temp_dir().join(format!("terrace-figures-{}.lua", std::process::id()));
    fs::write(&path, text).context("write wrk's script")?;
    Ok(path)
}

/// `1.23ms`, `850.00us`, `1.02s`.
fn milliseconds(text: &str) -> Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * factor);
        }
    }
    bail!("`{text}` is not a time")
}

impl Seen {
    /// `3,120/s, p50 4.1 ms, p99 9.8 ms`
    pub(crate) fn describe(&self) -> String {
        format!(
            "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            self.per_second, self.p50_ms, self.p99_ms
        )
    }

    /// Our throughput over the peer's.
    pub(crate) fn ratio(&self, peer: &Self) -> String {
        format!("{:.2}x", self.per_second / peer.per_second)
    }
}
