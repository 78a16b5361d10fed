//! Small, dense systems of linear equations.
//!
//! Source: Golub and Van Loan, "Matrix Computations" (4th edition, 2013), sections 3.4 (partial pivoting) and 4.2
//! (Cholesky). Both take on the order of n^3 steps for n equations.

/// The solution x of `matrix` x = `right` by Cholesky's decomposition. The matrix is given by rows and must be
/// symmetric and positive definite; only its lower triangle is read. A pivot below 1e-12 is raised to it, so that the
/// result is finite for a matrix that is singular by rounding.
pub fn solve_positive_definite<const N: usize>(mut matrix: [[f64; N]; N], mut right: [f64; N]) -> [f64; N] {
    for at in 0..N {
        for before in 0..at {
            let factor = matrix[at][before];
            for row in matrix.iter_mut().skip(at) {
                row[at] -= factor * row[before];
            }
            right[at] -= factor * right[before];
        }
        let root = matrix[at][at].max(1e-12).sqrt();
        for row in matrix.iter_mut().skip(at) {
            row[at] /= root;
        }
        right[at] /= root;
    }
    for at in (0..N).rev() {
        let done: f64 = (at + 1..N).map(|later| matrix[later][at] * right[later]).sum();
        right[at] = (right[at] - done) / matrix[at][at];
    }
    right
}

/// The solution x of `matrix` x = `right` by Gaussian elimination with partial pivoting; `None` when the matrix is
/// singular, which means that a pivot is below 1e-12. The matrix is square, given by rows, as long as `right`.
pub fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let count = right.len();
    for column in 0..count {
        let pivot = (column..count)
            .max_by(|one, other| matrix[*one][column].abs().total_cmp(&matrix[*other][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-12 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..count {
            let factor = matrix[row][column] / matrix[column][column];
            let (above, below) = matrix.split_at_mut(row);
            for (value, pivot) in below[0][column..].iter_mut().zip(&above[column][column..]) {
                *value -= factor * pivot;
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_solve_a_system_solved_by_hand() {
        // 4x + 2y = 10, 2x + 3y = 9: x = 1.5, y = 2.
        let (matrix, right) = ([[4.0, 2.0], [2.0, 3.0]], [10.0, 9.0]);
        let cholesky = solve_positive_definite(matrix, right);
        let gauss = solve(matrix.map(Vec::from).to_vec(), right.to_vec()).expect("one solution");
        for (place, wanted) in [1.5, 2.0].into_iter().enumerate() {
            assert!((cholesky[place] - wanted).abs() < 1e-12 && (gauss[place] - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn elimination_exchanges_rows_where_a_pivot_is_zero() {
        // y = 2, x + y = 3.
        let found = solve(vec![vec![0.0, 1.0], vec![1.0, 1.0]], vec![2.0, 3.0]);
        assert_eq!(found, Some(vec![1.0, 2.0]));
    }

    #[test]
    fn a_singular_system_has_no_solution() {
        assert_eq!(solve(vec![vec![1.0, 2.0], vec![2.0, 4.0]], vec![1.0, 2.0]), None);
    }

    #[test]
    fn a_solution_put_into_its_system_gives_the_right_side() {
        // The Hilbert matrix of order 4 is positive definite and badly conditioned.
        let matrix: [[f64; 4]; 4] =
            std::array::from_fn(|row| std::array::from_fn(|column| 1.0 / (row + column + 1) as f64));
        let right = [1.0, -2.0, 3.0, 0.5];
        let cholesky = solve_positive_definite(matrix, right);
        let gauss = solve(matrix.map(Vec::from).to_vec(), right.to_vec()).expect("one solution");
        for solution in [cholesky.to_vec(), gauss] {
            for (row, wanted) in matrix.iter().zip(right) {
                let product: f64 = row.iter().zip(&solution).map(|(factor, value)| factor * value).sum();
                assert!((product - wanted).abs() < 1e-9, "{product} instead of {wanted}");
            }
        }
    }
}
