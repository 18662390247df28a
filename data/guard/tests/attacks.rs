//! Everything in `attacks/` is refused, and what services need is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;

use corpus::corpus;
use terrace_data_guard::{Guard, Kind, Reason, Seal, SealError, without_values};

const SCHEMA: &str = "t_aaaaaaaa_tasks";
const OTHER: &str = "t_bbbbbbbb_tasks";

fn bound(sql: &str) -> String {
    Guard::new(16)
        .check(sql)
        .unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
        .bind(SCHEMA)
}

#[test]
fn every_attack_is_refused_and_says_why() {
    let guard = Guard::new(2_000);
    let attacks = corpus("attacks", OTHER);
    assert!(
        attacks
            .iter()
            .all(|attack| attack.param.is_none() || attack.sql.contains("$1"))
    );
    assert!(attacks.len() >= 900, "{} attacks were found", attacks.len());
    let passed: Vec<_> = attacks
        .iter()
        .filter(|attack| guard.check(&attack.sql).is_ok())
        .collect();
    let lines: Vec<_> = passed.iter().map(|attack| (&attack.trick, &attack.line)).collect();
    assert!(passed.is_empty(), "these passed: {lines:#?}");
    for attack in &attacks {
        // A second time, from memory.
        assert!(!guard.check(&attack.sql).unwrap_err().message.is_empty());
    }
}

#[test]
fn what_only_looks_like_an_attack_passes_and_names_nothing_of_another_schema() {
    for lookalike in corpus("lookalikes", OTHER) {
        let text = bound(&lookalike.sql);
        // The other's name may stand in a text, in an alias, in a comment; never before a dot.
        assert!(!text.contains(&format!("FROM {OTHER}.")), "{text}");
    }
}

#[test]
fn no_attack_passes_as_a_migration_that_names_another_schema_or_changes_rights() {
    let guard = Guard::new(16);
    let passed: Vec<_> = corpus("attacks", OTHER)
        .into_iter()
        .filter(|attack| guard.migration(&attack.sql).is_ok())
        .map(|attack| attack.line)
        .collect();
    // Definitions of the schema's own, and several plain statements: what migrations are for. `;` and
    // a comment are empty ones, which do nothing.
    let allowed = [
        "SELECT 1; SELECT 2",
        "SELECT 1; SELECT 2; SELECT 3",
        ";",
        "/* only a comment */",
        "CREATE TABLE a (b int)",
        "DROP TABLE items",
        "ALTER TABLE items ADD COLUMN a int",
        "COMMENT ON TABLE items IS 'x'",
    ];
    let unexpected: Vec<_> = passed.iter().filter(|line| !allowed.contains(&line.as_str())).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert_eq!(passed.len(), allowed.len());
}

#[test]
fn tables_are_qualified_and_common_table_expressions_are_not() {
    assert_eq!(
        bound("SELECT * FROM boards WHERE id = $1"),
        format!("SELECT * FROM {SCHEMA}.boards WHERE id = $1")
    );
    assert_eq!(
        bound("WITH boards AS (SELECT * FROM boards) SELECT * FROM boards"),
        format!("WITH boards AS (SELECT * FROM {SCHEMA}.boards) SELECT * FROM boards")
    );
    assert_eq!(
        bound("WITH RECURSIVE tree AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM tree) SELECT n FROM tree, nodes"),
        format!(
            "WITH RECURSIVE tree AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM tree) SELECT n FROM tree, {SCHEMA}.nodes"
        )
    );
    // The second may see the first, never the other way round; outside, neither is known.
    let text = bound("SELECT * FROM (WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b) x, a");
    assert_eq!(text.matches(SCHEMA).count(), 2, "{text}");
    // What is written is always a table.
    let text = bound("WITH items AS (SELECT 1) INSERT INTO items SELECT * FROM items");
    assert!(
        text.contains(&format!("INSERT INTO {SCHEMA}.items SELECT * FROM items")),
        "{text}"
    );
}

