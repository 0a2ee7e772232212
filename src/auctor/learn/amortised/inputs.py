"""The inputs of the network, from what patients show and the normal approximations: per sample and per patient, standardised once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.learn.amortised.normal import Normal
from auctor.learn.amortised.shown import Shown

Array = NDArray[np.float64]
WIDEST = 6.0  # standardised inputs are cut at so many SD
FAR = 8.0  # residuals beyond that many SD are squeezed into a logarithm


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """`samples` (n, k, a), `used` (n, k), `patient` (n, b) and `evidence` (n, n_models), of which the largest in a row is 0."""

    samples: Array
    used: Array
    patient: Array
    evidence: Array


def raw_inputs(shown: Shown, normals: Sequence[Normal]) -> Inputs:
    """Not yet standardised; a sample that was not taken is all zeros."""
    samples = [np.log1p(shown.since_dose)[..., None], np.log1p(np.abs(shown.times))[..., None], shown.below[..., None].astype(float)]
    patient = [shown.covariates, shown.used.sum(axis=1, keepdims=True).astype(float)]
    for one in normals:
        samples += [_squeezed(one.residual)[..., None], one.slope, one.log_sd[..., None]]
        patient += [one.mean, np.log(np.diagonal(one.root, axis1=1, axis2=2)), np.log1p(one.misfit)[:, None]]
    evidence = np.stack([one.evidence for one in normals], axis=1)
    evidence = np.maximum(evidence - evidence.max(axis=1, keepdims=True), -30.0)
    return Inputs(
        samples=np.where(shown.used[..., None], np.concatenate(samples, axis=-1), 0.0),
        used=shown.used.astype(np.float64),
        patient=np.concatenate([*patient, evidence], axis=1),
        evidence=evidence,
    )


def _squeezed(x: Array) -> Array:
    far = np.abs(x)
    return np.asarray(np.sign(x) * np.where(far < FAR, far, FAR * (1 + np.log(np.maximum(far, FAR) / FAR))))


def scale_of(raw: Inputs) -> dict[str, Array]:
    """Mean and SD of every input over the training patients (over taken samples where it is one of a sample)."""
    taken = raw.samples[raw.used > 0]
    taken = taken if len(taken) else np.zeros((1, raw.samples.shape[-1]))
    return {
        "samples_mean": taken.mean(axis=0),
        "samples_sd": _positive(taken.std(axis=0)),
        "patient_mean": raw.patient.mean(axis=0),
        "patient_sd": _positive(raw.patient.std(axis=0)),
    }


def _positive(sd: Array) -> Array:
    return np.where(sd > 1e-6, sd, 1.0)


def standardised(raw: Inputs, scale: Mapping[str, Array]) -> Inputs:
    """Zero mean and unit SD over the training patients, cut at `WIDEST`."""
    samples = np.clip((raw.samples - scale["samples_mean"]) / scale["samples_sd"], -WIDEST, WIDEST)
    patient = np.clip((raw.patient - scale["patient_mean"]) / scale["patient_sd"], -WIDEST, WIDEST)
    return Inputs(samples=samples * raw.used[..., None], used=raw.used, patient=patient, evidence=raw.evidence)


def whitened(one: Normal, z: Array) -> tuple[Array, Array]:
    """u = root' (z - mean) (n, p), standard normal if the approximation were exact, and log |du/dz| (n,)."""
    u = np.einsum("npq,np->nq", one.root, z - one.mean)
    return u, np.sum(np.log(np.diagonal(one.root, axis1=1, axis2=2)), axis=1)
