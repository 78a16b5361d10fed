//! One month of declarations, from the month's own random stream, written column by column. Start at [`Month`].

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, RecordBatch, StringBuilder,
    },
    error::ArrowError,
};
use chrono::{Datelike, NaiveDate, Weekday};
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::Result;

use crate::{
    batch::{PLANTED_ERRORS, SCHEMES, SynthBatch, truth_schema},
    economy::{
        CURRENCIES, Country, Economy, Good, MODES, MOST_LIKELY, NEW_BROKERS, RANDOM_RED, RED_OF_INSPECTED,
        Route, mix, propensity, rule_score,
    },
    parameters::Parameters,
};

/// The most rows of a batch.
const BATCH_ROWS: usize = 65_536;

/// The duty and tax that are due on the true goods, minus what was assessed on the declaration: national currency,
/// rounded to hundredths. Rates are in percent; the tax is due on the value plus the duty.
pub fn revenue_evaded(true_value: f64, true_duty_rate: f64, true_tax_rate: f64, assessed: f64) -> f64 {
    let duty = true_value * true_duty_rate / 100.0;
    let tax = (true_value + duty) * true_tax_rate / 100.0;
    ((duty + tax - assessed) * 100.0).round() / 100.0
}

/// Rounds to hundredths, as amounts and masses are declared.
fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The batches of one month, in the order of their dates.
pub struct Month {
    parameters: Arc<Parameters>,
    economy: Arc<Economy>,
    rng: Xoshiro256PlusPlus,
    /// Months since the first.
    since: u32,
    year: i32,
    month: u32,
    /// The number of the month's rows up to the end of each day.
    day_ends: Vec<u64>,
    first_day: i32,
    rows: u64,
    done: u64,
    declaration: u64,
    /// The declaration that has further items.
    open: Option<OpenDeclaration>,
    /// The mean price of each currency in this month, in national currency.
    rates: [f64; CURRENCIES.len()],
}

/// What the items of one declaration have in common.
#[derive(Clone, Copy)]
struct OpenDeclaration {
    importer: usize,
    route: Route,
    propensity: f64,
    /// Whether its trader practises the new scheme.
    has_new_scheme: bool,
    /// The number of its last item, from 1, and that of its items.
    item: i32,
    items: i32,
    day: i32,
    channel: &'static str,
    inspected: bool,
    /// Whether chance alone chose it: no rule, and no inspector, would have.
    random: bool,
}

