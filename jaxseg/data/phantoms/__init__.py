"""Generated frames with known objects: no download, no patient."""
