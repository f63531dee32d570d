"""A page as a browser would take it apart."""

import html.parser


class Page(html.parser.HTMLParser):
    """Collects links and images, and checks that every tag is closed by its own end tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        if "href" in values:
            self.links.append(values["href"])
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
