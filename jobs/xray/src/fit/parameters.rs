//! The hyper-parameters of a detector's fit.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::model::network::Extents;

/// Hyper-parameters of a detector.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Pixels of the longer side of an image as the network sees it; a multiple of 32
    #[arg(long, default_value_t = Parameters::default().side)]
    pub side: usize,
    /// Channels of the network's first stage; a multiple of 8
    #[arg(long, default_value_t = Parameters::default().width)]
    pub width: usize,
    /// Passes over the training images
    #[arg(long, default_value_t = Parameters::default().epochs)]
    pub epochs: u32,
    /// Images of one training step of a shard
    #[arg(long, default_value_t = Parameters::default().batch_images)]
    pub batch_images: usize,
    /// Training steps of a shard between two averages of the weights
    #[arg(long, default_value_t = Parameters::default().steps_between_averages)]
    pub steps_between_averages: u32,
    /// Largest learning rate
    #[arg(long, default_value_t = Parameters::default().learning_rate)]
    pub learning_rate: f64,
    /// Weight decay
    #[arg(long, default_value_t = Parameters::default().weight_decay)]
    pub weight_decay: f64,
    /// Probability with which a training image meets another one, whose threat, if it has one, is projected into it, 0 to 1
    #[arg(long, default_value_t = Parameters::default().projection)]
    pub projection: f64,
    /// Seed of the weights, the order of images and their augmentation
    #[arg(long, default_value_t = Parameters::default().seed)]
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            side: 320,
            width: 16,
            epochs: 40,
            batch_images: 8,
            steps_between_averages: 4,
            learning_rate: 2e-3,
            weight_decay: 0.05,
            projection: 0.3,
            seed: 1,
        }
    }
}

impl Parameters {
    /// The extents of the network for so many classes and sections.
    pub fn extents(&self, classes: usize, sections: usize) -> Extents {
        Extents { classes, sections, width: self.width }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`], naming the parameter and its range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::input(format!("{what}; change it")));
        if self.side == 0 || !self.side.is_multiple_of(32) || self.side > 2048 {
            return wrong(&format!("--side {} is not a multiple of 32 from 32 to 2048", self.side));
        }
        if self.width == 0 || !self.width.is_multiple_of(8) || self.width > 256 {
            return wrong(&format!("--width {} is not a multiple of 8 from 8 to 256", self.width));
        }
        if self.epochs == 0 || self.batch_images == 0 || self.steps_between_averages == 0 {
            return wrong("--epochs, --batch-images and --steps-between-averages are at least 1");
        }
        let is_rate = self.learning_rate > 0.0 && self.learning_rate <= 1.0;
        if !is_rate || !(0.0..=1.0).contains(&self.weight_decay) {
            return wrong("--learning-rate is above 0 and at most 1, --weight-decay from 0 to 1");
        }
        if !(0.0..=1.0).contains(&self.projection) {
            return wrong(&format!("--projection {} is not a share from 0 to 1", self.projection));
        }
        Ok(())
    }
}
