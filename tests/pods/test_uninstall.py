"""`helm uninstall` keeps what is people's, and one command removes that, too."""

from __future__ import annotations

from harness.parts import until
from pods.site import DEFINITION, NAMESPACE, RELEASE, Site
from pods.terminal import get, kubectl, listed, run


def test_an_uninstall_keeps_the_served_models_until_one_command_removes_them(site: Site) -> None:
    """The pool and the operator go, and what the heads kept in Redis; the definition and everybody's ServedModels stay,
    and none hangs on its way out."""
    run(["helm", "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", "--timeout=180s"], limit_s=200)
    until("the pool's pods to be gone", lambda: not [*site.pods(), *site.heads()], 180, every_s=1.0)
    here = f"--namespace={NAMESPACE}"
    until("the Ray clusters to be gone", lambda: not listed("rayclusters", here), 180, every_s=1.0)
    assert kubectl("exec", "--namespace=redis", "deployment/redis", "--", "redis-cli", "dbsize").strip() == "0"
    assert "churn" in [served["metadata"]["name"] for served in listed("servedmodels", here)]
    kubectl("delete", "crd", DEFINITION, "--timeout=60s")
    assert get("crd", DEFINITION) == {}
