//! What the figures were measured on.

/// Cores, memory, kernel and whether it divides processors by session, in one line.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0)
        >> 20;
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split(':')
                .nth(1)
                .map(str::trim)
                .map(str::to_owned)
        })
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let autogroups = match read("/proc/sys/kernel/sched_autogroup_enabled").trim() {
        "1" => "on",
        _ => "off",
    };
    format!(
        "Machine: {cores} cores ({model}), {memory} GiB, Linux {}, autogroups {autogroups}; load generator and \
         database on the same cores.",
        kernel.trim()
    )
}
