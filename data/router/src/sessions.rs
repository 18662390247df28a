//! Whether Linux divides processors between sessions, which is bad for a server on the node's machine.
//!
//! In the root control group, and with `kernel.sched_autogroup_enabled`, each session has a share of its own. A
//! process of PostgreSQL is a session, and was seen ready and not run for up to 120 ms beside a node that computes.
//! Nothing here can change that; whoever runs the machine can, when told.

use std::{fs, path::Path, sync::Once};

use rustix::process::Pid;

/// The control groups' namespace that the machine starts with, by the kernel's fixed number. In another one, as in
/// most containers, a path does not say which group it is.
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

static SAID: Once = Once::new();

/// Warns once in the life of this process, where it is so for the server's process `pid`.
pub(crate) fn warn(pid: Pid) {
    SAID.call_once(|| {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/cgroup").unwrap_or_default();
        let has = |group: &str, file: &str| {
            let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
            let path = |mount: &str| Path::new(mount).join(group.trim_start_matches('/')).join(file);
            mounts.into_iter().any(|mount| path(mount).exists())
        };
        if namespace.as_os_str() == FIRST_NAMESPACE
            && divide(
                &read("/proc/sys/kernel/sched_autogroup_enabled"),
                &read(&format!("/proc/{}/cgroup", pid.as_raw_nonzero())),
                has,
            )
        {
            tracing::warn!(
                "PostgreSQL is on this machine, and Linux divides its processors between sessions: beside a service \
                 that computes, a statement may wait for 100 ms. Set `sysctl kernel.sched_autogroup_enabled=0`, and \
                 start PostgreSQL and the node again"
            );
        }
    });
}

/// By what `sched_autogroup_enabled` and a process's `cgroup` say. `has` is whether a group of the unified hierarchy
/// has a file.
fn divide(enabled: &str, cgroup: &str, has: impl Fn(&str, &str) -> bool) -> bool {
    if enabled.trim() != "1" {
        return false;
    }
    // Each line: a number, the controllers, the group.
    let groups = cgroup.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let (mut first, mut unified) = (None, None);
    for (controllers, group) in groups {
        if controllers.split(',').any(|controller| controller == "cpu") {
            first = Some(group);
        } else if controllers.is_empty() {
            unified = Some(group);
        }
    }
    match (first, unified) {
        (Some(group), _) => group == "/",
        // A group without a weight is, for the scheduler, the next one above that has one.
        (None, Some(group)) => {
            let weighs = |group: &Path| group.to_str().is_some_and(|group| has(group, "cpu.weight"));
            has("/", "cgroup.controllers") && !Path::new(group).ancestors().any(weighs)
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::divide;

    #[test]
    fn sessions_share_processors_only_where_no_control_group_does() {
        let no_weight = |_: &str, file: &str| file == "cgroup.controllers";
        let slice = |group: &str, file: &str| file == "cgroup.controllers" || group == "/system.slice";
        let service = "0::/system.slice/terrace.service\n";
        let root_of_first = "5:memory:/a\n1:cpu,cpuacct:/\n0::/\n";
        assert!(divide("1\n", "0::/\n", no_weight));
        assert!(!divide("0\n", "0::/\n", no_weight), "switched off");
        assert!(!divide("", "0::/\n", no_weight), "a kernel without them");
        assert!(
            divide("1\n", service, no_weight),
            "systemd gives no weight unless it is told to"
        );
        assert!(!divide("1\n", service, slice), "the slice has one");
        assert!(
            !divide("1\n", service, |_, _| false),
            "the groups' files are not to be seen"
        );
        assert!(divide("1\n", root_of_first, no_weight));
        assert!(!divide("1\n", "1:cpu,cpuacct:/docker/a\n0::/\n", no_weight));
        assert!(
            divide("1\n", "1:cpuset:/a\n0::/\n", no_weight),
            "a set of processors is no share"
        );
        assert!(divide("1\n", "", no_weight), "a kernel without control groups");
    }
}
