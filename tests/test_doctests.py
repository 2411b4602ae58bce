"""The examples in docstrings run and give what they say."""

import doctest
import importlib

import pytest

# name -> the module that defines it; what users touch first
NAMES = {
    "evaluate": "metrics.evaluation",
    "evaluate_features": "metrics.evaluation",
    "search": "retrieval.search",
    "rerank": "retrieval.reranking",
    "k_reciprocal_distances": "retrieval.reranking",
    "pseudo_labels": "cluster.clustering",
    "jaccard_neighbours": "cluster.jaccard",
    "cross_entropy": "losses.cross_entropy",
    "triplet": "losses.triplet",
    "weighted_triplet": "losses.weighted_triplet",
    "center": "losses.center",
    "circle": "losses.circle",
    "cluster_contrast": "losses.cluster_contrast",
    "CropTable": "data.table",
    "read": "data.readers",
    "build": "models.build",
    "save": "models.files",
    "Embedder.embed": "runtime.embedder",
    "Scope.parse": "city.sightings",
    "open_gallery": "city.gallery",
}


@pytest.mark.parametrize("name", NAMES)
def test_example(name: str) -> None:
    module = importlib.import_module(f"passerby.{NAMES[name]}")
    target = module
    for part in name.split("."):
        target = getattr(target, part)
    finder = doctest.DocTestFinder(recurse=False)
    tests = finder.find(target, name, module=module, globs=dict(vars(module)))
    assert sum(len(test.examples) for test in tests) >= 2, "an example stands in the docstring"
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert result.failed == 0, "see the captured output"
