//! The memory of one instance: every linear memory and table of it together.
//!
//! wasmtime's own `StoreLimits` counts each memory alone, so a component with eight memories would
//! get eight times its limit.

use wasmtime::ResourceLimiter;

/// Counts and bounds the memory of one store.
#[derive(Debug)]
pub struct Memory {
    bytes: usize,
    bytes_max: usize,
    table_elements: usize,
    table_elements_max: usize,
    refused: bool,
}

impl Memory {
    /// At most `bytes_max` in all memories and `table_elements_max` in all tables together.
    pub fn new(bytes_max: usize, table_elements_max: usize) -> Self {
        Self {
            bytes: 0,
            bytes_max,
            table_elements: 0,
            table_elements_max,
            refused: false,
        }
    }

    /// Bytes of linear memory in use.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a growth was refused since [`Memory::begin`]. A trap after that is called a memory
    /// limit: a guest whose allocator gets no memory aborts.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Called when the instance takes up a request.
    pub fn begin(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_add(desired.saturating_sub(current));
        if total > self.bytes_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.table_elements_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_memories_share_one_bound() {
        let mut memory = Memory::new(3 << 16, 10);
        assert!(memory.memory_growing(0, 2 << 16, None).unwrap());
        assert!(!memory.memory_growing(0, 2 << 16, None).unwrap());
        assert!(memory.refused());
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert_eq!(memory.bytes(), 3 << 16);
    }
}
