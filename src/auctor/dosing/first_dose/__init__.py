"""The first dose of a patient without levels: probability over the prior, learners trained by simulation, nomograms; side by side."""
