"""Pieces of a JSON schema (draft 7) that refuse what they do not know, and Kubernetes' own types in them.

Of Kubernetes' types what people write into values is here. Values are checked before the API server sees them, because
it drops a misspelt field of a pod in a custom resource without a word.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
BYTES = r"^[0-9]+(k|Ki|M|Mi|G|Gi|T|Ti)?$"  # the chart multiplies these itself
LABEL = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"


def fields(required: tuple[str, ...] = (), /, **known: Schema) -> Schema:
    """An object with these fields and no others."""
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": known}
    return {**schema, "required": list(required)} if required else schema


def words(pattern: str = "") -> Schema:
    return {"type": "string", "pattern": pattern} if pattern else {"type": "string"}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def number(least: float) -> Schema:
    return {"type": "number", "minimum": least}


def rows(kind: Schema) -> Schema:
    return {"type": "array", "items": kind}


def by_name(kind: Schema) -> Schema:
    return {"type": "object", "additionalProperties": kind}


def defined(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


SWITCH: Schema = {"type": "boolean"}
TEXT = words()
NUMBER_OR_NONE: Schema = {"type": ["integer", "null"], "minimum": 0}
USER: Schema = {"type": ["integer", "null"], "minimum": 1}  # the restricted standard has no root
QUANTITY_VALUE: Schema = {"type": ["string", "number"], "pattern": QUANTITY}
STRINGS = by_name(TEXT)
LABELS = by_name(words(LABEL))
ANYTHING: Schema = {"type": "object"}
ACCESS_MODES = rows(one_of("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"))

_EXPRESSION = fields(("key", "operator"), key=TEXT, operator=TEXT, values=rows(TEXT))
_KEY_OF = fields(("name", "key"), name=TEXT, key=TEXT, optional=SWITCH)
_ITEMS = rows(fields(("key", "path"), key=TEXT, path=TEXT, mode=whole(0)))
_POD_TERM = fields(
    ("topologyKey",),
    labelSelector=defined("selector"), topologyKey=TEXT, namespaces=rows(TEXT), namespaceSelector=defined("selector"),
    matchLabelKeys=rows(TEXT), mismatchLabelKeys=rows(TEXT),
)  # fmt: skip
_NODE_TERM = fields(matchExpressions=rows(_EXPRESSION), matchFields=rows(_EXPRESSION))
_BY_PODS = fields(
    requiredDuringSchedulingIgnoredDuringExecution=rows(_POD_TERM),
    preferredDuringSchedulingIgnoredDuringExecution=rows(
        fields(("weight", "podAffinityTerm"), weight=whole(1, 100), podAffinityTerm=_POD_TERM)
    ),
)
_CONFIG_MAP = fields(("name",), name=TEXT, items=_ITEMS, defaultMode=whole(0), optional=SWITCH)
_SECRET = fields(("secretName",), secretName=TEXT, items=_ITEMS, defaultMode=whole(0), optional=SWITCH)

DEFINITIONS: dict[str, Schema] = {
    "selector": fields(matchLabels=LABELS, matchExpressions=rows(_EXPRESSION)),
    "resources": fields(
        requests=by_name(QUANTITY_VALUE), limits=by_name(QUANTITY_VALUE),
        claims=rows(fields(("name",), name=TEXT, request=TEXT)),
    ),
    "tolerations": rows(
        fields(
            key=TEXT, operator=one_of("Exists", "Equal"), value=TEXT, tolerationSeconds=whole(0),
            effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
        )
    ),
    "affinity": fields(
        nodeAffinity=fields(
            requiredDuringSchedulingIgnoredDuringExecution=fields(
                ("nodeSelectorTerms",), nodeSelectorTerms=rows(_NODE_TERM)
            ),
            preferredDuringSchedulingIgnoredDuringExecution=rows(
                fields(("weight", "preference"), weight=whole(1, 100), preference=_NODE_TERM)
            ),
        ),
        podAffinity=_BY_PODS,
        podAntiAffinity=_BY_PODS,
    ),
    "spread": rows(
        fields(
            ("maxSkew", "topologyKey", "whenUnsatisfiable"),
            maxSkew=whole(1), topologyKey=TEXT, whenUnsatisfiable=one_of("DoNotSchedule", "ScheduleAnyway"),
            labelSelector=defined("selector"), minDomains=whole(1), matchLabelKeys=rows(TEXT),
            nodeAffinityPolicy=one_of("Honor", "Ignore"), nodeTaintsPolicy=one_of("Honor", "Ignore"),
        )
    ),
    "env": rows(
        fields(
            ("name",),
            name=TEXT, value=TEXT,
            valueFrom=fields(
                secretKeyRef=_KEY_OF, configMapKeyRef=_KEY_OF,
                fieldRef=fields(("fieldPath",), fieldPath=TEXT, apiVersion=TEXT),
                resourceFieldRef=fields(("resource",), resource=TEXT, containerName=TEXT, divisor=QUANTITY_VALUE),
            ),
        )
    ),
    "envFrom": rows(
        fields(
            prefix=TEXT, secretRef=fields(("name",), name=TEXT, optional=SWITCH),
            configMapRef=fields(("name",), name=TEXT, optional=SWITCH),
        )
    ),
    "mounts": rows(
        fields(
            ("name", "mountPath"),
            name=TEXT, mountPath=TEXT, subPath=TEXT, subPathExpr=TEXT, readOnly=SWITCH, mountPropagation=TEXT,
        )
    ),
    # The kinds that the restricted pod security standard allows.
    "volumes": rows(
        fields(
            ("name",),
            name=TEXT,
            configMap=_CONFIG_MAP,
            secret=_SECRET,
            emptyDir=fields(medium=one_of("", "Memory"), sizeLimit=QUANTITY_VALUE),
            persistentVolumeClaim=fields(("claimName",), claimName=TEXT, readOnly=SWITCH),
            csi=fields(
                ("driver",), driver=TEXT, fsType=TEXT, readOnly=SWITCH, volumeAttributes=STRINGS,
                nodePublishSecretRef=fields(("name",), name=TEXT),
            ),
            downwardAPI=ANYTHING,
            ephemeral=ANYTHING,
            projected=ANYTHING,
        )
    ),
    "peer": fields(
        namespaceSelector=defined("selector"), podSelector=defined("selector"),
        ipBlock=fields(("cidr",), cidr=TEXT, **{"except": rows(TEXT)}),
    ),
}  # fmt: skip
