//! Writes down what a service says, for `statements.sql`: the list that a sealed release comes with.
//!
//! A service with `sealed_sql = true` in its `service.toml` gets the file beside it, and every
//! statement that its tests make it send is in there, sorted, once. It is checked in and read like
//! code: a new line is something that the next release may do. Nothing is ever removed here: to forget
//! old statements, delete the file and run the tests.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

const HEADER: &str = "-- Recorded by this service's tests: what its sealed release may send, and nothing else.\n-- To forget what is not sent any more, delete this file and run the tests.\n";
/// Between two statements; a line of its own, so that the file needs no parser.
const END: &str = "\n;\n";

pub(super) struct Recorder {
    file: PathBuf,
    seen: Mutex<BTreeSet<String>>,
}

impl Recorder {
    /// A recorder for the service in this folder; none when it is not sealed.
    pub(super) fn of(service: &Path) -> std::io::Result<Option<Self>> {
        let manifest = match std::fs::read_to_string(service.join("service.toml")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_sealed = manifest.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default();
            line.split_once('=')
                .is_some_and(|(key, value)| key.trim() == "sealed_sql" && value.trim() == "true")
        });
        Ok(is_sealed.then(|| Self {
            file: service.join("statements.sql"),
            seen: Mutex::default(),
        }))
    }

    /// Notes a statement. The first time in this process it is looked up in the file, and added when
    /// it is new.
    pub(super) fn see(&self, statement: &str) {
        let statement = statement.trim();
        let is_new = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(statement.to_owned());
        if is_new && let Err(error) = self.add(statement) {
            // The list would be short, and the release would refuse what was tested here.
            eprintln!("cannot write {}: {error}", self.file.display());
        }
    }

    fn add(&self, statement: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.file)?;
        // Several test processes run at once.
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut statements = statements(&text);
        if statements.insert(statement.to_owned()) {
            write(&mut file, &statements)?;
        }
        file.unlock()
    }
}

fn statements(text: &str) -> BTreeSet<String> {
    let text = text.strip_prefix(HEADER).unwrap_or(text);
    text.split(END)
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

fn write(file: &mut File, statements: &BTreeSet<String>) -> std::io::Result<()> {
    let text = statements
        .iter()
        .fold(HEADER.to_owned(), |text, statement| text + "\n" + statement + END);
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_services_statements_are_written_once_and_in_order() {
        let folder = std::env::temp_dir().join(format!("terrace-recorder-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(Recorder::of(&folder).unwrap().is_none(), "no manifest");
        std::fs::write(folder.join("service.toml"), "name = \"a\"\n# sealed_sql = true\n").unwrap();
        assert!(Recorder::of(&folder).unwrap().is_none(), "not sealed");
        std::fs::write(folder.join("service.toml"), "name = \"a\"\nsealed_sql = true # yes\n").unwrap();
        for _ in 0..2 {
            let recorder = Recorder::of(&folder).unwrap().unwrap();
            for statement in ["SELECT 2", "SELECT 1\nFROM a", "SELECT 2 ", "SELECT ';'"] {
                recorder.see(statement);
            }
        }
        let text = std::fs::read_to_string(folder.join("statements.sql")).unwrap();
        let expected = format!("{HEADER}\nSELECT ';'\n;\n\nSELECT 1\nFROM a\n;\n\nSELECT 2\n;\n");
        assert_eq!(text, expected);
        assert_eq!(statements(&text).len(), 3);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
