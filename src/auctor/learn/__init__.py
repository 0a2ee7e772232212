"""Machine learning of exposure: features, training, conformal intervals, model cards."""
