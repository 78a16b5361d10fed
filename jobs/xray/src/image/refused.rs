//! What is not read of image files, and why. Start at [`Refused`].

/// Pixels of one image at most: a container of 60 m at a pixel a millimetre fits.
pub const MOST_PIXELS: u64 = 256 << 20;

/// Pixels across or down at most.
pub(super) const LONGEST_SIDE: u64 = 1 << 17;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not one of the formats.
    #[error("it is {0}; give PNG, JPEG, TIFF or DICOM")]
    Format(&'static str),
    /// It has no pixel.
    #[error("it declares {0} × {1} pixels")]
    Empty(u64, u64),
    /// It is larger than can be read.
    #[error("it declares {0} × {1} pixels; at most {LONGEST_SIDE} a side and {MOST_PIXELS} in all are read")]
    Large(u64, u64),
    /// Its values mean something other than transmitted radiation.
    #[error("it holds {0}; convert it to grey, two energies or RGB of 8 or 16 bits")]
    Values(String),
    /// Its DICOM pixels are packed in a way that is not read, which the transfer syntax names.
    #[error(
        "its DICOM pixels have the transfer syntax {0:?}; store them uncompressed, little endian, or as RLE or baseline JPEG"
    )]
    Packed(String),
    /// Its pixels are turned for display.
    #[error(
        "its EXIF tag 274 asks for a rotation ({0}); turn the pixels themselves, so that annotations fit"
    )]
    Turned(u16),
    /// It is several images in time.
    #[error("it is an animation; give single images")]
    Animated,
    /// It is damaged or cut short.
    #[error("it cannot be decoded: {0}")]
    Damaged(String),
}

impl Refused {
    /// The reason without the particulars of a file, by which refusals are counted.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Format(_) => "it is not a PNG, JPEG, TIFF or DICOM file",
            Self::Empty(..) => "it has no pixels",
            Self::Large(..) => "it declares more pixels than are read",
            Self::Values(_) => "its values are not grey, two energies or RGB of 8 or 16 bits",
            Self::Packed(_) => "its DICOM transfer syntax is not read",
            Self::Turned(_) => "its EXIF asks for a rotation",
            Self::Animated => "it is an animation",
            Self::Damaged(_) => "it cannot be decoded",
        }
    }
}
