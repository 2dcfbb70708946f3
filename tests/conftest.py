"""What all tests share: no test touches the user's own cache, a busy machine fails none, workers share the cores."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("CAI_CACHE", str(ROOT / ".pytest_cache" / "cai"))

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported; workers share the cores

settings.register_profile("cai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cai")
