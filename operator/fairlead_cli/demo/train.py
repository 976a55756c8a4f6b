"""The data scientist of the demo: trains on scikit-learn's digits, logs to MLflow as ONNX, registers.

    python -m fairlead_cli.demo.train --registry URI --model digits --out FILE

Nothing here knows Fairlead but for one tag on the registered model. A process of its own, for it imports a lot.
It writes as JSON what the demo needs to judge the answers: the samples that no model was trained on, their
digits, and for each version what ONNX Runtime itself answers to them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

HELD_BACK = 500  # samples for the requests
INPUT, LABEL, PROBABILITIES = "pixels", "label", "probabilities"


def candidates(images: Any, digits: Any) -> dict[str, Any]:
    """Honest models, by what to call them: a quick one, a better one, and one more."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    def scaled(model: Any) -> Any:
        return make_pipeline(MaxAbsScaler(), model)

    few = 60
    return {
        f"logistic regression, {few} samples": scaled(LogisticRegression()).fit(images[:few], digits[:few]),
        f"neural network, {len(images)} samples": scaled(
            MLPClassifier((64,), learning_rate_init=0.01, max_iter=200, random_state=0)
        ).fit(images, digits),
        "logistic regression, 400 samples": scaled(LogisticRegression()).fit(images[:400], digits[:400]),
    }


def convert(model: Any) -> Any:
    """As ONNX, with rows free in number and the probabilities as a tensor."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    classifier = model.steps[-1][1]
    return convert_sklearn(
        model,
        initial_types=[(INPUT, FloatTensorType([None, 64]))],
        options={id(classifier): {"zipmap": False}},
        target_opset=17,
    )


def log(onnx_model: Any, example: Any, model_name: str) -> str:
    """Logs and registers; the new version."""
    import mlflow
    from mlflow.models import infer_signature

    signature = infer_signature({INPUT: example}, answers(onnx_model, example))
    logged = mlflow.onnx.log_model(
        onnx_model,
        name=model_name,
        signature=signature,
        input_example={INPUT: example},
        registered_model_name=model_name,
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=["onnxruntime"],  # or MLflow runs the model once more, to find out
    )
    return str(logged.registered_model_version)


def answers(onnx_model: Any, images: Any) -> dict[str, Any]:
    """What the model itself answers: the standard that the server is held to."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip((LABEL, PROBABILITIES), session.run([LABEL, PROBABILITIES], {INPUT: images}), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--registry", "--model", "--out"):
        parser.add_argument(option, required=True)
    asked = parser.parse_args()
    os.environ["MLFLOW_TRACKING_URI"] = asked.registry

    import mlflow
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, digits = images[order].astype(np.float32), digits[order]
    held, held_digits = images[:HELD_BACK], digits[:HELD_BACK]
    trained = candidates(images[HELD_BACK:], digits[HELD_BACK:])
    print("trained", flush=True)

    mlflow.set_experiment(asked.model)
    versions = []
    for kind, model in trained.items():
        onnx_model = convert(model)
        labels = answers(onnx_model, held)[LABEL]
        version = log(onnx_model, held[:4], asked.model)
        accuracy = float(np.mean(labels == held_digits))
        versions.append({"version": version, "kind": kind, "accuracy": accuracy, "labels": labels.tolist()})
        print(f"registered version {version}: {kind}, {accuracy:.1%}", flush=True)
    mlflow.MlflowClient().set_registered_model_tag(asked.model, "fairlead.serve", "true")
    told = {"images": held.tolist(), "digits": held_digits.tolist(), "versions": versions}
    Path(asked.out).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
