//! Random numbers by index, and a zipf distribution in constant time.

/// The draws of one line: SplitMix64, started at a point that seed and index give. Written out here, rather than taken
/// from `rand`, because it starts anew for every line in a nanosecond and because its output must never change.
pub(super) struct Draws(u64);

impl Draws {
    #[inline]
    pub(super) fn new(seed: u64, index: u64) -> Draws {
        // Mixed once before use: seeds and indexes next to each other must not give streams that overlap.
        Draws(mix(seed ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Evenly from `0..below`, which must not be 0.
    #[inline]
    pub(super) fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(below)) >> 64) as u64
    }
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Ranks `0..n`, rank *k* with a weight of `1 / (k + 1)^exponent`: Vose's alias method.
pub(super) struct Zipf {
    /// Per column of equal weight: how much of it is its own rank's (as a fraction of 2^32), and whose the rest is.
    columns: Vec<(u32, u32)>,
}

impl Zipf {
    /// `n` counts as 1 if it is 0.
    pub(super) fn new(n: u32, exponent: f64) -> Zipf {
        let n = n.max(1);
        let weights: Vec<f64> =
            (1..=n).map(|rank| f64::from(rank).powf(exponent).recip()).collect();
        let mean = weights.iter().sum::<f64>() / f64::from(n);
        let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|&rank| left[rank as usize] < 1.0);
        let mut columns: Vec<(u32, u32)> = (0..n).map(|rank| (u32::MAX, rank)).collect();
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            let own = left[poor as usize];
            columns[poor as usize] = ((own * 4_294_967_296.0) as u32, rich);
            left[rich as usize] -= 1.0 - own;
            if left[rich as usize] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Zipf { columns }
    }

    #[inline]
    pub(super) fn draw(&self, draws: &mut Draws) -> u32 {
        let random = draws.next();
        let column = ((random >> 32) * self.columns.len() as u64) >> 32;
        let (own, other) = self.columns[column as usize];
        if random as u32 <= own { column as u32 } else { other }
    }
}
