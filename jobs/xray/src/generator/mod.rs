//! A generator of X-ray images whose truth is known: bags and containers, seen through scanners.
//!
//! Physics: attenuation at two energies by NIST's coefficients, thicknesses that add up, Beer and Lambert's law, quantum
//! noise, blur and response of the scanner. What is absent: scatter, and the geometry of a real beam; results on these
//! images say how the programme works, not how well threats are found at a border. An image is a function of the seed and
//! its number, so images are made in any order. Start at [`picture`].

mod canvas;
mod draws;
mod materials;
mod scanner;
mod scene;
mod threats;

pub use self::{
    scanner::{Form, SCANNERS, Scanner},
    scene::sections,
    threats::KINDS,
};

use tidewaiter_core::chance::stream;

use self::{draws::Draws, scene::Scene};
use crate::{image::raster::Raster, metrics::average_precision::Object};

/// How often the generated images hold what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Share of images with a threat.
    pub threats: f64,
    /// Share of images of containers; the others are bags.
    pub containers: f64,
    /// Share of containers that are declared under another section than that of their goods.
    pub misdeclared: f64,
}

/// One generated image and its truth.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The pixels.
    pub raster: Raster,
    /// The scanner that saw it.
    pub scanner: Scanner,
    /// The threats.
    pub objects: Vec<Object>,
    /// The HS section of a container's goods; `None` for a bag.
    pub section: Option<u32>,
    /// The section under which a container's goods are declared.
    pub declared: Option<u32>,
}

/// What an image is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A bag or a container, by the rates.
    Drawn,
    /// A bag.
    Bag,
    /// A container whose goods are declared under one of [`sections`].
    DeclaredAs(u32),
}

/// The image with a number.
pub fn picture(seed: u64, number: u64, rates: Rates) -> Picture {
    picture_of(seed, number, rates, Content::Drawn)
}

/// The image with a number, of a given content.
pub fn picture_of(seed: u64, number: u64, rates: Rates, content: Content) -> Picture {
    let mut draws = Draws::new(stream(seed, number));
    let scanner = draws.one_of(&SCANNERS);
    let is_illicit = f64::from(draws.share()) < rates.threats;
    let count = if is_illicit { 1 + usize::from(draws.share() < 0.3) } else { 0 };
    let kinds: Vec<usize> = (0..count).map(|_| draws.below(KINDS.len())).collect();
    let sections: Vec<u32> = sections().collect();
    let other = |draws: &mut Draws, place: usize| {
        let is_other = f64::from(draws.share()) < rates.misdeclared;
        let shift = if is_other { 1 + draws.below(sections.len() - 1) } else { 0 };
        (place + shift) % sections.len()
    };
    let declared = match content {
        Content::DeclaredAs(section) => sections.iter().position(|known| *known == section),
        _ => None,
    };
    let goods = match (content, declared) {
        (_, Some(declared)) => Some(other(&mut draws, declared)),
        (Content::Drawn, None) => {
            let is_container = f64::from(draws.share()) < rates.containers;
            is_container.then(|| draws.below(sections.len()))
        }
        _ => None,
    };
    let scene = match goods {
        Some(goods) => Scene::container(goods, &kinds, &mut draws),
        None => Scene::bag(&kinds, &mut draws),
    };
    let raster = scanner.image(&scene.canvas, &mut draws);
    let declared = declared.or_else(|| goods.map(|goods| other(&mut draws, goods)));
    let (section, declared) = (goods.map(|goods| sections[goods]), declared.map(|place| sections[place]));
    // A threat at the edge may lie outside of the image.
    let objects = scene.threats.into_iter().filter(|object| object.rectangle.area() > 0.0).collect();
    Picture { raster, scanner, objects, section, declared }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { threats: 0.3, containers: 0.3, misdeclared: 0.1 };

    #[test]
    fn an_image_is_a_function_of_seed_and_number() {
        let (first, again, other) = (picture(1, 7, RATES), picture(1, 7, RATES), picture(2, 7, RATES));
        assert_eq!(first.raster, again.raster);
        assert_eq!(first.objects, again.objects);
        assert_ne!(first.raster, other.raster);
    }

    #[test]
    fn rates_are_kept_and_threats_lie_inside() {
        let all: Vec<Picture> = (0..200).map(|number| picture(5, number, RATES)).collect();
        let share =
            |of: &dyn Fn(&Picture) -> bool| all.iter().filter(|picture| of(picture)).count() as f64 / 200.0;
        // Four standard deviations of 200 draws at 0.3 are 0.13.
        assert!((share(&|picture| !picture.objects.is_empty()) - 0.3).abs() < 0.13);
        assert!((share(&|picture| picture.section.is_some()) - 0.3).abs() < 0.13);
        assert!(
            all.iter()
                .filter(|picture| picture.section.is_some())
                .any(|picture| picture.section != picture.declared)
        );
        for picture in &all {
            assert_eq!(picture.declared.is_some(), picture.section.is_some());
            for object in &picture.objects {
                assert!(object.rectangle.right() <= picture.raster.width as f32);
                assert!(object.rectangle.bottom() <= picture.raster.height as f32);
                assert!((object.class as usize) < KINDS.len());
            }
        }
    }

    #[test]
    fn a_container_is_declared_as_asked_and_some_are_of_other_goods() {
        let rates = Rates { threats: 0.0, containers: 0.0, misdeclared: 0.5 };
        let all: Vec<Picture> =
            (0..16).map(|number| picture_of(3, number, rates, Content::DeclaredAs(15))).collect();
        assert!(all.iter().all(|picture| picture.declared == Some(15)));
        let other = all.iter().filter(|picture| picture.section != picture.declared).count();
        assert!((3..14).contains(&other), "{other} of 16 at a rate of 0.5");
        assert_eq!(picture_of(3, 1, rates, Content::Bag).section, None);
    }

    #[test]
    fn threats_are_darker_than_the_bag_without_them() {
        let rates = Rates { threats: 1.0, containers: 0.0, misdeclared: 0.0 };
        let steel = (0..60).map(|number| picture(9, number, rates)).filter(|picture| {
            picture.objects.iter().any(|object| object.class == 0) && picture.scanner.form == Form::Grey
        });
        for picture in steel {
            let Raster { width, values, .. } = &picture.raster;
            let gun = picture.objects.iter().find(|object| object.class == 0).expect("a handgun").rectangle;
            let inside = |at: usize| {
                let (x, y) = ((at % width) as f32, (at / width) as f32);
                x >= gun.left && x < gun.right() && y >= gun.top && y < gun.bottom()
            };
            let darkest =
                values.iter().enumerate().filter(|(at, _)| inside(*at)).map(|(_, value)| *value).min();
            assert!(darkest < Some(120), "{darkest:?}");
        }
    }
}
