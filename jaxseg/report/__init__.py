"""Shows sections of any study on a page, on a terminal and as files; imports no study."""

from jaxseg.homes import import_matplotlib

import_matplotlib()
