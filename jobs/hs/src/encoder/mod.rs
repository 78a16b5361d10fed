//! A transformer that reads descriptions, with a trained head: one more input of the model.
//!
//! The encoder is a sentence encoder of the BERT family: a folder with `config.json`, `tokenizer.json` and
//! `model.safetensors` that the user gives ([`files`]), computed with candle ([`bert`], [`network`]). The mean of its
//! last states is a text's embedding. The head is a softmax over the codes whose weights are sums along the HS tree
//! ([`head`]). The head and, if requested, the encoder's last layers ([`layers`]) are trained on shards of the texts,
//! whose weights are averaged through the collective ([`leader`], [`shard`]): local SGD (Stich, ICLR 2019) with AdamW
//! (Loshchilov and Hutter, ICLR 2019). The logarithm of the head's probability joins the log-linear model, so that
//! reasons, precedents and calibration stay ([`model_part`]). A fast apply leaves it out, with the precedents.
//!
//! The same texts, encoder, parameters and number of shards give the same bytes, whichever workers carry the shards, on
//! processors of one kind. Start at [`Parameters`], then [`leader`].

mod bert;
mod files;
mod fit;
mod head;
mod layers;
mod leader;
mod loader;
mod model_part;
mod network;
mod optimiser;
mod parameters;
mod shard;
mod tensor;
mod wire;

#[cfg(test)]
mod tests;

pub use self::{
    files::{StoredEncoder, store},
    loader::{EncoderShards, LEARNER, Layout},
    parameters::Parameters,
};
pub(crate) use self::{
    fit::{FittedEncoder, fit_encoder},
    model_part::{ModelEncoder, StoredModelEncoder},
    network::Embeddings,
};
