//! Gradient-boosted decision trees on histograms.
