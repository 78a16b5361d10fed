//! Weights from which the backbone of a network begins, instead of random ones: those of another training, in a file of
//! the form safetensors.
//!
//! The file has the tensors that [`Network::backbone`] names, with PyTorch's order of a kernel's dimensions (outputs ×
//! inputs × side × side); further ones, such as those of a classifier, are left alone. Start at [`weights`].

use candle_core::{DType, Device, Tensor, safetensors::SliceSafetensors};
use tidewaiter_core::{Error, Result};

use super::network::{BackbonePart, Extents, Network};

/// The flat weights of the backbone of a network of `width` channels, by a file's bytes.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the bytes are of another form, or a tensor is missing or has another shape.
pub fn weights(bytes: &[u8], width: usize) -> Result<Vec<f32>> {
    let file = SliceSafetensors::new(bytes).map_err(|error| {
        Error::input("the backbone is not a file of the form safetensors; convert it").with_source(error)
    })?;
    let network = Network::new(Extents { classes: 1, sections: 0, width });
    let mut weights = Vec::new();
    for part in network.backbone() {
        let tensor =
            file.load(&part.name, &Device::Cpu).map_err(|error| missing(&part).with_source(error))?;
        let shape = of_file(&part.shape);
        if tensor.dims() != shape {
            let (name, found) = (&part.name, tensor.dims());
            return Err(Error::input(format!(
                "the backbone's {name} has the shape {found:?} instead of {shape:?}; give a file of a network whose first \
                 stage has {width} channels, or another --width"
            )));
        }
        let values = in_order(&tensor).map_err(|error| {
            Error::input(format!("the backbone's {} cannot be read as numbers", part.name)).with_source(error)
        })?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::input(format!("the backbone's {} holds {value}; train it again", part.name)));
        }
        weights.extend(values);
    }
    Ok(weights)
}

fn missing(part: &BackbonePart) -> Error {
    let (name, shape) = (&part.name, of_file(&part.shape));
    Error::input(format!(
        "the backbone has no tensor {name} of the shape {shape:?}; see the guide for all names"
    ))
}

/// The shape of a tensor in a file.
fn of_file(shape: &[usize]) -> Vec<usize> {
    match shape {
        &[side, across, inputs, outputs] => vec![outputs, inputs, side, across],
        other => other.to_vec(),
    }
}

/// The values of a tensor of a file in the network's order.
fn in_order(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    let tensor = match tensor.rank() {
        4 => tensor.permute((2, 3, 1, 0))?.contiguous()?,
        _ => tensor.clone(),
    };
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const WIDTH: usize = 8;

    /// Tensors of a backbone whose values count up within each.
    fn tensors() -> HashMap<String, Tensor> {
        let parts = Network::new(Extents { classes: 3, sections: 2, width: WIDTH }).backbone();
        let tensor = |part: &BackbonePart| {
            let count = part.shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
            Tensor::from_vec(values, of_file(&part.shape), &Device::Cpu).expect("a tensor")
        };
        parts.iter().map(|part| (part.name.clone(), tensor(part))).collect()
    }

    fn file(tensors: &HashMap<String, Tensor>) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backbone.safetensors");
        candle_core::safetensors::save(tensors, &path).expect("written");
        std::fs::read(path).expect("read")
    }

    #[test]
    fn a_file_gives_the_first_weights_in_the_order_of_the_network() {
        let mut tensors = tensors();
        let more = Tensor::new(&[1_f32], &Device::Cpu).expect("a tensor");
        tensors.insert("classifier.weight".to_owned(), more);
        let read = weights(&file(&tensors), WIDTH).expect("reads");
        let network = Network::new(Extents { classes: 3, sections: 2, width: WIDTH });
        let parts = network.backbone();
        assert_eq!(parts.len(), 4 * (1 + 4 * 3));
        assert_eq!(
            parts[0],
            BackbonePart { name: "stem.conv.weight".to_owned(), shape: vec![3, 3, 3, WIDTH] }
        );
        let of_parts: usize = parts.iter().map(|part| part.shape.iter().product::<usize>()).sum();
        assert!(read.len() == of_parts && of_parts < network.size());
        // Of the stem: (row, column, input, output) lies in the file at (output, input, row, column).
        for (place, (row, column, input, output)) in
            [(0, (0, 0, 0, 0)), (1, (0, 0, 0, 1)), (8, (0, 0, 1, 0)), (24, (0, 1, 0, 0))]
        {
            let at = ((output * 3 + input) * 3 + row) * 3 + column;
            assert_eq!(read[place], at as f32);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let says = |bytes: &[u8], width: usize| weights(bytes, width).expect_err("refused").to_string();
        assert!(says(b"no safetensors", WIDTH).contains("safetensors"));
        let whole = file(&tensors());
        assert!(says(&whole[..whole.len() - 8], WIDTH).contains("safetensors"));
        let other = says(&whole, 16);
        assert!(
            other.contains("stem.conv.weight has the shape [8, 3, 3, 3] instead of [16, 3, 3, 3]"),
            "{other}"
        );
        let mut tensors = tensors();
        tensors.remove("stages.2.first.norm.bias");
        assert!(
            says(&file(&tensors), WIDTH).contains("no tensor stages.2.first.norm.bias of the shape [64]")
        );
        let nan = Tensor::new(&[f32::NAN; 64], &Device::Cpu).expect("a tensor");
        tensors.insert("stages.2.first.norm.bias".to_owned(), nan);
        assert!(says(&file(&tensors), WIDTH).contains("holds NaN"));
    }
}
