//! Walks the parse tree of a statement: refuses what is not allowed and gives every relation the
//! sentinel schema.
//!
//! Each node is taken apart without `..`: a field that a later parser adds stops the build here,
//! and cannot become a part of the tree that nobody looked at. Expressions are in `node.rs`.

use pg_query::{
    NodeEnum as N,
    protobuf::{
        Alias, CommonTableExpr, DeleteStmt, InsertStmt, LockingClause, Node, OnConflictClause, ParseResult, RangeVar,
        ReturningClause, SelectStmt, UpdateStmt, WithClause,
    },
};

use crate::{
    Kind, Reason, Refusal, Verdict, allowed,
    cache::{STATEMENT_BYTES_MAX, too_long},
    node,
    qualify::{Pieces, SENTINEL},
};

pub(crate) type Outcome = Result<(), Refusal>;

/// Checks and qualifies one statement of a service.
pub(crate) fn statement(sql: &str) -> Result<Verdict, Refusal> {
    let mut tree = parse(sql)?;
    let [raw] = tree.stmts.as_mut_slice() else {
        return Err(Refusal::new(Reason::Count, "exactly one statement is sent at a time"));
    };
    let mut walk = Walk::new(Mode::Query);
    let kind = walk.dml(raw.stmt.as_deref_mut())?.ok_or_else(|| {
        Refusal::new(
            Reason::Statement,
            "only SELECT, VALUES, INSERT, UPDATE and DELETE may be sent",
        )
    })?;
    walk.finish()?;
    let read_only = kind == Kind::Select && !walk.has_effect;
    walk.relations.sort_unstable();
    walk.relations.dedup();
    Ok(Verdict::new(
        kind,
        read_only,
        Pieces::of_tree(&tree, walk.gaps)?,
        walk.relations,
    ))
}

/// A verdict on a statement that nobody read.
pub(crate) fn unread(sql: &str) -> Verdict {
    Verdict::new(Kind::Any, false, Pieces::verbatim(sql), Vec::new())
}

/// Parses, with the limits that keep the parser itself safe.
pub(crate) fn parse(sql: &str) -> Result<ParseResult, Refusal> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(too_long());
    }
    if sql.contains(SENTINEL) {
        return Err(Refusal::new(Reason::Name, format!("`{SENTINEL}` is reserved")));
    }
    match pg_query::parse(sql, 0) {
        Ok(parsed) => Ok(parsed.protobuf),
        Err(pg_query::Error::Parse(message)) if message.contains("stack depth") => Err(too_deep()),
        Err(pg_query::Error::Parse(message)) => Err(Refusal::new(Reason::Syntax, message)),
        Err(pg_query::Error::Conversion(_)) => Err(Refusal::new(Reason::Syntax, "a statement has no NUL character")),
        // The tree's decoder has a depth limit too; nothing else makes it fail.
        Err(_) => Err(too_deep()),
    }
}

fn too_deep() -> Refusal {
    Refusal::new(
        Reason::Size,
        "the statement is nested too deeply: at most about 40 levels",
    )
}

/// What the statement belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A statement of a running service.
    Query,
    /// A statement of a migration.
    Migration,
}

/// One pass over one statement.
pub(crate) struct Walk {
    pub(crate) mode: Mode,
    /// Names that the sentinel was given to.
    pub(crate) gaps: usize,
    /// Whether a row is written or locked, or a sequence moves, anywhere in the tree.
    pub(crate) has_effect: bool,
    /// Tables that were given the sentinel.
    relations: Vec<String>,
    /// Names of common table expressions in scope, innermost last.
    scopes: Vec<Vec<String>>,
    /// Functions in FROM: the name each goes by, and the columns that may be asked of it.
    pub(crate) table_functions: Vec<(String, Vec<String>)>,
    /// References of the form `a.b`, checked against `table_functions` at the end.
    pub(crate) references: Vec<(String, String)>,
}

