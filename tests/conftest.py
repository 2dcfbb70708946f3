"""What all tests share: no test touches the user's own cache, and a busy machine fails none."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("CAI_CACHE", str(ROOT / ".pytest_cache" / "cai"))

settings.register_profile("cai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cai")
