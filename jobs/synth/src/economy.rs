//! The simulated economy: countries, goods, traders and their routes, and the thresholds of the risk rule.
//!
//! It is made once. All texts of a row are here, so that a month only copies them. Start at [`Economy::new`].

use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::chance::{GOLDEN, scramble};

use crate::parameters::Parameters;

/// Countries, each with the currency of its exporters' invoices; the most trade comes from the first.
const COUNTRIES: &[(&str, &str)] = &[
    ("CN", "USD"),
    ("US", "USD"),
    ("DE", "EUR"),
    ("IN", "USD"),
    ("JP", "JPY"),
    ("GB", "GBP"),
    ("FR", "EUR"),
    ("IT", "EUR"),
    ("TR", "EUR"),
    ("KR", "USD"),
    ("AE", "USD"),
    ("ZA", "ZAR"),
    ("BR", "USD"),
    ("NL", "EUR"),
    ("ES", "EUR"),
    ("PL", "EUR"),
    ("TH", "USD"),
    ("VN", "USD"),
    ("MY", "USD"),
    ("ID", "USD"),
    ("SG", "USD"),
    ("HK", "USD"),
    ("EG", "USD"),
    ("KE", "USD"),
    ("NG", "USD"),
    ("GH", "USD"),
    ("MA", "EUR"),
    ("TN", "EUR"),
    ("SA", "USD"),
    ("PK", "USD"),
    ("BD", "USD"),
    ("LK", "USD"),
    ("MX", "USD"),
    ("CA", "USD"),
    ("AU", "AUD"),
    ("NZ", "AUD"),
    ("CH", "CHF"),
    ("SE", "EUR"),
    ("BE", "EUR"),
    ("AT", "EUR"),
];

/// Currencies of invoices, each with its mean price in national currency.
pub(super) const CURRENCIES: &[(&str, f64)] = &[
    ("USD", 12.0),
    ("EUR", 13.2),
    ("GBP", 15.4),
    ("JPY", 0.082),
    ("ZAR", 0.65),
    ("AUD", 7.9),
    ("CHF", 13.6),
];

/// Modes of transport: UN/ECE Rec. 19 code, share of the routes, and freight as a share of the invoice.
pub(super) const MODES: &[(&str, f64, f64)] = &[("1", 0.55, 0.06), ("3", 0.25, 0.04), ("4", 0.20, 0.14)];

/// Duty rates in percent, of which each code gets one at random.
const DUTIES: &[f64] = &[0.0, 0.0, 2.5, 5.0, 5.0, 10.0, 10.0, 15.0, 20.0, 25.0, 35.0];
/// Units of quantity (UN/ECE Rec. 20), each with its mass in kg.
const UNITS: &[(&str, f64)] = &[("KGM", 1.0), ("NAR", 0.8), ("LTR", 1.1), ("MTR", 0.3), ("NAR", 12.0)];
/// How many HS codes are traded.
const GOODS: usize = 3000;

/// Words of descriptions: the last HS chapter that they are for, nouns, and qualities.
const WORDS: &[(u8, &[&str], &[&str])] = &[
    (
        24,
        &["rice", "frozen fish fillets", "wheat flour", "palm oil", "fruit juice", "sugar", "cocoa paste"],
        &["refined", "long grain", "in retail packs", "in bulk", "organic", "unsweetened"],
    ),
    (
        38,
        &["fertilizer", "medicaments", "paint", "soap bars", "insecticide", "cement", "lubricating oil"],
        &["in drums", "for retail sale", "technical grade", "water based", "in 25 kg bags"],
    ),
    (
        49,
        &["plastic film", "rubber tyres", "leather handbags", "plywood sheets", "coated paper", "pipes"],
        &["of polyethylene", "for lorries", "new", "assorted sizes", "on rolls"],
    ),
    (
        67,
        &["cotton shirts", "woven fabric", "sports shoes", "knitted pullovers", "bed linen", "yarn"],
        &["for men", "for women", "dyed", "of polyester", "with rubber soles", "printed"],
    ),
    (
        83,
        &["ceramic tiles", "glass bottles", "steel coils", "screws and bolts", "aluminium profiles", "locks"],
        &["glazed", "hot rolled", "galvanised", "of stainless steel", "for construction"],
    ),
    (
        97,
        &["mobile telephones", "water pumps", "motor cars", "LED lamps", "furniture", "toys", "test meters"],
        &["used", "new", "with accessories", "220 V", "spare parts for", "model 2000 series"],
    ),
];

