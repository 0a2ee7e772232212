"""Virtual patients: covariates, regimens, sampling, variability and noise from a plan file."""
