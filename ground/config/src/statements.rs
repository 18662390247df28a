//! The list of what a sealed service may send, on its way into the service's manifest.
//!
//! Whoever uploads a bundle calls this. The list is `statements.sql`, which the tests of the service
//! record: statements, each ended by a line that holds a semicolon and nothing else.

/// The text of `service.toml` with the list in it, as the key `statements`.
pub fn with_statements(manifest: &str, list: &str) -> String {
    let list = format!("{}\n", list.replace("\r\n", "\n"));
    let statements: Vec<String> = list
        .split("\n;\n")
        .map(without_comment)
        .filter(|statement| !statement.is_empty())
        .map(|statement| toml::Value::String(statement.to_owned()).to_string())
        .collect();
    // Before everything else: after a table's header it would be a key of that table.
    format!("statements = [\n{}\n]\n{manifest}", statements.join(",\n"))
}

/// Without the lines at its beginning that are comments: the file's header.
fn without_comment(statement: &str) -> &str {
    let mut rest = statement.trim();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_becomes_a_key_of_the_manifest_and_nothing_else_changes() {
        let manifest = "name = \"tasks\"\nsealed_sql = true\n[limits]\ncpu_ms = 5\n";
        let list = "-- Recorded\n-- by tests.\n\nSELECT 'a;' || \"b\\c\"\n;\n\nUPDATE a\nSET b = $1\n;\n";
        let table: toml::Table = toml::from_str(&with_statements(manifest, list)).unwrap();
        let statements: Vec<&str> = table["statements"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        assert_eq!(statements, ["SELECT 'a;' || \"b\\c\"", "UPDATE a\nSET b = $1"]);
        assert_eq!(table["name"].as_str(), Some("tasks"));
        assert_eq!(table["limits"]["cpu_ms"].as_integer(), Some(5));
        let none: toml::Table = toml::from_str(&with_statements(manifest, "")).unwrap();
        assert!(none["statements"].as_array().unwrap().is_empty());
    }
}