/// Draws an index by weight in constant time (Walker's alias method, in Vose's form, 1991).
pub(super) struct Alias {
    keep: Vec<f64>,
    other: Vec<u32>,
}

impl Alias {
    pub(super) fn new(weights: &[f64]) -> Self {
        let scale = weights.len() as f64 / weights.iter().sum::<f64>();
        let mut keep: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let mut other: Vec<u32> = (0..weights.len() as u32).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..keep.len()).partition(|&index| keep[index] < 1.0);
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            other[low] = high as u32;
            keep[high] -= 1.0 - keep[low];
            if keep[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        for index in small.into_iter().chain(large) {
            keep[index] = 1.0;
        }
        Self { keep, other }
    }

    pub(super) fn draw(&self, rng: &mut impl Rng) -> usize {
        let index = rng.random_range(0..self.keep.len());
        if rng.random::<f64>() < self.keep[index] { index } else { self.other[index] as usize }
    }
}

pub(super) struct Country {
    pub(super) code: &'static str,
    pub(super) currency: usize,
    pub(super) log_price: f64,
    /// The share of the duty rate that is due under the preference; `None`: no preference.
    pub(super) preference: Option<f64>,
}

pub(super) struct Good {
    pub(super) code: String,
    pub(super) chapter: u8,
    pub(super) log_price: f64,
    pub(super) spread: f64,
    pub(super) log_mass: f64,
    pub(super) duty: f64,
    pub(super) tax: f64,
    pub(super) unit: &'static str,
    pub(super) unit_mass: f64,
    pub(super) descriptions: Vec<String>,
    /// A nearby code with a lower rate, if there is one.
    pub(super) neighbour: Option<u32>,
}

#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) goods: [u32; 4],
    pub(super) origin: u8,
    pub(super) departure: u8,
    pub(super) mode: u8,
    pub(super) scheme: u8,
    pub(super) office: u16,
    pub(super) exporter: u32,
    pub(super) declarant: u32,
    pub(super) carrier: u32,
    /// Factor of the fraud rate: above one on the routes of a ring.
    pub(super) ring: f64,
}

pub(super) struct Importer {
    pub(super) name: String,
    pub(super) propensity: f64,
    pub(super) routes: Vec<Route>,
}

impl Importer {
    /// Whether the trader's past has no sign of fraud.
    pub(super) fn is_unsuspected(&self) -> bool {
        self.propensity <= 1.0 && self.routes.iter().all(|route| route.ring <= 1.0)
    }
}

pub(super) struct Economy {
    pub(super) countries: Vec<Country>,
    pub(super) preferred: Vec<u8>,
    /// Draws among the preferred by their trade; `None`: there are none.
    pub(super) preferred_draw: Option<Alias>,
    country_draw: Alias,
    good_draw: Alias,
    pub(super) goods: Vec<Good>,
    pub(super) importers: Vec<Importer>,
    pub(super) importer_draw: Alias,
    pub(super) exporters: Vec<String>,
    pub(super) declarants: Vec<String>,
    pub(super) carriers: Vec<String>,
    pub(super) offices: Vec<String>,
    pub(super) scheme_draw: Alias,
    /// Factor that brings the mean fraud rate to the parameter.
    pub(super) scale: f64,
    /// Scores above which the rule gives red, and yellow.
    pub(super) red: f64,
    pub(super) yellow: f64,
}