impl Month {
    pub(super) fn new(parameters: Arc<Parameters>, economy: Arc<Economy>, since: u32, rows: u64) -> Self {
        let (year, month) = parameters.month_at(since);
        let absolute = i64::from(year) * 12 + i64::from(month);
        let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default();
        let weights: Vec<f64> = first
            .iter_days()
            .take_while(|day| day.month() == month)
            .map(|day| match day.weekday() {
                Weekday::Sat => 0.4,
                Weekday::Sun => 0.15,
                _ => 1.0,
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let day_ends = weights
            .iter()
            .map(|weight| {
                sum += weight;
                (sum / total * rows as f64).round() as u64
            })
            .collect();
        let mut rates = [0.0; CURRENCIES.len()];
        for (index, rate) in rates.iter_mut().enumerate() {
            // A slow oscillation and a quicker small one: a function of the month alone, so that months are independent.
            let phase = (mix(parameters.seed, index as u64) % 628) as f64 / 100.0;
            let time = absolute as f64;
            let oscillation = 0.10 * (time / 7.0 + phase).sin() + 0.03 * (time / 1.7 + 2.0 * phase).sin();
            *rate = CURRENCIES[index].1 * oscillation.exp();
        }
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(mix(parameters.seed, absolute as u64)),
            first_day: first.num_days_from_ce() - 719_163,
            parameters,
            economy,
            since,
            year,
            month,
            day_ends,
            rows,
            done: 0,
            declaration: 0,
            open: None,
            rates,
        }
    }

    /// Begins a declaration: its trader, route, channel and number of items.
    fn declare(&mut self) -> OpenDeclaration {
        let economy = &*self.economy;
        let rng = &mut self.rng;
        self.declaration += 1;
        let index = economy.importer_draw.draw(rng);
        let importer = &economy.importers[index];
        let mut route = importer.routes[rng.random_range(0..importer.routes.len())];
        let mut inclination = importer.propensity;
        if self.parameters.drift && self.parameters.histories {
            // Each half year the inclination of a tenth of the importers changes.
            for epoch in 1..=u64::from(self.since / 6) {
                let word = mix(self.parameters.seed ^ epoch, index as u64);
                if word.is_multiple_of(10) {
                    inclination = propensity((word >> 11) as f64 / (1u64 << 53) as f64);
                }
            }
        }
        let (year, month) = (self.year, self.month);
        let has_new_scheme = self.parameters.new_scheme_from.is_some_and(|from| (year, month) >= from)
            && mix(self.parameters.seed ^ 0x4E, index as u64) % 100
                < (self.parameters.new_scheme_traders * 100.0).round() as u64
            && (!self.parameters.new_scheme_by_unsuspected || importer.is_unsuspected());
        if has_new_scheme && self.parameters.new_scheme_by_new_brokers {
            route.declarant = (economy.declarants.len() - 1 - index % NEW_BROKERS) as u32;
        }
        let good = &economy.goods[route.goods[0] as usize];
        let weight = economy.weight(inclination, &route, good);
        let score = rule_score(weight, self.parameters.inspection_bias, rng);
        let random_rate = RED_OF_INSPECTED * self.parameters.inspection_rate * RANDOM_RED;
        let uniform = rng.random::<f64>();
        let (channel, inspected, random) = if score > economy.red {
            ("red", true, false)
        } else if uniform < random_rate {
            // Of those drawn in the yellow channel half would have been inspected in any case.
            ("red", true, score <= economy.yellow || uniform < 0.5 * random_rate)
        } else if score > economy.yellow {
            ("yellow", rng.random(), false)
        } else {
            ("green", false, false)
        };
        let mut items = 1;
        while items < 9 && rng.random::<f64>() < 0.45 {
            items += 1;
        }
        let day = self.day_ends.partition_point(|&end| end <= self.done);
        OpenDeclaration {
            importer: index,
            route,
            propensity: inclination,
            has_new_scheme,
            item: 0,
            items,
            day: self.first_day + day.min(self.day_ends.len() - 1) as i32,
            channel,
            inspected,
            random,
        }
    }

    /// Which scheme an item follows: an index into [`SCHEMES`].
    fn scheme(&mut self, open: &OpenDeclaration, good: &Good, origin: &Country) -> Option<usize> {
        let economy = &*self.economy;
        let rng = &mut self.rng;
        let chance = economy.weight(open.propensity, &open.route, good) * economy.scale;
        let (fraud, by_new_scheme) = (rng.random::<f64>(), rng.random::<f64>());
        let applies = !self.parameters.new_scheme_on_free_goods || good.duty == 0.0;
        if open.has_new_scheme && applies && by_new_scheme < self.parameters.new_scheme_share {
            return Some(4);
        }
        let over = self.parameters.old_schemes_until.is_some_and(|until| (self.year, self.month) > until);
        let left = if over { self.parameters.old_schemes_left } else { 1.0 };
        if fraud >= chance.min(MOST_LIKELY) * left {
            return None;
        }
        let switches = &self.parameters.schemes;
        let possible = [
            switches.undervaluation,
            switches.misclassification && good.neighbour.is_some(),
            switches.false_origin
                && origin.preference.is_none()
                && good.duty >= 2.5
                && economy.preferred_draw.is_some(),
            switches.under_weighing,
        ];
        let habit = usize::from(open.route.scheme);
        let wanted = if rng.random::<f64>() < 0.8 { habit } else { economy.scheme_draw.draw(rng) };
        // If the wanted scheme is not possible, another one: first those that are possible on any goods.
        [wanted, 0, 3, 1, 2].into_iter().find(|&scheme| possible[scheme])
    }

    fn batch(&mut self) -> Result<SynthBatch> {
        let rows = (self.rows - self.done).min(BATCH_ROWS as u64) as usize;
        let economy = Arc::clone(&self.economy);
        let mut out = Columns::new(rows);
        let mut id = format!("{}{:04}{:02}-", self.parameters.country, self.year, self.month).into_bytes();
        let prefix = id.len();
        id.resize(prefix + 9, b'0');
        // Prices rise by three per cent a year; with drift, three times as fast.
        let inflation = f64::from(self.since) * if self.parameters.drift { 0.0075 } else { 0.0025 };
        let half_year = u64::from(self.since / 6);
        let shifted = if self.parameters.covariate_drift { (half_year as f64 * 0.05).min(0.5) } else { 0.0 };
        for _ in 0..rows {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.declare(),
            };
            open.item += 1;
            let route = open.route;
            let mut goods = economy.goods_on(&route, &mut self.rng);
            // At the default no random number is drawn, so that the archive is the same as without the parameter.
            if shifted > 0.0 && self.rng.random::<f64>() < shifted {
                goods = economy.in_demand(self.parameters.seed, half_year, &mut self.rng);
            }
            let good = &economy.goods[goods];
            let origin = &economy.countries[economy.origin_on(&route, &mut self.rng)];
            let importer = &economy.importers[open.importer];

            // What truly crosses the border.
            let size = self.parameters.heavy_tail.map_or(1.0, |index| {
                let uniform: f64 = self.rng.random();
                // At most a million times the least, so that amounts stay exact to the hundredth.
                (1.0 - uniform).powf(-1.0 / index).min(1e6)
            });
            let mut normal = || self.rng.sample::<f64, _>(StandardNormal);
            let mut net = ((good.log_mass + 1.1 * normal()).exp() * size).max(0.1);
            let price = (good.log_price + origin.log_price + good.spread * normal() + inflation).exp();
            let measured = 0.25 * normal();
            let freight = MODES[usize::from(route.mode)].2 * (0.4 * normal()).exp();
            let packing = 1.0 + 0.06 * (0.6 * normal()).exp();
            // Prices are in US dollars; the invoice is in the exporter's currency.
            let mut true_value = cents(net * price * self.rates[0] * (1.0 + freight));
            let claims = self.rng.random::<f64>() < 0.85;
            let true_preference = if claims { origin.preference } else { None };
            let true_rate = good.duty * true_preference.unwrap_or(1.0);

            // What is declared.
            let scheme = self.scheme(&open, good, origin);
            let (mut declared, mut declared_origin, mut preference) = (good, origin, true_preference);
            let (mut mass_share, mut value_share) = (1.0, 1.0);
            match scheme {
                Some(0) => value_share = self.rng.random_range(0.45..0.9),
                Some(1) => {
                    if let Some(neighbour) = good.neighbour {
                        declared = &economy.goods[neighbour as usize];
                    }
                }
                Some(2) => {
                    if let Some(draw) = &economy.preferred_draw {
                        let claimed = economy.preferred[draw.draw(&mut self.rng)];
                        declared_origin = &economy.countries[usize::from(claimed)];
                        preference = declared_origin.preference;
                    }
                }
                Some(3) => {
                    mass_share = self.rng.random_range(0.6..0.9);
                    value_share = mass_share;
                }
                Some(_) => {
                    value_share = self.rng.random_range(0.5..0.85);
                    net *= self.parameters.new_scheme_size;
                    true_value = cents(true_value * self.parameters.new_scheme_size);
                }
                None => {}
            }
            let value = cents(true_value * value_share);
            let duty_rate = declared.duty * preference.unwrap_or(1.0);
            let duty = cents(value * duty_rate / 100.0);
            let tax = cents((value + duty) * declared.tax / 100.0);
            let evaded = revenue_evaded(true_value, true_rate, good.tax, duty + tax);
            // A scheme that evades nothing is no fraud.
            let scheme = scheme.filter(|_| evaded >= 1.0);
            let evaded = if scheme.is_some() { evaded } else { 0.0 };
            let net_declared = cents(net * mass_share).max(0.01);
            // The declared code has its own unit. A quantity in kilograms is the net mass; any other quantity is
            // counted, and stays true where the mass is false.
            let quantity = if declared.unit == "KGM" {
                net_declared
            } else {
                cents(net / (declared.unit_mass * measured.exp())).max(0.01)
            };

            let mut number = self.declaration;
            for digit in id[prefix..].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
            out.declaration.append_value(std::str::from_utf8(&id).unwrap_or_default());
            out.item.append_value(open.item);
            out.date.append_value(open.day);
            out.office.append_value(&economy.offices[usize::from(route.office)]);
            out.kind.append_value(if open.items > 3 { "IM-A" } else { "IM-B" });
            let warehouse = self.rng.random::<f64>() < 0.08;
            out.procedure.append_value(if warehouse { "7100" } else { "4000" });
            out.goods_use.append_value(if good.chapter < 30 { "01" } else { "02" });
            out.payment.append_value(if route.declarant % 3 == 0 { "E" } else { "A" });
            out.importer.append_value(&importer.name);
            out.declarant.append_value(&economy.declarants[route.declarant as usize]);
            out.exporter.append_value(&economy.exporters[route.exporter as usize]);
            out.carrier.append_value(&economy.carriers[route.carrier as usize]);
            out.origin.append_value(declared_origin.code);
            out.departure.append_value(economy.countries[usize::from(route.departure)].code);
            out.marking.append_value(if route.exporter % 4 == 0 { "B" } else { "Y" });
            out.mode.append_value(MODES[usize::from(route.mode)].0);
            out.hs_code.append_value(&declared.code);
            // Half of the misclassified keep the description of the true goods.
            let described = if self.rng.random() { good } else { declared };
            let text = &described.descriptions[self.rng.random_range(0..described.descriptions.len())];
            out.description.append_value(text);
            out.preference.append_value(if preference.is_some() { "300" } else { "100" });
            out.net.append_value(net_declared);
            out.gross.append_value(cents(net_declared * packing));
            out.quantity.append_value(quantity);
            out.unit.append_value(declared.unit);
            // Forged documents agree with each other: the invoice is in the currency of the declared origin.
            let currency = declared_origin.currency;
            out.invoice.append_value(cents(value / (1.0 + freight) / self.rates[currency]));
            out.currency.append_value(CURRENCIES[currency].0);
            out.value.append_value(value);
            out.duty_rate.append_value(duty_rate);
            out.duty.append_value(duty);
            out.tax_rate.append_value(declared.tax);
            out.tax.append_value(tax);
            out.channel.append_value(open.channel);
            out.inspected.append_value(open.inspected);
            out.random.append_value(open.random);
            out.version.append_null();
            let missed = self.rng.random::<f64>() < self.parameters.label_noise;
            if open.inspected {
                let found = scheme.is_some() && !missed;
                out.illicit.append_value(found);
                out.raised.append_value(if found { evaded } else { 0.0 });
            } else {
                out.illicit.append_null();
                out.raised.append_null();
            }
            out.true_illicit.append_value(scheme.is_some());
            out.true_scheme.append_option(scheme.map(|index| SCHEMES[index]));
            out.true_revenue.append_value(evaded);
            let planted = self.rng.random::<f64>() < self.parameters.planted_error_rate;
            let which = self.rng.random_range(0..PLANTED_ERRORS.len());
            out.planted.append_option(planted.then(|| PLANTED_ERRORS[which]));
            out.inclination.append_value(open.propensity);
            out.ring.append_value(route.ring > 1.0);

            self.done += 1;
            if open.item < open.items {
                self.open = Some(open);
            }
        }
        Ok(out.finish()?)
    }
}

