//! The digest of rows: the same for the same rows, in whatever order PostgreSQL keeps them.
//!
//! Each row is hashed as its line of COPY's text format, without the newline; the hashes are added as
//! 256-bit numbers. An order would have to be the same under every collation of every server, and
//! costs a sort. This sum finds what was lost, doubled or changed by accident; that nobody changed an
//! archive on purpose is what the files' own hashes are for.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The rows of one table, as they come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    /// Little end first.
    sum: [u64; 4],
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl Rows {
    /// Takes any piece of COPY's output: part of a line, or several.
    pub(crate) fn add(&mut self, mut piece: &[u8]) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, after) = piece.split_at(end);
            if self.rest.is_empty() {
                self.line(line);
            } else {
                self.rest.extend_from_slice(line);
                let line = std::mem::take(&mut self.rest);
                self.line(&line);
            }
            piece = after.get(1..).unwrap_or_default();
        }
        self.rest.extend_from_slice(piece);
    }

    /// Whether all that came were whole lines.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    /// The sum, in hexadecimal, big end first.
    pub(crate) fn digest(&self) -> String {
        let bytes: Vec<u8> = self.sum.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        HEXLOWER.encode(&bytes)
    }

    fn line(&mut self, line: &[u8]) {
        self.count += 1;
        let hash = Sha256::digest(line);
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.rchunks_exact(8)) {
            let addend = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            let (sum, first) = limb.overflowing_add(addend);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, first || second);
        }
    }
}

/// The digest of a tenant, from `service/table`, count and digest of each of its tables.
pub(crate) fn of_tenant(tables: &mut [(String, u64, String)], first_seq: i64, last_seq: i64) -> String {
    tables.sort();
    let mut hash = Sha256::new();
    for (name, rows, digest) in tables {
        hash.update(format!("{name} {rows} {digest}\n"));
    }
    hash.update(format!("stream {first_seq} {last_seq}\n"));
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> Rows {
        let mut rows = Rows::default();
        pieces.iter().for_each(|piece| rows.add(piece.as_bytes()));
        rows
    }

    #[test]
    fn the_order_and_the_pieces_of_rows_do_not_matter_and_everything_else_does() {
        let rows = of(&["1\ta\n2\tb\n"]);
        assert_eq!(rows, of(&["2\tb\n1\ta\n"]));
        assert_eq!(rows, of(&["1\t", "a\n2", "\tb", "\n"]));
        assert_eq!((rows.count, rows.is_whole()), (2, true));
        for other in [
            &["1\ta\n"][..],
            &["1\ta\n2\tc\n"],
            &["1\ta\n2\tb\n2\tb\n"],
            &["1\ta2\tb\n\n"],
        ] {
            assert_ne!(rows.digest(), of(other).digest(), "{other:?}");
        }
        assert!(!of(&["1\ta"]).is_whole());
    }

    #[test]
    fn the_sum_is_that_of_256_bit_numbers() {
        // Python: (2 * int(hashlib.sha256(b"x").hexdigest(), 16)) % 2**256
        assert_eq!(
            of(&["x\nx\n"]).digest(),
            "5ae22c856e4d608802c4f953f75865eb90a61f63207989b6044b0e2f24349102"
        );
    }
}
