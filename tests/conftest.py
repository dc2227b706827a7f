"""What several test modules share: where the real data lies, the same draws in every run, one thread a worker."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("calmix", deadline=None)  # a busy machine is slow
settings.load_profile("calmix")


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws without a generator of its own is the same in every run, whichever tests came before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: CALMIX_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("CALMIX_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found: set CALMIX_DATA (looked in {folder})")
    return folder
