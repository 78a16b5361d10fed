//! Values, gradients, reproducibility and refusals of convolutions.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;

use super::*;

fn random(shape: &[usize], seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values: Vec<f32> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(count)
    .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

/// The same by candle's own convolution.
fn peer(images: &Tensor, kernel: &Tensor, bias: &Tensor, convolution: Convolution) -> Tensor {
    super::on_gpu(images, kernel, bias, convolution).expect("candle convolves")
}

fn distance(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).and_then(|d| d.abs()).and_then(|d| d.flatten_all()).and_then(|d| d.max(0));
    difference.and_then(|d| d.to_scalar()).expect("a number")
}

#[test]
fn a_small_convolution_by_hand() {
    // One channel, 3 × 3 image, 2 × 2 kernel: 1·1 + 2·2 + 4·3 + 5·4 = 37, and so on.
    let images =
        Tensor::arange(1f32, 10.0, &Device::Cpu).and_then(|t| t.reshape((1, 3, 3, 1))).expect("images");
    let kernel =
        Tensor::arange(1f32, 5.0, &Device::Cpu).and_then(|t| t.reshape((2, 2, 1, 1))).expect("kernel");
    let bias = Tensor::new(&[-50f32], &Device::Cpu).expect("bias");
    let plain = Convolution { stride: 1, padding: 0, activation: Activation::None };
    let out = convolve(&images, &kernel, &bias, plain).and_then(|out| out.flatten_all()).expect("convolved");
    assert_eq!(out.to_vec1::<f32>().expect("numbers"), [-13.0, -3.0, 17.0, 27.0]);
    let rectified = Convolution { activation: Activation::Relu, ..plain };
    let out =
        convolve(&images, &kernel, &bias, rectified).and_then(|out| out.flatten_all()).expect("convolved");
    assert_eq!(out.to_vec1::<f32>().expect("numbers"), [0.0, 0.0, 17.0, 27.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn values_and_gradients_are_candles_own(
        images in 1usize..10, side in 3usize..12, inputs in 1usize..5, outputs in 1usize..6,
        kernel in 1usize..4, stride in 1usize..3, padding in 0usize..3, relu: bool, seed: u64,
    ) {
        // Candle's gradient of a strided convolution needs an image that the stride divides.
        let side = side + (side + 2 * padding - kernel) % stride;
        let activation = if relu { Activation::Relu } else { Activation::None };
        let convolution = Convolution { stride, padding, activation };
        let x = Var::from_tensor(&random(&[images, side, side, inputs], seed)).expect("images");
        let w = Var::from_tensor(&random(&[kernel, kernel, inputs, outputs], seed ^ 1)).expect("kernel");
        let b = Var::from_tensor(&random(&[outputs], seed ^ 2)).expect("bias");
        let ours = convolve(&x, &w, &b, convolution).expect("ours");
        let theirs = peer(&x, &w, &b, convolution);
        prop_assert_eq!(ours.dims(), theirs.dims());
        prop_assert!(distance(&ours, &theirs) < 1e-4);

        let weights = random(ours.dims(), seed ^ 3);
        let backward = |out: &Tensor| (out * &weights).and_then(|loss| loss.sum_all()?.backward()).expect("gradients");
        let (ours, theirs) = (backward(&ours), backward(&theirs));
        for variable in [&x, &w, &b] {
            let (ours, theirs) = (ours.get(variable).expect("ours"), theirs.get(variable).expect("theirs"));
            prop_assert!(distance(ours, theirs) < 2e-3, "{} of {:?}", distance(ours, theirs), variable.dims());
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let gradients = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let x = Var::from_tensor(&random(&[11, 33, 33, 8], 5)).expect("images");
            let w = Var::from_tensor(&random(&[3, 3, 8, 16], 6)).expect("kernel");
            let b = Var::from_tensor(&random(&[16], 7)).expect("bias");
            let convolution = Convolution { stride: 2, padding: 1, activation: Activation::Relu };
            let out = convolve(&x, &w, &b, convolution).expect("convolved");
            let all = out.sqr().and_then(|out| out.sum_all()?.backward()).expect("gradients");
            let bits = |variable: &Var| {
                let values =
                    all.get(variable).expect("a gradient").flatten_all().and_then(|t| t.to_vec1::<f32>());
                values.expect("numbers").into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            [bits(&x), bits(&w), bits(&b)]
        })
    };
    assert_eq!(gradients(1), gradients(3));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let plain = Convolution { stride: 1, padding: 0, activation: Activation::None };
    let bias = random(&[4], 0);
    for (images, kernel) in
        [([1, 2, 2, 3], [3, 3, 3, 4]), ([1, 5, 5, 2], [3, 3, 3, 4]), ([0, 5, 5, 3], [3, 3, 3, 4])]
    {
        assert!(convolve(&random(&images, 1), &random(&kernel, 2), &bias, plain).is_err(), "{images:?}");
    }
}
