//! Whether and when a failed job is started again.

use std::collections::VecDeque;
use std::time::Duration;

use riverrun_dataflow::RestartStrategy;

/// What to do about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after this time.
    RestartAfter(Duration),
    /// Fail the job; the text says why there is no further try.
    GiveUp(String),
}

/// Counts failures and applies a [`RestartStrategy`] to them.
///
/// ```
/// use std::time::Duration;
/// use riverrun_dataflow::RestartStrategy;
/// use riverrun_jobmanager::{Restarts, Verdict};
/// let delay = Duration::from_secs(2);
/// let mut restarts = Restarts::new(RestartStrategy::FixedDelay { attempts: 1, delay });
/// assert_eq!(restarts.failed(Duration::from_secs(10)), Verdict::RestartAfter(delay));
/// assert!(matches!(restarts.failed(Duration::from_secs(20)), Verdict::GiveUp(_)));
/// ```
#[derive(Debug, Clone)]
pub struct Restarts {
    strategy: RestartStrategy,
    failures: u32,
    /// Failure rate: when the failures within the interval happened.
    recent: VecDeque<Duration>,
    /// Exponential delay: the last wait, and when the attempt after it began.
    last: Option<(Duration, Duration)>,
}

impl Restarts {
    /// No failures yet.
    pub fn new(strategy: RestartStrategy) -> Self {
        Self { strategy, failures: 0, recent: VecDeque::new(), last: None }
    }

    /// The job failed at `now`, on the same clock as before.
    pub fn failed(&mut self, now: Duration) -> Verdict {
        self.failures = self.failures.saturating_add(1);
        match self.strategy {
            RestartStrategy::None => Verdict::GiveUp("its restart strategy is `none`".into()),
            RestartStrategy::FixedDelay { attempts, delay } => {
                if self.failures > attempts {
                    Verdict::GiveUp(format!("it was restarted {attempts} times already"))
                } else {
                    Verdict::RestartAfter(delay)
                }
            }
            RestartStrategy::FailureRate { failures, interval, delay } => {
                self.recent.push_back(now);
                while self.recent.front().is_some_and(|&then| now.saturating_sub(then) >= interval)
                {
                    self.recent.pop_front();
                }
                if self.recent.len() > failures as usize {
                    Verdict::GiveUp(format!(
                        "it failed more than {failures} times within {interval:?}"
                    ))
                } else {
                    Verdict::RestartAfter(delay)
                }
            }
            RestartStrategy::ExponentialDelay { initial, max, multiplier, reset_after } => {
                let delay = match self.last {
                    Some((delay, began)) if now.saturating_sub(began) < reset_after => {
                        grown(delay, multiplier).min(max)
                    }
                    _ => initial.min(max),
                };
                self.last = Some((delay, now + delay));
                Verdict::RestartAfter(delay)
            }
        }
    }
}

/// `delay` times `multiplier`; a multiplier that is no use as one leaves it as it is.
fn grown(delay: Duration, multiplier: f64) -> Duration {
    let seconds = delay.as_secs_f64() * multiplier.max(1.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn delay(verdict: &Verdict) -> Duration {
        match verdict {
            Verdict::RestartAfter(delay) => *delay,
            Verdict::GiveUp(why) => panic!("gave up: {why}"),
        }
    }

    #[test]
    fn none_never_restarts() {
        assert!(matches!(Restarts::new(RestartStrategy::None).failed(at(0)), Verdict::GiveUp(_)));
    }

    #[test]
    fn a_failure_rate_forgets_what_is_long_past() {
        let strategy = RestartStrategy::FailureRate { failures: 2, interval: at(10), delay: at(1) };
        let mut restarts = Restarts::new(strategy);
        for now in [0, 1, 11, 20, 30] {
            assert_eq!(restarts.failed(at(now)), Verdict::RestartAfter(at(1)), "at {now}");
        }
        assert_eq!(restarts.failed(at(31)), Verdict::RestartAfter(at(1)));
        assert!(matches!(restarts.failed(at(32)), Verdict::GiveUp(_)));
    }

    #[test]
    fn exponential_delays_grow_to_the_limit_and_begin_anew_after_a_quiet_time() {
        let strategy = RestartStrategy::ExponentialDelay {
            initial: at(1),
            max: at(5),
            multiplier: 2.0,
            reset_after: at(100),
        };
        let mut restarts = Restarts::new(strategy);
        let delays: Vec<_> = (0..5).map(|n| delay(&restarts.failed(at(n * 10)))).collect();
        assert_eq!(delays, [at(1), at(2), at(4), at(5), at(5)]);
        assert_eq!(delay(&restarts.failed(at(144))), at(5), "ran for less than 100 s since 45");
        assert_eq!(delay(&restarts.failed(at(249))), at(1), "ran for 100 s since 149");
    }
}
