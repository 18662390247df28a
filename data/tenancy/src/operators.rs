//! The people who run the platform. Passwords are hashed and checked by control; here is only the hash.

use tokio_postgres::Row;

use crate::{Directory, Error};

/// An operator that is to be made.
#[derive(Clone)]
pub struct NewOperator {
    /// Compared without regard to case.
    pub email: String,
    /// The name that people see.
    pub name: String,
    /// PHC string of argon2id.
    pub password_hash: String,
}

/// One operator.
#[derive(Clone)]
pub struct Operator {
    /// Its number.
    pub id: i64,
    /// In lower case.
    pub email: String,
    /// The name that people see.
    pub name: String,
    /// PHC string of argon2id.
    pub password_hash: String,
}

impl Directory {
    /// Makes an operator, or gives the one with this address a new name and password.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn put_operator(&self, new: NewOperator) -> Result<Operator, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_one(
                "INSERT INTO terrace.operator (email, name, password_hash) VALUES (lower($1), $2, $3)
                 ON CONFLICT (email) DO UPDATE SET name = excluded.name, password_hash = excluded.password_hash
                 RETURNING id, email, name, password_hash",
                &[&new.email, &new.name, &new.password_hash],
            )
            .await?;
        operator(&row)
    }

    /// The operator with this address.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn operator(&self, email: &str) -> Result<Option<Operator>, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt(
                "SELECT id, email, name, password_hash FROM terrace.operator WHERE email = lower($1)",
                &[&email],
            )
            .await?;
        row.as_ref().map(operator).transpose()
    }
}

fn operator(row: &Row) -> Result<Operator, Error> {
    Ok(Operator {
        id: row.try_get(0)?,
        email: row.try_get(1)?,
        name: row.try_get(2)?,
        password_hash: row.try_get(3)?,
    })
}
