"""From exposure to the next dose: candidates, probability of target, caps, concordance."""
