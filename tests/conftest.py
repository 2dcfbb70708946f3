"""What all tests share: no test touches the user's own cache."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("CAI_CACHE", str(ROOT / ".pytest_cache" / "cai"))
