"""The names that the rows of a study's tables have."""

from __future__ import annotations

KNOWN = "posterior mean, the patient's model known (limit in RMSE)"
KNOWN_LEAST = "posterior, least rRMSE, the patient's model known"
UNKNOWN = "posterior mean, model not known (limit in RMSE of what the methods are told)"
UNKNOWN_LEAST = "posterior, least rRMSE, model not known"
AVERAGED = "model averaging, published residual errors"
MATCHED = "model averaging, residual error as in the data"
PUBLISHED = "published residual error"
AMORTISED = "amortised posterior over several models, mean"
AMORTISED_LEAST = "amortised posterior over several models, least rRMSE"
TRAINED = "trained on simulations"  # how the row of a learner ends
