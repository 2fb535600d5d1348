import pytest
from tiny_experiment import Tiny


@pytest.fixture
def tiny(tmp_path):
    return Tiny(tmp_path)
