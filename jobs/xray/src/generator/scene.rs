//! What lies in a bag or a container, and where its threats are hidden.
//!
//! Start at [`Scene::bag`] and [`Scene::container`].

use super::{
    canvas::{Canvas, Pose},
    draws::Draws,
    materials::Material,
    threats::hide,
};
use crate::{boxes::Rectangle, generator::threats::KINDS, metrics::average_precision::Object};

/// The goods of a container, by HS section: what a picture of them looks like.
#[derive(Debug, Clone, Copy)]
struct Goods {
    /// The section's number, 1 to 21.
    section: u32,
    material: Material,
    /// Pieces in a row and a column.
    pieces: (f32, f32),
    /// Centimetres of material in a piece.
    depth: f32,
    form: PieceForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceForm {
    /// A box with an even filling.
    Box,
    /// A bottle or roll: round across.
    Round,
    /// A frame around parts of another metal.
    Machine,
}

const GOODS: [Goods; 8] = [
    Goods { section: 2, material: Material::Paper, pieces: (9.0, 5.0), depth: 9.0, form: PieceForm::Box },
    Goods { section: 4, material: Material::Water, pieces: (16.0, 6.0), depth: 8.0, form: PieceForm::Round },
    Goods {
        section: 7,
        material: Material::Plastic,
        pieces: (7.0, 4.0),
        depth: 14.0,
        form: PieceForm::Round,
    },
    Goods { section: 9, material: Material::Wood, pieces: (3.0, 9.0), depth: 16.0, form: PieceForm::Box },
    Goods { section: 11, material: Material::Textile, pieces: (6.0, 4.0), depth: 20.0, form: PieceForm::Box },
    Goods { section: 13, material: Material::Glass, pieces: (12.0, 3.0), depth: 3.0, form: PieceForm::Box },
    Goods { section: 15, material: Material::Steel, pieces: (8.0, 8.0), depth: 1.6, form: PieceForm::Round },
    Goods {
        section: 16,
        material: Material::Steel,
        pieces: (4.0, 2.0),
        depth: 0.7,
        form: PieceForm::Machine,
    },
];

/// The sections of the generated goods.
pub fn sections() -> impl Iterator<Item = u32> {
    GOODS.iter().map(|goods| goods.section)
}

/// Things on a canvas, with their threats.
pub(super) struct Scene {
    pub(super) canvas: Canvas,
    pub(super) threats: Vec<Object>,
}

impl Scene {
    /// A bag of clothes and everyday things, with the threats of `kinds` among them.
    pub(super) fn bag(kinds: &[usize], draws: &mut Draws) -> Self {
        let (width, height) = (draws.between(288.0, 384.0) as usize, draws.between(208.0, 288.0) as usize);
        let mut canvas = Canvas::new(width, height);
        let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
        // Ten centimetres of a bag of fifty.
        let unit = width as f32 / 5.5;
        let shell =
            Pose { centre: (middle_x, middle_y), half: (middle_x * 0.94, middle_y * 0.92), angle: 0.0 };
        canvas.lay(shell, Material::Plastic, |x, y| {
            let corner = (x.abs().powi(8) + y.abs().powi(8)).powf(0.125);
            if corner > 1.0 {
                0.0
            } else if corner > 0.95 {
                1.2
            } else {
                0.3
            }
        });
        let place = |draws: &mut Draws| {
            (middle_x + draws.between(-0.7, 0.7) * middle_x, middle_y + draws.between(-0.65, 0.65) * middle_y)
        };
        let many = 6 + draws.below(9);
        for _ in 0..many {
            let centre = place(draws);
            everyday(&mut canvas, centre, unit, draws);
        }
        let mut threats = Vec::new();
        for kind in kinds {
            let centre = place(draws);
            threats.push(object(hide(&mut canvas, *kind, centre, unit, draws), *kind));
            // Some are half covered.
            if draws.share() < 0.4 {
                let beside =
                    (centre.0 + draws.between(-0.4, 0.4) * unit, centre.1 + draws.between(-0.4, 0.4) * unit);
                everyday(&mut canvas, beside, unit, draws);
            }
        }
        Self { canvas, threats }
    }

