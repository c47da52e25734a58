"""What every test may use. State lives in temporary folders; nothing here opens a network."""

import os
from pathlib import Path

import pytest

# Tiny models gain nothing from threads, and tests that run side by side lose much by them. Before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public reference files beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data is not present at {folder}")
    return folder
