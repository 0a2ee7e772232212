"""The amortised posterior: one network, trained on simulations of several models of a drug, that answers for every patient."""
