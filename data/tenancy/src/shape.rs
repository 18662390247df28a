//! What a schema holds, from the catalogue: tables and their columns, sequences, foreign keys.
//!
//! Found by what depends on the schema, which PostgreSQL has an index for. It has none by `relnamespace`: among
//! ten thousand tenants that would be a look at half a million relations for each question.

use tokio_postgres::Transaction;

use crate::{Error, archive::quoted};

/// A table, and the columns that are copied: generated ones make themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

impl Shape {
    /// `"t_7f3k9q2m_tasks"."board" ("id", "title")`
    pub(crate) fn target(&self, schema: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        format!("{}.{} ({})", quoted(schema), quoted(&self.name), columns.join(", "))
    }
}

/// The tables of a schema, by name.
pub(crate) async fn tables(transaction: &Transaction<'_>, schema: &str) -> Result<Vec<Shape>, Error> {
    let rows = transaction
        .query(
            "SELECT c.relname::text, coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{}')
             FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
                 AND d.classid = 'pg_class'::regclass AND c.relkind = 'r'
             GROUP BY c.relname ORDER BY c.relname::text COLLATE \"C\"",
            &[&schema],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Shape {
                name: row.try_get(0)?,
                columns: row.try_get(1)?,
            })
        })
        .collect()
}

/// The sequences of a schema, by name.
pub(crate) async fn sequences(transaction: &Transaction<'_>, schema: &str) -> Result<Vec<String>, Error> {
    let rows = transaction
        .query(
            "SELECT c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
             WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
                 AND d.classid = 'pg_class'::regclass AND c.relkind = 'S' ORDER BY c.relname::text COLLATE \"C\"",
            &[&schema],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Statements that take the foreign keys of a schema away, and statements that bring them back.
pub(crate) async fn foreign_keys(transaction: &Transaction<'_>, schema: &str) -> Result<(String, String), Error> {
    let rows = transaction
        .query(
            "SELECT c.relname::text, k.conname::text, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint')
             FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_constraint k ON k.conrelid = c.oid
             WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
                 AND d.classid = 'pg_class'::regclass AND k.contype = 'f' AND k.conparentid = 0
             ORDER BY k.oid",
            &[&schema],
        )
        .await?;
    let (mut away, mut back) = (String::new(), String::new());
    for row in &rows {
        let (table, name, definition): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let comment: Option<String> = row.try_get(3)?;
        let (table, name) = (format!("{}.{}", quoted(schema), quoted(&table)), quoted(&name));
        away.push_str(&format!("ALTER TABLE {table} DROP CONSTRAINT {name};"));
        back.push_str(&format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition};"));
        if let Some(comment) = comment {
            let comment = comment.replace('\'', "''").replace('\\', "\\\\");
            back.push_str(&format!("COMMENT ON CONSTRAINT {name} ON {table} IS E'{comment}';"));
        }
    }
    Ok((away, back))
}
