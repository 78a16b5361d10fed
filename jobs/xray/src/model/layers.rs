//! The layers that the network is built of, and what computes them: candle's tensors on a GPU, a tape on the processor.
//!
//! Both give the same but for rounding, which a test of [`super::network`] checks against PyTorch. Start at [`Layers`].

use candle_core::{Result, Tensor, Var};
use tidewaiter_tensors::{
    convolution::{Activation, Convolution, convolve},
    normalisation::normalise,
    tape::{Filter, Norm, Place, Tape},
    upsampling::double,
};

/// A convolution of stride 1 with a bias: the places of its parts.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    pub(super) kernel: usize,
    pub(super) bias: usize,
    pub(super) side: usize,
}

/// A convolution of 3 × 3, a group normalisation and a rectifier: the places of their parts.
#[derive(Clone, Copy)]
pub(super) struct Normal {
    pub(super) kernel: usize,
    pub(super) bias: usize,
    pub(super) scale: usize,
    pub(super) shift: usize,
    pub(super) stride: usize,
    pub(super) groups: usize,
}

/// Pixels of the side of a [`Normal`]'s kernel.
const SIDE: usize = 3;

/// What computes layers, from outputs to outputs.
pub(super) trait Layers {
    /// An output: images × height × width × channels.
    type Output: Clone;

    fn plain(&mut self, layer: Plain, from: &Self::Output) -> Result<Self::Output>;

    fn normal(&mut self, layer: Normal, from: &Self::Output) -> Result<Self::Output>;

    fn sum(&mut self, a: &Self::Output, b: &Self::Output) -> Result<Self::Output>;

    /// Every pixel twice in both directions.
    fn doubled(&mut self, from: &Self::Output) -> Result<Self::Output>;

    /// The channels of both.
    fn joined(&mut self, a: &Self::Output, b: &Self::Output) -> Result<Self::Output>;

    /// One pixel: the mean of each channel, then the largest value of each.
    fn pooled(&mut self, from: &Self::Output) -> Result<Self::Output>;
}

/// Layers by candle's tensors, with one for each part of the network.
pub(super) struct OnTensors<'a>(pub(super) &'a [Var]);

impl Layers for OnTensors<'_> {
    type Output = Tensor;

    fn plain(&mut self, layer: Plain, from: &Tensor) -> Result<Tensor> {
        let convolution = Convolution { stride: 1, padding: layer.side / 2, activation: Activation::None };
        convolve(from, &self.0[layer.kernel], &self.0[layer.bias], convolution)
    }

    fn normal(&mut self, layer: Normal, from: &Tensor) -> Result<Tensor> {
        let convolution =
            Convolution { stride: layer.stride, padding: SIDE / 2, activation: Activation::None };
        let values = convolve(from, &self.0[layer.kernel], &self.0[layer.bias], convolution)?;
        normalise(&values, &self.0[layer.scale], &self.0[layer.shift], layer.groups)
    }

    fn sum(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        a + b
    }

    fn doubled(&mut self, from: &Tensor) -> Result<Tensor> {
        double(from)
    }

    fn joined(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Tensor::cat(&[a, b], 3)
    }

    fn pooled(&mut self, from: &Tensor) -> Result<Tensor> {
        let (batch, height, width, channels) = from.dims4()?;
        let flat = from.reshape((batch, height * width, channels))?;
        Tensor::cat(&[flat.mean(1)?, flat.max(1)?], 1)?.reshape((batch, 1, 1, 2 * channels))
    }
}

/// Layers on a tape; the parts of the network lie among its weights from `begins` on, which has the end as its last.
pub(super) struct OnTape<'a> {
    pub(super) tape: Tape<'a>,
    pub(super) begins: &'a [usize],
}

impl OnTape<'_> {
    fn filter(&self, kernel: usize, bias: usize, (side, stride): (usize, usize)) -> Filter {
        let outputs = self.begins[bias + 1] - self.begins[bias];
        Filter { kernel: self.begins[kernel], bias: self.begins[bias], side, outputs, stride }
    }
}

impl Layers for OnTape<'_> {
    type Output = Place;

    fn plain(&mut self, layer: Plain, from: &Place) -> Result<Place> {
        let filter = self.filter(layer.kernel, layer.bias, (layer.side, 1));
        self.tape.filtered(*from, filter)
    }

    fn normal(&mut self, layer: Normal, from: &Place) -> Result<Place> {
        let filter = self.filter(layer.kernel, layer.bias, (SIDE, layer.stride));
        let filtered = self.tape.filtered(*from, filter)?;
        let (scale, shift) = (self.begins[layer.scale], self.begins[layer.shift]);
        self.tape.normalised(filtered, Norm { scale, shift, groups: layer.groups })
    }

    fn sum(&mut self, a: &Place, b: &Place) -> Result<Place> {
        self.tape.sum(*a, *b)
    }

    fn doubled(&mut self, from: &Place) -> Result<Place> {
        Ok(self.tape.doubled(*from))
    }

    fn joined(&mut self, a: &Place, b: &Place) -> Result<Place> {
        self.tape.joined(*a, *b)
    }

    fn pooled(&mut self, from: &Place) -> Result<Place> {
        Ok(self.tape.pooled(*from))
    }
}
