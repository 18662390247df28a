//! Migrations: the DDL and DML that a service may run on its own schema, statement by statement.
//!
//! The same rules on names, functions and types as for queries. Nothing here may leave the schema,
//! grant a right, run code, or change a setting.

use pg_query::{
    NodeEnum as N,
    protobuf::{
        AlterTableCmd, AlterTableStmt, AlterTableType as Alter, ColumnDef, CommentStmt, ConstrType, Constraint,
        CreateSeqStmt, CreateStmt, DropStmt, IndexStmt, Node, ObjectType, ParseResult, RangeVar, RawStmt, RenameStmt,
    },
};

use crate::{
    Reason, Refusal, allowed,
    node::{self, kind_name, string_node},
    qualify::{Pieces, SENTINEL},
    walk::{Mode, Outcome, Walk, parse, reserved, text, texts},
};

/// One statement of a migration, with a gap for the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedStatement(Pieces);

impl QualifiedStatement {
    /// The statement with every name qualified by this schema.
    pub fn bind(&self, schema: &str) -> String {
        self.0.bind(schema)
    }
}

pub(crate) fn statements(sql: &str) -> Result<Vec<QualifiedStatement>, Refusal> {
    let tree = parse(sql)?;
    tree.stmts.into_iter().map(|raw| one(tree.version, raw)).collect()
}

fn one(version: i32, mut raw: RawStmt) -> Result<QualifiedStatement, Refusal> {
    let mut walk = Walk::new(Mode::Migration);
    if walk.dml(raw.stmt.as_deref_mut())?.is_none() {
        let Some(statement) = raw.stmt.as_mut().and_then(|node| node.node.as_mut()) else {
            return Err(Refusal::new(Reason::Statement, "an empty statement"));
        };
        ddl(&mut walk, statement)?;
    }
    walk.finish()?;
    raw.stmt_location = 0;
    raw.stmt_len = 0;
    let tree = ParseResult {
        version,
        stmts: vec![raw],
    };
    Ok(QualifiedStatement(Pieces::of_tree(&tree, walk.gaps)?))
}

fn ddl(walk: &mut Walk, statement: &mut N) -> Outcome {
    match statement {
        N::CreateStmt(create) => create_table(walk, create),
        N::IndexStmt(index) => create_index(walk, index),
        N::CreateSeqStmt(sequence) => {
            let CreateSeqStmt {
                sequence,
                options,
                owner_id: _,
                for_identity: _,
                if_not_exists: _,
            } = sequence;
            sequence_options(walk, options)?;
            walk.target(sequence)
        }
        N::AlterSeqStmt(sequence) => {
            sequence_options(walk, &mut sequence.options)?;
            walk.target(&mut sequence.sequence)
        }
        N::CreateEnumStmt(create) => own_name(walk, &mut create.type_name),
        N::AlterEnumStmt(alter) => own_name(walk, &mut alter.type_name),
        N::AlterTableStmt(alter) => alter_table(walk, alter),
        N::RenameStmt(rename) => self::rename(walk, rename),
        N::DropStmt(drop) => drop_objects(walk, drop),
        N::CommentStmt(comment) => self::comment(walk, comment),
        other => {
            let kind = kind_name(other);
            Err(Refusal::new(
                Reason::Statement,
                format!("`{kind}` may not be in a migration"),
            ))
        }
    }
}

/// A dotted name that has no place for a schema but the front.
fn own_name(walk: &mut Walk, name: &mut Vec<Node>) -> Outcome {
    match texts(name)?.as_slice() {
        [only] if !allowed::reserved_name(only) => {}
        path => {
            return Err(Refusal::new(
                Reason::Name,
                format!("`{}`: names have no schema", path.join(".")),
            ));
        }
    }
    name.insert(0, string_node(SENTINEL));
    walk.gaps += 1;
    Ok(())
}

fn create_table(walk: &mut Walk, create: &mut CreateStmt) -> Outcome {
    let CreateStmt {
        relation,
        table_elts,
        inh_relations,
        partbound,
        partspec,
        of_typename,
        constraints,
        nnconstraints,
        options,
        oncommit: _,
        tablespacename,
        access_method,
        if_not_exists: _,
    } = create;
    if !inh_relations.is_empty() || partbound.is_some() || partspec.is_some() || of_typename.is_some() {
        return Err(Refusal::construct("INHERITS, PARTITION or OF"));
    }
    if !options.is_empty() || !tablespacename.is_empty() || !access_method.is_empty() {
        return Err(Refusal::construct("a storage option, a tablespace or an access method"));
    }
    walk.target(relation)?;
    elements(walk, table_elts)?;
    elements(walk, constraints)?;
    elements(walk, nnconstraints)
}

fn elements(walk: &mut Walk, elements: &mut [Node]) -> Outcome {
    elements.iter_mut().try_for_each(|element| match &mut element.node {
        Some(N::ColumnDef(column)) => self::column(walk, column),
        Some(N::Constraint(constraint)) => self::constraint(walk, constraint),
        _ => Err(Refusal::construct("LIKE, or another element of this table")),
    })
}

