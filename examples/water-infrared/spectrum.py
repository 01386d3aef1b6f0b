"""The infrared spectrum from dipoles along dynamics, with the centres of its bands.

    python spectrum.py OUT.svg RUN.npz...

The absorption is the spectrum of the rate of the dipole: n(ω) α(ω) ~ ∫ <dM/dt(0) dM/dt(t)> exp(iωt) dt, classical, averaged over runs.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

#: Maxima of the bands of liquid water at 298 K, 1/cm. Bertie & Lan, Appl. Spectrosc. 50, 1047 (1996).
MEASURED = {"libration": 686, "bend": 1644, "stretch": 3404}
WINDOWS = {"libration": (350, 1100), "bend": (1400, 1900), "stretch": (2900, 4100)}
#: Correlation that is kept, fs.
LENGTH = 500.0


def absorption(rates, fs):
    """Spectrum of a rate [samples][3] sampled every `fs`, and wave numbers."""
    rates = rates - rates.mean(axis=0)
    n = len(rates)
    padded = np.fft.rfft(rates, 2 * n, axis=0)
    correlation = np.fft.irfft((abs(padded) ** 2).sum(axis=1))[:n] / (n - np.arange(n))
    kept = int(LENGTH / fs)
    window = np.cos(0.5 * np.pi * np.arange(kept) / kept) ** 2
    values = np.fft.rfft(correlation[:kept] * window, 8 * kept).real
    waves = np.fft.rfftfreq(8 * kept, fs * 1e-15) / 2.99792458e10
    return waves, 2 * values - correlation[0]


def main(out, *files):
    spectra = {}
    for file in files:
        data = np.load(file)
        fs = float(data["fs"])
        dipoles = data["dipoles"]
        kinds = {"Born charges of the potential": data["current"]}
        names = ["published dipole model", "dipole model trained here"]
        for k in range(dipoles.shape[1] if dipoles.ndim == 3 else 0):
            kinds[names[k]] = np.gradient(dipoles[:, k], fs, axis=0)
        for name, rates in kinds.items():
            waves, values = absorption(rates, fs)
            spectra.setdefault(name, []).append(values)
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for name, all_values in spectra.items():
        values = np.mean(all_values, axis=0)
        values /= np.trapezoid(values[waves < 4500], waves[waves < 4500])
        axes.plot(waves, 1e3 * values, linewidth=1.1, label=name)
        peaks = []
        for band, (low, high) in WINDOWS.items():
            inside = (waves > low) & (waves < high)
            share = np.trapezoid(values[inside], waves[inside])
            center = np.trapezoid(values[inside] * waves[inside], waves[inside]) / share
            peaks.append(f"{band} {center:.0f} (measured {MEASURED[band]}), {100 * share:.0f} %")
        print(f"{name}: " + "; ".join(peaks))
    for position in MEASURED.values():
        axes.axvline(position, color="grey", linewidth=0.6, linestyle=":")
    axes.set_xlim(0, 4500)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("wave number, 1/cm")
    axes.set_ylabel("absorption n α, share in 1000/cm")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
