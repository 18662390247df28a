//! The migrations of one release: names, numbers, checksums, and the statements the guard made of them.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use terrace_data_guard::{Guard, QualifiedStatement};
use terrace_ground_ids::ServiceName;

use crate::{
    Error,
    blocking::Constraints,
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
        let made = self.made_after(head);
        self.after(head)
            .flat_map(|migration| {
                migration
                    .effects
                    .contracts
                    .iter()
                    .map(move |effect| (migration, effect))
            })
            // A table that is new itself is used by nobody yet.
            .filter(|(_, (table, _))| !made.contains(&table.as_str()))
            .map(|(migration, (_, what))| format!("{} {what}", migration.name))
            .collect()
    }

    /// What the migrations after number `head` make tenants wait for, as sentences that say what to write
    /// instead: "0004_titles changes the type of `task.title`, which ...". Empty when they are quick on
    /// tables of any size.
    pub fn blocking(&self, head: u32) -> Vec<String> {
        let made = self.made_after(head);
        let mut constraints = Constraints::default();
        let mut sentences = Vec::new();
        for migration in self.list.iter() {
            for act in &migration.effects.acts {
                let Some((table, what)) = constraints.read(migration.number, act) else {
                    continue;
                };
                // A table that is new itself is empty, and used by nobody yet.
                if migration.number > head && !made.contains(&table.as_str()) {
                    sentences.push(format!("{} {what}", migration.name));
                }
            }
        }
        sentences
    }

    fn after(&self, head: u32) -> impl Iterator<Item = &Migration> {
        self.list.iter().filter(move |migration| migration.number > head)
    }

    fn made_after(&self, head: u32) -> Vec<&str> {
        let tables = self.after(head).flat_map(|migration| &migration.effects.creates);
        tables.map(String::as_str).collect()
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

    /// Old migrations, then the new one.
    fn waits(old: &[&str], new: &[&str]) -> Vec<String> {
        let name = |number: usize| format!("{number:04}_step.sql");
        let texts: Vec<(String, &str)> = old
            .iter()
            .chain(new)
            .zip(1..)
            .map(|(sql, at)| (name(at), *sql))
            .collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(name, sql)| (name.as_str(), *sql)).collect();
        read(&files).unwrap().blocking(u32::try_from(old.len()).unwrap())
    }

    #[test]
    fn what_makes_tenants_wait_is_refused_with_what_to_write_instead_and_that_is_not_refused() {
        let table = "CREATE TABLE a (id bigint PRIMARY KEY, b integer, c text)";
        for (sql, instead) in [
            (
                "ALTER TABLE a ALTER COLUMN b TYPE bigint",
                "add a column of the new type",
            ),
            (
                "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
                "CHECK (b IS NOT NULL) NOT VALID",
            ),
            (
                "ALTER TABLE a ADD COLUMN d uuid DEFAULT gen_random_uuid()",
                "add it without",
            ),
            (
                "ALTER TABLE a ADD COLUMN d double precision NOT NULL DEFAULT random()",
                "add it without",
            ),
            (
                "ALTER TABLE a ADD COLUMN d timestamptz DEFAULT clock_timestamp()",
                "add it without",
            ),
            (
                "ALTER TABLE a ADD COLUMN d bigint GENERATED ALWAYS AS IDENTITY",
                "number new rows",
            ),
            (
                "ALTER TABLE a ADD COLUMN d bigint GENERATED ALWAYS AS (b * 2) STORED",
                "from the service",
            ),
            ("ALTER TABLE a ADD COLUMN d text UNIQUE", "force it where"),
            (
                "ALTER TABLE a ADD COLUMN d integer DEFAULT 1 CHECK (d > 0)",
                "NOT VALID",
            ),
            ("CREATE INDEX i ON a (b)", "the release that makes the table"),
            ("CREATE UNIQUE INDEX i ON a (b)", "the release that makes the table"),
            ("ALTER TABLE a ADD CONSTRAINT k CHECK (b > 0)", "VALIDATE CONSTRAINT k"),
            (
                "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES a",
                "NOT VALID",
            ),
            ("ALTER TABLE a ADD CONSTRAINT k UNIQUE (b)", "force it where"),
            (
                "ALTER TABLE a ADD CONSTRAINT k CHECK (b > 0) NOT VALID; ALTER TABLE a VALIDATE CONSTRAINT k",
                "in the next migration",
            ),
        ] {
            let sentences = waits(&[table], &[sql]);
            assert_eq!(sentences.len(), 1, "{sql}: {sentences:?}");
            assert!(
                sentences[0].starts_with("0002_step ") && sentences[0].contains(instead),
                "{sql}: {sentences:?}"
            );
            // On an empty table of the same release it is nothing, and what was done before is done.
            assert_eq!(waits(&[], &[table, sql]), Vec::<String>::new(), "{sql}");
            assert_eq!(
                waits(&[table, sql], &["CREATE TABLE z (id bigint)"]),
                Vec::<String>::new(),
                "{sql}"
            );
        }
        for quick in [
            "ALTER TABLE a ADD COLUMN d text",
            "ALTER TABLE a ADD COLUMN d text NOT NULL DEFAULT ''",
            "ALTER TABLE a ADD COLUMN d timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE a ADD COLUMN d timestamptz DEFAULT (now() + '1 day'::interval)",
            "ALTER TABLE a ADD COLUMN d text[] DEFAULT ARRAY['x']",
            "ALTER TABLE a ADD COLUMN d bigint REFERENCES a",
            "ALTER TABLE a ALTER COLUMN c SET DEFAULT 'x'",
            "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
            "ALTER TABLE a ADD CONSTRAINT k CHECK (b > 0) NOT VALID",
            "ALTER TABLE a ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES a NOT VALID",
            "ALTER TABLE a DROP COLUMN c",
            "UPDATE a SET c = '' WHERE c IS NULL",
        ] {
            assert_eq!(waits(&[table], &[quick]), Vec::<String>::new(), "{quick}");
        }
    }

    #[test]
    fn null_is_forbidden_quickly_behind_a_constraint_that_was_checked() {
        let table = "CREATE TABLE a (id bigint PRIMARY KEY, b integer)";
        let add = "ALTER TABLE a ADD CONSTRAINT k CHECK (b IS NOT NULL) NOT VALID";
        let (check, forbid) = (
            "ALTER TABLE a VALIDATE CONSTRAINT k",
            "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        );
        assert_eq!(waits(&[table], &[add, check, forbid]), Vec::<String>::new());
        assert_eq!(waits(&[table, add], &[check, forbid]), Vec::<String>::new());
        // Not checked, or another column.
        assert_eq!(waits(&[table, add], &[forbid]).len(), 1);
        let other = "ALTER TABLE a ADD CONSTRAINT k CHECK (id IS NOT NULL) NOT VALID";
        assert_eq!(waits(&[table, other], &[check, forbid]).len(), 1);
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
