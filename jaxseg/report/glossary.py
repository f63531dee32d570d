"""The terms a reader of the report needs, in words that fit the settings of the run."""

from jaxseg.report.results import Results

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
    "shown, not significant": "Shown: the interval excludes 0 and p is at most 0.05. Not "
    "significant: the interval excludes 0 and p is above; with fewer than 6 seeds it always is.",
    "p (Holm)": "p corrected for all comparisons of one metric on one test set.",
    "interaction": "Difference of differences: how much the effect of one setting depends on "
    "another.",
    "could have shown": "The smallest true difference that would be shown with 80 % power by this "
    "many seeds and images, from the spread seen here; none with fewer than 6 seeds.",
    "seeds needed": "Seeds that would show a difference as large as the one seen with 80 % power, "
    "on as many images. More than 1000 also means: more test images are needed first.",
}


def terms(results: Results) -> dict[str, str]:
    """Term to explanation, with the border width and the rule for empty images of this run."""
    empty = {"nan": "left out", "one": "scored 1", "smooth1": "scored 1 (smoothed as published)"}
    border = results.fields.eval.border_px
    rule = empty[results.fields.eval.empty]
    return {term: text.format(border=border, empty=rule) for term, text in GLOSSARY.items()}


# Terms of a study of annotations that a grid of paddings and crops does not have.
STUDY = {
    "annotation": "Calipers, text and other marks of the scanner's screen, burned into a frame.",
    "contamination, dose": "Share of the training frames that carry annotations.",
    "tied, jittered, independent": "Where annotations are placed: at the ends of the structure's "
    "axes, near them, or anywhere.",
    "clean, annotated": "Test sets: the same frames without annotations, and with tied ones. "
    "independent: with annotations placed anywhere. restored: annotated, then cleared of what a "
    "detector finds. sequence: stages of annotating a frozen frame.",
    "Dice": "2 tp / (2 tp + fp + fn). Of a frame: the mean over the structures that its truth "
    "holds; false positives of other structures do not enter, and a frame without any structure "
    "is left out. Of a test set: mean ± SD over frames, averaged over seeds.",
    "reliance": "Dice on frames with annotations minus Dice on the same frames without. Above 0: "
    "the networks use the annotations.",
    "stability": "Dice between the predictions on a frozen frame before any annotation and with "
    "all of them. 1: annotations change nothing.",
    "removed, placebo": "Removed: what a detector finds is taken out of every training frame. "
    "Placebo: the same is done to spots of frames on which nothing was drawn.",
    "saliency": "Seg-Grad-CAM: where in the frame a structure's prediction comes from, by one "
    "layer. Over chance: its share on annotations divided by their share of the frame. A map "
    "describes a gradient; it does not prove a use.",
    "trend": "Slope of reliance over contamination: a straight line through each seed's doses, "
    "then over seeds as any difference.",
}
SHARED = (
    "arm",
    "cell",
    "interval",
    "paired",
    "p",
    "shown, not significant",
    "p (Holm)",
    "could have shown",
    "seeds needed",
)


def study_terms(results: Results) -> dict[str, str]:
    """The terms of a study of annotations."""
    found = terms(results)
    return STUDY | {name: found[name] for name in SHARED}
