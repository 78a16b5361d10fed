//! How strongly materials hold back X-rays at the two energies of a scanner.
//!
//! Source: mass attenuation coefficients of the elements at 60 and 100 keV, in cm²/g, of NIST's tables (Hubbell and
//! Seltzer, NISTIR 5632); a compound's is the sum over its elements by mass. Start at [`Material`].

/// Low and high energy.
pub(super) const ENERGIES: usize = 2;

/// An element: its coefficients at both energies, cm²/g.
type Element = [f32; ENERGIES];

const HYDROGEN: Element = [0.3260, 0.2944];
const CARBON: Element = [0.1753, 0.1514];
const NITROGEN: Element = [0.1817, 0.1529];
const OXYGEN: Element = [0.1907, 0.1551];
const ALUMINIUM: Element = [0.2778, 0.1704];
const SILICON: Element = [0.3207, 0.1835];
const IRON: Element = [1.205, 0.3717];
const COPPER: Element = [1.593, 0.4584];

/// What things are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    Textile,
    Paper,
    Wood,
    Plastic,
    Water,
    Glass,
    Aluminium,
    Steel,
    Copper,
    /// Pressed cocaine.
    Powder,
    /// RDX.
    Explosive,
}

impl Material {
    /// Density in g/cm³, and shares of elements by mass.
    fn composition(self) -> (f32, &'static [(Element, f32)]) {
        const CELLULOSE: &[(Element, f32)] = &[(HYDROGEN, 0.062), (CARBON, 0.444), (OXYGEN, 0.494)];
        match self {
            Self::Textile => (0.25, CELLULOSE),
            Self::Paper => (0.8, CELLULOSE),
            Self::Wood => (0.6, CELLULOSE),
            Self::Plastic => (0.95, &[(HYDROGEN, 0.144), (CARBON, 0.856)]),
            Self::Water => (1.0, &[(HYDROGEN, 0.112), (OXYGEN, 0.888)]),
            Self::Glass => (2.4, &[(SILICON, 0.467), (OXYGEN, 0.533)]),
            Self::Aluminium => (2.70, &[(ALUMINIUM, 1.0)]),
            Self::Steel => (7.87, &[(IRON, 1.0)]),
            Self::Copper => (8.96, &[(COPPER, 1.0)]),
            Self::Powder => (1.2, &[(CARBON, 0.673), (HYDROGEN, 0.070), (NITROGEN, 0.046), (OXYGEN, 0.211)]),
            Self::Explosive => {
                (1.8, &[(CARBON, 0.162), (HYDROGEN, 0.027), (NITROGEN, 0.379), (OXYGEN, 0.432)])
            }
        }
    }

    /// Attenuation of one centimetre at both energies.
    pub(super) fn attenuation(self) -> [f32; ENERGIES] {
        let (density, elements) = self.composition();
        std::array::from_fn(|energy| {
            density * elements.iter().map(|(element, share)| element[energy] * share).sum::<f32>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compounds_agree_with_the_tables() {
        // NIST: liquid water 0.2059 and 0.1707, polyethylene 0.1970 and 0.1719 cm²/g.
        for (material, density, tabulated) in
            [(Material::Water, 1.0, [0.2059, 0.1707]), (Material::Plastic, 0.95, [0.1970, 0.1719])]
        {
            for (ours, tabulated) in material.attenuation().into_iter().zip(tabulated) {
                assert!(
                    (ours / density - tabulated).abs() < 0.002,
                    "{material:?}: {ours} beside {tabulated}"
                );
            }
        }
    }

    #[test]
    fn metals_differ_more_between_the_energies_than_organic_matter() {
        let ratio = |material: Material| material.attenuation()[0] / material.attenuation()[1];
        assert!(ratio(Material::Steel) > 3.0 && ratio(Material::Powder) < 1.25);
    }
}
