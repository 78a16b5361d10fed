//! The messages of this crate's plan nodes, which go from the scheduler to the executors as protobuf.

use prost::Message;

/// Writes distinct descriptions with their HS codes as one Parquet file for each period.
#[derive(Clone, PartialEq, Message)]
pub struct HsTextsOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Folder of the archive for the files.
    #[prost(string, tag = "2")]
    pub folder: String,
    /// Path of the nomenclature in the archive; empty: none, any code is used.
    #[prost(string, tag = "3")]
    pub nomenclature: String,
    /// Path of the correlation table in the archive; empty: none.
    #[prost(string, tag = "4")]
    pub correlation: String,
}

/// Adds recommended HS codes to rows with a description and a declared code.
#[derive(Clone, PartialEq, Message)]
pub struct HsRecommendOperator {
    /// URL of the archive.
    #[prost(string, tag = "1")]
    pub archive: String,
    /// Path of the model's bytes in the archive.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Leave out the search for precedents.
    #[prost(bool, tag = "3")]
    pub fast: bool,
    /// Add the five best codes at each level.
    #[prost(bool, tag = "4")]
    pub suggestions: bool,
    /// Path of the usual duty rates ([`crate::rates::UsualRates`] as JSON); empty: none.
    #[prost(string, tag = "5")]
    pub rates: String,
    /// Score by the description alone, without origin, unit and value per unit.
    #[prost(bool, tag = "6")]
    pub description_alone: bool,
    /// Score without unit and value per unit, whatever the model knows of them.
    #[prost(bool, tag = "7")]
    pub without_unit: bool,
}
