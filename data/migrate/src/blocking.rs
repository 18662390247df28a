//! What a migration makes a tenant wait for: statements that rewrite a table that has rows, or look at all
//! of them while nobody may write.
//!
//! A tenant's requests queue behind such a statement for as long as its table is big, and nobody who wrote
//! the migration has seen the biggest. For each there is a way that does not: it is part of the sentence.
//! A table that is made by the same release is empty, and exempt.

use std::collections::{HashMap, HashSet};

use pg_query::{
    NodeEnum as N,
    protobuf::{AlterTableCmd, AlterTableType as Alter, ColumnDef, ConstrType, Constraint, NullTestType},
};

/// What one statement means for those who use the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// They wait: what it does, and what to write instead.
    Waits { table: String, what: String },
    /// A constraint that was not checked yet; the column that it keeps from being null.
    Unchecked {
        table: String,
        name: String,
        not_null: Option<String>,
    },
    /// The check of such a constraint, which keeps nobody waiting by itself.
    Checks { table: String, name: String },
    /// Quick where a constraint that was checked says the same, and a look at all rows otherwise.
    ForbidsNull { table: String, column: String },
}

/// Functions that PostgreSQL evaluates once for all rows of a column that is added. Of any other it may
/// be wrong.
const ONCE: [&str; 12] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "lower",
    "upper",
    "coalesce",
    "to_jsonb",
    "jsonb_build_object",
    "jsonb_build_array",
    "make_interval",
    "md5",
    "concat",
];

/// What the statements of one migration do, in order.
pub(crate) fn acts(statement: &N, acts: &mut Vec<Act>) {
    match statement {
        N::IndexStmt(index) => {
            let table = index.relation.as_ref().map_or("", |range| &range.relname);
            acts.push(waits(
                table,
                format!(
                    "makes an index on `{table}`, and writes wait while it is built: put it into the release that makes the table, or force it where the tables are small"
                ),
            ));
        }
        N::AlterTableStmt(alter) => {
            let table = alter.relation.as_ref().map_or("", |range| &range.relname);
            for command in &alter.cmds {
                if let Some(N::AlterTableCmd(command)) = &command.node {
                    altered(table, command, acts);
                }
            }
        }
        _ => {}
    }
}

fn waits(table: &str, what: String) -> Act {
    Act::Waits {
        table: table.to_owned(),
        what,
    }
}

fn altered(table: &str, command: &AlterTableCmd, acts: &mut Vec<Act>) {
    let column = &command.name;
    let definition = command.def.as_ref().and_then(|def| def.node.as_ref());
    match (command.subtype(), definition) {
        (Alter::AtAlterColumnType, _) => acts.push(waits(
            table,
            format!(
                "changes the type of `{table}.{column}`, which rewrites the table while nobody can read it: add a column of the new type, write both, and drop the old one in a later release"
            ),
        )),
        (Alter::AtSetNotNull, _) => acts.push(Act::ForbidsNull {
            table: table.to_owned(),
            column: column.clone(),
        }),
        (Alter::AtAddIdentity, _) => acts.push(waits(
            table,
            format!(
                "numbers the rows of `{table}` in `{column}`, which needs the table for itself: number new rows from the service, or make a new table"
            ),
        )),
        (Alter::AtValidateConstraint, _) => acts.push(Act::Checks {
            table: table.to_owned(),
            name: column.clone(),
        }),
        (Alter::AtAddConstraint, Some(N::Constraint(constraint))) => constrained(table, constraint, acts),
        (Alter::AtAddColumn, Some(N::ColumnDef(column))) => added(table, column, acts),
        _ => {}
    }
}

fn constrained(table: &str, constraint: &Constraint, acts: &mut Vec<Act>) {
    let name = &constraint.conname;
    match constraint.contype() {
        ConstrType::ConstrCheck | ConstrType::ConstrForeign if constraint.skip_validation => {
            acts.push(Act::Unchecked {
                table: table.to_owned(),
                name: name.clone(),
                not_null: forbids_null(constraint),
            });
        }
        ConstrType::ConstrCheck | ConstrType::ConstrForeign => acts.push(waits(
            table,
            format!(
                "adds a constraint to `{table}` and looks at every row while nobody can write: add it with NOT VALID, and in a later migration `ALTER TABLE {table} VALIDATE CONSTRAINT {}`",
                if name.is_empty() { "..." } else { name }
            ),
        )),
        ConstrType::ConstrUnique | ConstrType::ConstrPrimary | ConstrType::ConstrExclusion
            if constraint.indexname.is_empty() =>
        {
            acts.push(waits(
                table,
                format!(
                    "makes an index for a constraint on `{table}` while nobody can use the table: put it into the release that makes the table, or force it where the tables are small"
                ),
            ));
        }
        ConstrType::ConstrNotnull => acts.push(Act::ForbidsNull {
            table: table.to_owned(),
            column: constraint
                .keys
                .iter()
                .find_map(|key| match &key.node {
                    Some(N::String(name)) => Some(name.sval.clone()),
                    _ => None,
                })
                .unwrap_or_default(),
        }),
        _ => {}
    }
}

