//! What `sum` and `average` need of a number.

use riverrun_dataflow::Record;

/// A number that can be summed.
pub trait Number: Record + Copy + PartialOrd {
    /// Nothing.
    const ZERO: Self;

    /// The sum.
    ///
    /// # Panics
    /// If it leaves the type's range (integers): a wrong result would be worse than a stopped job.
    fn plus(self, other: Self) -> Self;

    /// As a floating-point number, rounded to the nearest.
    fn as_f64(self) -> f64;
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const ZERO: Self = 0;

            #[inline]
            fn plus(self, other: Self) -> Self {
                match self.checked_add(other) {
                    Some(sum) => sum,
                    None => overflow(stringify!($t)),
                }
            }

            fn as_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128);

#[cold]
fn overflow(number: &str) -> ! {
    panic!(
        "a sum does not fit into {number}; let the function given to `sum` return a wider number"
    )
}

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const ZERO: Self = 0.0;

            #[inline]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn as_f64(self) -> f64 {
                f64::from(self)
            }
        }
    )*};
}

floats!(f32, f64);
