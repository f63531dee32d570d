"""One folder for every question: what is measured, and the sections that say it."""