impl Iterator for Month {
    type Item = Result<SynthBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.done < self.rows).then(|| self.batch())
    }
}

macro_rules! columns {
    ($($name:ident: $builder:ident),* ; $($truth:ident: $truth_builder:ident),* $(,)?) => {
        /// One builder per column, in the order of the schema, then those of the truth.
        struct Columns { $($name: $builder,)* $($truth: $truth_builder,)* }

        impl Columns {
            fn finish(mut self) -> std::result::Result<SynthBatch, ArrowError> {
                let columns: Vec<ArrayRef> = vec![$(Arc::new(self.$name.finish())),*];
                let truth: Vec<ArrayRef> = vec![$(Arc::new(self.$truth.finish())),*];
                Ok(SynthBatch {
                    declarations: RecordBatch::try_new(tidewaiter_declarations::schema(), columns)?,
                    truth: RecordBatch::try_new(truth_schema(), truth)?,
                })
            }

            fn new(rows: usize) -> Self {
                Self {
                    $($name: <$builder as WithRows>::with_rows(rows),)*
                    $($truth: <$truth_builder as WithRows>::with_rows(rows),)*
                }
            }
        }
    };
}

/// Column builders with memory for a number of rows.
trait WithRows {
    fn with_rows(rows: usize) -> Self;
}

