"""What all tests share: no time limit, which a busy machine would break; Ctrl-C; made tables."""

import signal

import pandas as pd
import pytest
from hypothesis import settings

settings.register_profile("no time limit", deadline=None)
settings.load_profile("no time limit")

# A shell ignores SIGINT for what it starts in the background, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

BINS = ("0.01-0.1", "0.1-0.2", "0.2-0.3")
OTHERS = {
    "traditional U-Net 128": 1.5,
    "Conv U-Net 128": 0.5,
    "partial U-Net 112": 0.0,
    "Telea": -2.0,
    "Navier-Stokes": -2.25,
    "biharmonic": -3.0,
    "continuation": -3.5,
    "shipped weights": -4.0,
}


@pytest.fixture
def trainings_tables(tmp_path):
    """Write made tables of the trainings below a folder; returns what makes them, and the folder.

    The partial U-Net has 25 dB; its PSNR less another's is `OTHERS`, its SSIM a tenth of it, its
    Lite0 distance less a tenth; intervals reach `reach` to both sides.  `gaps` replaces the
    difference to a method, `bins` that in single bins.
    """

    def make(reach=0.25, bins=None, stage2=-0.5, finetune=0.25, gaps=None, smaller=0.0):
        tables = tmp_path / "trainings/tables"
        tables.mkdir(parents=True, exist_ok=True)
        scale = {"psnr": 1, "psnr_hole": 1, "ssim": 0.1, "lite0": -0.1}

        def rows(difference, gap, **more):
            for measure, factor in scale.items():
                half = abs(factor) * reach
                mean = factor * gap
                yield {
                    "difference": difference,
                    "measure": measure,
                    "mean": mean,
                    "low": mean - half,
                    "high": mean + half,
                    "random_seeds": 3,
                    "pictures": 500,
                    **more,
                }

        def write(name, found):
            pd.DataFrame(found).to_csv(tables / f"{name}.csv", index=False)

        ours = "partial U-Net 128"
        others, found = {**OTHERS, **(gaps or {})}, []
        for other, gap in others.items():
            found += rows(f"{ours} - {other}", gap, hole_ratio="0.01-0.5")
            for name in BINS:
                by_bin = (bins or {}).get((other, name), gap)
                found += rows(f"{ours} - {other}", by_bin, hole_ratio=name)
        write("differences", found)
        shipped = [
            row
            for other, gap in others.items()
            for k, name in enumerate(("0.01-0.5", *BINS))
            for row in rows(f"shipped weights - {other}", gap + 4.0 - k / 4, hole_ratio=name)
        ]
        write("shipped_differences", shipped)
        stages = []
        for model in (ours, "Conv U-Net 128", "traditional U-Net 128"):
            stages += rows("stage2 - stage1", stage2, model=model)
            stages += rows("finetune - stage2", finetune, model=model)
        write("stages", stages)
        after = [
            row
            for stage, gap in (("stage1", -0.5), ("stage2", -0.25), ("finetune", 1.5))
            for row in rows(f"{ours} - traditional U-Net 128", gap, stage=stage)
        ]
        write("after_stages", after)
        sizes = [
            row
            for at in (112, 128)
            for row in rows(
                "partial U-Net 112 - partial U-Net 128",
                smaller,
                evaluated_at=at,
                hole_ratio="0.01-0.5",
            )
        ]
        write("05_differences", sizes)
        means = []
        for model, gap in {ours: 0.0, **others}.items():
            network = "U-Net" in model
            row = {"model": model, "psnr": 25 - gap, "ssim": 0.8 - 0.1 * gap, "l1": 2.0}
            row |= {"lite0": 1 + 0.1 * gap, "samples": 24000 if network else None}
            row |= {"random_seeds": 3 if network else None, "minutes": 60.0 if network else None}
            row |= {"pictures": 500, "photographs": 200}
            row |= {"spread_psnr": 0.1 if network else None}
            row |= {"features": "VGG-16 hed", "hardware": "a processor"} if network else {}
            means.append(row)
        write("psnr_overall", means)
        write(
            "disc", [{"model": m["model"], "disc_out": m["psnr"], "disc_hole": 9.0} for m in means]
        )
        by_bin = [
            {"model": m["model"], "hole_ratio": b, "psnr": m["psnr"]} for m in means for b in BINS
        ]
        write("psnr_by_bin", by_bin)
        return tmp_path

    return make
