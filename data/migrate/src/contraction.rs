//! What a migration takes away: statements after which the release before cannot run as it did.
//!
//! Expanding (a table, a column with a default, an index) is safe while two releases share a schema,
//! and a rollback finds what it needs. Contracting is not. The judgement is on the safe side: a
//! constraint on a table that was there before may refuse what the older release writes.

use pg_query::{
    NodeEnum as N,
    protobuf::{AlterTableType as Alter, ColumnDef, ConstrType, ObjectType},
};

use crate::blocking::{self, Act};

/// What one migration does to what was there, and what it makes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effects {
    /// (table, "drops the column `title`")
    pub(crate) contracts: Vec<(String, String)>,
    /// Tables.
    pub(crate) creates: Vec<String>,
    /// What it means for those who use the tables meanwhile.
    pub(crate) acts: Vec<Act>,
}

/// The effects of statements that the guard has accepted. What cannot be read has none; the guard has
/// refused it before.
pub(crate) fn effects(sql: &str) -> Effects {
    let mut effects = Effects::default();
    let Ok(parsed) = pg_query::parse(sql, 0) else {
        return effects;
    };
    for raw in parsed.protobuf.stmts {
        if let Some(statement) = raw.stmt.and_then(|node| node.node) {
            statement_effects(&statement, &mut effects);
            blocking::acts(&statement, &mut effects.acts);
        }
    }
    effects
}

fn statement_effects(statement: &N, effects: &mut Effects) {
    let table = |range: &Option<pg_query::protobuf::RangeVar>| {
        range.as_ref().map_or_else(String::new, |range| range.relname.clone())
    };
    match statement {
        N::CreateStmt(create) => effects.creates.push(table(&create.relation)),
        N::DropStmt(drop) => {
            let kind = match drop.remove_type() {
                ObjectType::ObjectTable => "table",
                ObjectType::ObjectSequence => "sequence",
                ObjectType::ObjectType => "type",
                // Without an index everything runs, if slower.
                _ => return,
            };
            for object in &drop.objects {
                let name = last_name(object);
                effects
                    .contracts
                    .push((name.clone(), format!("drops the {kind} `{name}`")));
            }
        }
        N::RenameStmt(rename) if rename.rename_type() != ObjectType::ObjectIndex => {
            let name = table(&rename.relation);
            let what = if rename.subname.is_empty() {
                format!("renames `{name}`")
            } else {
                format!("renames `{name}.{}`", rename.subname)
            };
            effects.contracts.push((name, what));
        }
        N::IndexStmt(index) if index.unique => {
            let name = table(&index.relation);
            effects
                .contracts
                .push((name.clone(), format!("makes values of `{name}` unique")));
        }
        N::AlterTableStmt(alter) => {
            let name = table(&alter.relation);
            for command in &alter.cmds {
                if let Some(N::AlterTableCmd(command)) = &command.node
                    && let Some(what) = altered(&name, command)
                {
                    effects.contracts.push((name.clone(), what));
                }
            }
        }
        _ => {}
    }
}

fn altered(table: &str, command: &pg_query::protobuf::AlterTableCmd) -> Option<String> {
    let column = &command.name;
    Some(match command.subtype() {
        Alter::AtDropColumn => format!("drops the column `{table}.{column}`"),
        Alter::AtAlterColumnType => format!("changes the type of `{table}.{column}`"),
        Alter::AtSetNotNull => format!("forbids null in `{table}.{column}`"),
        Alter::AtAddConstraint => format!("adds a constraint to `{table}`"),
        Alter::AtAddColumn => {
            let Some(N::ColumnDef(column)) = command.def.as_ref().and_then(|def| def.node.as_ref()) else {
                return None;
            };
            if !must_be_given(column) {
                return None;
            }
            format!(
                "adds the column `{table}.{}`, which every insert must give",
                column.colname
            )
        }
        _ => return None,
    })
}

/// Not null, and nothing fills it in.
fn must_be_given(column: &ColumnDef) -> bool {
    let kinds: Vec<ConstrType> = column
        .constraints
        .iter()
        .filter_map(|constraint| match &constraint.node {
            Some(N::Constraint(constraint)) => Some(constraint.contype()),
            _ => None,
        })
        .collect();
    let filled = [
        ConstrType::ConstrDefault,
        ConstrType::ConstrIdentity,
        ConstrType::ConstrGenerated,
    ];
    kinds
        .iter()
        .any(|kind| matches!(kind, ConstrType::ConstrNotnull | ConstrType::ConstrPrimary))
        && !kinds.iter().any(|kind| filled.contains(kind))
}

fn last_name(object: &pg_query::protobuf::Node) -> String {
    match &object.node {
        Some(N::List(list)) => list.items.last().map_or_else(String::new, last_name),
        Some(N::String(name)) => name.sval.clone(),
        Some(N::TypeName(name)) => name.names.last().map_or_else(String::new, last_name),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_away_is_told_from_what_adds() {
        let contracting = [
            "DROP TABLE a",
            "ALTER TABLE a DROP COLUMN b",
            "ALTER TABLE a ALTER COLUMN b TYPE text",
            "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
            "ALTER TABLE a ADD COLUMN b text NOT NULL",
            "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)",
            "ALTER TABLE a RENAME COLUMN b TO c",
            "ALTER TABLE a RENAME TO c",
            "CREATE UNIQUE INDEX c ON a (b)",
        ];
        for sql in contracting {
            let effects = effects(sql);
            assert_eq!(effects.contracts.len(), 1, "{sql}");
            assert_eq!(effects.contracts[0].0, "a", "{sql}");
        }
        let expanding = [
            "CREATE TABLE a (b bigint PRIMARY KEY, c text NOT NULL UNIQUE)",
            "ALTER TABLE a ADD COLUMN b text",
            "ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT ''",
            "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
            "ALTER TABLE a DROP CONSTRAINT c",
            "CREATE INDEX c ON a (b)",
            "DROP INDEX c",
            "INSERT INTO a VALUES (1)",
        ];
        for sql in expanding {
            assert!(effects(sql).contracts.is_empty(), "{sql}: {:?}", effects(sql));
        }
    }
}
