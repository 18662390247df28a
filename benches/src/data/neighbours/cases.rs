//! The neighbours: what each sends to ours, and what to the peer.

use std::time::Duration;

/// One kind of neighbour.
pub(super) struct Case {
    /// How many requests of it run at the same time.
    pub(super) callers: usize,
    /// With ours: what it wants, then the worst that is let through, then variants.
    pub(super) ours: Vec<Load>,
    /// With the peer, where nothing is refused: the tables are its own.
    pub(super) naive: Naive,
}

/// What a neighbour does with ours.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) act: Act,
    /// Whether it has the victim's lane.
    pub(super) is_mate: bool,
}

impl Load {
    /// Whether it is the platform that does it.
    pub(super) fn is_platform(&self) -> bool {
        matches!(self.act, Act::Create | Act::Migrate)
    }
}

/// How.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// A statement, again and again.
    Again(&'static str),
    /// A statement whose text is another each time.
    AnotherEachTime(&'static str),
    /// A transaction with these statements that is left open.
    Hold(&'static [&'static str]),
    /// Tenants are created.
    Create,
    /// A release with a migration is activated.
    Migrate,
}

/// The same for the peer; several statements in one text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Naive {
    Again(&'static str),
    Hold(&'static str),
    Create,
    Migrate,
}

/// How long an open transaction is left open.
pub(super) const HELD: Duration = Duration::from_secs(3);

/// Tenants that are asked for in a second.
pub(super) const CREATIONS_A_SECOND: u32 = 50;

const SPILLING_SORT: &str = "SELECT count(*) FROM (SELECT md5(n::text) AS hash FROM generate_series(1, 400000) n ORDER BY hash OFFSET 1) sorted";
const OPEN_UPDATE: &str = "UPDATE board SET created_by = 'eve' WHERE id <= 20000";
const SCAN: &str = "SELECT count(*) FROM board WHERE title LIKE '%77%7'";

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn all() -> Vec<Case> {
    let load = |name, act| Load {
        name,
        act,
        is_mate: false,
    };
    let mate = |name, act| Load {
        name,
        act,
        is_mate: true,
    };
    vec![
        Case {
            callers: 1,
            ours: vec![
                load(
                    "exclusive locks on all tables",
                    Act::Hold(&["LOCK TABLE board, task, comment, counter IN ACCESS EXCLUSIVE MODE"]),
                ),
                load(
                    "all rows locked for update",
                    Act::Hold(&["SELECT count(*) FROM (SELECT id FROM board FOR UPDATE) locked"]),
                ),
            ],
            naive: Naive::Hold("LOCK TABLE board, task, comment, counter IN ACCESS EXCLUSIVE MODE"),
        },
        Case {
            callers: 1,
            ours: vec![
                load(
                    "open DDL",
                    Act::Hold(&[
                        "ALTER TABLE board ADD COLUMN more text",
                        "CREATE TABLE more (id bigint)",
                    ]),
                ),
                load("an open update of 20,000 rows", Act::Hold(&[OPEN_UPDATE])),
            ],
            naive: Naive::Hold("ALTER TABLE board ADD COLUMN more text; CREATE TABLE more (id bigint)"),
        },
        Case {
            callers: 8,
            ours: vec![
                load("a DDL storm", Act::Again("CREATE TABLE storm (id bigint)")),
                load(
                    "statements that are new each time",
                    Act::AnotherEachTime("SELECT title FROM board WHERE id = "),
                ),
            ],
            naive: Naive::Again("CREATE TABLE storm_{caller} (id bigint PRIMARY KEY); DROP TABLE storm_{caller}"),
        },
        Case {
            callers: 8,
            ours: vec![
                load(
                    "an advisory-lock flood",
                    Act::Again("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) n"),
                ),
                load(
                    "a row that everybody updates",
                    Act::Again("UPDATE board SET created_by = 'eve' WHERE id = 1"),
                ),
            ],
            naive: Naive::Again("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) n"),
        },
        Case {
            callers: 8,
            ours: vec![
                load("temp-table churn", Act::Again("CREATE TEMP TABLE churn (id bigint)")),
                load("sorts that spill to disk", Act::Again(SPILLING_SORT)),
            ],
            naive: Naive::Again(
                "CREATE TEMP TABLE churn AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n; DROP TABLE churn",
            ),
        },
        Case {
            callers: 8,
            ours: vec![load(
                "long transactions",
                Act::Hold(&["SELECT count(*) FROM board", OPEN_UPDATE]),
            )],
            naive: Naive::Hold("SELECT count(*) FROM board"),
        },
        Case {
            callers: 64,
            ours: vec![
                load("connection hoarding", Act::Hold(&["SELECT 1"])),
                mate("connection hoarding", Act::Hold(&["SELECT 1"])),
            ],
            naive: Naive::Hold("SELECT 1"),
        },
        Case {
            callers: 8,
            ours: vec![
                load("whole-table scans", Act::Again(SCAN)),
                mate("whole-table scans", Act::Again(SCAN)),
            ],
            naive: Naive::Again(SCAN),
        },
        Case {
            callers: 8,
            ours: vec![
                load("a NOTIFY flood", Act::Again("NOTIFY flood, 'a neighbour'")),
                load(
                    "inserts of 7 kB each",
                    Act::Again(
                        "INSERT INTO board (title, created_by) SELECT string_agg(md5(n::text), ''), 'eve' FROM generate_series(1, 218) n",
                    ),
                ),
            ],
            naive: Naive::Again("SELECT pg_notify('flood', repeat('x', 7000))"),
        },
        Case {
            callers: 8,
            ours: vec![load("50 tenants a second being created, cold", Act::Create)],
            naive: Naive::Create,
        },
        Case {
            callers: 4,
            ours: vec![load("a migration of all tenants", Act::Migrate)],
            naive: Naive::Migrate,
        },
    ]
}
