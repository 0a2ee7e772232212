"""Models to and from other programs' text: NONMEM control streams in and out, mrgsolve and nlmixr2 out."""
