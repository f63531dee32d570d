"""The study of annotations."""

from jaxseg.studies.results import Results


def is_for(results: Results) -> bool:
    """Whether the same frames were scored with and without annotations."""
    return {"clean", "annotated"} <= set(results.test_sets)
