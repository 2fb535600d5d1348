import pytest
from nets import save_net


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A file of a small network."""
    save_net(path := tmp_path_factory.mktemp("weights") / "net.pt")
    return path
