//! The server's process behind a connection, and whether it stands back for others.
//!
//! PostgreSQL divides no processor between its backends: a tenant whose statements compute takes as much of it
//! as it has connections. The system's scheduler does divide it, by process. So where the server runs on this
//! machine, the process of a statement that computes for long gets a lower priority, and so do the next
//! ones of its tenant for some seconds; for another tenant it comes forward again.
//!
//! A server is known to run here when it is reached by a unix socket and whoever listens there is the parent of
//! the process: a number from another machine or container fits nobody. Where that is not so, or the system
//! does not show what a process has used, nothing happens.

use std::{
    fs,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, getpriority_process, setpriority_process};
use tokio::{net::UnixStream, time::timeout};

use crate::{sessions, turnstile::Turnstile};

/// When a statement is looked at for the first time. Each further look comes twice as late as the one before, so
/// that one which waits for a lock costs little.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// The longest pause between two looks: what computes after a long wait is found as well.
const LAST_PAUSE: Duration = Duration::from_millis(80);
/// What a statement has computed since the first look when it is found to be long. Far more than the first
/// statement of a tenant on a connection, which loads the catalogue (3 to 13 ms): when that was enough, a tenant
/// beside a busy neighbour opened connections, stood back for it, became slower, and opened more.
const COMPUTES: Duration = Duration::from_millis(40);
/// The lowest priority that there is.
const NICE_MAX: i32 = 19;

/// The process of one connection.
pub(crate) struct Process {
    pid: Pid,
    /// Its priority as the server gave it.
    usual: i32,
    /// How far it stands back from there.
    back: i32,
    /// Whether its session's group stands back, where sessions are groups.
    is_group_back: bool,
    /// How far it stands back when it computes for long.
    niceness: i32,
    /// Of the tenant that it works for.
    turnstile: Option<Arc<Turnstile>>,
}

impl Process {
    /// The process that the server says is behind `stream`, when it runs on this machine.
    pub(crate) fn behind(stream: &UnixStream, process_id: i32, niceness: u8) -> Option<Self> {
        if niceness == 0 {
            return None;
        }
        let pid = Pid::from_raw(process_id)?;
        let server = stream.peer_cred().ok()?.pid()?;
        if server <= 0 || parent(pid)? != server {
            return None;
        }
        sessions::warn(pid);
        let usual = getpriority_process(Some(pid)).ok()?;
        // Changes nothing, and fails where the process is another user's and this one may not touch it.
        setpriority_process(Some(pid), usual).ok()?;
        let this = Self {
            pid,
            usual,
            back: 0,
            is_group_back: false,
            niceness: i32::from(niceness).min(NICE_MAX),
            turnstile: None,
        };
        this.cpu().map(|_| this)
    }

    /// Takes up work for a tenant, and stands where its last statements say. False when the system does not let
    /// it come forward again: then it is of no use to this tenant.
    pub(crate) fn take_up(&mut self, turnstile: &Arc<Turnstile>) -> bool {
        let is_known = self
            .turnstile
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, turnstile));
        if !is_known {
            self.turnstile = Some(Arc::clone(turnstile));
        }
        self.stand(if turnstile.computes() { self.niceness } else { 0 })
    }

    /// Stands back for whatever it does until it works for the next one: something that is known to be long.
    pub(crate) fn stand_back(&mut self) {
        self.stand(self.niceness);
    }

    /// Waits for `answer`, and looks now and then whether the process computes meanwhile.
    pub(crate) async fn watch<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        let mut pause = FIRST_LOOK;
        let mut at_first = None;
        loop {
            if let Ok(answer) = timeout(pause, &mut answer).await {
                return answer;
            }
            pause = (pause * 2).min(LAST_PAUSE);
            let Some(cpu) = self.cpu() else {
                return answer.await;
            };
            let since = *at_first.get_or_insert(cpu);
            if cpu.saturating_sub(since) >= COMPUTES {
                if let Some(turnstile) = &self.turnstile {
                    turnstile.note_computing(Instant::now());
                }
                self.stand(self.niceness);
                return answer.await;
            }
        }
    }

    /// Stands back by so much. False when the system refused.
    fn stand(&mut self, back: i32) -> bool {
        if self.back == back {
            return true;
        }
        let priority = self.usual.saturating_add(back).min(NICE_MAX);
        if setpriority_process(Some(self.pid), priority).is_err() {
            return false;
        }
        // PostgreSQL's backends are sessions of their own. Where the system groups processes by session, and
        // that is all that groups them, it is the group's priority that counts. A group begins at 0, whatever
        // its process did; a node that is not root may write only now and then.
        let is_written = fs::write(self.file("autogroup"), back.to_string()).is_ok();
        if self.is_group_back && !is_written {
            return false;
        }
        self.is_group_back = is_written && back > 0;
        self.back = back;
        true
    }

    /// The processor time that it has used in its life.
    fn cpu(&self) -> Option<Duration> {
        let text = fs::read_to_string(self.file("schedstat")).ok()?;
        text.split_ascii_whitespace()
            .next()?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid.as_raw_nonzero())
    }
}

/// The parent of a process: the second word after its name, which is in brackets and may hold any.
fn parent(pid: Pid) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}
