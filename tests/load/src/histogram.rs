//! Latencies, in a fixed amount of memory.

use std::time::Duration;

/// Each power of two is cut into so many buckets, so a value is right within 1/32.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Enough for 2^40 µs, which is twelve days.
const BUCKETS: usize = 32 * 37;

/// Counts of durations by size.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The duration, in µs, which this many of a thousand did not exceed; 0 when there is none.
    pub(crate) fn permille(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_end(index).min(self.max);
            }
        }
        0
    }

    /// The longest, in µs.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

/// Small values have a bucket each; above, the leading bits choose it.
fn bucket(micros: u64) -> usize {
    let index = if micros < STEPS {
        micros
    } else {
        let shift = micros.ilog2() - STEP_BITS;
        u64::from(shift) * STEPS + (micros >> shift)
    };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The largest value of a bucket.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index - shift * STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_put_into_it() {
        for micros in (0..100_000).chain([1 << 30, (1 << 30) + 12_345, (1 << 39) + 7]) {
            let end = upper_end(bucket(micros));
            assert!(end >= micros && end - micros <= micros / STEPS, "{micros} in {end}");
        }
    }

    #[test]
    fn percentiles_of_an_even_spread() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let median = histogram.permille(500);
        assert!((500_000..=516_000).contains(&median), "{median}");
        assert_eq!(histogram.permille(1000), 1_000_000);
        assert_eq!(Histogram::default().permille(500), 0);
    }
}
