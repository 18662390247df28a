//! Who is asked next: everybody alike, or a few most of the time.

/// How the next one is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Everybody alike.
    Uniform,
    /// The n-th is asked n times less often than the first (Zipf, exponent 1).
    Zipf,
}

impl Choice {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }
}

/// Chooses among `0..count`. The same seed chooses the same.
pub(super) struct Chooser {
    state: u64,
    count: usize,
    /// Of Zipf: the sum of the weights up to each.
    sums: Vec<f64>,
}

impl Chooser {
    pub(super) fn new(choice: Choice, count: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let weights = |rank: usize| {
            sum += 1.0 / (rank + 1) as f64;
            sum
        };
        let sums = match choice {
            Choice::Uniform => Vec::new(),
            Choice::Zipf => (0..count).map(weights).collect(),
        };
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            count,
            sums,
        }
    }

    pub(super) fn next(&mut self) -> usize {
        let random = self.random();
        let chosen = match self.sums.last() {
            None => (random * self.count as f64) as usize,
            Some(sum) => {
                let at = random * sum;
                self.sums.partition_point(|below| *below < at)
            }
        };
        chosen.min(self.count.saturating_sub(1))
    }

    /// From 0 to 1 (xorshift64*, Vigna 2014).
    fn random(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}
