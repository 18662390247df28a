//! What keeps the house tidy: a first line in every file, no god file, and maps that do not lie.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::graph::root;

/// The longest a source file may grow. Every repository that we admire has one file that nothing stopped.
const LINES_MAX: usize = 700;

/// Every Rust file below `folder`.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped =
            name == "target" || name == "node_modules" || name == "dist" || name.to_string_lossy().starts_with('.');
        if path.is_dir() && !skipped {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_source_file_says_on_its_first_line_what_it_is() {
    for file in sources(&root()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{}: the first line must be `//! what this file is`",
            file.display()
        );
    }
}

#[test]
fn no_file_has_grown_into_a_drawer() {
    for file in sources(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines; split it by noun before it passes {LINES_MAX}",
            file.display()
        );
    }
}

#[test]
fn a_document_names_only_paths_that_exist() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let looks_like_path = quoted.contains('/')
                && !quoted.contains([' ', '<', '*', '{', ':', '$', '('])
                && !quoted.starts_with(['/', '.', '@']);
            if !looks_like_path {
                continue;
            }
            let first = quoted.split('/').next().unwrap_or_default();
            if root().join(first).is_dir() && first != "target" {
                assert!(
                    root().join(quoted).exists(),
                    "{document} names `{quoted}`, which is not there"
                );
            }
        }
    }
}

#[test]
fn every_problem_code_has_a_line_in_the_reference() {
    let codes = fs::read_to_string(root().join("ground/error/src/lib.rs")).unwrap();
    let reference = fs::read_to_string(root().join("docs/reference/problems.md")).unwrap();
    let table = codes
        .split("codes! {\n")
        .nth(1)
        .and_then(|rest| rest.split("\n}\n").next())
        .unwrap();
    let words: Vec<&str> = table.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(words.len() > 20, "the table of codes was not found");
    for code in words {
        assert!(
            reference.contains(&format!("`{code}`")),
            "docs/reference/problems.md does not explain `{code}`"
        );
    }
}