fn column(walk: &mut Walk, column: &mut ColumnDef) -> Outcome {
    let ColumnDef {
        colname: _,
        type_name,
        compression,
        inhcount: _,
        is_local: _,
        is_not_null: _,
        is_from_type: _,
        storage,
        storage_name,
        raw_default,
        cooked_default,
        identity: _,
        identity_sequence,
        generated: _,
        coll_clause,
        coll_oid: _,
        constraints,
        fdwoptions,
        location: _,
    } = column;
    let is_tuned = !compression.is_empty() || !storage.is_empty() || !storage_name.is_empty() || !fdwoptions.is_empty();
    if is_tuned || cooked_default.is_some() || identity_sequence.is_some() {
        return Err(Refusal::construct("a storage option of a column"));
    }
    if let Some(name) = type_name {
        node::type_name(walk, name)?;
    }
    if let Some(clause) = coll_clause {
        walk_collation(&clause.collname)?;
    }
    walk.optional(raw_default)?;
    elements(walk, constraints)
}

fn walk_collation(name: &[Node]) -> Outcome {
    match texts(name)?.as_slice() {
        [_] | ["pg_catalog", _] => Ok(()),
        _ => Err(Refusal::new(Reason::Name, "collations are named without a schema")),
    }
}

fn constraint(walk: &mut Walk, constraint: &mut Constraint) -> Outcome {
    let Constraint {
        contype,
        conname: _,
        deferrable: _,
        initdeferred: _,
        is_enforced: _,
        skip_validation: _,
        initially_valid: _,
        is_no_inherit: _,
        raw_expr,
        cooked_expr: _,
        generated_when: _,
        generated_kind: _,
        nulls_not_distinct: _,
        keys,
        without_overlaps: _,
        including,
        exclusions,
        options,
        indexname: _,
        indexspace,
        reset_default_tblspc: _,
        access_method,
        where_clause,
        pktable,
        fk_attrs,
        pk_attrs,
        fk_with_period: _,
        pk_with_period: _,
        fk_matchtype: _,
        fk_upd_action: _,
        fk_del_action: _,
        fk_del_set_cols,
        old_conpfeqop,
        old_pktable_oid: _,
        location: _,
    } = constraint;
    if !exclusions.is_empty() || !indexspace.is_empty() || !access_method.is_empty() || !old_conpfeqop.is_empty() {
        return Err(Refusal::construct("EXCLUDE, a tablespace or an access method"));
    }
    if ConstrType::try_from(*contype) == Ok(ConstrType::ConstrIdentity) {
        sequence_options(walk, options)?;
    } else if !options.is_empty() {
        return Err(Refusal::construct("a storage option of a constraint"));
    }
    if let Some(table) = pktable {
        walk.qualify(table)?;
    }
    for list in [keys, including, fk_attrs, pk_attrs, fk_del_set_cols] {
        walk.nodes(list)?;
    }
    walk.optional(raw_expr)?;
    walk.optional(where_clause)
}

/// `START 10`, `INCREMENT BY 2` ...: numbers. `OWNED BY` and `SEQUENCE NAME` name objects.
fn sequence_options(walk: &mut Walk, options: &mut [Node]) -> Outcome {
    options.iter_mut().try_for_each(|option| match &mut option.node {
        Some(N::DefElem(option)) => match option.defname.as_str() {
            "start" | "increment" | "minvalue" | "maxvalue" | "cache" | "cycle" | "restart" | "as" => {
                walk.optional(&mut option.arg)
            }
            other => Err(Refusal::construct(&format!("the option `{other}` of a sequence"))),
        },
        _ => Err(Refusal::construct("an option of a sequence")),
    })
}

fn create_index(walk: &mut Walk, index: &mut IndexStmt) -> Outcome {
    if index.concurrent {
        return Err(Refusal::construct("CONCURRENTLY (a migration is one transaction)"));
    }
    let is_plain = index.table_space.is_empty() && index.options.is_empty() && index.exclude_op_names.is_empty();
    if !is_plain || index.index_oid != 0 || index.old_number != 0 {
        return Err(Refusal::construct("a storage option or a tablespace of an index"));
    }
    if !matches!(
        index.access_method.as_str(),
        "" | "btree" | "hash" | "gin" | "gist" | "brin" | "spgist"
    ) {
        return Err(Refusal::construct("this access method"));
    }
    walk.target(&mut index.relation)?;
    walk.nodes(&mut index.index_params)?;
    walk.nodes(&mut index.index_including_params)?;
    walk.optional(&mut index.where_clause)
}

