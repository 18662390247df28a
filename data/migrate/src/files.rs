//! The migrations of one release: names, numbers, checksums, and the statements the guard made of them.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use terrace_data_guard::{Guard, QualifiedStatement};
use terrace_ground_ids::ServiceName;

use crate::{
    Error,
    contraction::{Effects, effects},
};

/// One file as it lies in a service's bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// `0001_boards.sql`.
    pub name: String,
    /// Its text.
    pub sql: String,
}

/// One migration, checked.
#[derive(Debug, Clone)]
pub struct Migration {
    /// From 1, without holes.
    pub number: u32,
    /// `0001_boards`.
    pub name: String,
    /// Of the file's text, hexadecimal.
    pub sha256: String,
    pub(crate) statements: Vec<QualifiedStatement>,
    effects: Effects,
}

/// All migrations of one release of one service, in order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Migrations {
    pub(crate) service: ServiceName,
    pub(crate) list: Arc<[Migration]>,
}

impl Migrations {
    /// Checks names, order and every statement. It needs no database, so an upload is refused before
    /// it can touch a tenant.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Order`], [`Error::Refused`].
    pub fn read(service: &ServiceName, files: &[File]) -> Result<Self, Error> {
        let guard = Guard::new(1);
        let mut list: Vec<Migration> = files.iter().map(|file| one(&guard, file)).collect::<Result<_, _>>()?;
        list.sort_by_key(|migration| migration.number);
        let mut previous = 0;
        for migration in &list {
            if migration.number != previous + 1 {
                return Err(Error::Order {
                    previous,
                    found: migration.number,
                });
            }
            previous = migration.number;
        }
        Ok(Self {
            service: service.clone(),
            list: list.into(),
        })
    }

    /// The service they belong to.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The migrations, from the first.
    pub fn list(&self) -> &[Migration] {
        &self.list
    }

    /// The first ones, up to this number: what a schema had that was exported then.
    #[must_use]
    pub fn upto(&self, number: u32) -> Self {
        let list = self.list.iter().filter(|migration| migration.number <= number);
        Self {
            service: self.service.clone(),
            list: list.cloned().collect(),
        }
    }

    /// What the migrations after number `head` take away from the release that is there, as sentences:
    /// "0004_titles drops the column `task.title`". Empty when they only add.
    pub fn contractions(&self, head: u32) -> Vec<String> {
        let new = || self.list.iter().filter(|migration| migration.number > head);
        let made: Vec<&String> = new().flat_map(|migration| &migration.effects.creates).collect();
        new()
            .flat_map(|migration| {
                migration
                    .effects
                    .contracts
                    .iter()
                    .map(move |effect| (migration, effect))
            })
            // A table that is new itself is used by nobody yet.
            .filter(|(_, (table, _))| !made.contains(&table))
            .map(|(migration, (_, what))| format!("{} {what}", migration.name))
            .collect()
    }

    /// The number of the last one; 0 for none. A schema at this number is ready for the release.
    pub fn head(&self) -> u32 {
        self.list.last().map_or(0, |migration| migration.number)
    }
}

fn one(guard: &Guard, file: &File) -> Result<Migration, Error> {
    let wrong = || Error::Name(file.name.chars().take(64).collect());
    let name = file.name.strip_suffix(".sql").ok_or_else(wrong)?;
    let (number, word) = name.split_once('_').ok_or_else(wrong)?;
    let is_word = !word.is_empty()
        && word.len() <= 60
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let is_number = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    if !is_word || !is_number {
        return Err(wrong());
    }
    let statements = guard.migration(&file.sql).map_err(|refusal| Error::Refused {
        migration: name.to_owned(),
        refusal,
    })?;
    Ok(Migration {
        number: number.parse().map_err(|_| wrong())?,
        name: name.to_owned(),
        sha256: HEXLOWER.encode(&Sha256::digest(file.sql.as_bytes())),
        statements,
        effects: effects(&file.sql),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Migrations, Error> {
        let files: Vec<File> = files
            .iter()
            .map(|(name, sql)| File {
                name: (*name).into(),
                sql: (*sql).into(),
            })
            .collect();
        Migrations::read(&"tasks".parse().unwrap(), &files)
    }

    #[test]
    fn a_bundle_is_ordered_by_number_whatever_order_it_came_in() {
        let migrations = read(&[
            ("0002_b.sql", "CREATE TABLE b (id bigint)"),
            ("0001_a.sql", "CREATE TABLE a (id bigint)"),
        ])
        .unwrap();
        assert_eq!(
            migrations.list().iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
            ["0001_a", "0002_b"]
        );
        assert_eq!(migrations.head(), 2);
    }

    #[test]
    fn only_what_is_taken_from_the_release_that_is_there_counts_as_taken_away() {
        let migrations = read(&[
            (
                "0001_a.sql",
                "CREATE TABLE a (id bigint); ALTER TABLE a ADD CONSTRAINT positive CHECK (id > 0)",
            ),
            ("0002_b.sql", "CREATE TABLE b (id bigint)"),
            (
                "0003_c.sql",
                "CREATE UNIQUE INDEX b_id ON b (id); ALTER TABLE a DROP COLUMN id",
            ),
        ])
        .unwrap();
        assert_eq!(migrations.contractions(1), ["0003_c drops the column `a.id`"]);
        assert_eq!(migrations.contractions(3), Vec::<String>::new());
    }

    #[test]
    fn a_bundle_with_a_hole_a_double_or_a_strange_name_is_refused() {
        assert!(matches!(
            read(&[("0002_b.sql", "")]),
            Err(Error::Order { previous: 0, found: 2 })
        ));
        assert!(matches!(
            read(&[("0001_b.sql", ""), ("0001_c.sql", "")]),
            Err(Error::Order { previous: 1, found: 1 })
        ));
        for name in [
            "1_a.sql",
            "0001.sql",
            "0001_a",
            "0001_A.sql",
            "0001_../x.sql",
            "+001_a.sql",
        ] {
            assert!(matches!(read(&[(name, "")]), Err(Error::Name(_))), "{name}");
        }
    }

    #[test]
    fn a_statement_that_leaves_the_schema_is_refused_before_any_database_sees_it() {
        for sql in [
            "RESET ROLE",
            "CREATE TABLE terrace.x (id int)",
            "GRANT ALL ON a TO PUBLIC",
            "DO $$ BEGIN END $$",
            "COMMIT",
        ] {
            assert!(
                matches!(read(&[("0001_a.sql", sql)]), Err(Error::Refused { .. })),
                "{sql}"
            );
        }
    }
}
