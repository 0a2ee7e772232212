"""Bayesian estimation of one patient or a whole table: MAP, Laplace, importance resampling."""
