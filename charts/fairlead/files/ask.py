# ruff: noqa: T201
"""What `helm test` runs: asks a pool whether it is ready, and each model with a route for an inference.

    ask.py BASE_URL CATALOG_FILE LIMIT_SECONDS

Only the standard library. The values sent are made up, so a model may refuse them (4xx); what fails the test is a pool
that does not become ready, or an inference that the pool could not do (5xx).
"""

import gzip
import json
import math
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PAUSE_S = 1.0
ANSWER_S = 20.0
LEAST_S = 0.1


def main(base, catalog_file, limit_s):
    catalog = pathlib.Path(catalog_file)
    status = wait_ready(base, time.monotonic() + limit_s)
    if status != 200:
        print(f"{base} is not ready after {limit_s:g} s: {status}")
        if not catalog.is_file():
            print("no catalog is stored for it: the operator does that when MLflow has answered; see its log")
        return 1
    models = routed(catalog) if catalog.is_file() else []
    if not models:
        print("the pool is ready, and no model has a route: nothing more to ask. Promote one, and ask again")
    answered = [infers(base, model) for model in models]
    return int(not all(answered))


def routed(catalog):
    """The names of the models that requests without a version reach."""
    models = json.loads(gzip.decompress(catalog.read_bytes())).get("models", {})
    return sorted(name for name, model in models.items() if any(model.get("route", {}).get("weights", {}).values()))


def wait_ready(base, until):
    while True:
        status, _ = ask(f"{base}/v2/health/ready")
        if status == 200 or time.monotonic() > until:
            return status
        time.sleep(PAUSE_S)


def infers(base, model):
    url = f"{base}/v2/models/{urllib.parse.quote(model, safe='')}"
    status, told = ask(url)
    if status == 200:
        inputs = [made_up(tensor) for tensor in json.loads(told)["inputs"]]
        status, told = ask(f"{url}/infer", json.dumps({"inputs": inputs}).encode())
    print(f"{model}: {status}{'' if status == 200 else f' {told[:300]}'}")
    return isinstance(status, int) and status < 500


def made_up(tensor):
    shape = [size if size > 0 else 1 for size in tensor["shape"]]
    value = {"BYTES": "", "BOOL": False}.get(tensor["datatype"], 0)
    return {**tensor, "shape": shape, "data": [value] * math.prod(shape)}


def ask(url, body=None):
    """(status or why there was none, the text)."""
    try:
        request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")
    except OSError as fault:
        return str(fault) or type(fault).__name__, ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
