"""What several test modules share: where the real data lies, one thread a worker, no deadline on a busy machine."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("calmix", deadline=None)
settings.load_profile("calmix")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: CALMIX_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("CALMIX_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found: set CALMIX_DATA (looked in {folder})")
    return folder
