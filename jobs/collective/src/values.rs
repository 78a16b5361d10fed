//! Numbers of shards that are averaged ([`Values`]), and their mean ([`mean()`]).

use bytes::Bytes;

/// Numbers of a shard that are averaged with those of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The shard's weight in the mean, such as the rows that it has; the same unit for all shards.
    pub weight: u64,
    /// What the leader is told beside the numbers.
    pub note: Bytes,
    /// The numbers, as many for each shard.
    pub values: Numbers,
}

/// Numbers, and their bytes in little-endian order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(Bytes);

impl Numbers {
    /// These numbers, which are not copied.
    pub fn new(mut values: Vec<f32>) -> Self {
        if cfg!(target_endian = "big") {
            values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().to_le()));
        }
        Self(Bytes::from_owner(LittleEndian(values)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The bytes of some of them; `None` where there are fewer.
    pub(crate) fn part(&self, first: u64, count: u64) -> Option<Bytes> {
        let (first, count) = (usize::try_from(first).ok()?, usize::try_from(count).ok()?);
        let end = first.checked_add(count).filter(|end| *end <= self.len())?;
        Some(self.0.slice(first * 4..end * 4))
    }
}

/// Numbers in little-endian order, whose memory is the message.
struct LittleEndian(Vec<f32>);

impl AsRef<[u8]> for LittleEndian {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// What a shard told beside the numbers of a mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The shard's number.
    pub shard: u32,
    /// Its weight in the mean.
    pub weight: u64,
    /// What it told beside its numbers.
    pub note: Bytes,
    /// How many numbers it has.
    pub length: u64,
}

/// The mean of the shards' numbers, given as bytes with each shard's share of the weights: share times value, summed in
/// the given order in 64 bits.
pub(crate) fn mean(shards: &[(f64, Bytes)]) -> Vec<f32> {
    let mut sums: Vec<f64> = Vec::new();
    for (share, part) in shards {
        let values = part.as_chunks().0.iter().map(|value| share * f64::from(f32::from_le_bytes(*value)));
        // The first is no addend: the sum of 0 and -0 is 0.
        match sums.is_empty() {
            true => sums.extend(values),
            false => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