    /// A container with the goods of one of [`sections`], by its place there, and with threats among them.
    pub(super) fn container(goods: usize, kinds: &[usize], draws: &mut Draws) -> Self {
        let (width, height) = (draws.between(416.0, 512.0) as usize, draws.between(176.0, 224.0) as usize);
        let mut canvas = Canvas::new(width, height);
        let (middle_x, middle_y) = (width as f32 / 2.0, height as f32 / 2.0);
        let shell =
            Pose { centre: (middle_x, middle_y), half: (middle_x * 0.97, middle_y * 0.93), angle: 0.0 };
        // Corrugated steel walls.
        canvas.lay(shell, Material::Steel, |x, y| {
            let wall = x.abs() > 0.985 || y.abs() > 0.97;
            if wall { 0.9 } else { 0.12 + 0.06 * (x * 90.0).sin().max(0.0) }
        });
        let Goods { material, pieces, depth, form, .. } = GOODS[goods % GOODS.len()];
        let (columns, rows) = (pieces.0 * draws.between(0.85, 1.2), pieces.1 * draws.between(0.85, 1.2));
        let filled = draws.between(0.55, 1.0);
        let fill = Pose {
            centre: (middle_x - middle_x * 0.9 * (1.0 - filled), middle_y * 1.06),
            half: (middle_x * 0.9 * filled, middle_y * 0.8),
            angle: 0.0,
        };
        let columns = (columns * filled).max(1.0);
        let depth = depth * draws.between(0.8, 1.2);
        canvas.lay(fill, material, |x, y| {
            let (across, down) = (fraction(x, columns), fraction(y, rows));
            let gap = across.abs() > 0.94 || down.abs() > 0.94;
            match form {
                _ if gap => 0.0,
                PieceForm::Box => depth,
                PieceForm::Round => depth * (1.0 - across * across).max(0.0).sqrt(),
                PieceForm::Machine => {
                    let frame = across.abs() > 0.8 || down.abs() > 0.8;
                    let motor = across.hypot(down) < 0.4;
                    depth
                        * if frame {
                            2.0
                        } else if motor {
                            4.0
                        } else {
                            0.5
                        }
                }
            }
        });
        if form == PieceForm::Machine {
            canvas.lay(fill, Material::Copper, |x, y| {
                let (across, down) = (fraction(x, columns), fraction(y, rows));
                if across.hypot(down) < 0.3 { 1.0 } else { 0.0 }
            });
        }
        let unit = width as f32 / 22.0;
        let threats = kinds.iter().map(|kind| {
            let centre = (
                middle_x + draws.between(-0.85, 0.85) * middle_x,
                middle_y + draws.between(-0.7, 0.7) * middle_y,
            );
            // Smuggled goods are many of a kind: a package as large as several.
            object(hide(&mut canvas, *kind, centre, unit * 2.5, draws), *kind)
        });
        let threats = threats.collect();
        Self { canvas, threats }
    }
}

fn object(rectangle: Rectangle, kind: usize) -> Object {
    Object { rectangle, class: (kind % KINDS.len()) as u32, is_crowd: false }
}

/// Where in its piece a coordinate from −1 to 1 lies, from −1 to 1.
fn fraction(at: f32, pieces: f32) -> f32 {
    let place = (at + 1.0) / 2.0 * pieces;
    2.0 * (place - place.floor()) - 1.0
}

/// One harmless thing.
fn everyday(canvas: &mut Canvas, centre: (f32, f32), unit: f32, draws: &mut Draws) {
    let angle = draws.between(0.0, std::f32::consts::TAU);
    let pose =
        |width: f32, height: f32| Pose { centre, half: (width * unit / 2.0, height * unit / 2.0), angle };
    let size = draws.between(0.7, 1.4);
    match draws.below(9) {
        0 | 1 => {
            let (folds, depth) = (draws.between(3.0, 9.0), draws.between(4.0, 9.0));
            canvas.lay(pose(2.4 * size, 1.6 * size), Material::Textile, |x, y| {
                let inside = x.powi(4) + y.powi(4) < 1.0;
                if inside { depth * (1.0 + 0.15 * (folds * x + 2.0 * y).sin()) } else { 0.0 }
            });
        }
        2 => {
            let depth = draws.between(1.0, 3.0);
            canvas.lay(pose(1.8 * size, 1.3 * size), Material::Paper, |_, _| depth);
        }
        3 => {
            canvas.lay(pose(0.7 * size, 2.2 * size), Material::Water, |x, y| {
                let radius = if y < -0.7 { 0.4 } else { 1.0 };
                6.0 * (1.0 - (x / radius).powi(2)).max(0.0).sqrt()
            });
        }
        4 => {
            // A laptop or tablet: a case, a board and a battery.
            canvas.lay(pose(2.8 * size, 1.9 * size), Material::Plastic, |_, _| 0.6);
            canvas.lay(pose(2.4 * size, 0.9 * size), Material::Copper, |x, y| {
                let trace = ((x * 23.0).sin() * (y * 17.0).cos()).abs();
                if trace > 0.75 { 0.08 } else { 0.01 }
            });
            canvas.lay(pose(2.0 * size, 0.5 * size), Material::Aluminium, |_, _| 0.7);
        }
        5 => {
            // Keys and coins.
            let holes = draws.between(3.0, 6.0);
            canvas.lay(pose(0.5 * size, 0.5 * size), Material::Steel, |x, y| {
                let ring = x.hypot(y) < 0.35 && x.hypot(y) > 0.2;
                let bit = y.abs() < 0.15 && x > 0.3 && (x * holes * 3.0).sin() > -0.7;
                if ring || bit { 0.25 } else { 0.0 }
            });
        }
        6 => {
            // A shoe with its shank.
            canvas.lay(pose(2.6 * size, 0.9 * size), Material::Plastic, |x, y| {
                if x * x + (y * 1.2).powi(2) < 1.0 { 1.5 + x } else { 0.0 }
            });
            canvas.lay(pose(1.2 * size, 0.15 * size), Material::Steel, |_, _| 0.1);
        }
        7 => {
            // An umbrella or tool: a long rod.
            canvas.lay(pose(2.6 * size, 0.12), Material::Aluminium, |_, _| 0.5);
        }
        _ => {
            canvas.lay(pose(0.9 * size, 0.9 * size), Material::Glass, |x, y| {
                let radius = x.hypot(y);
                if radius > 1.0 {
                    0.0
                } else if radius > 0.85 {
                    2.0
                } else {
                    0.4
                }
            });
        }
    }
}
