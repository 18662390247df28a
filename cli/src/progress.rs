//! Progress on standard error: a spinner for whatever takes over a second, a bar for an upload.

use std::{
    io::Read,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// What takes less is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does `work`, with a spinner once it takes over a second. Without a terminal nothing is drawn.
pub(crate) fn waiting<T>(message: &str, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let spinner = spinner(message);
                // Returns as soon as the sender is dropped.
                let _ = is_done.recv();
                spinner.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn spinner(message: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// A body on its way: a bar while it is read, a spinner while the platform works on it.
pub(crate) struct Upload<'a> {
    rest: &'a [u8],
    bar: ProgressBar,
    afterwards: &'static str,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(body: &'a [u8], afterwards: &'static str) -> Self {
        let bar = ProgressBar::new(body.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {bytes} of {total_bytes}, {binary_bytes_per_sec}") {
            bar.set_style(style);
        }
        Self {
            rest: body,
            bar,
            afterwards,
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Read for Upload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.rest.read(buffer)?;
        self.bar.inc(count as u64);
        if self.rest.is_empty() {
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.set_message(self.afterwards);
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
        Ok(count)
    }
}

/// Bytes that come or go: a bar when their number is known.
pub(crate) struct Bytes(ProgressBar);

impl Bytes {
    pub(crate) fn new(total: Option<u64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:32} {bytes} of {total_bytes}, {binary_bytes_per_sec}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {binary_bytes_per_sec}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn add(&mut self, count: usize) {
        self.0.inc(count as u64);
    }

    /// Clears the line; returns how many there were.
    pub(crate) fn finish(&mut self) -> u64 {
        self.0.finish_and_clear();
        self.0.position()
    }
}

/// Something with named steps, once it takes over a second.
pub(crate) struct Steps {
    what: &'static str,
    begun: Instant,
    spinner: Option<ProgressBar>,
}

impl Steps {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            begun: Instant::now(),
            spinner: None,
        }
    }

    pub(crate) fn at(&mut self, step: &str) {
        if self.begun.elapsed() >= PATIENCE {
            let message = format!("{}: {step}", self.what);
            self.spinner.get_or_insert_with(|| spinner("")).set_message(message);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