/// How often each scheme is the usual one of a route, in the order of [`crate::SCHEMES`]. A scheme that is not possible
/// on the goods is replaced by undervaluation, so that the practised shares differ: they are near 30, 30, 20 and 20 %.
pub(super) const USUAL_SCHEME_SHARES: [f64; 4] = [0.06, 0.40, 0.33, 0.21];
/// How many brokers the new scheme has of its own.
pub(super) const NEW_BROKERS: usize = 3;
/// The highest probability that an item is illicit: no trader cheats every time.
pub(super) const MOST_LIKELY: f64 = 0.4;
/// The shares of the items whose code is near one of their route, and of those with any code.
const NEAR_GOODS: f64 = 0.15;
const OTHER_GOODS: f64 = 0.15;
/// The share of the items whose origin is not their route's.
const OTHER_ORIGINS: f64 = 0.15;
/// The share of the red channel that is selected at random.
pub(super) const RANDOM_RED: f64 = 0.25;
/// The standard deviation of the risk rule's error, in logarithms of the fraud rate.
pub(super) const RULE_NOISE: f64 = 1.5;

/// A pseudo-random number from two others: the seed of a random stream, or a decision that needs no stream.
pub fn mix(a: u64, b: u64) -> u64 {
    scramble(a ^ b.wrapping_mul(GOLDEN).wrapping_add(0x2545_F491_4F6C_DD1D))
}

/// A trader's inclination to fraud, from a uniform random number in 0..1: most traders are nearly honest, few are not.
pub(super) fn propensity(uniform: f64) -> f64 {
    match uniform {
        u if u < 0.80 => 0.4,
        u if u < 0.95 => 1.5,
        _ => 3.5,
    }
}

/// The weights of a Zipf distribution over ranks.
fn zipf(count: usize, exponent: f64) -> Vec<f64> {
    (0..count).map(|rank| (rank as f64 + 3.0).powf(-exponent)).collect()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index:06}")).collect()
}

/// The code with a rank of popularity; the multiplication distributes popular codes over the chapters.
fn popular(rank: usize) -> u32 {
    (rank * 1877 % GOODS) as u32
}

