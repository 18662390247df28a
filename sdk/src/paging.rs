//! Lists that can grow: `?page_size=&page_token=`.
//!
//! A token is opaque to clients. It holds the key of the last item of a page, so a page is read
//! from an index and an insertion before it moves nothing.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::Problem;

/// What a client says about the page that it wants.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items, 1 to 200; 50 when left out.
    pub page_size: Option<u32>,
    /// `next_page_token` of the page before.
    pub page_token: Option<String>,
}

impl PageQuery {
    /// How many items to send.
    ///
    /// # Errors
    /// `validation-failed` outside 1..=200.
    pub fn size(&self) -> Result<usize, Problem> {
        match self.page_size {
            None => Ok(50),
            Some(size @ 1..=200) => Ok(size as usize),
            Some(_) => Err(Problem::invalid("/page_size", "must be 1 to 200")),
        }
    }

    /// The key after which the page begins. None on the first page.
    ///
    /// # Errors
    /// `validation-failed` for a token that [`token`] did not make.
    pub fn after<K: std::str::FromStr>(&self) -> Result<Option<K>, Problem> {
        let Some(token) = &self.page_token else { return Ok(None) };
        decode(token)
            .and_then(|key| key.parse().ok())
            .map(Some)
            .ok_or_else(|| Problem::invalid("/page_token", "is no token of this list"))
    }
}

/// Cuts a list that was read with one item more than `size`, and gives the token of the next page.
pub fn cut<T, K: std::fmt::Display>(items: &mut Vec<T>, size: usize, key: impl Fn(&T) -> K) -> Option<String> {
    if items.len() <= size {
        return None;
    }
    items.truncate(size);
    items.last().map(|item| token(&key(item)))
}

/// The token of a key.
pub fn token(key: &impl std::fmt::Display) -> String {
    format!("p{key}").bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(token: &str) -> Option<String> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if !token.len().is_multiple_of(2) {
        return None;
    }
    let bytes = token.as_bytes().chunks(2).map(pair).collect::<Option<Vec<_>>>()?;
    String::from_utf8(bytes).ok()?.strip_prefix('p').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_leads_to_the_item_after_the_last_one() {
        let mut items = vec![1_i64, 2, 3];
        let next = cut(&mut items, 2, |item| *item).unwrap();
        assert_eq!(items, [1, 2]);
        let query = PageQuery {
            page_size: None,
            page_token: Some(next),
        };
        assert_eq!(query.after::<i64>().unwrap(), Some(2));
        assert_eq!(cut(&mut items, 2, |item| *item), None);
    }

    #[test]
    fn a_token_of_another_making_is_refused() {
        for token in ["", "x", "zz", "7", "70é", "31", "ff00"] {
            let query = PageQuery {
                page_size: None,
                page_token: Some(token.to_owned()),
            };
            assert!(query.after::<i64>().is_err(), "{token}");
        }
    }
}
