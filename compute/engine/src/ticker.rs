//! The thread that moves the epoch: one tick a millisecond, while a guest runs.
//!
//! A thread of its own, because a timer on an executor stops exactly when it is needed: while a
//! guest holds the executor's thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use wasmtime::Engine;

/// One tick: how long a guest computes before it must let others run.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest after which the thread sleeps until one starts.
const QUIET_TICKS: u32 = 100;

/// Counts running guests, and ticks while there are any.
pub(crate) struct Ticker {
    running: Arc<AtomicUsize>,
    asleep: Arc<AtomicBool>,
    thread: Thread,
}

/// Keeps the ticker awake while it lives.
pub(crate) struct Awake(Arc<AtomicUsize>);

impl Ticker {
    /// Starts the thread. It ends when the last clone of `engine` is gone.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let running = Arc::new(AtomicUsize::new(0));
        let asleep = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("terrace-tick".to_owned()).spawn({
            let (engine, running, asleep) = (engine.weak(), running.clone(), asleep.clone());
            move || {
                let mut quiet = 0;
                loop {
                    std::thread::sleep(TICK);
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                    drop(engine);
                    quiet = if running.load(Ordering::SeqCst) == 0 {
                        quiet + 1
                    } else {
                        0
                    };
                    if quiet < QUIET_TICKS {
                        continue;
                    }
                    quiet = 0;
                    asleep.store(true, Ordering::SeqCst);
                    // A guest that started between the load above and this store did not see the
                    // flag and will not wake this thread: look again.
                    if running.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                    }
                    asleep.store(false, Ordering::SeqCst);
                }
            }
        })?;
        Ok(Self {
            running,
            asleep,
            thread: thread.thread().clone(),
        })
    }

    /// Called when a guest starts.
    pub(crate) fn awake(&self) -> Awake {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Awake(self.running.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
