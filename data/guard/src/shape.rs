//! A statement's shape: its text without the values in it, for logs and for operators.
//!
//! Made from the tokens of PostgreSQL's own scanner: nothing but names, keywords, operators and numbered
//! parameters is copied, so a kind of literal, a comment or a construct that nobody thought of leaves
//! nothing behind. `pg_query::normalize` keeps comments.

use pg_query::protobuf::Token;

/// Most characters of a shape.
const CHARS_MAX: usize = 400;

/// Most bytes of a text that is scanned for one; the rest of a longer text would not be shown anyway, but
/// cut anywhere it could begin in the middle of a literal, so it has no shape at all.
const BYTES_MAX: usize = crate::cache::STATEMENT_BYTES_MAX;

/// The statement with every constant replaced by a parameter: its shape tells what was tried, and holds
/// nobody's data. Comments are left out, and so is a quoted name that no table would have. At most 400
/// characters.
pub fn without_values(sql: &str) -> String {
    if sql.len() > BYTES_MAX {
        return "(a text that is too long)".to_owned();
    }
    match shape(sql) {
        Some(shape) => shape.chars().take(CHARS_MAX).collect(),
        None => "(a text that does not parse)".to_owned(),
    }
}

fn shape(sql: &str) -> Option<String> {
    let tokens = pg_query::scan_tokens(sql).ok()?;
    let text = |start: i32, end: i32| sql.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?);
    let given = tokens
        .iter()
        .filter(|token| token.token == Token::Param as i32)
        .filter_map(|token| text(token.start, token.end)?.strip_prefix('$')?.parse::<u32>().ok())
        .max();
    let mut next = given.unwrap_or(0);
    let mut shape = String::with_capacity(sql.len().min(4 * CHARS_MAX));
    let mut end = 0;
    for token in tokens {
        let is_apart = token.start > end && !shape.is_empty();
        // One that begins inside the one before it cannot be told from a part of a literal.
        if token.start < end || is(token.token, &[Token::SqlComment, Token::CComment]) {
            continue;
        }
        if is_apart {
            shape.push(' ');
        }
        end = token.end;
        if is(token.token, &LITERALS) {
            next = next.saturating_add(1);
            shape.push('$');
            shape.push_str(&next.to_string());
        } else {
            shape.push_str(name(text(token.start, token.end)?));
        }
        if shape.len() > 4 * CHARS_MAX {
            break;
        }
    }
    Some(shape)
}

const LITERALS: [Token; 7] = [
    Token::Sconst,
    Token::Usconst,
    Token::Iconst,
    Token::Fconst,
    Token::Bconst,
    Token::Xconst,
    // `U&"..."` is a name in any spelling; no service needs it, and nobody would recognise a value in it.
    Token::Uident,
];

fn is(token: i32, kinds: &[Token]) -> bool {
    kinds.iter().any(|kind| *kind as i32 == token)
}

/// A name as it is, unless it is quoted and holds what names of tables and columns do not.
fn name(text: &str) -> &str {
    let Some(quoted) = text.strip_prefix('"') else {
        return text;
    };
    let quoted = quoted.strip_suffix('"').unwrap_or(quoted);
    let is_plain = quoted.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
    if is_plain { text } else { "\"...\"" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_literal_and_no_comment_is_left_in_a_shape() {
        let secret = "hunter2";
        for sql in [
            "SELECT * FROM member WHERE email = 'hunter2'",
            "SELECT * FROM member WHERE email = E'hunter2\\n' OR email = $a$hunter2$a$",
            "SELECT * FROM member WHERE email = U&'hunter2' UESCAPE '!'",
            "SELECT 'a'\n'hunter2'",
            "SELECT 1 /* hunter2 /* hunter2 */ */ -- hunter2",
            "SELECT 1 AS \"hunter2@acme.example\"",
            "SELECT date 'hunter2', interval 'hunter2' day, B'101', X'1F'",
            "SELECT a FROM b WHERE c IN ('hunter2', 'x') LIMIT 5 -- hunter2",
            "INSERT INTO a VALUES ('it''s hunter2'), ('\u{1F511} hunter2')",
            "SELECT 'hunter2",
            "not SQL at all: 'hunter2'",
        ] {
            let shape = without_values(sql);
            assert!(!shape.contains(secret), "{sql}: {shape}");
            for digits in ["101", "1F", "5 "] {
                assert!(!shape.contains(digits), "{sql}: {shape}");
            }
        }
    }

    #[test]
    fn a_shape_reads_as_the_statement_did() {
        let cases = [
            (
                "SELECT  id,\n  title FROM board WHERE id=$1 AND title = 'x' LIMIT 10",
                "SELECT id, title FROM board WHERE id=$1 AND title = $2 LIMIT $3",
            ),
            ("SELECT \"Odd\" /* why */ FROM t", "SELECT \"Odd\" FROM t"),
        ];
        for (sql, shape) in cases {
            assert_eq!(without_values(sql), shape);
        }
        let long = format!("SELECT {} FROM t", vec!["column_name"; 500].join(", "));
        assert_eq!(without_values(&long).chars().count(), CHARS_MAX);
    }
}
