//! Who may know whom: DESIGN's six rules over the real dependency graph, as cargo sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The workspace's packages, by name: their folder and what they depend on outside of tests.
struct Graph {
    packages: BTreeMap<String, Package>,
}

struct Package {
    folder: String,
    dependencies: BTreeSet<String>,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let folder = manifest
                .parent()
                .unwrap()
                .strip_prefix(root())
                .unwrap()
                .display()
                .to_string();
            let normal =
                |dependency: &&Value| dependency["kind"].is_null() && dependency["optional"] == Value::Bool(false);
            let dependencies = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(normal)
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (
                package["name"].as_str().unwrap().to_owned(),
                Package { folder, dependencies },
            )
        });
        Self {
            packages: packages.collect(),
        }
    }

    /// Everything that `name` knows, directly or through others of ours, with the way to it.
    fn knows(&self, name: &str) -> BTreeMap<String, String> {
        let mut ways: BTreeMap<String, String> = BTreeMap::new();
        let mut open = vec![(name.to_owned(), name.to_owned())];
        while let Some((at, way)) = open.pop() {
            for dependency in self
                .packages
                .get(&at)
                .into_iter()
                .flat_map(|package| &package.dependencies)
            {
                let way = format!("{way} -> {dependency}");
                if ways.insert(dependency.clone(), way.clone()).is_none() {
                    open.push((dependency.clone(), way));
                }
            }
        }
        ways
    }

    fn below(&self, folder: &str) -> Vec<&String> {
        let inside = |package: &Package| package.folder == folder || package.folder.starts_with(&format!("{folder}/"));
        let found: Vec<_> = self
            .packages
            .iter()
            .filter(|(_, package)| inside(package))
            .map(|(name, _)| name)
            .collect();
        assert!(
            !found.is_empty(),
            "no crate lies below {folder}: the rule would hold of nothing"
        );
        found
    }

    /// No crate below `folders` may know one that `banned` names.
    fn forbid(&self, folders: &[&str], banned: impl Fn(&Self, &str) -> bool) {
        for folder in folders {
            for name in self.below(folder) {
                let known = self.knows(name);
                let broken: Vec<_> = known
                    .iter()
                    .filter(|(dependency, _)| banned(self, dependency))
                    .map(|(_, way)| way)
                    .collect();
                assert!(broken.is_empty(), "{name} may not know these:\n{broken:#?}");
            }
        }
    }

    fn is_below(&self, name: &str, folders: &[&str]) -> bool {
        let Some(package) = self.packages.get(name) else {
            return false;
        };
        folders
            .iter()
            .any(|folder| package.folder == *folder || package.folder.starts_with(&format!("{folder}/")))
    }
}

#[test]
fn the_edge_knows_no_backend_crate() {
    let backend = [
        "compute",
        "data",
        "events",
        "capabilities",
        "control",
        "platform",
        "contracts",
    ];
    Graph::read().forbid(&["edge"], |graph, name| graph.is_below(name, &backend));
}

#[test]
fn the_engine_knows_no_postgres_and_data_knows_no_wasm() {
    let graph = Graph::read();
    let postgres = |graph: &Graph, name: &str| {
        name.contains("postgres") || name == "pg_query" || graph.is_below(name, &["data", "events", "capabilities"])
    };
    graph.forbid(&["compute"], postgres);
    let wasm =
        |graph: &Graph, name: &str| name.starts_with("wasmtime") || graph.is_below(name, &["compute", "capabilities"]);
    graph.forbid(&["data", "events"], wasm);
}

#[test]
fn a_service_imports_only_the_sdk() {
    let graph = Graph::read();
    for folder in ["services", "examples/tasks/service"] {
        for name in graph.below(folder) {
            for dependency in &graph.packages[name].dependencies {
                let ours = graph.packages.contains_key(dependency);
                assert!(
                    !ours || dependency == "terrace-sdk",
                    "{name} imports {dependency}; a service imports only terrace-sdk"
                );
            }
        }
    }
}

#[test]
fn only_the_router_can_speak_to_a_database_for_a_tenant() {
    let graph = Graph::read();
    for (name, package) in &graph.packages {
        for file in super::house::sources(&root().join(&package.folder)) {
            let speaks = std::fs::read_to_string(&file)
                .unwrap()
                .contains(concat!("postgres_protocol", "::message"));
            assert!(
                !speaks || name == "terrace-data-router",
                "{} speaks PostgreSQL's protocol itself",
                file.display()
            );
        }
    }
    // The directory's and the log's own connections (tokio-postgres) act as the platform: a
    // capability, which acts for a tenant, may not hold one.
    for name in graph.below("capabilities") {
        let direct = &graph.packages[name].dependencies;
        assert!(
            !direct.iter().any(|dependency| dependency.contains("postgres")),
            "{name} opens connections past the router"
        );
    }
}

#[test]
fn only_binaries_read_the_environment_and_configuration_files() {
    let graph = Graph::read();
    let binaries = ["edge", "platform", "cli", "xtask", "benches", "tests", "contracts/emit"];
    for (name, package) in &graph.packages {
        let binary = binaries
            .iter()
            .any(|folder| package.folder == *folder || package.folder.starts_with(&format!("{folder}/")));
        if binary {
            continue;
        }
        assert!(
            !package.dependencies.contains("terrace-ground-config"),
            "{name} reads configuration files; take a Config instead"
        );
        for file in super::house::sources(&root().join(&package.folder).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            // Looking for a program where the shell looks is not configuration.
            let code = code.replace("env::var_os(\"PATH\")", "");
            assert!(
                !code.contains("env::var") || file.ends_with("testing.rs"),
                "{} reads the environment; take a Config instead",
                file.display()
            );
        }
    }
}

#[test]
fn nothing_is_called_common_utils_types_core_or_helpers() {
    for (name, package) in &Graph::read().packages {
        let last = package.folder.rsplit('/').next().unwrap_or_default();
        assert!(
            !["common", "utils", "util", "types", "core", "helpers", "misc"].contains(&last),
            "{name}: a thing lives with its noun"
        );
    }
}

#[test]
fn the_path_is_the_crate_name() {
    for (name, package) in &Graph::read().packages {
        if name == "xtask"
            || package.folder.starts_with("services/")
            || package.folder == "examples/tasks/service"
            || package.folder == "tests/hostile"
            || package.folder == "tests/gauntlet"
            || package.folder == "tests/preview3"
            || package.folder == "benches/hello"
        {
            continue;
        }
        assert_eq!(*name, format!("terrace-{}", package.folder.replace('/', "-")));
    }
}
