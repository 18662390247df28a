//! Decides from the parse tree whether a statement may run, and qualifies its names.
//!
//! PostgreSQL's own parser (through `pg_query`) makes the tree; what is not on an allow-list is
//! refused, so that a construct nobody thought of is refused too. The names of relations are bound
//! to a schema here, and nowhere else: nothing rests on `search_path`. The router and the migrations
//! call it. It never talks to a database, so it cannot know what a name refers to there: that fence
//! is the roles'.

mod allowed;
mod cache;
mod migration;
mod node;
mod qualify;
mod refusal;
mod seal;
mod shape;
mod verdict;
mod walk;

pub use cache::Guard;
pub use migration::QualifiedStatement;
pub use refusal::{Reason, Refusal};
pub use seal::{Seal, SealError};
pub use shape::without_values;
pub use verdict::{Kind, Verdict};
