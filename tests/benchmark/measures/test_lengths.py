"""Mixed lengths: the sentences that are sent, and the setting that pads them."""

from __future__ import annotations

import msgspec

from benchmark import models
from benchmark.measures.lengths import LONGEST, MODEL, PADDED, SENTENCES, SHORTEST, Lengths, sentences
from benchmark.measures.registry import ENTRIES, needs
from fairlead_server.models.settings import VersionSettings, resolve


def test_sentences_are_the_same_in_every_run() -> None:
    """All lengths of the range, each sentence as long as its mask."""
    first, second = sentences(), sentences()
    lengths = [request["input_ids"].shape[1] for request in first]
    assert lengths == [request["attention_mask"].shape[1] for request in second]
    assert (len(lengths), min(lengths), max(lengths)) == (SENTENCES, SHORTEST, LONGEST)
    assert all((a["input_ids"] == b["input_ids"]).all() for a, b in zip(first, second, strict=True))


def test_the_setting_is_one_of_fairleads() -> None:
    """Read as the catalog reads it, for inputs and outputs that the model has."""
    settings = resolve(PADDED)
    assert settings == msgspec.convert(PADDED, VersionSettings)
    (name,) = settings.padding
    assert {name, settings.padding[name].mask} == models.sentence(8).keys()


def test_it_can_be_asked_for() -> None:
    """By the row's name, with its model."""
    (entry,) = [entry for entry in ENTRIES if "bert-mixed" in entry.names]
    assert entry.make(entry.names).names == Lengths.names
    assert needs("bert-mixed") == {MODEL}
