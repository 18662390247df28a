//! The corpus of attacks, read from `attacks/*.sql`. The tests of the router and of the directory
//! include this file too: each tries every attack on the fence that it is about.

use std::{fs, path::Path};

/// One statement that is not a service's to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attack {
    /// The file that it comes from: the trick.
    pub(crate) trick: String,
    /// One line, as it stands in the file: what people read, and what lists of exceptions name.
    pub(crate) line: String,
    /// What is sent.
    pub(crate) sql: String,
    /// The value of `$1`, from a comment at the end of the line.
    pub(crate) param: Option<String>,
}

/// The lines of one folder, on the schema and role `other`: `attacks`, or `lookalikes`, which look like
/// attacks and lead home. One line is one statement; `-- ` begins a comment, ` -- $1: x` gives the
/// parameter, `{other}` is the schema of somebody else, and `{repeat N text}` is N times the text.
pub(crate) fn corpus(folder: &str, other: &str) -> Vec<Attack> {
    // Of whichever crate includes this file: all of them lie side by side.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../guard/tests")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut attacks = Vec::new();
    for path in files {
        let trick = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("-- ")) {
            let (sql, param) = match line.split_once(" -- $1: ") {
                Some((sql, param)) => (sql, Some(param.replace("{other}", other))),
                None => (line, None),
            };
            attacks.push(Attack {
                trick: trick.clone(),
                line: line.to_owned(),
                sql: repeated(&sql.replace("{other}", other)),
                param,
            });
        }
    }
    attacks
}

fn repeated(sql: &str) -> String {
    let mut parts = sql.split("{repeat ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (times, rest) = part.split_once(' ').unwrap();
        let (what, after) = rest.split_once('}').unwrap();
        text.push_str(&what.repeat(times.parse().unwrap()));
        text.push_str(after);
    }
    text
}
