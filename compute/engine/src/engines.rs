//! The engines of wasmtime, one for each preview of WASI. The node's engine asks for the one that a
//! component needs.
//!
//! The second preview is faster on an engine that has no tables for concurrent guests, so the third has an
//! engine of its own. It comes into being with the first component that needs it: a node without such
//! services reserves no address space for it, and ticks one engine.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::Engine;

use crate::{Config, Error, pool, preview::Preview, ticker::Ticker};

/// Both engines.
pub(crate) struct Engines {
    config: Arc<Config>,
    second: Engine,
    third: OnceLock<Engine>,
    /// Held while the third is made: two pools at once would be twice the address space.
    making: Mutex<()>,
    ticker: Arc<Ticker>,
}

impl Engines {
    /// The second preview's engine, and the thread that ticks it.
    pub(crate) fn start(config: &Arc<Config>) -> Result<Self, Error> {
        let second = pool::engine(config, Preview::Two)?;
        let ticker = Ticker::start(&second).map_err(|error| Error::Start(error.to_string()))?;
        Ok(Self {
            config: config.clone(),
            second,
            third: OnceLock::new(),
            making: Mutex::default(),
            ticker: Arc::new(ticker),
        })
    }

    /// The engine of this preview. The first time, the third is made: some milliseconds.
    pub(crate) fn of(&self, preview: Preview) -> Result<&Engine, Error> {
        if preview == Preview::Two {
            return Ok(&self.second);
        }
        if let Some(third) = self.third.get() {
            return Ok(third);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(third) = self.third.get() {
            return Ok(third);
        }
        let third = pool::engine(&self.config, preview)?;
        self.ticker.also(&third);
        Ok(self.third.get_or_init(|| third))
    }

    pub(crate) fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_previews_engine_is_made_when_it_is_needed_and_once() {
        let config = Arc::new(Config {
            instances_max: 8,
            ..Config::default()
        });
        let engines = Engines::start(&config).unwrap();
        assert!(engines.of(Preview::Two).is_ok() && engines.third.get().is_none());
        let third = engines.of(Preview::Three).unwrap();
        assert!(Engine::same(third, engines.of(Preview::Three).unwrap()));
        assert!(!Engine::same(third, &engines.second));
    }
}
