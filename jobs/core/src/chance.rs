//! Pseudo-random numbers that depend on their seed alone, and on no state.
//!
//! Source: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) with the
//! finaliser "variant 13" of D. Stafford. The numbers of the generator with a seed are [`stream`]`(seed, 0)`,
//! `stream(seed, 1)` and so on. Not for secrets. Start at [`mix`].

/// The increment of the generator's state: 2^64 divided by the golden ratio, rounded to an odd number.
pub const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64, a bijection: every bit of the result depends on all bits of `number`. Zero stays zero.
#[inline]
pub fn scramble(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The first number of the generator with this seed.
#[inline]
pub fn mix(seed: u64) -> u64 {
    scramble(seed.wrapping_add(GOLDEN))
}

/// The number at place `number`, from 0, of the generator with this seed. As a seed itself it begins one of many
/// independent streams.
#[inline]
pub fn stream(seed: u64, number: u64) -> u64 {
    mix(seed.wrapping_add(number.wrapping_mul(GOLDEN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        // The first numbers from the seed 1234567 by Vigna's C code, as Rosetta Code has them.
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!([0, 1, 2, 3, 4].map(|place| stream(1_234_567, place)), published);
        assert_eq!(mix(1_234_567), published[0]);
        assert_eq!(scramble(0), 0);
    }
}
