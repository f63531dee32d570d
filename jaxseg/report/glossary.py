"""The terms a reader of the report needs, in words that fit the settings of the run."""

from jaxseg.report.results import Results, setting

GLOSSARY = {
    "arm": "All training runs with equal settings except the seed.",
    "cell": "One training run: one arm, one seed.",
    "recall at the border": "Share of the true object pixels within {border} px of the frame's "
    "border that are found, all images together.",
    "border shortcut index": "Recall in the interior minus recall at the border. 0: the border is "
    "segmented as well as the interior. Above 0: objects are lost at the border.",
    "Dice": "2 tp / (2 tp + fp + fn). Pooled: counted over all images together. Per image: mean "
    "over images, where images with nothing there and nothing predicted are {empty}.",
    "quarter, random": "Test sets of crops in which objects reach the border; full: whole frames.",
    "ring": "Pixels at one distance from the centre (squares, as in the paper) or from the border.",
    "interval": "95 % interval over images and seeds: images are resampled (crops of one image "
    "together), seeds enter through Student's t. With one seed it covers images only.",
    "paired": "The same seed sees the same training images in the same order in every arm, so arms "
    "are compared seed by seed.",
    "p": "Exact sign-flip test over the seeds. With n seeds it cannot be below 2 / 2ⁿ.",
    "p (Holm)": "p corrected for all comparisons of one metric on one test set.",
    "interaction": "Difference of differences: how much the effect of one setting depends on "
    "another.",
    "could have shown": "The smallest true difference that this many seeds would show with 80 % "
    "power, from the spread between seeds seen here.",
    "seeds needed": "Seeds that would show a difference as large as the one seen, with 80 % power.",
}


def terms(results: Results) -> dict[str, str]:
    """Term to explanation, with the border width and the rule for empty images of this run."""
    empty = {"nan": "left out", "one": "scored 1", "smooth1": "scored 1 (smoothed as published)"}
    border = setting(results, "eval.border_px", 8)
    rule = empty[setting(results, "eval.empty", "nan")]
    return {term: text.format(border=border, empty=rule) for term, text in GLOSSARY.items()}