macro_rules! with_rows {
    ($($builder:ident),*) => {
        $(impl WithRows for $builder { fn with_rows(rows: usize) -> Self { Self::with_capacity(rows) } })*
    };
}
with_rows!(BooleanBuilder, Date32Builder, Float64Builder, Int32Builder);

impl WithRows for StringBuilder {
    fn with_rows(rows: usize) -> Self {
        Self::with_capacity(rows, rows * 8)
    }
}

columns! {
    declaration: StringBuilder, item: Int32Builder, date: Date32Builder, office: StringBuilder,
    kind: StringBuilder, procedure: StringBuilder, goods_use: StringBuilder, payment: StringBuilder,
    importer: StringBuilder, declarant: StringBuilder, exporter: StringBuilder, carrier: StringBuilder,
    origin: StringBuilder, departure: StringBuilder, marking: StringBuilder, mode: StringBuilder,
    hs_code: StringBuilder, description: StringBuilder, preference: StringBuilder, net: Float64Builder,
    gross: Float64Builder, quantity: Float64Builder, unit: StringBuilder, invoice: Float64Builder,
    currency: StringBuilder, value: Float64Builder, duty_rate: Float64Builder, duty: Float64Builder,
    tax_rate: Float64Builder, tax: Float64Builder, channel: StringBuilder, inspected: BooleanBuilder,
    illicit: BooleanBuilder, raised: Float64Builder, random: BooleanBuilder, version: Int32Builder;
    true_illicit: BooleanBuilder, true_scheme: StringBuilder, true_revenue: Float64Builder,
    planted: StringBuilder, inclination: Float64Builder, ring: BooleanBuilder,
}
