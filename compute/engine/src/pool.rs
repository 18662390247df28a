//! The settings of wasmtime: what a guest may be made of, and how its memory is pooled.

use std::num::NonZeroUsize;

use wasmtime::{
    Config as WasmConfig, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

use crate::{Config, Error, preview::Preview};

/// Core instances, memories and tables of one component. What `wasm-component-ld` makes of a Rust
/// crate has four, one and two.
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 8;

/// An engine for guests of this node that speak this preview of WASI.
pub(crate) fn engine(config: &Config, preview: Preview) -> Result<Engine, Error> {
    let instances = config.instances_max;
    let stacks = match preview {
        Preview::Two => instances,
        // An instance keeps one while it is idle, and needs another while it waits in the middle of a call.
        // More it cannot take: see `Error::Composed`.
        Preview::Three => instances.saturating_mul(2),
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(6))
        .total_memories(instances.saturating_add(instances / 4))
        .total_tables(instances.saturating_mul(3))
        .total_stacks(stacks)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(config.ceiling.memory_bytes())
        .table_elements(config.ceiling.table_elements as usize)
        .linear_memory_keep_resident(config.keep_resident_kib << 10)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(32 << 10)
        // Each instance pays for itself, where it ran: with batches, one would pay for thirty others.
        .decommit_batch_size(1)
        // On wasmtime 48 a page that was swapped out while dirty would reach the next tenant
        // (fixed in 50). Do not turn this on before.
        .pagemap_scan(Enabled::No);

    let mut wasm = WasmConfig::new();
    wasm.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .strategy(Strategy::Cranelift)
        .memory_init_cow(true)
        .epoch_interruption(true)
        .max_wasm_stack(config.stack_kib << 10)
        // Host functions run on the same stack, above the guest's share.
        .async_stack_size((config.stack_kib << 10) + (1536 << 10))
        // Preview 2 needs none of the tables that concurrent guests do.
        .concurrency_support(preview == Preview::Three)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .parallel_compilation(true);
    Engine::new(&wasm).map_err(|error| Error::Start(format!("{error:#}")))
}
