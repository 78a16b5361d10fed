//! Arithmetic on eight numbers at once (lanes), in plain Rust that the compiler turns into vector instructions.
//!
//! Nothing here reorders a sum by the width of the machine's registers or fuses a product with a sum, so that
//! every processor gives the same bits. [`vectorised`] runs code with the widest instructions that there are.

/// Numbers in a [`Lanes`].
pub(super) const LANES: usize = 8;

/// Numbers that are computed together.
pub(super) type Lanes = [f32; LANES];

/// A computation that is compiled once for each set of vector instructions.
pub(super) trait Work {
    type Output;

    /// Computes. This and all that it calls must be `#[inline(always)]`: what is not inlined is compiled for the
    /// oldest processors.
    fn run(self) -> Self::Output;
}

/// Runs a computation with the widest vector instructions of this processor.
pub(super) fn vectorised<W: Work>(work: W) -> W::Output {
    struct Wide<W>(W);
    impl<W: Work> pulp::WithSimd for Wide<W> {
        type Output = W::Output;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> W::Output {
            self.0.run()
        }
    }
    pulp::Arch::new().dispatch(Wide(work))
}

/// Lanes of a function of the lane's index.
#[inline(always)]
pub(super) fn each_lane(with: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(with)
}

#[inline(always)]
pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
    each_lane(|at| a[at] + b[at])
}

#[inline(always)]
pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
    each_lane(|at| a[at] - b[at])
}

#[inline(always)]
pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
    each_lane(|at| a[at] * b[at])
}

/// `a * b + c`, rounded twice.
#[inline(always)]
pub(super) fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    each_lane(|at| a[at] * b[at] + c[at])
}

#[inline(always)]
pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
    each_lane(|at| if a[at] > b[at] { a[at] } else { b[at] })
}

/// `number` where `sign` is above 0, else 0.
#[inline(always)]
pub(super) fn where_positive(sign: Lanes, number: Lanes) -> Lanes {
    each_lane(|at| if sign[at] > 0.0 { number[at] } else { 0.0 })
}

/// The sum of the eight, always in the same order.
#[inline(always)]
pub(super) fn sum(a: Lanes) -> f32 {
    ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
}

/// Added to a number of magnitude below 2^22, the sum has the nearest integer in its lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Two to the power of each number, for numbers up to 126; those below -126 count as -126. The relative error is at
/// most 4e-7.
///
/// The polynomial is that of `exp2f` in Moshier's Cephes library.
#[inline(always)]
pub(super) fn exp2(x: Lanes) -> Lanes {
    let x = max(x, [-126.0; LANES]);
    let shifted = add(x, [TO_INTEGER; LANES]);
    let rest = sub(x, sub(shifted, [TO_INTEGER; LANES]));
    let mut sum = [1.535_336_2e-4; LANES];
    for coefficient in [1.339_887_5e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0] {
        sum = mul_add(sum, rest, [coefficient; LANES]);
    }
    // Two to the power of the whole part is added to the exponent's bits.
    each_lane(|at| f32::from_bits(sum[at].to_bits().wrapping_add(shifted[at].to_bits() << 23)))
}

/// The logistic function of a number: a probability from log odds.
#[inline(always)]
pub(super) fn probability(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0) * -std::f32::consts::LOG2_E;
    1.0 / (1.0 + exp2([x; LANES])[0])
}

#[inline(always)]
pub(super) fn load(numbers: &[f32], at: usize) -> Lanes {
    let numbers = &numbers[at..at + LANES];
    each_lane(|lane| numbers[lane])
}

/// Lanes at index `at` of each of the first `ROWS` rows of `width` numbers.
#[inline(always)]
pub(super) fn loads<const ROWS: usize>(numbers: &[f32], width: usize, at: usize) -> [Lanes; ROWS] {
    // A loop, because a long `array::from_fn` is not inlined.
    let mut rows = [[0.0; LANES]; ROWS];
    for (row, lanes) in rows.iter_mut().enumerate() {
        *lanes = load(numbers, row * width + at);
    }
    rows
}

#[inline(always)]
pub(super) fn store(numbers: &mut [f32], at: usize, lanes: Lanes) {
    numbers[at..at + LANES].copy_from_slice(&lanes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_library() {
        for step in -1300..=1260 {
            let x = step as f32 / 10.0 + 0.003;
            let (found, wanted) = (exp2([x; LANES])[3], x.max(-126.0).exp2());
            assert!((found - wanted).abs() <= 4e-7 * wanted, "{x}: {found} {wanted}");
        }
        assert_eq!(exp2([0.0; LANES]), [1.0; LANES]);
        assert_eq!(probability(0.0), 0.5);
        assert!((probability(2.0) - 0.880_797).abs() < 1e-6);
        assert!(probability(-1e9) < 1e-30 && probability(1e9) == 1.0);
    }

    #[test]
    fn sums_take_every_lane_once() {
        assert_eq!(sum([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]), 255.0);
        struct Sum(Lanes);
        impl Work for Sum {
            type Output = f32;

            #[inline(always)]
            fn run(self) -> f32 {
                sum(mul_add(self.0, [3.0; LANES], [1.0; LANES]))
            }
        }
        assert_eq!(vectorised(Sum([2.0; LANES])), 56.0);
    }
}
