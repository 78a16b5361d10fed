//! Products of dense matrices of `f32` on one thread, with the widest vector instructions of the processor.
//!
//! The `gemm` crate takes pointers; [`multiply`] is the one place that calls it, with slices whose lengths are checked.

/// How the elements of a matrix lie in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Row by row.
    Rows,
    /// Column by column: the transpose of a matrix that lies row by row.
    Columns,
}

/// A matrix that is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    order: Order,
}

impl<'a> Matrix<'a> {
    pub(crate) fn rows(values: &'a [f32]) -> Self {
        Self { values, order: Order::Rows }
    }

    pub(crate) fn columns(values: &'a [f32]) -> Self {
        Self { values, order: Order::Columns }
    }

    /// The steps from a column to the next and from a row to the next.
    fn strides(&self, rows: usize, columns: usize) -> (isize, isize) {
        match self.order {
            Order::Rows => (1, columns.cast_signed()),
            Order::Columns => (rows.cast_signed(), 1),
        }
    }
}

/// The extents of a product: an (m × k) matrix times a (k × n) matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extents {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// Writes the product of two matrices to `product`, which lies row by row, or adds it to what is there.
///
/// # Panics
/// When a slice does not have the extents' number of values.
#[expect(unsafe_code, reason = "gemm has no safe interface")]
pub(crate) fn multiply(
    product: &mut [f32],
    left: Matrix<'_>,
    right: Matrix<'_>,
    Extents { m, n, k }: Extents,
    adds: bool,
) {
    assert_eq!(product.len(), m * n, "the product's length");
    assert_eq!(left.values.len(), m * k, "the left matrix's length");
    assert_eq!(right.values.len(), k * n, "the right matrix's length");
    let (left_columns, left_rows) = left.strides(m, k);
    let (right_columns, right_rows) = right.strides(k, n);
    // SAFETY: the lengths above cover every element that the strides reach, and `product` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            product.as_mut_ptr(),
            1,
            n.cast_signed(),
            adds,
            left.values.as_ptr(),
            left_columns,
            left_rows,
            right.values.as_ptr(),
            right_columns,
            right_rows,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_by_hand() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 0.0, 1.0, 2.0, 3.0];
        let extents = Extents { m: 2, n: 2, k: 3 };
        let mut product = [0.0; 4];
        multiply(&mut product, Matrix::rows(&left), Matrix::rows(&right), extents, false);
        assert_eq!(product, [7.0, 11.0, 16.0, 23.0]);
        multiply(&mut product, Matrix::rows(&left), Matrix::rows(&right), extents, true);
        assert_eq!(product, [14.0, 22.0, 32.0, 46.0]);
        let transposed = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        multiply(&mut product, Matrix::columns(&transposed), Matrix::rows(&right), extents, false);
        assert_eq!(product, [7.0, 11.0, 16.0, 23.0]);
    }
}
