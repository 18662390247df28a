//! Paging: `?page_size=&page_token=` in, `next_page_token` out.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use terrace_ground_error::{Code, Problem};
use utoipa::IntoParams;

use crate::{State, refusal::Refusal};

/// Items of a page when the client does not say.
const SIZE_DEFAULT: usize = 50;
/// Most items of a page.
const SIZE_MAX: usize = 200;

/// How the contract describes paging.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used; `Page` reads the query")]
pub(crate) struct PageQuery {
    /// How many items, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Which page is wanted.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) size: usize,
    /// The name of the last item of the page before.
    pub(crate) after: Option<String>,
}

// As text, so that a wrong number is our sentence and not serde's.
#[derive(Deserialize)]
struct Raw {
    page_size: Option<String>,
    page_token: Option<String>,
}

impl FromRequestParts<State> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        let Query(raw) = Query::<Raw>::try_from_uri(&parts.uri)
            .map_err(|_| Refusal::detail(Code::MalformedRequest, "The query cannot be read."))?;
        let size = match raw.page_size.as_deref().map(str::parse) {
            None => SIZE_DEFAULT,
            Some(Ok(size)) if (1..=SIZE_MAX).contains(&size) => size,
            Some(_) => return Err(invalid("/page_size", &format!("must be a number from 1 to {SIZE_MAX}"))),
        };
        let after = match raw.page_token.as_deref().map(open) {
            None => None,
            Some(Some(name)) => Some(name),
            Some(None) => {
                return Err(invalid(
                    "/page_token",
                    "must be the `next_page_token` of a page of this list",
                ));
            }
        };
        Ok(Self { size, after })
    }
}

fn invalid(pointer: &str, detail: &str) -> Refusal {
    Problem::new(Code::ValidationFailed).field(pointer, detail).into()
}

/// The token that asks for what comes after `name`. It is opaque to clients, so that it can change.
pub(crate) fn token(name: &str) -> String {
    BASE64URL_NOPAD.encode(format!("after:{name}").as_bytes())
}

fn open(token: &str) -> Option<String> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    Some(String::from_utf8(bytes).ok()?.strip_prefix("after:")?.to_owned())
}

impl Page {
    /// This page of a list that is in memory, in the order of its names, and the next page's token.
    pub(crate) fn of<T>(&self, items: Vec<T>, name: fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        let after = self.after.as_deref();
        let mut rest = items
            .into_iter()
            .filter(|item| after.is_none_or(|after| name(item) > after));
        let items: Vec<T> = rest.by_ref().take(self.size).collect();
        let next = rest.next().and_then(|_| items.last()).map(|last| token(name(last)));
        (items, next)
    }
}
