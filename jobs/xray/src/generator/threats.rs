//! The threats that the generator hides: their shapes, sizes and materials.
//!
//! Start at [`KINDS`] and [`hide`].

use super::{
    canvas::{Canvas, Pose},
    draws::Draws,
    materials::Material,
};
use crate::boxes::Rectangle;

/// The names of the threats; a class is its index.
pub const KINDS: [&str; 6] = ["handgun", "knife", "razor_blade", "shuriken", "powder", "explosive"];

/// Lays a threat of a kind on the canvas, around a centre and at any angle; `unit` is the pixels of ten centimetres. Gives
/// its rectangle.
pub(super) fn hide(
    canvas: &mut Canvas,
    kind: usize,
    centre: (f32, f32),
    unit: f32,
    draws: &mut Draws,
) -> Rectangle {
    let angle = draws.between(0.0, std::f32::consts::TAU);
    let size = draws.between(0.8, 1.25);
    let pose = |width: f32, height: f32| Pose {
        centre,
        half: (width * size * unit / 2.0, height * size * unit / 2.0),
        angle,
    };
    match kind {
        0 => handgun(canvas, pose(1.8, 1.3)),
        1 => canvas.lay(pose(2.2, 0.28), Material::Steel, knife),
        2 => canvas.lay(pose(0.43, 0.22), Material::Steel, razor_blade),
        3 => canvas.lay(pose(0.9, 0.9), Material::Steel, shuriken),
        4 => {
            let depth = draws.between(3.0, 6.0);
            canvas.lay(pose(1.6, 1.0), Material::Powder, |x, y| pillow(x, y) * depth)
        }
        _ => {
            let block = canvas.lay(pose(1.8, 0.9), Material::Explosive, |_, _| 4.0);
            // A detonator and its wires.
            let wires = canvas.lay(pose(1.8, 1.1), Material::Copper, |x, y| {
                let winding = (7.0 * x).sin() * 0.5;
                let is_wire = (y - winding).abs() < 0.05;
                let is_detonator = x.abs() < 0.3 && y.abs() < 0.06;
                if is_detonator { 0.5 } else { f32::from(u8::from(is_wire)) * 0.12 }
            });
            around(&block, &wires)
        }
    }
}

fn around(a: &Rectangle, b: &Rectangle) -> Rectangle {
    Rectangle::between(
        a.left.min(b.left),
        a.top.min(b.top),
        a.right().max(b.right()),
        a.bottom().max(b.bottom()),
    )
}

/// A slide above, a slanted grip below, a guard between them.
fn handgun(canvas: &mut Canvas, pose: Pose) -> Rectangle {
    canvas.lay(pose, Material::Steel, |x, y| {
        let slide = y < -0.45 && y > -0.95;
        let barrel = (-0.8..-0.6).contains(&y) && x < 0.75;
        let slant = x - 0.3 * y;
        let grip = y >= -0.45 && (0.25..0.8).contains(&slant);
        let from_guard = ((x + 0.05) / 0.32).powi(2) + ((y + 0.2) / 0.3).powi(2);
        let guard = y >= -0.45 && (0.7..1.0).contains(&from_guard);
        match (barrel, slide, grip, guard) {
            (true, ..) => 0.8,
            (_, true, ..) => 1.4,
            (_, _, true, _) => 1.0,
            (.., true) => 0.5,
            _ => 0.0,
        }
    })
}

/// A blade that narrows to its point, and a thicker handle.
fn knife(x: f32, y: f32) -> f32 {
    if x > 0.25 {
        return if y.abs() < 0.8 { 0.35 } else { 0.0 };
    }
    let breadth = ((x + 1.0) / 0.4).min(1.0);
    if y > -0.9 && y < -0.9 + 1.5 * breadth { 0.2 } else { 0.0 }
}

/// A thin sheet with a slot.
fn razor_blade(x: f32, y: f32) -> f32 {
    let slot = x.abs() < 0.75 && y.abs() < 0.12;
    let corner = x.abs() > 0.85 && y.abs() > 0.6;
    if slot || corner { 0.0 } else { 0.03 }
}

/// Four points around a hole.
fn shuriken(x: f32, y: f32) -> f32 {
    let radius = x.hypot(y);
    let edge = 0.3 + 0.7 * (2.0 * y.atan2(x)).cos().abs().powi(6);
    if radius > 0.12 && radius < edge { 0.25 } else { 0.0 }
}

/// The thickness of a filled bag, 1 in its middle.
fn pillow(x: f32, y: f32) -> f32 {
    ((1.0 - x.powi(4)) * (1.0 - y.powi(4))).max(0.0).sqrt()
}
