"""Results in MLflow: one run per comparison with the files, and below it one per model."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import EmoscopeError, installed
from .result import Result

MAX_CHARACTERS = 500  # of a parameter, which every MLflow server takes


def mlflow() -> Any:
    """The package, told where to write by its own variables, e.g. ``MLFLOW_TRACKING_URI``."""
    # MLflow reports its use to its maker unless told not to before it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return installed("mlflow", "writing to MLflow", "mlflow", package="mlflow-skinny")


def to_mlflow(
    result: Result, folder: str | os.PathLike[str] | None = None, *, experiment: str = "emoscope"
) -> str:
    """Write a result, and its files in `folder`, to MLflow; gives the upper run's identifier."""
    client = mlflow()

    def log(values: Mapping[str, object]) -> None:
        known = {key: value for key, value in values.items() if value is not None}
        client.log_params({key: str(value)[:MAX_CHARACTERS] for key, value in known.items()})

    name = f"{result.corpus.get('name', 'corpus')}, {result.protocol}"
    described = {k: v for k, v in result.config.items() if k != "folds"}
    try:
        client.set_experiment(experiment)
        with client.start_run(run_name=name) as upper:
            log({**described, "n_clips": result.corpus.get("n_clips")})
            for run in result.runs:
                with client.start_run(run_name=f"{run.model}, {run.protocol}", nested=True):
                    entry = run.to_json()
                    keys = ("model", "features", "protocol", "parameters")
                    log({key: entry.get(key) for key in keys})
                    client.log_metrics({k: v for k, v in entry.items() if isinstance(v, float)})
            if folder is not None:
                for file in ("report.html", "results.json", "predictions.csv", "run.toml"):
                    path = os.path.join(folder, file)
                    if os.path.isfile(path):
                        client.log_artifact(path)
        return str(upper.info.run_id)
    except Exception as error:  # each of MLflow's stores has errors of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise EmoscopeError(f"MLflow could not be written: {reason}") from error
