//! The header `Range`. The usual parsers refuse what RFC 9110 allows, a suffix longer than the file
//! among it, so this is our own.

use http::{HeaderMap, header};

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranged {
    /// Everything: no range, one that means nothing, or more than one.
    Whole,
    /// `length` bytes from `start`; never empty.
    Part { start: u64, length: u64 },
    /// Nothing of what it wants is there.
    Unsatisfiable,
}

/// What the range in `headers` is of a file of `size` bytes.
pub(super) fn of(headers: &HeaderMap, size: u64) -> Ranged {
    let mut lines = headers.get_all(header::RANGE).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().map_or(Ranged::Whole, |text| read(text, size)),
        _ => Ranged::Whole,
    }
}

fn read(text: &str, size: u64) -> Ranged {
    let Some((unit, ranges)) = text.split_once('=') else {
        return Ranged::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranged::Whole;
    }
    let trimmed = ranges
        .split(',')
        .map(|range| range.trim_matches([' ', '\t']));
    let mut ranges = trimmed.filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Ranged::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Ranged::Whole;
    };
    let part = match (number(first), number(last)) {
        _ if first.is_empty() => number(last).map(|suffix| (size - suffix.min(size), size)),
        (Some(first), _) if last.is_empty() => Some((first, size)),
        // A range that ends before it begins is none.
        (Some(first), Some(last)) if first <= last => {
            Some((first, last.saturating_add(1).min(size)))
        }
        _ => None,
    };
    match part {
        None => Ranged::Whole,
        Some((start, end)) if start < end => Ranged::Part {
            start,
            length: end - start,
        },
        Some(_) => Ranged::Unsatisfiable,
    }
}

/// Digits alone; what does not fit is beyond every file.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::static_files::tests::Random;

    #[test]
    fn no_text_makes_a_range_beyond_the_file() {
        const PIECES: [&str; 10] = [
            "-",
            "-",
            ",",
            "0",
            "1",
            "9",
            "10",
            "18446744073709551615",
            "99999999999999999999999",
            " +x=",
        ];
        let mut random = Random::new(11);
        let mut parts = 0;
        for _ in 0..50_000 {
            let pieces = random.below(6);
            let mut text = random.one_of(&["bytes=", "bytes=", "bytes"]).to_owned();
            text.extend((0..pieces).map(|_| random.one_of(&PIECES)));
            let size = [0, 1, 10, u64::MAX][random.below(4)];
            if let Ranged::Part { start, length } = read(&text, size) {
                parts += 1;
                let end = start.checked_add(length);
                assert!(
                    length > 0 && end.is_some_and(|end| end <= size),
                    "{text} {size}"
                );
            }
        }
        assert!(parts > 1000, "{parts}");
    }

    /// Against the plainest reading of the RFC: which bytes of ten does a range name?
    #[test]
    fn every_small_range_is_what_the_rfc_says() {
        const SIZE: u64 = 10;
        for first in 0..13_u64 {
            for last in 0..13 {
                let named: Vec<u64> = (0..SIZE).filter(|at| (first..=last).contains(at)).collect();
                let expected = match named.first() {
                    _ if first > last => Ranged::Whole,
                    None => Ranged::Unsatisfiable,
                    Some(&start) => Ranged::Part {
                        start,
                        length: named.len() as u64,
                    },
                };
                assert_eq!(read(&format!("bytes={first}-{last}"), SIZE), expected);
            }
        }
    }
}
