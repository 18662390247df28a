//! The expressions, one arm per kind of node. A kind without an arm is refused.

use pg_query::{
    NodeEnum as N,
    protobuf::{
        self, AExpr, AIndices, AIndirection, ColumnRef, FuncCall, IndexElem, InferClause, JoinExpr, Node,
        RangeFunction, RangeSubselect, ResTarget, SortBy, SqlValueFunction, SqlValueFunctionOp, SubLink, TypeName,
        WindowDef, a_const,
    },
};

use crate::{
    Reason, Refusal, allowed,
    qualify::SENTINEL,
    walk::{Mode, Outcome, Walk, text, texts},
};

#[expect(
    clippy::too_many_lines,
    reason = "one arm per kind of node: the allow-list reads best as one list"
)]
pub(crate) fn check(walk: &mut Walk, node: &mut N) -> Outcome {
    match node {
        // Names and constants: nothing inside that could refer to anything.
        N::AConst(_) | N::String(_) | N::Integer(_) | N::Float(_) | N::Boolean(_) | N::BitString(_) => Ok(()),
        N::AStar(_) | N::ParamRef(_) | N::SetToDefault(_) => Ok(()),
        N::List(list) => walk.nodes(&mut list.items),

        N::SelectStmt(select) => walk.select(select),
        N::RangeVar(relation) => walk.relation(relation),
        N::RangeSubselect(subselect) => {
            let RangeSubselect {
                lateral: _,
                subquery,
                alias,
            } = &mut **subselect;
            walk.optional(subquery)?;
            walk.alias(alias.as_mut())
        }
        N::RangeFunction(function) => range_function(walk, function),
        N::JoinExpr(join) => {
            let JoinExpr {
                jointype: _,
                is_natural: _,
                larg,
                rarg,
                using_clause,
                join_using_alias,
                quals,
                alias,
                rtindex: _,
            } = &mut **join;
            walk.optional(larg)?;
            walk.optional(rarg)?;
            walk.nodes(using_clause)?;
            walk.alias(join_using_alias.as_mut())?;
            walk.optional(quals)?;
            walk.alias(alias.as_mut())
        }
        N::LockingClause(clause) => walk.locking(clause),
        N::ResTarget(target) => {
            let ResTarget {
                name: _,
                indirection,
                val,
                location: _,
            } = &mut **target;
            // `SET a[1] = ...` and `INSERT INTO t (a.b)`: subscripts and fields of a column.
            for step in indirection.iter_mut() {
                if text(step).is_none() {
                    walk.node(step)?;
                }
            }
            walk.optional(val)
        }
        N::MultiAssignRef(assign) => {
            let protobuf::MultiAssignRef {
                source,
                colno: _,
                ncolumns: _,
            } = &mut **assign;
            walk.optional(source)
        }
        N::SortBy(sort) => {
            let SortBy {
                node,
                sortby_dir: _,
                sortby_nulls: _,
                use_op,
                location: _,
            } = &mut **sort;
            operator(use_op)?;
            walk.optional(node)
        }
        N::WindowDef(window) => window_def(walk, window),
        N::GroupingSet(set) => walk.nodes(&mut set.content),
        N::GroupingFunc(function) => walk.nodes(&mut function.args),

        N::ColumnRef(column) => column_ref(walk, column),
        N::AExpr(expression) => {
            let AExpr {
                kind: _,
                name,
                lexpr,
                rexpr,
                rexpr_list_start: _,
                rexpr_list_end: _,
                location: _,
            } = &mut **expression;
            operator(name)?;
            walk.optional(lexpr)?;
            walk.optional(rexpr)
        }
        N::BoolExpr(expression) => walk.nodes(&mut expression.args),
        N::NullTest(test) => walk.optional(&mut test.arg),
        N::BooleanTest(test) => walk.optional(&mut test.arg),
        N::CaseExpr(case) => {
            walk.optional(&mut case.arg)?;
            walk.nodes(&mut case.args)?;
            walk.optional(&mut case.defresult)
        }
        N::CaseWhen(when) => {
            walk.optional(&mut when.expr)?;
            walk.optional(&mut when.result)
        }
        N::CoalesceExpr(expression) => walk.nodes(&mut expression.args),
        N::MinMaxExpr(expression) => walk.nodes(&mut expression.args),
        N::AArrayExpr(array) => walk.nodes(&mut array.elements),
        N::RowExpr(row) => {
            walk.nodes(&mut row.args)?;
            walk.nodes(&mut row.colnames)
        }
        N::AIndices(indices) => {
            let AIndices {
                is_slice: _,
                lidx,
                uidx,
            } = &mut **indices;
            walk.optional(lidx)?;
            walk.optional(uidx)
        }
        N::AIndirection(indirection) => {
            let AIndirection { arg, indirection } = &mut **indirection;
            // `('role').current_setting` is a call of that function, so a field of an expression
            // cannot be told from a function here.
            if let Some(field) = indirection.iter().find_map(text) {
                return Err(Refusal::new(
                    Reason::Function,
                    format!("`(...).{field}`: a field of an expression may not be read"),
                ));
            }
            walk.optional(arg)?;
            walk.nodes(indirection)
        }
        N::SubLink(link) => {
            let SubLink {
                xpr: _,
                sub_link_type: _,
                sub_link_id: _,
                testexpr,
                oper_name,
                subselect,
                location: _,
            } = &mut **link;
            operator(oper_name)?;
            walk.optional(testexpr)?;
            walk.optional(subselect)
        }
        N::FuncCall(call) => function_call(walk, call),
        N::NamedArgExpr(argument) => walk.optional(&mut argument.arg),
        N::SqlvalueFunction(function) => sql_value(function),
        N::TypeCast(cast) => {
            let protobuf::TypeCast {
                arg,
                type_name,
                location: _,
            } = &mut **cast;
            walk.optional(arg)?;
            type_name.as_mut().map_or(Ok(()), |name| self::type_name(walk, name))
        }
        N::TypeName(name) => type_name(walk, name),
        N::CollateClause(clause) => {
            collation(&clause.collname)?;
            walk.optional(&mut clause.arg)
        }
        N::IndexElem(element) => index_element(walk, element),
        // The columns of `jsonb_to_recordset(...) AS t(id bigint, ...)`.
        N::ColumnDef(column) if column.constraints.is_empty() && column.raw_default.is_none() => {
            if let Some(clause) = &column.coll_clause {
                collation(&clause.collname)?;
            }
            column.type_name.as_mut().map_or(Ok(()), |name| type_name(walk, name))
        }
        other => Err(Refusal::construct(&format!("`{}`", kind_name(other)))),
    }
}

