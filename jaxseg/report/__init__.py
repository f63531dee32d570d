"""Tables, figures and one page; reads results, never trains."""