fn alter_table(walk: &mut Walk, alter: &mut AlterTableStmt) -> Outcome {
    let AlterTableStmt {
        relation,
        cmds,
        objtype,
        missing_ok: _,
    } = alter;
    if ObjectType::try_from(*objtype) != Ok(ObjectType::ObjectTable) {
        return Err(Refusal::new(
            Reason::Statement,
            "only ALTER TABLE, SEQUENCE and TYPE may be in a migration",
        ));
    }
    walk.target(relation)?;
    for command in cmds {
        let Some(N::AlterTableCmd(command)) = &mut command.node else {
            return Err(Refusal::construct("this ALTER TABLE"));
        };
        let AlterTableCmd {
            subtype,
            name: _,
            num: _,
            newowner,
            def,
            behavior: _,
            missing_ok: _,
            recurse: _,
        } = &mut **command;
        let subtype = Alter::try_from(*subtype).unwrap_or(Alter::Undefined);
        let is_allowed = matches!(
            subtype,
            Alter::AtAddColumn
                | Alter::AtColumnDefault
                | Alter::AtDropNotNull
                | Alter::AtSetNotNull
                | Alter::AtDropExpression
                | Alter::AtDropColumn
                | Alter::AtAddConstraint
                | Alter::AtAlterConstraint
                | Alter::AtValidateConstraint
                | Alter::AtDropConstraint
                | Alter::AtAlterColumnType
                | Alter::AtAddIdentity
                | Alter::AtSetIdentity
                | Alter::AtDropIdentity
        );
        if !is_allowed || newowner.is_some() {
            return Err(Refusal::new(
                Reason::Statement,
                format!("ALTER TABLE: `{}` may not be in a migration", subtype.as_str_name()),
            ));
        }
        let Some(definition) = def.as_deref_mut() else { continue };
        match &mut definition.node {
            Some(N::ColumnDef(column)) => self::column(walk, column)?,
            Some(N::Constraint(constraint)) => self::constraint(walk, constraint)?,
            Some(N::List(list)) if subtype == Alter::AtSetIdentity => sequence_options(walk, &mut list.items)?,
            _ => walk.node(definition)?,
        }
    }
    Ok(())
}

fn rename(walk: &mut Walk, rename: &mut RenameStmt) -> Outcome {
    let RenameStmt {
        rename_type,
        relation_type: _,
        relation,
        object,
        subname: _,
        newname,
        behavior: _,
        missing_ok: _,
    } = rename;
    if allowed::reserved_name(newname) {
        return Err(reserved(newname));
    }
    match ObjectType::try_from(*rename_type) {
        Ok(
            ObjectType::ObjectTable
            | ObjectType::ObjectColumn
            | ObjectType::ObjectIndex
            | ObjectType::ObjectSequence
            | ObjectType::ObjectTabconstraint,
        ) if object.is_none() => walk.target(relation),
        Ok(ObjectType::ObjectType) => match object.as_deref_mut().and_then(|object| object.node.as_mut()) {
            Some(N::List(list)) => own_name(walk, &mut list.items),
            _ => Err(Refusal::construct("this RENAME")),
        },
        _ => Err(Refusal::new(Reason::Statement, "this RENAME may not be in a migration")),
    }
}

fn drop_objects(walk: &mut Walk, drop: &mut DropStmt) -> Outcome {
    let DropStmt {
        objects,
        remove_type,
        behavior: _,
        missing_ok: _,
        concurrent,
    } = drop;
    if *concurrent {
        return Err(Refusal::construct("CONCURRENTLY (a migration is one transaction)"));
    }
    match ObjectType::try_from(*remove_type) {
        Ok(ObjectType::ObjectTable | ObjectType::ObjectIndex | ObjectType::ObjectSequence | ObjectType::ObjectType) => {
        }
        _ => {
            return Err(Refusal::new(
                Reason::Statement,
                "only tables, indexes, sequences and types may be dropped",
            ));
        }
    }
    objects.iter_mut().try_for_each(|object| match &mut object.node {
        Some(N::List(list)) => own_name(walk, &mut list.items),
        Some(N::TypeName(name)) => own_name(walk, &mut name.names),
        _ => Err(Refusal::construct("this DROP")),
    })
}

fn comment(walk: &mut Walk, comment: &mut CommentStmt) -> Outcome {
    let CommentStmt {
        objtype,
        object,
        comment: _,
    } = comment;
    let Some(object) = object.as_deref_mut().and_then(|object| object.node.as_mut()) else {
        return Err(Refusal::construct("this COMMENT"));
    };
    let parts = match ObjectType::try_from(*objtype) {
        Ok(ObjectType::ObjectTable | ObjectType::ObjectIndex | ObjectType::ObjectSequence | ObjectType::ObjectType) => {
            1
        }
        Ok(ObjectType::ObjectColumn | ObjectType::ObjectTabconstraint) => 2,
        _ => {
            return Err(Refusal::new(
                Reason::Statement,
                "this COMMENT may not be in a migration",
            ));
        }
    };
    match object {
        N::List(list)
            if list.items.len() == parts
                && list
                    .items
                    .first()
                    .and_then(text)
                    .is_some_and(|name| !allowed::reserved_name(name)) =>
        {
            list.items.insert(0, string_node(SENTINEL));
            walk.gaps += 1;
            Ok(())
        }
        N::TypeName(name) => own_name(walk, &mut name.names),
        N::RangeVar(RangeVar { .. }) => Err(Refusal::construct("this COMMENT")),
        _ => Err(Refusal::new(Reason::Name, "COMMENT names its object without a schema")),
    }
}
