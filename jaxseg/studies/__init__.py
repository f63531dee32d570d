"""One folder for every question: what is measured, and the sections that say it."""

import jaxseg.report  # noqa: F401  # before any module imports matplotlib, see its docstring
