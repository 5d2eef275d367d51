//! A token bucket that starts empty: a process that was just started, or given more partitions, does not
//! begin with a burst.

/// Most tokens that gather while nothing is taken: those of so long.
const GATHERED_MS: f64 = 1_000.0;

/// Tokens, at a rate.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    /// Up to when tokens were added.
    filled_at_ms: i64,
}

impl Bucket {
    pub(super) fn new(per_second: f64, now_ms: i64) -> Self {
        Self { per_second, tokens: 0.0, filled_at_ms: now_ms }
    }

    pub(super) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Another rate from now on; what has gathered stays, as far as it fits.
    pub(super) fn set_rate(&mut self, per_second: f64, now_ms: i64) {
        self.fill(now_ms);
        self.per_second = per_second;
        self.tokens = self.tokens.min(self.room());
    }

    /// When there will be a token: now, or later.
    pub(super) fn ready_at(&mut self, now_ms: i64) -> i64 {
        self.fill(now_ms);
        if self.tokens >= 1.0 {
            return now_ms;
        }
        let wait_ms = (1.0 - self.tokens) / self.per_second * 1_000.0;
        // Rounded up, so that it is there then.
        now_ms.saturating_add((wait_ms.ceil() as i64).max(1))
    }

    /// Takes a token. False where there is none.
    pub(super) fn take(&mut self, now_ms: i64) -> bool {
        self.fill(now_ms);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// At least one token fits, at any rate.
    fn room(&self) -> f64 {
        (self.per_second * GATHERED_MS / 1_000.0).max(1.0)
    }

    fn fill(&mut self, now_ms: i64) {
        // A clock that was put back adds nothing, and is followed.
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms).max(0) as f64;
        self.tokens = (self.tokens + elapsed_ms / 1_000.0 * self.per_second).min(self.room());
        self.filled_at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bucket;

    #[test]
    fn it_starts_empty_and_fills_at_its_rate() {
        let mut bucket = Bucket::new(2.0, 0);
        assert!(!bucket.take(0));
        assert_eq!(bucket.ready_at(0), 500);
        assert!(!bucket.take(499));
        assert!(bucket.take(500));
        assert!(!bucket.take(500));
    }

    proptest! {
        #[test]
        fn over_any_time_no_more_is_taken_than_the_rate_allows(
            per_second in 0.1f64..50.0, steps in proptest::collection::vec(0i64..400, 1..200)
        ) {
            let mut bucket = Bucket::new(per_second, 0);
            let mut now = 0;
            let mut taken = 0;
            for step in steps {
                now += step;
                while bucket.take(now) {
                    taken += 1;
                }
                let ready = bucket.ready_at(now);
                prop_assert!(ready > now);
            }
            prop_assert!(f64::from(taken) <= now as f64 / 1_000.0 * per_second + 1e-6);
        }

        #[test]
        fn when_it_says_there_is_a_token_there_is_one(per_second in 0.01f64..5_000.0, at in 0i64..10_000) {
            let mut bucket = Bucket::new(per_second, 0);
            while bucket.take(at) {}
            let ready = bucket.ready_at(at);
            prop_assert!(bucket.take(ready));
        }
    }
}