/// The name of a kind of node, as its Debug output begins.
pub(crate) fn kind_name(node: &N) -> String {
    let debug = format!("{node:?}");
    debug
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

impl Walk {
    pub(crate) fn infer(&mut self, infer: &mut InferClause) -> Outcome {
        let InferClause {
            index_elems,
            where_clause,
            conname: _,
            location: _,
        } = infer;
        self.nodes(index_elems)?;
        self.optional(where_clause)
    }
}

/// The grammar takes more than function calls as a function in FROM (`FROM greatest(1)`). Their names
/// would be missing from what is looked up later, and the deparser, built with assertions, ends the
/// process at one that it cannot print (`FROM nullif(1, 2)`).
fn plain_call(entry: &Node) -> Outcome {
    let first = match &entry.node {
        Some(N::List(list)) => list.items.first().and_then(|item| item.node.as_ref()),
        _ => None,
    };
    match first {
        Some(N::FuncCall(_)) => Ok(()),
        Some(other) => Err(Refusal::construct(&format!("`{}` in FROM", kind_name(other)))),
        None => Err(Refusal::construct("this function in FROM")),
    }
}

fn index_element(walk: &mut Walk, element: &mut IndexElem) -> Outcome {
    let IndexElem {
        name: _,
        expr,
        indexcolname: _,
        collation: names,
        opclass,
        opclassopts,
        ordering: _,
        nulls_ordering: _,
    } = element;
    collation(names)?;
    match texts(opclass)?.as_slice() {
        [] | [_] | ["pg_catalog", _] => {}
        _ => {
            return Err(Refusal::new(
                Reason::Name,
                "operator classes are named without a schema",
            ));
        }
    }
    if !opclassopts.is_empty() {
        return Err(Refusal::construct("an operator class with options"));
    }
    walk.optional(expr)
}

fn column_ref(walk: &mut Walk, column: &mut ColumnRef) -> Outcome {
    match column.fields.as_slice() {
        [_] => Ok(()),
        [relation, column] => {
            if let (Some(relation), Some(column)) = (text(relation), text(column)) {
                walk.references.push((relation.to_owned(), column.to_owned()));
            }
            Ok(())
        }
        _ => Err(Refusal::new(
            Reason::Name,
            "a column is named as `column` or `table.column`, without a schema",
        )),
    }
}

/// `OPERATOR(schema.+)` is refused; a plain operator is looked up in pg_catalog only.
fn operator(name: &[Node]) -> Outcome {
    match texts(name)?.as_slice() {
        [] | [_] | ["pg_catalog", _] => Ok(()),
        _ => Err(Refusal::new(Reason::Operator, "operators are named without a schema")),
    }
}

fn collation(name: &[Node]) -> Outcome {
    match texts(name)?.as_slice() {
        [] | [_] | ["pg_catalog", _] => Ok(()),
        _ => Err(Refusal::new(Reason::Name, "collations are named without a schema")),
    }
}

fn window_def(walk: &mut Walk, window: &mut WindowDef) -> Outcome {
    let WindowDef {
        name: _,
        refname: _,
        partition_clause,
        order_clause,
        frame_options: _,
        start_offset,
        end_offset,
        location: _,
    } = window;
    walk.nodes(partition_clause)?;
    walk.nodes(order_clause)?;
    walk.optional(start_offset)?;
    walk.optional(end_offset)
}

fn function_call(walk: &mut Walk, call: &mut FuncCall) -> Outcome {
    let FuncCall {
        funcname,
        args,
        agg_order,
        agg_filter,
        over,
        agg_within_group: _,
        agg_star: _,
        agg_distinct: _,
        func_variadic: _,
        funcformat: _,
        location: _,
    } = call;
    let name = match texts(funcname)?.as_slice() {
        [name] | ["pg_catalog", name] => (*name).to_owned(),
        path => {
            return Err(Refusal::new(
                Reason::Function,
                format!("`{}()`: functions are named without a schema", path.join(".")),
            ));
        }
    };
    if name == "nextval" || name == "currval" {
        sequence(walk, args)?;
    } else if !allowed::function(&name) {
        return Err(Refusal::new(
            Reason::Function,
            format!("the function `{name}()` may not be called"),
        ));
    } else {
        walk.nodes(args)?;
    }
    if funcname.len() == 1 {
        funcname.insert(0, string_node("pg_catalog"));
    }
    walk.nodes(agg_order)?;
    walk.optional(agg_filter)?;
    over.as_deref_mut().map_or(Ok(()), |window| window_def(walk, window))
}

/// The argument of `nextval('name')`: a literal name without a schema, which is qualified in place.
fn sequence(walk: &mut Walk, args: &mut [Node]) -> Outcome {
    let refusal = || {
        Refusal::new(
            Reason::Function,
            "nextval and currval take one literal name of a sequence, without a schema",
        )
    };
    let [Node { node: Some(argument) }] = args else {
        return Err(refusal());
    };
    // `'name'::regclass`, which pg_dump writes, says the same.
    if let N::TypeCast(cast) = argument
        && cast
            .type_name
            .as_ref()
            .is_some_and(|name| texts(&name.names).is_ok_and(|names| names.last() == Some(&"regclass")))
        && let Some(inner) = cast.arg.take().and_then(|inner| inner.node)
    {
        *argument = inner;
    }
    let N::AConst(constant) = argument else {
        return Err(refusal());
    };
    let Some(a_const::Val::Sval(literal)) = &mut constant.val else {
        return Err(refusal());
    };
    if !allowed::plain_name(&literal.sval) || allowed::reserved_name(&literal.sval) {
        return Err(refusal());
    }
    literal.sval = format!("{SENTINEL}.{}", literal.sval);
    walk.gaps += 1;
    walk.has_effect = true;
    Ok(())
}

fn range_function(walk: &mut Walk, range: &mut RangeFunction) -> Outcome {
    let RangeFunction {
        lateral: _,
        ordinality: _,
        is_rowsfrom: _,
        functions,
        alias,
        coldeflist,
    } = range;
    let mut names = Vec::new();
    for entry in functions.iter() {
        plain_call(entry)?;
        if let Some(N::List(list)) = &entry.node
            && let Some(Node {
                node: Some(N::FuncCall(call)),
            }) = list.items.first()
            && let Some(name) = call.funcname.last().and_then(text)
        {
            names.push(name.to_owned());
        }
    }
    let mut columns: Vec<String> = vec!["ordinality".to_owned(), "key".to_owned(), "value".to_owned()];
    columns.extend(names.iter().cloned());
    let mut relations = names;
    if let Some(alias) = alias.as_ref() {
        // The one column of a scalar function is called like its alias, unless the alias names it:
        // then the alias's name is no column any more, and would be looked up as a function.
        if alias.colnames.is_empty() {
            columns.push(alias.aliasname.clone());
        }
        columns.extend(alias.colnames.iter().filter_map(text).map(str::to_owned));
        relations.push(alias.aliasname.clone());
    }
    for column in coldeflist.iter() {
        if let Some(N::ColumnDef(column)) = &column.node {
            columns.push(column.colname.clone());
        }
    }
    // No column needs to be called like this, and every function that is would be refused.
    if let Some(hostile) = columns
        .iter()
        .find(|column| column.starts_with("pg_") || column.starts_with("lo_"))
    {
        return Err(Refusal::new(
            Reason::Name,
            format!("`{hostile}` is no name for a column of a function"),
        ));
    }
    for relation in relations {
        walk.table_functions.push((relation, columns.clone()));
    }
    walk.nodes(functions)?;
    walk.nodes(coldeflist)?;
    walk.alias(alias.as_mut())
}

fn sql_value(function: &SqlValueFunction) -> Outcome {
    use SqlValueFunctionOp as Op;
    match Op::try_from(function.op) {
        Ok(
            Op::SvfopCurrentDate
            | Op::SvfopCurrentTime
            | Op::SvfopCurrentTimeN
            | Op::SvfopCurrentTimestamp
            | Op::SvfopCurrentTimestampN
            | Op::SvfopLocaltime
            | Op::SvfopLocaltimeN
            | Op::SvfopLocaltimestamp
            | Op::SvfopLocaltimestampN,
        ) => Ok(()),
        _ => Err(Refusal::new(
            Reason::Function,
            "roles, catalogues and schemas may not be asked for",
        )),
    }
}

/// A type: built in and listed, or else one of the tenant's schema (an enum).
pub(crate) fn type_name(walk: &mut Walk, type_name: &mut TypeName) -> Outcome {
    let TypeName {
        names,
        type_oid,
        setof,
        pct_type,
        typmods,
        typemod: _,
        array_bounds,
        location: _,
    } = type_name;
    if *setof || *pct_type || *type_oid != 0 {
        return Err(Refusal::new(Reason::Type, "SETOF and %TYPE may not be used"));
    }
    walk.nodes(typmods)?;
    walk.nodes(array_bounds)?;
    let is_serial = |name: &str| walk.mode == Mode::Migration && allowed::serial_type(name);
    let own = match texts(names)?.as_slice() {
        [name] if allowed::builtin_type(name) || is_serial(name) => false,
        ["pg_catalog", name] if allowed::builtin_type(name) => false,
        [name] if !allowed::denied_type(name) => true,
        path => {
            return Err(Refusal::new(
                Reason::Type,
                format!("the type `{}` may not be used", path.join(".")),
            ));
        }
    };
    if own {
        names.insert(0, string_node(SENTINEL));
        walk.gaps += 1;
    }
    Ok(())
}

pub(crate) fn string_node(text: &str) -> Node {
    Node {
        node: Some(N::String(protobuf::String { sval: text.to_owned() })),
    }
}
