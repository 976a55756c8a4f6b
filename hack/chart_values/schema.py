"""values.schema.json: every key of values.yaml, and no other, on every level."""

from __future__ import annotations

from chart_values.kinds import (
    ACCESS_MODES,
    BYTES,
    DEFINITIONS,
    LABELS,
    NAME,
    NUMBER_OR_NONE,
    STRINGS,
    SWITCH,
    TEXT,
    USER,
    Schema,
    defined,
    fields,
    number,
    one_of,
    rows,
    whole,
    words,
)
from fairlead_operator.spec import INSTALLATION, RESERVED

POOL_NAME = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
NAMESPACES = rows(words("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"))
PEERS = rows(defined("peer"))
SIZE: Schema = {"type": "string", "pattern": BYTES}
SIZE_OR_NONE: Schema = {"type": "string", "pattern": f"^$|{BYTES}"}

IMAGE = {
    "registry": words("^[^/ ]*(:[0-9]+)?$"),
    "repository": words("^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$"),
    "tag": words("^[A-Za-z0-9_.-]{0,128}$"),
    "digest": words("^(sha256:[0-9a-f]{64})?$"),
    "pullPolicy": one_of("Always", "IfNotPresent", "Never"),
}
PLACEMENT: dict[str, Schema] = {
    "nodeSelector": STRINGS,
    "tolerations": defined("tolerations"),
    "affinity": defined("affinity"),
    "priorityClassName": TEXT,
    "podLabels": LABELS,
    "podAnnotations": STRINGS,
}
MORE: dict[str, Schema] = {
    "topologySpreadConstraints": defined("spread"),
    "extraEnv": defined("env"),
    "extraEnvFrom": defined("envFrom"),
    "extraVolumes": defined("volumes"),
    "extraVolumeMounts": defined("mounts"),
    "serviceAccount": fields(create=SWITCH, name=words(NAME), annotations=STRINGS),
}

OPERATOR = fields(
    replicas=whole(1),
    watchNamespaces=NAMESPACES,
    intervalSeconds={"type": "number", "minimum": 0.1, "maximum": 3600},
    alias=words("^[^ /]+$"),
    holdSeconds=whole(0),
    progressSeconds=whole(0),
    takeover=SWITCH,
    verbose=SWITCH,
    tags=fields(enabled=SWITCH, namespace=words(NAME), pools=rows(words(POOL_NAME))),
    resources=defined("resources"),
    **PLACEMENT,
    **MORE,
)

PROBE = fields(
    initialDelaySeconds=whole(0), periodSeconds=whole(1), timeoutSeconds=whole(1), failureThreshold=whole(1),
    successThreshold=whole(1),
)  # fmt: skip

POOL = fields(
    replicas=whole(1),
    idleSeconds=whole(1),
    autoscaling=fields(
        enabled=SWITCH,
        least=whole(1),
        most=whole(1),
        first={"type": ["integer", "null"], "minimum": 1},
        targets=fields(
            busy={"type": "number", "exclusiveMinimum": 0, "maximum": 1}, queue=number(0), refused=number(0),
            aheadSeconds=number(0), trendSeconds=number(0), downSeconds=number(0),
        ),
    ),
    allowedNamespaces=NAMESPACES,
    image=fields(**IMAGE),
    workers=whole(1),
    cores=whole(0),
    memoryLimit=SIZE,
    resources=defined("resources"),
    gpu=fields(
        count=number(0), resource=words("^[a-z0-9.-]+/[A-Za-z0-9_.-]+$"), memory=SIZE_OR_NONE, runtimeClassName=TEXT
    ),
    cache=fields(
        size=SIZE,
        volumeSize=SIZE,
        persistent=fields(enabled=SWITCH, storageClassName=TEXT, accessModes=ACCESS_MODES),
    ),
    sharedMemory=SIZE,
    limits=fields(
        bodyBytes=whole(1), headerBytes=whole(1), readSeconds=whole(1), idleSeconds=whole(1), ageSeconds=whole(1),
        unsentBytes=whole(1), writeSeconds=whole(1), concurrent=whole(1),
    ),
    logLevel=one_of("debug", "info", "warning", "error"),
    drain=fields(balancerSeconds=number(0), graceSeconds=number(0), idleSeconds=number(0)),
    probes=fields(readiness=PROBE, liveness=PROBE),
    upgrade=fields(strategy=one_of("NewCluster", "None"), deletionDelaySeconds=whole(0)),
    head=fields(resources=defined("resources"), autoscalerResources=defined("resources"), **PLACEMENT),
    rayAuth=one_of("token", "disabled"),
    gcsFaultTolerance=fields(
        enabled=SWITCH, redisAddress=TEXT, passwordSecret=words(NAME), passwordKey=TEXT, username=TEXT
    ),
    service=fields(
        type=one_of("ClusterIP", "NodePort", "LoadBalancer"),
        nodePorts=fields(http=NUMBER_OR_NONE, grpc=NUMBER_OR_NONE),
        annotations=STRINGS,
    ),
    podDisruptionBudget=fields(enabled=SWITCH, minAvailable=NUMBER_OR_NONE),
    gateway=fields(
        http=SWITCH,
        grpc=SWITCH,
        parentRefs=rows(
            fields(
                ("name",),
                name=TEXT, namespace=TEXT, sectionName=TEXT, port=whole(1, 65535), group=TEXT, kind=TEXT,
            )
        ),
        hostnames=rows(TEXT),
        grpcHostnames=rows(TEXT),
        annotations=STRINGS,
    ),
    **PLACEMENT,
    **MORE,
)  # fmt: skip

VALUES = fields(
    **{"global": {"type": "object"}},  # Helm's own, of a chart that this one is part of
    nameOverride=TEXT,
    fullnameOverride=TEXT,
    installation={**words(f"^{INSTALLATION}$"), "not": {"enum": sorted(RESERVED)}},
    commonLabels=LABELS,
    clusterDomain=TEXT,
    rayVersion=words(r"^[0-9]+\.[0-9]+\.[0-9]+$"),
    image=fields(**IMAGE, pullSecrets=rows(words(NAME))),
    mlflow=fields(
        uri=words("^$|^https?://.|^databricks://"),
        secret=fields(name=words(NAME), uriKey=TEXT, usernameKey=TEXT, passwordKey=TEXT, tokenKey=TEXT),
    ),
    ca=fields(configMap=words(NAME), secret=words(NAME), key=TEXT),
    proxy=fields(httpProxy=TEXT, httpsProxy=TEXT, noProxy=TEXT),
    security=fields(runAsUser=USER, runAsGroup=NUMBER_OR_NONE, fsGroup=NUMBER_OR_NONE),
    control=fields(existingSecret=words(NAME)),
    crd=fields(install=SWITCH),
    rbac=fields(create=SWITCH, scope=one_of("cluster", "namespaced")),
    operator=OPERATOR,
    pools={
        "type": "object",
        "propertyNames": {"pattern": POOL_NAME},
        "additionalProperties": defined("pool"),
    },
    poolDefaults=defined("pool"),
    networkPolicy=fields(enabled=SWITCH, clients=PEERS, prometheus=PEERS, kuberay={**PEERS, "minItems": 1}),
    monitoring=fields(
        kind=one_of("none", "ServiceMonitor", "PodMonitor"), labels=LABELS, interval=words("^[0-9]+(s|m)$")
    ),
    test=fields(limitSeconds=number(0), resources=defined("resources")),
)


def schema() -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **VALUES,
        "definitions": {**DEFINITIONS, "pool": POOL},
    }
