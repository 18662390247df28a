//! The thread that moves the epoch: one tick a millisecond, while a guest runs.
//!
//! A thread of its own, because a timer on an executor stops exactly when it is needed: while a
//! guest holds the executor's thread.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// One tick: how long a guest computes before it must let others run.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest after which the thread sleeps until one starts.
const QUIET_TICKS: u32 = 100;

/// Counts running guests, and ticks while there are any.
pub(crate) struct Ticker {
    running: Arc<AtomicUsize>,
    asleep: Arc<AtomicBool>,
    /// A second engine to tick, if there is one.
    other: Arc<OnceLock<EngineWeak>>,
    thread: Thread,
}

/// Keeps the ticker awake while it lives.
pub(crate) struct Awake(Arc<AtomicUsize>);

impl Ticker {
    /// Starts the thread. It ends when the last clone of `engine` is gone.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let running = Arc::new(AtomicUsize::new(0));
        let asleep = Arc::new(AtomicBool::new(false));
        let other = Arc::new(OnceLock::<EngineWeak>::new());
        let thread = std::thread::Builder::new().name("terrace-tick".to_owned()).spawn({
            let (engine, running, asleep, other) = (engine.weak(), running.clone(), asleep.clone(), other.clone());
            move || {
                let mut quiet = 0;
                loop {
                    std::thread::sleep(TICK);
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                    drop(engine);
                    if let Some(other) = other.get().and_then(EngineWeak::upgrade) {
                        other.increment_epoch();
                    }
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
            other,
            thread: thread.thread().clone(),
        })
    }

    /// Ticks this engine too, from now on. There is place for one: a second call changes nothing.
    pub(crate) fn also(&self, engine: &Engine) {
        let _ = self.other.set(engine.weak());
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
