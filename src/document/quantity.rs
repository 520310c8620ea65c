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

/// `number`, a decimal, times `unit`, exactly; fractions below one are cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = u128::from(whole) * u128::from(unit);
    let mut weight = u128::from(unit);
    let mut below: u128 = 0;
    // Each digit weighs a tenth of the one before; carried in units of 10^-18.
    const PRECISION: u128 = 1_000_000_000_000_000_000;
    weight *= PRECISION;
    for digit in fraction.bytes().take(18) {
        weight /= 10;
        below += weight * u128::from(digit - b'0');
    }
    total += below / PRECISION;
    u64::try_from(total).ok()
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