fn added(table: &str, column: &ColumnDef, acts: &mut Vec<Act>) {
    let place = format!("`{table}.{}`", column.colname);
    let mut has_default = false;
    for constraint in &column.constraints {
        let Some(N::Constraint(constraint)) = &constraint.node else {
            continue;
        };
        if constraint.contype() == ConstrType::ConstrDefault {
            has_default = true;
            if constraint.raw_expr.as_deref().is_some_and(is_volatile) {
                acts.push(waits(
                    table,
                    format!(
                        "adds {place} with a default that differs from row to row, which rewrites the table while nobody can read it: add it without, and fill it from the service; `ALTER COLUMN ... SET DEFAULT` afterwards is quick"
                    ),
                ));
            }
        }
    }
    if is_serial(column) {
        acts.push(numbered(table, &place));
    }
    for constraint in &column.constraints {
        let Some(N::Constraint(constraint)) = &constraint.node else {
            continue;
        };
        match constraint.contype() {
            ConstrType::ConstrIdentity => acts.push(numbered(table, &place)),
            ConstrType::ConstrGenerated if constraint.generated_kind != "v" => acts.push(waits(
                table,
                format!(
                    "adds {place}, which is computed for every row: that rewrites the table while nobody can read it. Compute it in the query, or write it from the service"
                ),
            )),
            ConstrType::ConstrUnique | ConstrType::ConstrPrimary => acts.push(waits(
                table,
                format!("adds {place} with an index that is built while nobody can use the table: force it where the tables are small"),
            )),
            ConstrType::ConstrCheck if !constraint.skip_validation => acts.push(waits(
                table,
                format!(
                    "adds {place} with a check of every row while nobody can write: add the column, then the constraint with NOT VALID, and validate it in a later migration"
                ),
            )),
            // Null everywhere refers to nothing, and PostgreSQL does not look.
            ConstrType::ConstrForeign if has_default => acts.push(waits(
                table,
                format!("adds {place}, which refers to another table from every row, and looks at all of them while nobody can write: add it without the default"),
            )),
            _ => {}
        }
    }
}

fn numbered(table: &str, place: &str) -> Act {
    waits(
        table,
        format!(
            "adds {place}, which numbers every row and rewrites the table while nobody can read it: add a plain column, and number new rows from the service"
        ),
    )
}

fn is_serial(column: &ColumnDef) -> bool {
    let names = column.type_name.as_ref().map(|name| &name.names);
    let last = names.and_then(|names| names.last()).and_then(|name| name.node.as_ref());
    matches!(last, Some(N::String(name)) if matches!(name.sval.as_str(), "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" | "serial2"))
}

/// Whether any function in it may give another value for each row.
fn is_volatile(expression: &pg_query::protobuf::Node) -> bool {
    let Some(node) = &expression.node else { return false };
    match node {
        N::FuncCall(call) => {
            let name = call.funcname.last().and_then(|name| name.node.as_ref());
            let once = matches!(name, Some(N::String(name)) if ONCE.contains(&name.sval.as_str()));
            !once || call.args.iter().any(is_volatile)
        }
        N::TypeCast(cast) => cast.arg.as_deref().is_some_and(is_volatile),
        N::AExpr(expression) => [&expression.lexpr, &expression.rexpr]
            .into_iter()
            .any(|side| side.as_deref().is_some_and(is_volatile)),
        N::AArrayExpr(array) => array.elements.iter().any(is_volatile),
        N::CoalesceExpr(coalesce) => coalesce.args.iter().any(is_volatile),
        N::AConst(_) | N::SqlvalueFunction(_) | N::List(_) => false,
        // Not seen through: better refused than wrong.
        _ => true,
    }
}

/// The column of `CHECK (column IS NOT NULL)`.
fn forbids_null(constraint: &Constraint) -> Option<String> {
    let Some(N::NullTest(test)) = constraint.raw_expr.as_ref().and_then(|node| node.node.as_ref()) else {
        return None;
    };
    if test.nulltesttype() != NullTestType::IsNotNull {
        return None;
    }
    match test.arg.as_ref().and_then(|node| node.node.as_ref()) {
        Some(N::ColumnRef(column)) => match column.fields.last().and_then(|field| field.node.as_ref()) {
            Some(N::String(name)) => Some(name.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What is known about constraints while the migrations are read in order.
#[derive(Default)]
pub(crate) struct Constraints {
    /// Not checked yet: by whom it was added, and which column it keeps from being null.
    unchecked: HashMap<(String, String), (u32, Option<String>)>,
    /// Columns without a null, by a constraint that was checked.
    without_null: HashSet<(String, String)>,
}

impl Constraints {
    /// The table and the sentence, when somebody waits for this.
    pub(crate) fn read(&mut self, migration: u32, act: &Act) -> Option<(String, String)> {
        match act {
            Act::Waits { table, what } => Some((table.clone(), what.clone())),
            Act::Unchecked { table, name, not_null } => {
                self.unchecked
                    .insert((table.clone(), name.clone()), (migration, not_null.clone()));
                None
            }
            Act::Checks { table, name } => {
                let known = self.unchecked.remove(&(table.clone(), name.clone()))?;
                if let Some(column) = known.1 {
                    self.without_null.insert((table.clone(), column));
                }
                (known.0 == migration).then(|| {
                    (
                        table.clone(),
                        format!("validates `{name}` of `{table}` in the migration that adds it, which keeps the table locked while every row is looked at: validate it in the next migration"),
                    )
                })
            }
            Act::ForbidsNull { table, column } => {
                let is_known = self.without_null.contains(&(table.clone(), column.clone()));
                (!is_known).then(|| {
                    (
                        table.clone(),
                        format!("forbids null in `{table}.{column}` and looks at every row while nobody can use the table: first `ADD CONSTRAINT c CHECK ({column} IS NOT NULL) NOT VALID`, in the next migration `VALIDATE CONSTRAINT c`, then `SET NOT NULL`, which believes it"),
                    )
                })
            }
        }
    }
}
