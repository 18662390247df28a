//! Content encodings: which ones a client takes, which contents are worth it, and the encoding
//! itself. Encoding happens once per content, at deploy; never on the path of a request.

use std::io::{self, Write};

use http::HeaderValue;

/// A content coding that the edge prepares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// Brotli, the smallest for text.
    Brotli,
    /// Zstandard, the quickest to decode.
    Zstd,
    /// Gzip, for everything else that can decode at all.
    Gzip,
}

impl Encoding {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The name in `content-encoding`, also the extension on the disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Brotli => 1,
            Self::Zstd => 2,
            Self::Gzip => 4,
        }
    }

    /// Encodes at the highest level that is bearable for the size: it happens once.
    ///
    /// # Errors
    /// Only when memory cannot be had.
    pub(crate) fn encode(self, content: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let quality = if content.len() <= 1 << 20 { 11 } else { 9 };
                let mut encoded = Vec::with_capacity(content.len() / 3);
                {
                    let mut writer = brotli::CompressorWriter::new(&mut encoded, 1 << 16, quality, 22);
                    writer.write_all(content)?;
                    writer.flush()?;
                }
                Ok(encoded)
            }
            Self::Zstd => {
                // Browsers refuse windows over 8 MiB (RFC 9659), which the highest levels would use.
                let mut encoder = zstd::Encoder::new(Vec::with_capacity(content.len() / 3), 19)?;
                encoder.window_log(23)?;
                encoder.write_all(content)?;
                encoder.finish()
            }
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::with_capacity(content.len() / 3), flate2::Compression::best());
                encoder.write_all(content)?;
                encoder.finish()
            }
        }
    }
}

/// The codings that one client takes, from its `accept-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accepted(u8);

impl Accepted {
    /// Reads the header. A coding with `q=0` is refused; other weights do not matter to the edge,
    /// which sends the smallest form that is taken.
    pub(crate) fn parse(header: Option<&HeaderValue>) -> Self {
        let Some(text) = header.and_then(|value| value.to_str().ok()) else {
            return Self(0);
        };
        let (mut taken, mut refused, mut others) = (0_u8, 0_u8, false);
        for item in text.split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let name = name.trim();
            let zero = parameters
                .trim()
                .strip_prefix("q=")
                .is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0));
            if name == "*" {
                others = !zero;
                continue;
            }
            let bit = Encoding::ALL
                .iter()
                .find(|encoding| name.eq_ignore_ascii_case(encoding.name()))
                .map_or(0, |encoding| encoding.bit());
            if zero { refused |= bit } else { taken |= bit }
        }
        if others {
            taken |= 7 & !refused;
        }
        Self(taken & !refused)
    }

    /// True when the client takes `encoding`.
    pub(crate) fn takes(self, encoding: Encoding) -> bool {
        self.0 & encoding.bit() != 0
    }
}

/// True for media types that are not compressed already.
pub(crate) fn is_compressible(content_type: &str) -> bool {
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || matches!(
            media_type.as_str(),
            "application/javascript"
                | "application/json"
                | "application/xml"
                | "application/wasm"
                | "application/manifest"
                | "image/bmp"
                | "image/x-icon"
                | "image/vnd.microsoft.icon"
                | "font/ttf"
                | "font/otf"
                | "application/vnd.ms-fontobject"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &'static str) -> Vec<&'static str> {
        let accepted = Accepted::parse(Some(&HeaderValue::from_static(text)));
        Encoding::ALL
            .into_iter()
            .filter(|encoding| accepted.takes(*encoding))
            .map(Encoding::name)
            .collect()
    }

    #[test]
    fn a_coding_with_weight_zero_is_never_sent() {
        assert_eq!(accepted("gzip, deflate, br, zstd"), ["br", "zstd", "gzip"]);
        assert_eq!(accepted("br;q=0, gzip;q=0.1"), ["gzip"]);
        assert_eq!(accepted("*"), ["br", "zstd", "gzip"]);
        assert_eq!(accepted("*, br; q=0.0"), ["zstd", "gzip"]);
        assert_eq!(accepted("*;q=0, GZIP"), ["gzip"]);
        assert!(accepted("identity").is_empty());
        assert_eq!(Accepted::parse(None), Accepted::default());
    }

    #[test]
    fn pictures_are_left_alone_and_text_is_not() {
        assert!(
            is_compressible("text/html; charset=utf-8")
                && is_compressible("image/svg+xml")
                && is_compressible("application/json")
        );
        assert!(!is_compressible("image/png") && !is_compressible("font/woff2") && !is_compressible("application/zip"));
    }
}