impl Walk {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            gaps: 0,
            has_effect: false,
            relations: Vec::new(),
            scopes: Vec::new(),
            table_functions: Vec::new(),
            references: Vec::new(),
        }
    }

    /// What can only be known once the whole tree was seen.
    ///
    /// PostgreSQL reads `a.b` as a call of the function `b` when `a` has no such column. For a row
    /// that is harmless: what takes any row reads only that row. But a function in FROM that returns
    /// a scalar lends its value: `SELECT u.current_setting FROM unnest(ARRAY['role']) u`. So only
    /// its own columns may be asked of it.
    pub(crate) fn finish(&self) -> Outcome {
        for (relation, column) in &self.references {
            for (alias, columns) in &self.table_functions {
                if alias == relation && !columns.contains(column) {
                    return Err(Refusal::new(
                        Reason::Function,
                        format!(
                            "`{relation}.{column}`: name the columns of a function in FROM, as in `{relation}({column})`"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// SELECT, INSERT, UPDATE or DELETE; `None` when it is something else.
    pub(crate) fn dml(&mut self, node: Option<&mut Node>) -> Result<Option<Kind>, Refusal> {
        let Some(node) = node.and_then(|node| node.node.as_mut()) else {
            return Ok(None);
        };
        Ok(Some(match node {
            N::SelectStmt(select) => {
                self.select(select)?;
                Kind::Select
            }
            N::InsertStmt(insert) => {
                self.insert(insert)?;
                Kind::Insert
            }
            N::UpdateStmt(update) => {
                self.update(update)?;
                Kind::Update
            }
            N::DeleteStmt(delete) => {
                self.delete(delete)?;
                Kind::Delete
            }
            _ => return Ok(None),
        }))
    }

    pub(crate) fn select(&mut self, select: &mut SelectStmt) -> Outcome {
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op: _,
            all: _,
            larg,
            rarg,
        } = select;
        if into_clause.is_some() {
            return Err(Refusal::new(Reason::Statement, "SELECT INTO may not be used"));
        }
        self.scoped(with_clause, |walk| {
            for list in [
                distinct_clause,
                target_list,
                from_clause,
                group_clause,
                window_clause,
                values_lists,
                sort_clause,
                locking_clause,
            ] {
                // `DISTINCT` alone is a list that holds one empty node.
                walk.nodes(list)?;
            }
            for clause in [where_clause, having_clause, limit_offset, limit_count] {
                walk.optional(clause)?;
            }
            for side in [larg, rarg].into_iter().flatten() {
                walk.select(side)?;
            }
            Ok(())
        })
    }

    fn insert(&mut self, insert: &mut InsertStmt) -> Outcome {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        self.has_effect = true;
        self.scoped(with_clause, |walk| {
            walk.target(relation)?;
            walk.nodes(cols)?;
            walk.optional(select_stmt)?;
            if let Some(conflict) = on_conflict_clause {
                let OnConflictClause {
                    action: _,
                    infer,
                    target_list,
                    where_clause,
                    location: _,
                } = &mut **conflict;
                if let Some(infer) = infer {
                    walk.infer(infer)?;
                }
                walk.nodes(target_list)?;
                walk.optional(where_clause)?;
            }
            walk.returning(returning_clause)
        })
    }

    fn update(&mut self, update: &mut UpdateStmt) -> Outcome {
        let UpdateStmt {
            relation,
            target_list,
            where_clause,
            from_clause,
            returning_clause,
            with_clause,
        } = update;
        self.has_effect = true;
        self.scoped(with_clause, |walk| {
            walk.target(relation)?;
            walk.nodes(target_list)?;
            walk.nodes(from_clause)?;
            walk.optional(where_clause)?;
            walk.returning(returning_clause)
        })
    }

    fn delete(&mut self, delete: &mut DeleteStmt) -> Outcome {
        let DeleteStmt {
            relation,
            using_clause,
            where_clause,
            returning_clause,
            with_clause,
        } = delete;
        self.has_effect = true;
        self.scoped(with_clause, |walk| {
            walk.target(relation)?;
            walk.nodes(using_clause)?;
            walk.optional(where_clause)?;
            walk.returning(returning_clause)
        })
    }

    fn returning(&mut self, clause: &mut Option<ReturningClause>) -> Outcome {
        let Some(ReturningClause { options, exprs }) = clause else {
            return Ok(());
        };
        if !options.is_empty() {
            return Err(Refusal::construct("RETURNING WITH"));
        }
        self.nodes(exprs)
    }

    /// Runs `body` with the names of a WITH clause in scope.
    fn scoped(&mut self, with: &mut Option<WithClause>, body: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let Some(WithClause {
            ctes,
            recursive,
            location: _,
        }) = with
        else {
            return body(self);
        };
        // A plain WITH sees the expressions before it; a recursive one sees all, itself included.
        // Were a table's name taken for an expression's, it would stay unqualified and be looked
        // up in pg_catalog, where every name begins with `pg_`; those are refused.
        let mut names = Vec::with_capacity(ctes.len());
        for cte in ctes.iter() {
            let Some(N::CommonTableExpr(cte)) = &cte.node else {
                return Err(Refusal::construct("this WITH"));
            };
            if allowed::reserved_name(&cte.ctename) {
                return Err(reserved(&cte.ctename));
            }
            names.push(cte.ctename.clone());
        }
        self.scopes.push(if *recursive { names.clone() } else { Vec::new() });
        for (cte, name) in ctes.iter_mut().zip(names) {
            if let Some(N::CommonTableExpr(cte)) = &mut cte.node {
                self.cte(cte)?;
            }
            if !*recursive && let Some(scope) = self.scopes.last_mut() {
                scope.push(name);
            }
        }
        body(self)?;
        self.scopes.pop();
        Ok(())
    }

    fn cte(&mut self, cte: &mut CommonTableExpr) -> Outcome {
        let CommonTableExpr {
            ctename: _,
            aliascolnames,
            ctematerialized: _,
            ctequery,
            search_clause,
            cycle_clause,
            location: _,
            cterecursive: _,
            cterefcount: _,
            ctecolnames,
            ctecoltypes,
            ctecoltypmods,
            ctecolcollations,
        } = cte;
        if search_clause.is_some() || cycle_clause.is_some() {
            return Err(Refusal::construct("SEARCH or CYCLE"));
        }
        for list in [aliascolnames, ctecolnames, ctecoltypes, ctecoltypmods, ctecolcollations] {
            self.nodes(list)?;
        }
        match self.dml(ctequery.as_deref_mut())? {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                Reason::Statement,
                "only SELECT, INSERT, UPDATE and DELETE may be in WITH",
            )),
        }
    }

    /// The table that is written: never a common table expression.
    pub(crate) fn target(&mut self, relation: &mut Option<RangeVar>) -> Outcome {
        match relation {
            Some(relation) => self.qualify(relation),
            None => Err(Refusal::construct("a statement without a table")),
        }
    }

    /// A relation that is read.
    pub(crate) fn relation(&mut self, relation: &mut RangeVar) -> Outcome {
        let is_cte = relation.schemaname.is_empty()
            && relation.catalogname.is_empty()
            && self.scopes.iter().flatten().any(|name| *name == relation.relname);
        if is_cte {
            self.alias(relation.alias.as_mut())
        } else {
            self.qualify(relation)
        }
    }

    pub(crate) fn qualify(&mut self, relation: &mut RangeVar) -> Outcome {
        let RangeVar {
            catalogname,
            schemaname,
            relname,
            inh: _,
            relpersistence,
            alias,
            location: _,
        } = relation;
        if !schemaname.is_empty() || !catalogname.is_empty() {
            return Err(Refusal::new(
                Reason::Name,
                format!("`{schemaname}.{relname}`: tables are named without a schema"),
            ));
        }
        if allowed::reserved_name(relname) {
            return Err(reserved(relname));
        }
        if relpersistence != "p" {
            return Err(Refusal::new(Reason::Statement, "only permanent tables may be used"));
        }
        *schemaname = SENTINEL.to_owned();
        self.gaps += 1;
        self.relations.push(relname.clone());
        self.alias(alias.as_mut())
    }

    pub(crate) fn alias(&mut self, alias: Option<&mut Alias>) -> Outcome {
        let Some(Alias { aliasname: _, colnames }) = alias else {
            return Ok(());
        };
        self.nodes(colnames)
    }

    pub(crate) fn locking(&mut self, clause: &mut LockingClause) -> Outcome {
        let LockingClause {
            locked_rels,
            strength: _,
            wait_policy: _,
        } = clause;
        self.has_effect = true;
        for relation in locked_rels {
            match &relation.node {
                // These name entries of FROM, so they stay as they are.
                Some(N::RangeVar(relation)) if relation.schemaname.is_empty() && relation.catalogname.is_empty() => {}
                _ => return Err(Refusal::new(Reason::Name, "FOR UPDATE OF takes names without a schema")),
            }
        }
        Ok(())
    }

    pub(crate) fn nodes(&mut self, nodes: &mut [Node]) -> Outcome {
        nodes.iter_mut().try_for_each(|node| self.node(node))
    }

    pub(crate) fn optional(&mut self, node: &mut Option<Box<Node>>) -> Outcome {
        node.as_deref_mut().map_or(Ok(()), |node| self.node(node))
    }

    pub(crate) fn node(&mut self, node: &mut Node) -> Outcome {
        node.node.as_mut().map_or(Ok(()), |node| node::check(self, node))
    }
}

pub(crate) fn reserved(name: &str) -> Refusal {
    Refusal::new(
        Reason::Name,
        format!("`{name}`: names that begin with `pg_` are reserved"),
    )
}

/// The text of a String node.
pub(crate) fn text(node: &Node) -> Option<&str> {
    match &node.node {
        Some(N::String(string)) => Some(&string.sval),
        _ => None,
    }
}

/// The text of a list of String nodes.
pub(crate) fn texts(nodes: &[Node]) -> Result<Vec<&str>, Refusal> {
    nodes
        .iter()
        .map(|node| text(node).ok_or_else(|| Refusal::construct("this name")))
        .collect()
}
