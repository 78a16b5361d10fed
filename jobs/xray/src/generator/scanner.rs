//! What a scanner makes of the radiation that comes through: blur, noise, response, and the image file's form.
//!
//! Scanners differ, so that a model trained on the images of one can be tried on those of another (domain shift). Start
//! at [`Scanner::image`].

use super::{canvas::Canvas, draws::Draws, materials::ENERGIES};
use crate::image::raster::Raster;

/// The form of a scanner's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Two channels of 16 bits: low and high energy.
    DualEnergy,
    /// Three channels of 8 bits: orange is organic, green mixed, blue metal.
    Colour,
    /// One channel of 8 bits.
    Grey,
}

/// One scanner.
#[derive(Debug, Clone, Copy)]
pub struct Scanner {
    /// Its name.
    pub name: &'static str,
    /// The form of its images.
    pub form: Form,
    /// Quanta that reach a pixel with nothing in the way; fewer mean more noise.
    quanta: f32,
    /// Share of a pixel's signal that its four neighbours get.
    blur: f32,
    /// Exponent of the response.
    gamma: f32,
}

/// The scanners of the generated sites.
pub const SCANNERS: [Scanner; 3] = [
    Scanner { name: "SC-100", form: Form::Colour, quanta: 9000.0, blur: 0.2, gamma: 0.8 },
    Scanner { name: "SC-200", form: Form::DualEnergy, quanta: 25000.0, blur: 0.1, gamma: 1.0 },
    Scanner { name: "SC-300", form: Form::Grey, quanta: 4000.0, blur: 0.35, gamma: 0.65 },
];

impl Scanner {
    /// The image of what lies on a canvas.
    pub(super) fn image(&self, canvas: &Canvas, draws: &mut Draws) -> Raster {
        let signals: [Vec<f32>; ENERGIES] = std::array::from_fn(|energy| {
            let mut signal = blurred(&canvas.transmission(energy), canvas.width, self.blur);
            for value in &mut signal {
                // Quanta are counted: a Poisson number, which for so many is normal.
                let count = (*value * self.quanta).max(0.0);
                *value = ((count + count.sqrt() * draws.normal()) / self.quanta).clamp(0.0, 1.0);
            }
            signal
        });
        let pixels = signals[0].iter().zip(&signals[1]);
        let (channels, bits, values): (usize, u8, Vec<u16>) = match self.form {
            Form::DualEnergy => {
                let level = |value: f32| (value.powf(self.gamma) * 65535.0).round() as u16;
                (2, 16, pixels.flat_map(|(low, high)| [level(*low), level(*high)]).collect())
            }
            Form::Grey => (1, 8, pixels.map(|(low, high)| self.level((low + high) / 2.0)).collect()),
            Form::Colour => (3, 8, pixels.flat_map(|(low, high)| self.colour(*low, *high)).collect()),
        };
        Raster { width: canvas.width, height: canvas.height, channels, bits, values }
    }

    fn level(&self, value: f32) -> u16 {
        (value.powf(self.gamma) * 255.0).round() as u16
    }

    /// The usual false colours, by the ratio of the attenuations at both energies.
    fn colour(&self, low: f32, high: f32) -> [u16; 3] {
        let attenuation = |value: f32| -value.max(1e-4).ln();
        let ratio = attenuation(low) / attenuation(high).max(1e-3);
        // Orange up to 1.3, green from there to 1.9, blue above: the hue in sixths of a turn.
        let hue = match ratio {
            ratio if ratio < 1.3 => 0.5,
            ratio if ratio < 1.9 => 0.5 + (ratio - 1.3) / 0.6 * 1.5,
            ratio => (2.0 + (ratio - 1.9) / 1.0 * 2.0).min(4.0),
        };
        let brightness = ((low + high) / 2.0).powf(self.gamma);
        // White where nothing lies, full colour in the middle, dark where nothing comes through.
        let saturation = (4.0 * (1.0 - brightness)).min(1.0);
        let part = |offset: f32| {
            let k = (offset + hue) % 6.0;
            1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0)
        };
        [5.0, 3.0, 1.0].map(|offset| (255.0 * brightness * part(offset)).round() as u16)
    }
}

/// Each pixel gives a share of its signal to its four neighbours.
fn blurred(signal: &[f32], width: usize, share: f32) -> Vec<f32> {
    let height = signal.len() / width;
    let mut out = Vec::with_capacity(signal.len());
    for y in 0..height {
        for x in 0..width {
            let at = |x: usize, y: usize| signal[y * width + x];
            let around = at(x.saturating_sub(1), y)
                + at((x + 1).min(width - 1), y)
                + at(x, y.saturating_sub(1))
                + at(x, (y + 1).min(height - 1));
            out.push((1.0 - share) * at(x, y) + share * around / 4.0);
        }
    }
    out
}