impl Economy {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(mix(parameters.seed, 0xEC0));
        let countries: Vec<Country> = COUNTRIES
            .iter()
            .map(|&(code, currency)| Country {
                code,
                currency: CURRENCIES.iter().position(|known| known.0 == currency).unwrap_or(0),
                log_price: 0.3 * rng.sample::<f64, _>(StandardNormal),
                preference: (rng.random::<f64>() < 0.35).then(|| if rng.random() { 0.0 } else { 0.5 }),
            })
            .collect();
        let preferred: Vec<u8> = (0..countries.len() as u8)
            .filter(|&index| countries[usize::from(index)].preference.is_some())
            .collect();
        let goods = goods(&mut rng);
        let count = (parameters.rows_per_year / 250).clamp(300, 50_000) as usize;
        let exporters = names("EX", count * 2);
        // The last ones have no route: they are the brokers of the new scheme, if it has its own.
        let known = (count / 20).max(20);
        let declarants = names("DC", known + NEW_BROKERS);
        let carriers = names("CR", (count / 50).max(15));
        let offices: Vec<String> =
            (1..=24).map(|index| format!("{}{index:03}", parameters.country)).collect();
        let trade = zipf(countries.len(), 1.0);
        let weights: Vec<f64> = preferred.iter().map(|&index| trade[usize::from(index)]).collect();
        let preferred_draw = (!preferred.is_empty()).then(|| Alias::new(&weights));
        let good_draw = Alias::new(&zipf(goods.len(), 0.8));
        let country_draw = Alias::new(&trade);
        let declarant_draw = Alias::new(&zipf(known, 0.9));
        let carrier_draw = Alias::new(&zipf(carriers.len(), 0.9));
        let office_draw = Alias::new(&zipf(offices.len(), 1.0));
        let exporter_draw = Alias::new(&zipf(exporters.len(), 0.7));
        let scheme_draw = Alias::new(&USUAL_SCHEME_SHARES);
        let mode_draw = Alias::new(&MODES.iter().map(|mode| mode.1).collect::<Vec<_>>());
        let good_of = |rng: &mut Xoshiro256PlusPlus| popular(good_draw.draw(rng));
        let importers: Vec<Importer> = (0..count)
            .map(|index| {
                let routes = (0..rng.random_range(1..=4))
                    .map(|_| {
                        let origin = country_draw.draw(&mut rng) as u8;
                        let declarant = declarant_draw.draw(&mut rng) as u32;
                        // A ring is a complicit declarant with the origins it works for.
                        let complicit = mix(parameters.seed ^ 0x51, u64::from(declarant)) % 100 < 8;
                        let works_for = mix(u64::from(declarant), u64::from(origin)).is_multiple_of(2);
                        let departure = if rng.random::<f64>() < 0.8 {
                            origin
                        } else {
                            country_draw.draw(&mut rng) as u8
                        };
                        Route {
                            goods: [0; 4].map(|_: u32| good_of(&mut rng)),
                            origin,
                            departure,
                            mode: mode_draw.draw(&mut rng) as u8,
                            scheme: scheme_draw.draw(&mut rng) as u8,
                            office: office_draw.draw(&mut rng) as u16,
                            exporter: exporter_draw.draw(&mut rng) as u32,
                            declarant,
                            carrier: carrier_draw.draw(&mut rng) as u32,
                            ring: if parameters.rings && complicit && works_for { 3.0 } else { 1.0 },
                        }
                    })
                    .collect();
                // The number is drawn in any case, so that the parameter changes nothing else.
                let inclination = propensity(rng.random());
                let propensity = if parameters.histories { inclination } else { 1.0 };
                Importer { name: format!("IM{index:06}"), propensity, routes }
            })
            .collect();
        let importer_draw = Alias::new(&zipf(count, 1.05));
        let mut economy = Self {
            countries,
            preferred,
            preferred_draw,
            country_draw,
            good_draw,
            goods,
            importers,
            importer_draw,
            exporters,
            declarants,
            carriers,
            offices,
            scheme_draw,
            scale: 0.0,
            red: f64::INFINITY,
            yellow: f64::INFINITY,
        };
        economy.calibrate(parameters, &mut rng);
        economy
    }

    /// The relative probability that an item is illicit, before scaling.
    pub(super) fn weight(&self, propensity: f64, route: &Route, good: &Good) -> f64 {
        propensity * route.ring * (0.5 + good.duty / 20.0)
    }

    /// The goods of one item: mostly those of the route, else a near code or any other. Otherwise a new pair of trader
    /// and code would reveal a scheme.
    pub(super) fn goods_on(&self, route: &Route, rng: &mut impl Rng) -> usize {
        let usual = route.goods[rng.random_range(0..4)] as usize;
        match rng.random::<f64>() {
            u if u < NEAR_GOODS => (usual + rng.random_range(0..17)).clamp(8, GOODS + 7) - 8,
            u if u < NEAR_GOODS + OTHER_GOODS => popular(self.good_draw.draw(rng)) as usize,
            _ => usual,
        }
    }

    /// One of the forty codes that are in high demand in a half year.
    pub(super) fn in_demand(&self, seed: u64, half_year: u64, rng: &mut impl Rng) -> usize {
        let place = rng.random_range(0..40);
        mix(mix(seed ^ 0xFA, half_year), place) as usize % self.goods.len()
    }

    /// The true origin of one item: mostly that of the route.
    pub(super) fn origin_on(&self, route: &Route, rng: &mut impl Rng) -> usize {
        if rng.random::<f64>() < OTHER_ORIGINS {
            self.country_draw.draw(rng)
        } else {
            usize::from(route.origin)
        }
    }

    /// Sets the scale of the fraud rate and the thresholds of the rule, from a sample of items.
    fn calibrate(&mut self, parameters: &Parameters, rng: &mut Xoshiro256PlusPlus) {
        const SAMPLE: usize = 40_000;
        let mut weights = Vec::with_capacity(SAMPLE);
        let mut scores = Vec::with_capacity(SAMPLE);
        for _ in 0..SAMPLE {
            let importer = &self.importers[self.importer_draw.draw(rng)];
            let route = &importer.routes[rng.random_range(0..importer.routes.len())];
            let good = &self.goods[self.goods_on(route, rng)];
            let weight = self.weight(importer.propensity, route, good);
            weights.push(weight);
            scores.push(rule_score(weight, parameters.inspection_bias, rng));
        }
        let (mut low, mut high) = (0.0, 10.0);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            let mean =
                weights.iter().map(|weight| (weight * middle).min(MOST_LIKELY)).sum::<f64>() / SAMPLE as f64;
            if mean < parameters.illicit_rate { low = middle } else { high = middle }
        }
        self.scale = low;
        scores.sort_by(|a, b| b.total_cmp(a));
        let at = |share: f64| scores[((share * SAMPLE as f64) as usize).min(SAMPLE - 1)];
        let by_rule = RED_OF_INSPECTED * parameters.inspection_rate * (1.0 - RANDOM_RED);
        self.red = at(by_rule);
        self.yellow = at(by_rule + 2.0 * (1.0 - RED_OF_INSPECTED) * parameters.inspection_rate);
    }
}

