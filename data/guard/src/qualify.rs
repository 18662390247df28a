//! A statement's text, cut where the schema goes.
//!
//! The tree is deparsed once with a sentinel in place of the schema and cut there, so binding a
//! tenant's schema joins strings and never parses again.

use pg_query::protobuf::ParseResult;

use crate::{Reason, Refusal};

/// Stands for the schema in a tree. No statement may contain it.
pub(crate) const SENTINEL: &str = "terrace_schema_sentinel";

/// Text with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pieces(Vec<String>);

impl Pieces {
    /// Text without a gap.
    pub(crate) fn verbatim(sql: &str) -> Self {
        Self(vec![sql.to_owned()])
    }

    /// Deparses a tree in which `gaps` names were given the sentinel.
    pub(crate) fn of_tree(tree: &ParseResult, gaps: usize) -> Result<Self, Refusal> {
        let text = deparse(tree)?;
        // The deparser is C code that prints what the parser read. Whatever it prints wrongly would
        // run unseen, so its text must parse to a tree that prints the same again.
        let again = pg_query::parse(&text, 0).map_err(|_| unprintable())?;
        if again.protobuf.stmts.len() != 1 || deparse(&again.protobuf)? != text {
            return Err(unprintable());
        }
        let pieces: Vec<String> = text.split(SENTINEL).map(str::to_owned).collect();
        if pieces.len() != gaps + 1 {
            return Err(unprintable());
        }
        Ok(Self(pieces))
    }

    pub(crate) fn bind(&self, schema: &str) -> String {
        // Schema names come from ids that accept `a-z`, `0-9` and `_` only. Should that ever
        // change, this must fail here and not become SQL.
        assert!(
            !schema.is_empty()
                && schema
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "a schema name has only a-z, 0-9 and _"
        );
        self.0.join(schema)
    }
}

fn deparse(tree: &ParseResult) -> Result<String, Refusal> {
    pg_query::deparse(tree, pg_query::DeparseOptions::default()).map_err(|_| unprintable())
}

fn unprintable() -> Refusal {
    Refusal::new(
        Reason::Construct,
        "the statement cannot be rewritten with qualified names",
    )
}
