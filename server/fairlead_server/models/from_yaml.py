"""YAML text -> plain values, for files that people write: a catalog file, the `fairlead.yaml` in a model's folder.

Stricter than the library by itself: a key given twice is refused (YAML would keep the last one and say
nothing), and so is deep nesting (the C loader recurses, and a document of a hundred thousand brackets
ends the process). yaml is imported on first use: a replica that is fed JSON never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

DEEPEST = 64  # levels of nesting


class YamlFault(Exception):
    """The text is no YAML that is taken here; says the line."""


def read(data: bytes) -> Any:
    import yaml

    base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type] # the C loader where there is one
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _refuse_twins(node)
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

    try:
        _refuse_depth(data, base)
        return yaml.load(data, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise YamlFault(" ".join(str(error).split()).replace(' in "<byte string>"', "")) from None
    except RecursionError:
        raise YamlFault("a value refers to itself") from None


def _refuse_depth(data: bytes, loader: type[yaml.SafeLoader]) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(data, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise yaml.YAMLError(f"nested deeper than {DEEPEST} levels, line {_line(event)}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_twins(node: yaml.MappingNode) -> None:
    import yaml

    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise yaml.YAMLError(f"the key {key.value!r} is given twice, line {_line(key)}")
            seen.add(key.value)


def _line(thing: yaml.Event | yaml.Node) -> int:
    return thing.start_mark.line + 1 if thing.start_mark else 0
