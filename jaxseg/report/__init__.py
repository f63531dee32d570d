"""Sections, whatever they are about, as a page, on a terminal and as files; knows no study."""

from jaxseg.matplotlib_import import import_matplotlib

import_matplotlib()
