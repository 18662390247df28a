# How `cargo gauntlet` starts workerd: two workers in one process, as neighbours are, each on a socket of
# its own. Both run the same code: one is attacked, the other is asked for nothing but `ping`.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "attacked", worker = .worker),
    (name = "victim", worker = .worker),
  ],
  # The addresses come from the command line.
  sockets = [
    (name = "attacked", http = (), service = "attacked"),
    (name = "victim", http = (), service = "victim"),
  ],
);

const worker :Workerd.Worker = (
  modules = [(name = "attacks.js", esModule = embed "attacks.js")],
  compatibilityDate = "2026-11-17",
);
