//! Queries over the archive's images: those of a job's countries and months, in small batches.
//!
//! A row holds a whole image file, so that a batch of the engine's usual 8192 rows would not fit in memory: sessions of
//! these queries read [`BATCH_ROWS`] at a time. Start at [`Images::of`].

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    compute::cast as cast_array,
    datatypes::DataType,
};
use chrono::Datelike;
use datafusion::{
    common::ScalarValue,
    functions_aggregate::expr_fn::min,
    prelude::{DataFrame, Expr, JoinType, SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, Table, provider::snapshot_provider};
use tidewaiter_core::{Error, ErrorKind, Period, Result, ResultExt, answers::column, query::Run as _};
use tidewaiter_declarations::DECLARATIONS;

use super::sections::section;
use crate::table::{self, IMAGES, TAKEN_AT};

/// Images that are read at a time.
const BATCH_ROWS: usize = 16;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The images of some countries in one snapshot of the archive.
pub struct Images<'a> {
    archive: &'a Archive,
    session: &'a SessionContext,
    countries: &'a [String],
    /// The version of the table.
    pub version: u64,
}

impl<'a> Images<'a> {
    /// The images of some countries in a version of the table; without one in the newest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the archive has no images; those of the store.
    pub async fn of(
        archive: &'a Archive,
        session: &'a SessionContext,
        countries: &'a [String],
        version: Option<u64>,
    ) -> Result<Self> {
        let table = Table::open(archive, IMAGES).await;
        let table =
            table.context(|| "the archive has no images; `tidewaiter ingest images` brings them in")?;
        let version = match version {
            Some(version) => version,
            None => table.version().await?,
        };
        let state = session.state_ref();
        let size = BATCH_ROWS.to_string();
        state.write().config_mut().options_mut().set("datafusion.execution.batch_size", &size)?;
        Ok(Self { archive, session, countries, version })
    }

    /// The rows of a period.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn within(&self, period: Period) -> Result<DataFrame> {
        let images = snapshot_provider(self.archive, IMAGES, Some(self.version)).await?;
        let countries = self.countries.iter().map(lit).collect();
        let rows = self.session.read_table(images)?.filter(col("country").in_list(countries, false))?;
        Ok(rows.filter(within(period))?)
    }

    /// What is known of the images of a period beside their pixels.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn labels(&self, period: Period) -> Result<Labels> {
        let rows = self.within(period).await?;
        let rows = rows.select_columns(&["image_id", "hs_code", "objects"])?;
        let mut labels = Labels { declared: self.declared(period).await?, ..Labels::default() };
        for batch in rows.batches().await.context(|| "read the annotations of the images")? {
            let ids = cast_array(column(&batch, "image_id")?, &DataType::Utf8)?;
            let codes = cast_array(column(&batch, "hs_code")?, &DataType::Utf8)?;
            let codes = codes.as_string::<i32>();
            for (row, objects) in table::objects(&batch)?.into_iter().enumerate() {
                labels.images += 1;
                let code = codes.is_valid(row).then(|| codes.value(row));
                if let Some(section) = labels.section(ids.as_string::<i32>().value(row), code) {
                    *labels.sections.entry(section).or_default() += 1;
                }
                let Some(objects) = objects else { continue };
                labels.annotated += 1;
                labels.illicit += u64::from(!objects.is_empty());
                for object in objects {
                    *labels.classes.entry(object.class).or_default() += 1;
                }
            }
        }
        Ok(labels)
    }

    /// The HS sections that declarations give for images which name a declaration and no HS code: that of the
    /// declaration's lowest code.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn declared(&self, period: Period) -> Result<BTreeMap<String, u32>> {
        let mut sections = BTreeMap::new();
        let declarations = match snapshot_provider(self.archive, DECLARATIONS, None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(sections),
            found => found?,
        };
        let images = self.within(period).await?;
        let images = images.filter(col("hs_code").is_null().and(col("declaration_id").is_not_null()))?;
        let images = images.select(vec![col("image_id"), col("declaration_id").alias("named")])?;
        let countries = self.countries.iter().map(lit).collect();
        let codes =
            self.session.read_table(declarations)?.filter(col("country").in_list(countries, false))?;
        let codes = codes.select_columns(&["declaration_id", "hs_code"])?;
        let codes = codes.aggregate(vec![col("declaration_id")], vec![min(col("hs_code")).alias("code")])?;
        let joined = images.join(codes, JoinType::Inner, &["named"], &["declaration_id"], None)?;
        let joined = joined.select_columns(&["image_id", "code"])?;
        for batch in joined.batches().await.context(|| "read the declarations of the images")? {
            let text = |name| Ok::<_, Error>(cast_array(column(&batch, name)?, &DataType::Utf8)?);
            let (ids, codes) = (text("image_id")?, text("code")?);
            for (id, code) in ids.as_string::<i32>().iter().zip(codes.as_string::<i32>()) {
                if let (Some(id), Some(section)) = (id, code.and_then(section)) {
                    sections.insert(id.to_owned(), section);
                }
            }
        }
        Ok(sections)
    }
}

/// The condition that an image was taken in a period: by its time, and by the partitions that can have it.
fn within(period: Period) -> Expr {
    let days = period.days();
    let day = |day: i32| {
        let zone = Some("UTC".into());
        lit(ScalarValue::TimestampMicrosecond(Some(i64::from(day) * DAY), zone))
    };
    let taken = col(TAKEN_AT).gt_eq(day(*days.start())).and(col(TAKEN_AT).lt(day(*days.end() + 1)));
    let (first, last) = (period.first(), period.last());
    let years = col("year").between(lit(first.year()), lit(last.year()));
    let months = match first.year() == last.year() {
        true => col("month").between(lit(first.month() as i32), lit(last.month() as i32)),
        false => lit(true),
    };
    years.and(months).and(taken)
}

/// What is known of some images beside their pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Images.
    pub images: u64,
    /// Images that were annotated, be they clean or not.
    pub annotated: u64,
    /// Images with an annotated object.
    pub illicit: u64,
    /// Objects by their class.
    pub classes: BTreeMap<String, u64>,
    /// Images by the declared HS section.
    pub sections: BTreeMap<u32, u64>,
    /// The sections of images whose rows do not have them, by the images' identifiers.
    pub declared: BTreeMap<String, u32>,
}

impl Labels {
    /// The declared HS section of an image by its own HS code or its declaration.
    pub fn section(&self, image: &str, code: Option<&str>) -> Option<u32> {
        code.and_then(section).or_else(|| self.declared.get(image).copied())
    }
}
