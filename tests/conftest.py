"""What several test files share: where the real corpora and encoders are, if they are here."""

import functools
import os
from pathlib import Path

import pytest

# Processes of tests share the cores: threads that wait for each other would take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BESIDE = Path(__file__).parents[2] / "shared"


def _place(variable, default, *parts):
    path = Path(os.environ.get(variable, default), *parts)
    if not path.is_dir():
        pytest.skip(f"{path} is absent; set {variable} to run this test on real recordings")
    return path


@pytest.fixture(scope="session")
def ravdess():
    """Folder of the real RAVDESS speech recordings."""
    return _place("EMOSCOPE_DATA", BESIDE / "data", "ravdess")


@pytest.fixture(scope="session")
def ravdess_song():
    """Folder of the real RAVDESS song recordings."""
    return _place("EMOSCOPE_DATA", BESIDE / "data", "ravdess_song")


@pytest.fixture(scope="session")
def emodb():
    """Folder of the real EMO-DB recordings."""
    return _place("EMOSCOPE_DATA", BESIDE / "data", "emodb")


@pytest.fixture(scope="session")
def encoders():
    """Folder of the pretrained encoders."""
    return _place("EMOSCOPE_MODELS", BESIDE / "models")


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory):
    """A Dask cluster of two workers, which take long to start and never rest; a test may kill one."""
    from dask_cluster import Cluster

    started = Cluster(tmp_path_factory.mktemp("cluster"), 2)
    yield started
    started.stop()


@pytest.fixture
def cluster(shared_cluster):
    """The cluster with both its workers."""
    return shared_cluster.complete()


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own feature store."""
    monkeypatch.setenv("EMOSCOPE_STORE", str(tmp_path_factory.getbasetemp() / "store"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One process more than there are cores, for many tests wait: for a page, a kill, a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Keep worker processes from one test to the next: they start anew in another environment."""
    name = os.environ.pop("PYTEST_CURRENT_TEST")
    try:
        return (yield)
    finally:
        os.environ["PYTEST_CURRENT_TEST"] = name


@pytest.fixture(scope="session")
def unpacked():
    """Loads a model, or gives the one that the same bytes made before, with its process."""
    from emoscope import modelfile

    return functools.lru_cache(maxsize=4)(modelfile.unpack)


@pytest.fixture
def kept_models(unpacked, monkeypatch):
    """The commands of this test need not load the same model each time."""
    from emoscope import modelfile

    monkeypatch.setattr(modelfile, "unpack", unpacked)


@pytest.fixture(scope="session")
def predictor(tmp_path_factory):
    """A model whose label follows from the level of a voice."""
    import tiny_model
    from emoscope.prediction import Predictor

    return Predictor(tiny_model.write(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def server(predictor):
    """A server of that model on this machine."""
    from serving import serving

    with serving(predictor) as running:
        yield running


@pytest.fixture
def emoscope(capfd):
    """Run a command line; gives exit status, standard output and standard error."""
    import command_line

    def run(*words):
        status = command_line.run(*words)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return run