#[test]
fn what_services_write_every_day_passes() {
    let statements = [
        (
            "SELECT id, title, count(*) OVER () AS total FROM boards ORDER BY id LIMIT $1 OFFSET $2",
            Kind::Select,
        ),
        ("VALUES (1), (2)", Kind::Select),
        (
            "INSERT INTO boards (title) VALUES ($1) RETURNING id, created_at",
            Kind::Insert,
        ),
        (
            "INSERT INTO usage AS u (k, n) VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET n = u.n + excluded.n RETURNING n",
            Kind::Insert,
        ),
        (
            "INSERT INTO t (a) SELECT x FROM unnest($1::text[]) AS u(x) ON CONFLICT DO NOTHING",
            Kind::Insert,
        ),
        (
            "UPDATE tasks SET title = coalesce($2, title), version = version + 1, updated_at = now() WHERE id = $1",
            Kind::Update,
        ),
        ("UPDATE tasks SET (a, b) = (SELECT 1, 2) WHERE id = $1", Kind::Update),
        (
            "DELETE FROM tasks USING boards WHERE tasks.board = boards.id AND boards.id = $1",
            Kind::Delete,
        ),
        (
            "SELECT id FROM jobs WHERE due <= now() ORDER BY due FOR UPDATE OF jobs SKIP LOCKED LIMIT 1",
            Kind::Select,
        ),
        (
            "WITH gone AS (DELETE FROM tasks WHERE board = $1 RETURNING id) SELECT count(*) FROM gone",
            Kind::Select,
        ),
        (
            "SELECT b.id, jsonb_agg(jsonb_build_object('id', t.id) ORDER BY t.position) FILTER (WHERE t.id IS NOT NULL) FROM boards b LEFT JOIN tasks t ON t.board = b.id GROUP BY b.id",
            Kind::Select,
        ),
        (
            "SELECT * FROM jsonb_to_recordset($1) AS x(id bigint, title text)",
            Kind::Select,
        ),
        ("SELECT e.key, e.value FROM items, jsonb_each(data) AS e", Kind::Select),
        (
            "SELECT data->>'a', data @> '{\"b\":1}', title ILIKE '%' || $1 || '%', extract(epoch from at), at AT TIME ZONE 'UTC' FROM items",
            Kind::Select,
        ),
        (
            "SELECT CASE WHEN a IN (1, 2) THEN 'x' ELSE NULL END, (a, b) < (1, 2), a BETWEEN 1 AND 2, NOT a IS NULL FROM items",
            Kind::Select,
        ),
        (
            "SELECT 'todo'::task_column, $1::timestamptz + interval '1 day', cast(a AS numeric(10, 2)) FROM items",
            Kind::Select,
        ),
        (
            "SELECT nextval('tickets'), gen_random_uuid(), current_timestamp, g FROM generate_series(1, 3) AS g",
            Kind::Select,
        ),
        (
            "SELECT grouping(a), sum(b) FROM items GROUP BY ROLLUP (a) HAVING sum(b) > 0 WINDOW w AS (PARTITION BY a)",
            Kind::Select,
        ),
        (
            "SELECT title FROM boards UNION ALL SELECT title FROM tasks ORDER BY title COLLATE \"C\"",
            Kind::Select,
        ),
    ];
    let guard = Guard::new(100);
    for (sql, kind) in statements {
        let verdict = guard.check(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
        assert_eq!(verdict.kind(), kind, "{sql}");
        let text = verdict.bind(SCHEMA);
        assert!(!text.contains("sentinel"), "{text}");
    }
    assert_eq!(
        bound("SELECT nextval('tickets')"),
        format!("SELECT pg_catalog.nextval('{SCHEMA}.tickets')")
    );
}

#[test]
fn only_what_changes_and_locks_nothing_is_read_only() {
    let guard = Guard::new(16);
    let is_read_only = |sql: &str| guard.check(sql).unwrap().is_read_only();
    assert!(is_read_only("SELECT * FROM a"));
    assert!(!is_read_only("SELECT * FROM a FOR UPDATE"));
    assert!(!is_read_only("SELECT nextval('a')"));
    assert!(!is_read_only("WITH d AS (DELETE FROM a RETURNING 1) SELECT * FROM d"));
    assert!(!is_read_only("INSERT INTO a VALUES (1)"));
}

#[test]
fn a_verdict_is_remembered_and_has_a_number_of_its_own() {
    let guard = Guard::new(2);
    let first = guard.check("SELECT 1").unwrap();
    assert_eq!(guard.check("SELECT 1").unwrap().number(), first.number());
    assert_ne!(guard.check("SELECT 2").unwrap().number(), first.number());
}

#[test]
fn nothing_that_is_too_long_or_too_deep_can_hurt_the_process() {
    let guard = Guard::new(16);
    let deep = [
        format!("SELECT {}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("SELECT {}1", "- ".repeat(30_000)),
        format!("SELECT {}1", "NOT ".repeat(15_000)),
        format!("SELECT {}", vec!["1"; 20_000].join("+")),
        format!("{}SELECT 1{}", "SELECT (".repeat(5_000), ")".repeat(5_000)),
        format!(
            "SELECT * FROM {}a{}",
            "(SELECT * FROM ".repeat(3_000),
            ")x".repeat(3_000)
        ),
        format!("SELECT a{}", "[1]".repeat(20_000)),
    ];
    for sql in deep {
        // `(((1)))` has no depth in the tree; the others must be refused. None may overflow.
        let outcome = guard.check(&sql);
        assert!(
            outcome.is_ok()
                || matches!(
                    outcome.unwrap_err().reason,
                    Reason::Size | Reason::Syntax | Reason::Construct
                ),
            "{}",
            &sql[..40]
        );
    }
    assert_eq!(guard.check(&" ".repeat(70_000)).unwrap_err().reason, Reason::Size);
    assert_eq!(guard.check("SELECT '\0'").unwrap_err().reason, Reason::Syntax);
    assert_eq!(
        guard.check("SELECT terrace_schema_sentinel.a").unwrap_err().reason,
        Reason::Name
    );
    assert_eq!(
        guard
            .check("SELECT U&'terrace_schema\\005Fsentinel'")
            .unwrap_err()
            .reason,
        Reason::Construct
    );
}

#[test]
fn a_migration_is_split_qualified_and_held_to_the_same_rules() {
    let guard = Guard::new(16);
    let sql = "
        CREATE TYPE task_column AS ENUM ('todo', 'doing', 'done');
        CREATE TABLE boards (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL CHECK (length(title) <= 200), created_at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE tasks (id bigserial PRIMARY KEY, board bigint NOT NULL REFERENCES boards (id) ON DELETE CASCADE, col task_column NOT NULL DEFAULT 'todo'::task_column, UNIQUE (board, id));
        CREATE UNIQUE INDEX tasks_board ON tasks (board, lower(col::text) DESC) INCLUDE (id) WHERE col <> 'done';
        CREATE SEQUENCE tickets START 100;
        ALTER TABLE tasks ADD COLUMN note text DEFAULT '', ALTER COLUMN note SET NOT NULL, ADD CONSTRAINT f FOREIGN KEY (board) REFERENCES boards (id), ALTER COLUMN col TYPE text USING col::text;
        ALTER TABLE tasks RENAME COLUMN note TO remark;
        ALTER TYPE task_column ADD VALUE 'later';
        COMMENT ON COLUMN tasks.remark IS 'free text';
        INSERT INTO boards (title) VALUES ('first');
        DROP INDEX IF EXISTS tasks_board;
        DROP TYPE task_column;
        DROP TABLE tasks, boards CASCADE;
    ";
    let statements = guard.migration(sql).unwrap_or_else(|refusal| panic!("{refusal}"));
    let texts: Vec<String> = statements.iter().map(|statement| statement.bind(SCHEMA)).collect();
    assert_eq!(texts.len(), 13);
    assert_eq!(
        texts[0],
        format!("CREATE TYPE {SCHEMA}.task_column AS ENUM ('todo', 'doing', 'done')")
    );
    assert!(
        texts[2].contains(&format!("REFERENCES {SCHEMA}.boards"))
            && texts[2].contains(&format!("{SCHEMA}.task_column")),
        "{}",
        texts[2]
    );
    assert!(texts[3].contains(&format!("ON {SCHEMA}.tasks")), "{}", texts[3]);
    assert!(texts[8].contains(&format!("{SCHEMA}.tasks.remark")), "{}", texts[8]);
    assert_eq!(texts[12], format!("DROP TABLE {SCHEMA}.tasks, {SCHEMA}.boards CASCADE"));

    for refused in [
        "CREATE TABLE other.a (b int)",
        "CREATE TABLE a (b int REFERENCES other.c)",
        "CREATE TABLE a (b int DEFAULT pg_sleep(1))",
        "CREATE TABLE a (b regclass)",
        "CREATE TABLE a (LIKE other.b)",
        "CREATE TABLE a (b int) INHERITS (c)",
        "CREATE TEMP TABLE a (b int)",
        "CREATE TABLE a (b int) TABLESPACE c",
        "CREATE TABLE pg_a (b int)",
        "CREATE TABLE a AS SELECT 1",
        "CREATE INDEX CONCURRENTLY a ON b (c)",
        "CREATE INDEX a ON b ((pg_sleep(1)))",
        "ALTER TABLE a OWNER TO other",
        "ALTER TABLE a SET SCHEMA other",
        "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE a INHERIT b",
        "CREATE SEQUENCE a OWNED BY other.b.c",
        "DROP TABLE other.a",
        "DROP SCHEMA other",
        "DROP FUNCTION f()",
        "CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()",
        "CREATE POLICY p ON a",
        "GRANT ALL ON a TO PUBLIC",
        "SET ROLE other",
        "CREATE TABLE a (b int); RESET ROLE",
    ] {
        assert!(guard.migration(refused).is_err(), "{refused}");
    }
}

/// A statement that makes PostgreSQL's deparser fail an assertion. Compiled with assertions, this
/// test does not fail: it ends the process, as such a statement would end a node.
#[test]
fn the_parser_is_compiled_without_assertions() {
    let parsed = pg_query::parse("SELECT * FROM nullif(1, 2)", pg_query::ParserOptions::default()).unwrap();
    drop(pg_query::deparse(&parsed.protobuf, pg_query::DeparseOptions::default()));
}

#[test]
fn a_seal_allows_the_statements_of_its_list_whatever_their_values_and_no_other() {
    let guard = Guard::new(64);
    let list = [
        "SELECT id, title FROM boards WHERE owner = $1 ORDER BY id LIMIT 50",
        "UPDATE boards SET title = $1 WHERE id = $2",
        "SELECT * FROM orders_2024",
    ];
    let seal = Seal::of(&guard, list).unwrap();
    assert_eq!(seal.len(), 3);
    let allows = |sql: &str| {
        let verdict = guard.check(sql).unwrap();
        let fingerprint = verdict.fingerprint(sql).unwrap();
        assert_eq!(verdict.fingerprint(sql), Some(fingerprint), "computed once");
        seal.allows(fingerprint)
    };
    for same in [
        list[0],
        "select id,title from boards where owner=$1 order by id limit 10 -- the same",
        "SELECT id, title FROM boards WHERE owner = 'x' ORDER BY id LIMIT 50",
        "UPDATE boards SET title = 'a' WHERE id = 7",
    ] {
        assert!(allows(same), "{same}");
    }
    // What an injection would make of them.
    for injected in [
        "SELECT id, title FROM boards WHERE owner = '' OR true ORDER BY id LIMIT 50",
        "SELECT id, title FROM boards WHERE owner = '' UNION SELECT id, secret FROM secret ORDER BY id LIMIT 50",
        "SELECT id, title FROM boards WHERE owner = (SELECT min(owner) FROM boards) ORDER BY id LIMIT 50",
        "SELECT id, title, owner FROM boards WHERE owner = $1 ORDER BY id LIMIT 50",
        "SELECT id, title FROM secret WHERE owner = $1 ORDER BY id LIMIT 50",
        "UPDATE boards SET title = $1",
        "UPDATE boards SET title = $1 WHERE id = $2 OR id > 0",
        "UPDATE boards SET title = $1, owner = 'me' WHERE id = $2",
        "DELETE FROM boards WHERE id = $1",
        "SELECT * FROM orders_2025",
    ] {
        assert!(!allows(injected), "{injected}");
    }
}

#[test]
fn a_list_cannot_allow_what_the_guard_refuses() {
    let guard = Guard::new(16);
    let error = Seal::of(&guard, ["SELECT 1", "RESET ROLE"]).unwrap_err();
    assert!(matches!(&error, SealError::Refused { number: 2, .. }), "{error}");
    assert!(error.to_string().contains("RESET ROLE"), "{error}");
}

#[test]
fn what_is_logged_of_a_statement_has_no_values() {
    let shape = without_values("SELECT * FROM member WHERE email = 'ada@example.com' AND id = 7");
    assert!(
        !shape.contains("ada") && !shape.contains('7') && shape.contains("email"),
        "{shape}"
    );
}

#[test]
fn a_verdict_knows_the_tables_that_a_backend_will_remember() {
    let sql = "WITH a AS (SELECT * FROM boards) SELECT * FROM a, boards, tasks";
    assert_eq!(Guard::new(1).check(sql).unwrap().relations(), ["boards", "tasks"]);
}
