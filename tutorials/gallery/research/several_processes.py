r"""
The same analysis on several processes
======================================

Two processes share an evaluation; one is killed and started again; the report is that of a single process, bit for
bit. On a cluster only the command that starts the processes is another one.
"""

# %%
# The script that every process runs
# ----------------------------------
# Nothing in it says how many there are. ``torchrun`` tells each process its number; with ``checkpoint_dir`` they share
# the batches, and every one returns the whole report.
import inspect
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from tutorials.datasets.digits import digits, trained

folder = Path(tempfile.mkdtemp())
worker = """
import sys
import torch
from tutorials.datasets.digits import digits, small_cnn
from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid

folder = sys.argv[1]
torch.set_num_threads(1)
images, labels = digits(train=True)
model = small_cnn()
model.load_state_dict(torch.load(f"{folder}/model.pt"))
analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], feature_mask=image_grid(8, 8, 3, 3))
analyzer.add_model("net", model.eval())
report = analyzer.evaluate((images[:200], labels[:200]), checkpoint_dir=f"{folder}/{sys.argv[2]}", batch_size=20)
report.scores.to_csv(f"{folder}/{sys.argv[2]}.csv", index=False)
"""
(folder / "worker.py").write_text(worker, encoding="utf-8")
torch.save(trained(*digits(train=True)).state_dict(), folder / "model.pt")

# %%
# One process, then two
# ---------------------
# ``torchrun`` is ``python -m torch.distributed.run``. On two machines: the same on both, with
# ``--nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500`` and a folder that both see. The processes exchange
# nothing but files: one that dies takes nothing with it but the batch it was at.
clone = Path(inspect.getfile(digits)).parents[2]  # where the worker finds tutorials.datasets
environment = {**os.environ, "PYTHONPATH": str(clone)}


def run(name, processes):
    """Start the processes, wait for them, and say how long it took."""
    start = time.perf_counter()
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *launcher, str(folder / "worker.py"), str(folder), name]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    print(f"{processes} {'process' if processes == 1 else 'processes'}: {time.perf_counter() - start:.0f} s")


run("alone", 1)
run("shared", 2)
alone, shared = (pd.read_csv(folder / f"{name}.csv") for name in ("alone", "shared"))
print(f"the same report: {alone.equals(shared)}")
# sphinx_gallery_start_ignore
assert alone.equals(shared)  # as the title says; the docs are not built where it is not so
# sphinx_gallery_end_ignore

# %%
# A process that dies
# -------------------
# Kill one in the middle, and start again: what was finished is read from the folder.
process = subprocess.Popen([sys.executable, str(folder / "worker.py"), str(folder), "killed"], env=environment)
while len(list(folder.glob("killed/*.parquet"))) < 4:
    time.sleep(0.05)
process.kill()
process.wait()
killed, whole = (len(list(folder.glob(f"{name}/*.parquet"))) for name in ("killed", "alone"))
print(f"killed after {killed} of {whole} batches")
run("killed", 1)
print(f"the same report: {alone.equals(pd.read_csv(folder / 'killed.csv'))}")
# sphinx_gallery_start_ignore
assert alone.equals(pd.read_csv(folder / "killed.csv"))
# sphinx_gallery_end_ignore

# %%
# Ray, Spark and their like map a function over batches of columns instead: ``analyzer.explain_batch`` is that function
# and ``analyzer.collect`` makes the report of what it returned (:doc:`/confusing_samples`).
