"""Tables, figures and one page; reads results, never trains."""

from jaxseg.matplotlib_import import import_matplotlib

import_matplotlib()
