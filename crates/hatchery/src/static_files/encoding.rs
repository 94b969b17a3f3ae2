//! Precompressed files, and which of them a client takes.

use http::{HeaderMap, header};

/// A coding of a file that lies beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// The one that we would choose first. Of what a client likes equally it gets the first.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// What a file's name ends in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// In headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// How much a client likes each coding, in thousandths; 0: not at all.
struct Liking {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    any: Option<u16>,
}

/// The index of the one in `offered` that a client wants most. `None` in it is the file as it is,
/// which a client gets that wants nothing of all this, even where it says that it does not want it.
pub(super) fn choose(
    headers: &HeaderMap,
    offered: impl Iterator<Item = Option<Encoding>>,
) -> usize {
    let liking = Liking::of(headers);
    let mut best = (0, 0);
    for (index, encoding) in offered.enumerate() {
        let quality = liking.quality(encoding);
        // What comes first in `ALL` wins; the plain file, which is first in `offered`, does not.
        let is_better = quality > best.1 || (quality == best.1 && quality > 0 && best.0 == 0);
        if is_better {
            best = (index, quality);
        }
    }
    best.0
}

impl Liking {
    fn of(headers: &HeaderMap) -> Self {
        let mut liking = Self {
            codings: [None; 3],
            identity: None,
            any: None,
        };
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        for item in lines.flat_map(|line| line.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = quality(parameters);
            let name = name.trim();
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let coding = Encoding::ALL.iter().position(|coding| is(coding.name()));
            let place = match coding {
                Some(at) => &mut liking.codings[at],
                None if is("x-gzip") => &mut liking.codings[2],
                None if is("identity") => &mut liking.identity,
                None if is("*") => &mut liking.any,
                None => continue,
            };
            *place = Some(quality);
        }
        liking
    }

    fn quality(&self, encoding: Option<Encoding>) -> u16 {
        match encoding {
            // Nobody who says nothing of it refuses it, but everything named is liked more.
            None => self.identity.or(self.any).unwrap_or(1),
            Some(encoding) => {
                let at = Encoding::ALL.iter().position(|other| *other == encoding);
                let named = at.and_then(|at| self.codings[at]);
                named.or(self.any).unwrap_or(0)
            }
        }
    }
}

/// The weight among the parameters, in thousandths; 0 where it is none.
fn quality(parameters: &str) -> u16 {
    let mut parameters = parameters.split(';').map(str::trim);
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(weight) = weight else { return 1000 };
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let is_weight = matches!(whole, "0" | "1")
        && part.len() <= 3
        && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_weight {
        return 0;
    }
    let part = format!("{part:0<3}").parse().unwrap_or(0);
    (if whole == "1" { 1000 } else { part }).min(1000)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_gets_what_it_likes_most_and_of_equals_the_smallest() {
        let all = [
            None,
            Some(Encoding::Brotli),
            Some(Encoding::Zstd),
            Some(Encoding::Gzip),
        ];
        for (accept, name) in [
            ("", ""),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip;q=0.5, zstd;q=0.8", "zstd"),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=0", ""),
            ("br;q=0, *", "zstd"),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0", ""),
            ("*;q=0", ""),
            ("*", "br"),
            ("br;q=2", ""),
            ("br;q=0.1234, gzip ; q=0.2", "gzip"),
            ("deflate, snappy", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accept));
            let chosen = all[choose(&headers, all.into_iter())];
            assert_eq!(chosen.map_or("", Encoding::name), name, "{accept}");
        }
        assert_eq!(choose(&HeaderMap::new(), all.into_iter()), 0);
    }
}
