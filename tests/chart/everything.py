"""Values that switch on every option: what is checked of all objects is checked of these too."""

from __future__ import annotations

from typing import Any

EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "platform"},
    "image": {"registry": "registry.example.com", "pullSecrets": ["pull"]},
    "mlflow": {"uri": "", "secret": {"name": "mlflow", "uriKey": "uri"}},
    "ca": {"configMap": "our-ca", "key": "bundle.pem"},
    "proxy": {"httpProxy": "http://proxy:3128", "httpsProxy": "http://proxy:3128", "noProxy": ".example.com"},
    "operator": {
        "replicas": 2,
        "verbose": True,
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}]}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "nodeSelector": {"pool": "infra"}, "priorityClassName": "high",
        "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"},
        "extraEnv": [{"name": "MORE", "value": "1"}],
        "extraEnvFrom": [{"secretRef": {"name": "more", "optional": True}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "operator@project"}},
    },
    "pools": {
        "default": {
            "replicas": 3, "cores": 4, "workers": 2, "allowedNamespaces": ["ml", "team-a"], "image": {"tag": "gpu"},
            "gpu": {"count": 0.5, "memory": "20Gi", "runtimeClassName": "nvidia", "resource": "nvidia.com/mig-1g.10gb"},
            "cache": {
                "size": "50Gi", "volumeSize": "60Gi", "persistent": {"enabled": True, "storageClassName": "fast"}},
            "limits": {"bodyBytes": 536870912, "readSeconds": 10, "concurrent": 500},
            "drain": {"balancerSeconds": 10, "graceSeconds": 120, "idleSeconds": 2.5},
            "gcsFaultTolerance": {
                "enabled": True, "redisAddress": "redis:6379", "passwordSecret": "redis", "username": "fairlead"},
            "gateway": {
                "http": True, "grpc": True, "parentRefs": [{"name": "public", "namespace": "gateways"}],
                "hostnames": ["models.example.com"], "grpcHostnames": ["grpc.example.com"], "annotations": {"x": "z"}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h200"]}]}]}}},
            "nodeSelector": {"gpu": "h200"}, "priorityClassName": "inference",
            "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"},
            "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
            "extraEnvFrom": [{"secretRef": {"name": "bucket"}}],
            "extraVolumes": [{"name": "more", "configMap": {"name": "more"}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more", "readOnly": True}],
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/models"}},
            "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}, "nodePorts": {"http": 30800}},
            "head": {"nodeSelector": {"pool": "infra"}, "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"}},
        },
        "small": {},
        "elastic": {"autoscaling": {"enabled": True, "least": 2, "most": 8, "targets": {"busy": 0.5}}},
    },
    "networkPolicy": {"clients": [{"namespaceSelector": {"matchLabels": {"models": "yes"}}}]},
    "monitoring": {"kind": "ServiceMonitor", "labels": {"release": "prometheus"}, "interval": "30s"},
}  # fmt: skip
