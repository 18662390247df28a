//! Which part of a stream a browser asked for: a list of prefixes.

use crate::Error;

/// Most prefixes in one request.
const PREFIXES_MAX: usize = 64;
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 128;

/// Prefixes of topics. Empty means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics(Vec<String>);

impl Topics {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads `?topics=board/7,boards` (already percent-decoded).
    ///
    /// # Errors
    /// [`Error::Topics`] when there are more than 64, or one is longer than 128 bytes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let prefixes: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|prefix| !prefix.is_empty())
            .map(str::to_owned)
            .collect();
        if prefixes.len() > PREFIXES_MAX || prefixes.iter().any(|prefix| prefix.len() > PREFIX_BYTES_MAX) {
            return Err(Error::Topics(format!(
                "topics takes at most {PREFIXES_MAX} prefixes of at most {PREFIX_BYTES_MAX} bytes"
            )));
        }
        Ok(Self(prefixes))
    }

    /// Whether an event about `topic` belongs. A prefix ends at a word: `board/7` takes `board/7` and
    /// `board/7/x`, and not `board/77`; `boards` does not belong to `board`. One that ends in `/`
    /// takes everything below.
    pub fn contains(&self, topic: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|prefix| {
                topic
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_word() {
        let topics = Topics::parse("board/7, members/").unwrap();
        for (topic, belongs) in [
            ("board/7", true),
            ("board/77", false),
            ("board/7/x", true),
            ("members/3", true),
            ("boards", false),
            ("", false),
        ] {
            assert_eq!(topics.contains(topic), belongs, "{topic}");
        }
        assert!(Topics::all().contains(""));
        assert!(Topics::parse(&"a,".repeat(65)).is_err());
    }
}