/// The score of the archive's own risk rule for an item: `bias` times the logarithm of its weight, plus an error.
pub(super) fn rule_score(weight: f64, bias: f64, rng: &mut impl Rng) -> f64 {
    bias * weight.ln() + RULE_NOISE * rng.sample::<f64, _>(StandardNormal)
}

/// The share of the inspected declarations that are in the red channel; the others are the inspected half of yellow.
pub(super) const RED_OF_INSPECTED: f64 = 0.7;

fn goods(rng: &mut Xoshiro256PlusPlus) -> Vec<Good> {
    let mut goods: Vec<Good> = Vec::with_capacity(GOODS);
    let mut chapter_price = 0.0;
    for index in 0..GOODS {
        // Chapters 1 to 97 without 77, which is reserved in the HS; within a chapter headings and subheadings in order.
        let chapter = index * 96 / GOODS + 1;
        let within = index - (chapter - 1) * GOODS / 96;
        let chapter = if chapter >= 77 { chapter + 1 } else { chapter } as u8;
        if within == 0 {
            chapter_price = 1.5 + 1.1 * rng.sample::<f64, _>(StandardNormal);
        }
        let heading = within / 4 + 1;
        let subheading = within % 4 * 20 + 10;
        let national = rng.random_range(0..90);
        let code = if rng.random::<f64>() < 0.6 {
            format!("{chapter:02}{heading:02}{subheading:02}{national:02}")
        } else {
            format!("{chapter:02}{heading:02}{subheading:02}{national:02}00")
        };
        let (unit, unit_mass) = UNITS[rng.random_range(0..UNITS.len())];
        let words = WORDS.iter().find(|(last, ..)| chapter <= *last).unwrap_or(&WORDS[WORDS.len() - 1]);
        let noun = words.1[rng.random_range(0..words.1.len())];
        let descriptions = (0..4)
            .map(|_| {
                let first = words.2[rng.random_range(0..words.2.len())];
                let second = words.2[rng.random_range(0..words.2.len())];
                if first == second { format!("{noun} {first}") } else { format!("{noun}, {first}, {second}") }
            })
            .collect();
        goods.push(Good {
            code,
            chapter,
            log_price: chapter_price + 0.7 * rng.sample::<f64, _>(StandardNormal),
            spread: rng.random_range(0.3..0.7),
            log_mass: rng.random_range(4.0..7.5),
            duty: DUTIES[rng.random_range(0..DUTIES.len())],
            tax: if chapter <= 10 { 0.0 } else { 15.0 },
            unit,
            unit_mass: unit_mass * if unit == "KGM" { 1.0 } else { rng.random_range(0.5..2.0) },
            descriptions,
            neighbour: None,
        });
    }
    for index in 0..GOODS {
        let (chapter, duty) = (goods[index].chapter, goods[index].duty);
        goods[index].neighbour = (index.saturating_sub(8)..(index + 8).min(GOODS))
            .filter(|&other| goods[other].chapter == chapter && goods[other].duty + 4.0 < duty)
            .min_by_key(|&other| other.abs_diff(index))
            .map(|other| other as u32);
    }
    goods
}
