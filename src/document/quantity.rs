//! Durations, sizes and processor shares as compose files write them.

use std::time::Duration;

/// Units of a duration in nanoseconds, longest names first so that `ms` is not read as `m`.
const DURATION_UNITS: [(&str, u64); 9] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
    ("w", 7 * 24 * 3_600 * 1_000_000_000),
    ("d", 24 * 3_600 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
];

/// Docker counts in signed 64 bit nanoseconds.
const LONGEST: u64 = i64::MAX as u64;

/// `1m30s`, `500ms`, `1.5h`, `7d`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit = DURATION_UNITS.iter().find(|(name, _)| after.starts_with(name));
        let (name, nanoseconds) = unit.ok_or_else(|| unit_missing(number, after))?;
        total = scaled(number, *nanoseconds)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or("it is longer than 292 years")?;
        rest = &after[name.len()..];
    }
    Ok(Duration::from_nanos(total))
}

fn unit_missing(number: &str, after: &str) -> String {
    if after.is_empty() {
        format!("`{number}` has no unit (`ms`, `s`, `m`, `h`, `d`)")
    } else {
        "its unit is none of `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`".to_owned()
    }
}

/// The decimal number that `text` begins with, and what follows it.
fn split_number(text: &str) -> Result<(&str, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = &text[..end];
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || number.len() - digits > 1 {
        return Err("a number is missing".to_owned());
    }
    Ok((number, &text[end..]))
}

/// Digits behind the point that count; the rest is less than a nanosecond of 292 years.
const FRACTION_DIGITS: usize = 18;

/// `number`, a decimal, times `unit`, exactly; what is less than one is cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let parts: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let below = parts * u128::from(unit) / divisor;
    u64::try_from(u128::from(whole) * u128::from(unit) + below).ok()
}

/// `128M`, `1g`, `512kb`, `1.5GiB`, `1048576`: steps of 1,024, as Docker counts.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text)?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letter {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err("its unit is none of `b`, `k`, `m`, `g`, `t`, `p`".to_owned()),
    };
    scaled(number, 1 << (10 * power))
        .filter(|bytes| *bytes <= LONGEST)
        .ok_or_else(|| "it is too large".to_owned())
}

/// `0.5` processors in billionths.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    let (number, rest) = split_number(text)?;
    if !rest.is_empty() {
        return Err("it is not a plain decimal number".to_owned());
    }
    let nano = scaled(number, 1_000_000_000).and_then(|nano| i64::try_from(nano).ok());
    nano.ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_compose_writes_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1h5m30s20ms", 3_930_020_000_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in ["", "5", "s", "5 s", "-5s", "1.2.3s", "5y", "1s1", ".s", "300y", "99999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_count_in_steps_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("128M", 128 << 20),
            ("1g", 1 << 30),
            ("1.5GiB", 3 << 29),
            ("512kb", 512 << 10),
            ("64 m", 64 << 20),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1x", "1ib", "1 000", "99999999999p", "1e3"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_exact_where_floats_are_not() {
        for (text, nano) in [
            ("0.1", 100_000_000),
            ("0.7", 700_000_000),
            ("2", 2_000_000_000),
            ("1.000000001", 1_000_000_001),
        ] {
            assert_eq!(parse_cpus(text), Ok(nano), "{text}");
        }
        for text in ["", "1,5", "1e3", "half", "-1", "99999999999999"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_in_parts_is_their_sum(h in 0..5_000_u64, m in 0..600_u64, s in 0..600_u64, ms in 0..6_000_u64) {
            let text = format!("{h}h{m}m{s}s{ms}ms");
            let expected = Duration::from_millis(((h * 60 + m) * 60 + s) * 1_000 + ms);
            prop_assert_eq!(parse_duration(&text), Ok(expected));
        }

        #[test]
        fn what_humantime_prints_without_blanks_is_read_back(nanoseconds in 0..LONGEST / 1_000) {
            // Days at most: beyond, humantime has months and years, which have no fixed length here.
            let duration = Duration::from_nanos(nanoseconds % (30 * 24 * 3_600 * 1_000_000_000));
            let text = humantime::format_duration(duration).to_string();
            let text = text.replace("days", "d").replace("day", "d").replace(' ', "");
            prop_assert_eq!(parse_duration(&text), Ok(duration));
        }

        #[test]
        fn fractions_scale_exactly(thousandths in 0..10_000_000_u64) {
            let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
            prop_assert_eq!(parse_cpus(&text), Ok(i64::try_from(thousandths * 1_000_000).unwrap()));
            prop_assert_eq!(parse_duration(&format!("{text}s")), Ok(Duration::from_millis(thousandths)));
        }

        #[test]
        fn units_of_size_are_powers(number in 0..4_096_u64, power in 0..5_u32, letter_case in any::<bool>()) {
            let unit = ["", "k", "m", "g", "t"][power as usize];
            let unit = if letter_case { unit.to_uppercase() } else { unit.to_owned() };
            let expected = number << (10 * power);
            for suffix in ["", "b", "B"] {
                prop_assert_eq!(parse_size(&format!("{number}{unit}{suffix}")), Ok(expected));
            }
        }

        #[test]
        fn nothing_makes_them_panic(text in "\\PC{0,24}") {
            let _ = (parse_duration(&text), parse_size(&text), parse_cpus(&text));
        }
    }
}
