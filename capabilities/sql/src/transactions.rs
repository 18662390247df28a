//! The transactions that a request has open, and the events and jobs that will commit with them.

use std::sync::atomic::{AtomicU64, Ordering};

use terrace_compute_capability::Guest;
use terrace_data_router::Transaction;
use terrace_events_outbox::{EFFECTS_MAX, Effect, epilogue_of, last_seq};
use wasmtime::component::Resource;

use crate::{
    Database,
    bindings::terrace::platform::sql::{Error, ErrorKind},
    principal,
};

/// What a guest holds: a number. The transaction itself ends with the request.
#[derive(Debug)]
pub struct TransactionHandle(u64);

/// Numbers are never used twice, so a handle that a guest kept from an earlier request finds nothing.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The request's state. Dropped when the request ends, which rolls back what is still open.
#[derive(Default)]
struct Transactions {
    open: Vec<Open>,
    /// Whether a commit has advanced the cursor for this delivery.
    has_consumed: bool,
}

struct Open {
    number: u64,
    transaction: Transaction,
    effects: Vec<Effect>,
    /// How many events and jobs there were at each savepoint.
    marks: Vec<(u32, usize)>,
}

fn error(kind: ErrorKind, message: &str) -> Error {
    Error {
        kind,
        message: message.to_owned(),
        sqlstate: None,
        constraint: None,
    }
}

fn over() -> Error {
    error(ErrorKind::Other, "the transaction is over")
}

pub(crate) async fn begin(guest: &mut Guest) -> wasmtime::Result<Result<Resource<TransactionHandle>, Error>> {
    let database = guest.shared::<Database>()?;
    let max = guest.release().limits.transactions as usize;
    if guest.slot::<Transactions>().open.len() >= max {
        return Ok(Err(error(
            ErrorKind::Limit,
            "too many open transactions in one request: commit or roll back first",
        )));
    }
    let invocation = guest.invocation();
    let principal = principal(invocation);
    let beginning = database.router.begin(&principal, invocation.deadline);
    let transaction = match guest.used().statement(beginning).await {
        Ok(transaction) => transaction,
        Err(error) => return Ok(Err(error.into())),
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let handle = guest.table.push(TransactionHandle(number))?;
    guest.slot::<Transactions>().open.push(Open {
        number,
        transaction,
        effects: Vec::new(),
        marks: Vec::new(),
    });
    Ok(Ok(handle))
}

fn find<'a>(guest: &'a mut Guest, handle: &Resource<TransactionHandle>) -> wasmtime::Result<Option<&'a mut Open>> {
    let number = guest.table.get(handle)?.0;
    Ok(guest
        .slot::<Transactions>()
        .open
        .iter_mut()
        .find(|open| open.number == number))
}

pub(crate) fn open<'a>(
    guest: &'a mut Guest,
    handle: &Resource<TransactionHandle>,
) -> wasmtime::Result<Result<&'a mut Transaction, Error>> {
    Ok(find(guest, handle)?.map(|open| &mut open.transaction).ok_or_else(over))
}

pub(crate) async fn savepoint(
    guest: &mut Guest,
    handle: &Resource<TransactionHandle>,
) -> wasmtime::Result<Result<u32, Error>> {
    let Some(open) = find(guest, handle)? else {
        return Ok(Err(over()));
    };
    Ok(match open.transaction.savepoint().await {
        Ok(savepoint) => {
            open.marks.push((savepoint.number(), open.effects.len()));
            Ok(savepoint.number())
        }
        Err(error) => Err(error.into()),
    })
}

/// Takes the events and jobs since the savepoint back, too: what did not happen is not told.
pub(crate) async fn rollback_to(
    guest: &mut Guest,
    handle: &Resource<TransactionHandle>,
    savepoint: u32,
) -> wasmtime::Result<Result<(), Error>> {
    let Some(open) = find(guest, handle)? else {
        return Ok(Err(over()));
    };
    if let Err(error) = open.transaction.rollback_to(savepoint).await {
        return Ok(Err(error.into()));
    }
    open.marks.retain(|(number, _)| *number <= savepoint);
    if let Some((_, effects)) = open.marks.last() {
        open.effects.truncate(*effects);
    }
    Ok(Ok(()))
}

/// Takes a transaction out of the request, and its handle from the guest.
fn take(guest: &mut Guest, handle: Resource<TransactionHandle>) -> wasmtime::Result<Option<Open>> {
    let TransactionHandle(number) = guest.table.delete(handle)?;
    let open = &mut guest.slot::<Transactions>().open;
    Ok(open
        .iter()
        .position(|open| open.number == number)
        .map(|at| open.swap_remove(at)))
}

pub(crate) fn close(guest: &mut Guest, handle: Resource<TransactionHandle>) -> wasmtime::Result<Option<Transaction>> {
    Ok(take(guest, handle)?.map(|open| open.transaction))
}

/// Commits, with the events, the jobs and the delivery's cursor in the same flight.
pub(crate) async fn commit(
    guest: &mut Guest,
    handle: Resource<TransactionHandle>,
) -> wasmtime::Result<Result<(), Error>> {
    let database = guest.shared::<Database>()?;
    let Some(open) = take(guest, handle)? else {
        return Ok(Err(over()));
    };
    let invocation = guest.invocation().clone();
    let consumed = invocation
        .delivery
        .filter(|_| !guest.slot::<Transactions>().has_consumed);
    let epilogue = epilogue_of(&open.effects, consumed);
    let committing = open.transaction.commit(&epilogue);
    let results = match guest.used().statement(committing).await {
        Ok(results) => results,
        Err(error) => return Ok(Err(error.into())),
    };
    if consumed.is_some() {
        guest.slot::<Transactions>().has_consumed = true;
    }
    if let Some(seq) = last_seq(&results) {
        (database.on_publish)(&invocation.tenant.id, seq);
    }
    Ok(Ok(()))
}

/// Adds an event or a job to a transaction. For the capabilities `events` and `schedule`.
///
/// # Errors
/// Outside, a handle that is not the guest's: a trap. Inside, a transaction that is over or has too
/// many of them.
pub fn buffer(
    guest: &mut Guest,
    within: &Resource<TransactionHandle>,
    effect: Effect,
) -> wasmtime::Result<Result<(), Error>> {
    let Some(open) = find(guest, within)? else {
        return Ok(Err(over()));
    };
    if open.effects.len() >= EFFECTS_MAX {
        return Ok(Err(error(
            ErrorKind::Limit,
            "too many events and jobs in one transaction: at most 1,000",
        )));
    }
    open.effects.push(effect);
    Ok(Ok(()))
}
